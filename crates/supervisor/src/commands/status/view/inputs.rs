//! Inputs, as a person reads them. Pure.

use super::fact;
use crate::admin::status::InputStatus;
use crate::terminal::human::{bytes, count, many};
use crate::terminal::line::Line;
use crate::terminal::table::Tone;

/// The inputs, one line each, and why where one takes no events.
#[must_use]
pub fn inputs(inputs: &[InputStatus], width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let longest = |of: fn(&InputStatus) -> usize| inputs.iter().map(of).max().unwrap_or(0);
    let id_width = longest(|input| input.id.chars().count());
    let kind_width = longest(|input| input.r#type.len());
    for input in inputs {
        let tone = match input.state.as_str() {
            "accepting" => Tone::Good,
            "failing" => Tone::Bad,
            "starting" => Tone::Warning,
            _ => Tone::Faint,
        };
        let line =
            Line::new(format!("{:<id_width$}  {:<kind_width$}  ", input.id, input.r#type), Tone::Plain)
                .with(format!("{:<9}", input.state), tone)
                .with(format!("  {} events, {}", count(input.events), bytes(input.bytes)), Tone::Plain);
        let files =
            input.files.map(|files| format!(", {}", many(files, "file", "files"))).unwrap_or_default();
        let waiting = match input.chunks_in_flight {
            0 => String::new(),
            chunks => format!(", {} in flight", many(chunks, "chunk", "chunks")),
        };
        let filtered = match input.filtered_events {
            0 => String::new(),
            events => format!(", {} filtered", count(events)),
        };
        lines.push(line.with(files + &waiting + &filtered, Tone::Plain));
        if let Some(why) = &input.why {
            lines.extend(fact("why", why, Tone::Bad, width));
        }
        let troubles = troubles(input);
        if !troubles.is_empty() {
            lines.extend(fact("trouble", &troubles, Tone::Warning, width));
        }
    }
    lines
}

/// What went wrong since the start; empty where nothing has.
fn troubles(input: &InputStatus) -> String {
    let cut =
        (input.cut_events > 0).then(|| format!("{} events cut for their length", count(input.cut_events)));
    let errors = (input.read_errors > 0).then(|| format!("{} failures to read", count(input.read_errors)));
    let lost =
        (input.lost_bytes > 0).then(|| format!("{} gone before they were read", bytes(input.lost_bytes)));
    let failed = (input.pipeline_failed_events > 0).then(|| {
        format!("{} events dropped that the pipeline failed on", count(input.pipeline_failed_events))
    });
    let unrouted = (input.unrouted_events > 0)
        .then(|| format!("{} events dropped that no output takes", count(input.unrouted_events)));
    [cut, errors, lost, failed, unrouted].into_iter().flatten().collect::<Vec<_>>().join(", ")
}
