//! The status as a person reads it. Pure.

use std::time::Duration;

use crate::admin::Status;
use crate::admin::status::{Held, OutputStatus, QueueStatus, RunningStatus};
use crate::terminal::human::{age, bytes, count, many, span};
use crate::terminal::line::{Line, wrap};
use crate::terminal::table::Tone;

mod inputs;
mod pipelines;

pub use inputs::inputs;
pub use pipelines::pipelines;

/// Where the facts of an output begin.
const INDENT: usize = 11;

/// Everything on a screen that is so many columns wide.
#[must_use]
pub fn screen(status: &Status, width: usize) -> Vec<Line> {
    let mut lines = head(status, width);
    for output in &status.outputs {
        lines.push(Line::default());
        lines.push(title(output, status.now_ms));
        lines.extend(facts(output, status.now_ms, width));
    }
    if status.outputs.is_empty() {
        lines.extend([Line::default(), Line::new("no output is here, or none has this tag", Tone::Warning)]);
    }
    lines.push(Line::default());
    lines.extend(inputs(&status.inputs, width));
    lines.extend(pipelines(&status.pipelines, width));
    lines
}

/// What runs, since when, and whether it takes events.
#[must_use]
pub fn head(status: &Status, width: usize) -> Vec<Line> {
    let uptime = span(Duration::from_secs_f64(status.uptime_secs.max(0.0)));
    let environment = match status.environment.as_str() {
        "" => String::new(),
        name => format!(" in environment {name}"),
    };
    let first = Line::new(format!("millpond {}{environment}, up {uptime}: ", status.version), Tone::Plain);
    let mut lines = vec![match (status.stage.as_str(), status.ready) {
        ("running", true) => first.with("ready", Tone::Good),
        ("running", false) => first.with("not ready", Tone::Bad),
        (stage, _) => first.with(stage, Tone::Warning),
    }];
    if status.stage == "running" {
        status.not_ready.iter().for_each(|reason| lines.extend(fact("", reason, Tone::Bad, width)));
    }
    if status.config.last_refused {
        let since = age(status.config.taken_at_ms, status.now_ms);
        let words = format!(
            "the file has changed and was refused, so what was taken {since} ago goes on; `millpond check` says what is \
             wrong with it"
        );
        lines.extend(fact("config", &words, Tone::Bad, width));
    }
    lines
}

/// What the state of an output means for a person.
#[must_use]
pub fn tone(state: &str) -> Tone {
    match state {
        "healthy" => Tone::Good,
        "unhealthy" => Tone::Bad,
        "inactive" => Tone::Faint,
        _ => Tone::Warning,
    }
}

/// The output, its state, and for how long it has been in that.
#[must_use]
pub fn title(output: &OutputStatus, now_ms: i64) -> Line {
    let since = output.running.as_ref().map(|running| match unwell_since(output, running) {
        Some(since) if output.state == "unhealthy" => format!(" for {}", age(since, now_ms)),
        Some(since) => format!(", not healthy for {}", age(since, now_ms)),
        None => format!(" for {}", age(running.since_ms, now_ms)),
    });
    let line = Line::new(format!("{}: ", output.id), Tone::Plain)
        .with(&output.state, tone(&output.state))
        .with(since.unwrap_or_default(), Tone::Plain);
    match output.description.as_str() {
        "" => line,
        words => line.with(format!("  {words}"), Tone::Faint),
    }
}

/// Since when an output has not been healthy, while it is not: in an outage it is probed again and again, and what it is
/// this second tells nothing about that. A pause is what it is.
#[must_use]
pub fn unwell_since(output: &OutputStatus, running: &RunningStatus) -> Option<i64> {
    running.unwell_since_ms.filter(|_| output.state != "paused")
}

/// Everything else about an output.
#[must_use]
pub fn facts(output: &OutputStatus, now_ms: i64, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut say = |name: &str, words: &str, tone| lines.extend(fact(name, words, tone, width));
    if let Some(why) = &output.why {
        say("why", why, tone(&output.state));
    }
    if let Some(remedy) = &output.remedy {
        say("remedy", remedy, Tone::Plain);
    }
    say("stream", &stream(output, now_ms), Tone::Plain);
    let Some(running) = &output.running else { return lines };
    say("sending", &sending(running), Tone::Plain);
    let (words, tone) = queue(output, running);
    say("queue", &words, tone);
    if let Some(held) = held(running) {
        for (name, words, tone) in about_queue(output, held) {
            say(name, &words, tone);
        }
    }
    say("events", &events(running), Tone::Plain);
    if let Some(failure) =
        running.last_failure.as_ref().filter(|last| output.why.as_ref() != Some(&last.reason))
    {
        let words = format!("{} ago: {}", age(failure.at_ms, now_ms), failure.reason);
        say("failed", &words, Tone::Faint);
    }
    let (words, tone) = losses(running);
    say("lost", &words, tone);
    let (words, tone) = dead_letters(running);
    say("refused", &words, tone);
    lines
}

/// Can it be that the queue drains, and that is not known yet?
#[must_use]
pub fn may_drain(output: &OutputStatus) -> bool {
    let held = output.running.as_ref().and_then(held);
    is_sending(output) && held.is_some_and(|held| held.events > 0 && held.drain.is_none())
}

fn is_sending(output: &OutputStatus) -> bool {
    matches!(output.state.as_str(), "healthy" | "throttled" | "recovering" | "verifying")
}

/// What the queue holds, if the output has one and that has answered.
#[must_use]
pub fn held(running: &RunningStatus) -> Option<&Held> {
    match &running.queue {
        Some(QueueStatus::Known(held)) => Some(held),
        Some(QueueStatus::None) | None => None,
    }
}

fn stream(output: &OutputStatus, now_ms: i64) -> String {
    let place = match &output.endpoint {
        None => output.region.clone(),
        Some(endpoint) => format!("{} at {endpoint}", output.region),
    };
    let shards =
        output.running.as_ref().map(|running| match (running.shards_open, running.shards_counted_at_ms) {
            (Some(open), Some(at)) => {
                format!("; {} open, counted {} ago", many(open.into(), "shard", "shards"), age(at, now_ms))
            }
            _ => "; its shards are not counted yet".to_owned(),
        });
    format!("{} in {place}{}", output.stream_name, shards.unwrap_or_default())
}

fn sending(running: &RunningStatus) -> String {
    let waiting = match running.waiting_batches {
        0 => String::new(),
        batches => format!(", {} waiting in memory", many(batches.into(), "batch", "batches")),
    };
    let way = if running.spooling { "; what is new goes to the queue" } else { "" };
    let flying = many(running.puts_in_flight.into(), "put", "puts");
    format!("{flying} in flight, {} allowed{waiting}{way}", running.puts_in_flight_max)
}

fn queue(output: &OutputStatus, running: &RunningStatus) -> (String, Tone) {
    match &running.queue {
        None => (format!("none (backpressure: {})", output.backpressure), Tone::Faint),
        Some(QueueStatus::None) => {
            ("does not answer: its disk is very slow, or it is being closed".to_owned(), Tone::Bad)
        }
        Some(QueueStatus::Known(held)) => {
            let disk = format!("{} of {} on disk", bytes(held.disk_bytes), bytes(held.max_bytes));
            if held.events == 0 {
                return (format!("empty; {disk}"), Tone::Plain);
            }
            let oldest = held.oldest_secs.map(|secs| format!(", the oldest {} old", span(seconds(secs))));
            let words = format!(
                "{} in {}{}; {disk}",
                many(held.events, "event", "events"),
                many(held.batches, "batch", "batches"),
                oldest.unwrap_or_default()
            );
            (words, Tone::Plain)
        }
    }
}

/// What there is to say about a queue besides what it holds.
fn about_queue(output: &OutputStatus, held: &Held) -> Vec<(&'static str, String, Tone)> {
    let mut said = Vec::new();
    if let Some(why) = &held.why_full {
        said.push(("full", why.clone(), Tone::Bad));
    }
    if held.events > 0 {
        said.push(("drain", drain(output, held), Tone::Plain));
    }
    if held.damaged_frames > 0 || held.quarantine_bytes > 0 {
        let words = format!(
            "{} lost in damaged places since the start, {} set aside in quarantine/",
            many(held.damaged_frames, "batch", "batches"),
            bytes(held.quarantine_bytes)
        );
        said.push(("damage", words, Tone::Bad));
    }
    said
}

/// When the queue will be empty, in words.
#[must_use]
pub fn drain(output: &OutputStatus, held: &Held) -> String {
    match (&held.drain, output.state.as_str()) {
        (Some(drain), _) => {
            let rate = count(drain.events_per_sec.round().max(1.0) as u64);
            format!("through in {}, {rate} events/s fewer", span(seconds(drain.secs_left)))
        }
        (None, "paused") => "begins when the output is resumed".to_owned(),
        (None, _) if is_sending(output) => "not in sight: the queue does not become shorter".to_owned(),
        (None, _) => "begins when the output is healthy again".to_owned(),
    }
}

fn events(running: &RunningStatus) -> String {
    let repeated = match running.duplicate_events {
        0 => String::new(),
        events => format!(", {} of them again", count(events)),
    };
    let filtered = match running.filtered_events {
        0 => String::new(),
        events => format!(", {} filtered", count(events)),
    };
    format!(
        "since the start {} taken, {} ({}) delivered{repeated}{filtered}",
        count(running.received_events),
        count(running.delivered_events),
        bytes(running.delivered_bytes)
    )
}

/// Events given up, by reason; `(nothing, Good)` is the answer that is hoped for.
#[must_use]
pub fn losses(running: &RunningStatus) -> (String, Tone) {
    let list = |reasons: &std::collections::BTreeMap<String, u64>| {
        let given = reasons.iter().filter(|(_, events)| **events > 0);
        given.map(|(reason, events)| format!("{reason} {}", count(*events))).collect::<Vec<_>>().join(", ")
    };
    let since = list(&running.dropped_events);
    let ever = held(running).map(|held| list(&held.lost_events_ever)).unwrap_or_default();
    let words: Vec<String> = [("since the start", since), ("by the queue ever", ever)]
        .into_iter()
        .filter(|(_, reasons)| !reasons.is_empty())
        .map(|(when, reasons)| format!("{when}: {reasons}"))
        .collect();
    if words.is_empty() { ("nothing".to_owned(), Tone::Good) } else { (words.join("; "), Tone::Bad) }
}

fn dead_letters(running: &RunningStatus) -> (String, Tone) {
    match running.dead_letter_events {
        None => ("not known: the dead letters cannot be counted".to_owned(), Tone::Warning),
        Some(0) => ("nothing".to_owned(), Tone::Plain),
        Some(events) => {
            let events = many(events, "event", "events");
            let words = format!("{events} in the dead letters; `millpond dead-letters ls` says why");
            (words, Tone::Warning)
        }
    }
}

fn seconds(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX)
}

/// A fact: its name, and words that may take several lines.
fn fact(name: &str, words: &str, tone: Tone, width: usize) -> Vec<Line> {
    let lines = wrap(words, width.saturating_sub(INDENT).max(20));
    let name_of = |index: usize| if index == 0 { name } else { "" };
    let line = |(index, words): (usize, String)| {
        Line::new(format!("  {:<width$}", name_of(index), width = INDENT - 2), Tone::Faint).with(words, tone)
    };
    lines.into_iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests;
