//! What lies over the outputs: help, a question, a queue, dead letters. Pure.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, Clear};

use super::draw::{Paint, draw_scrolled};
use super::model::{Deed, Looked, Model, Over};
use crate::admin::look::{Letters, QueueLook, SegmentLook};
use crate::terminal::human::{age, bytes, count, many, span, time};
use crate::terminal::line::{Line, wrap};
use crate::terminal::table::Tone;

const HELP: &str = "\
Tab, arrows   choose an output
l, Enter      look into its queue: the segments on disk
d             its dead letters: what was refused for good, and why
p             pause it: nothing is sent until it is resumed; events queue, wait or
              are dropped as its backpressure says
r             resume it: the shards are verified, then it goes on
PgUp, PgDn    move in what does not fit on the screen
Esc           back
q, Ctrl-C     quit; the forwarder goes on, whatever happens here

A rate is by the last two looks, which are a second apart. EMPTY IN is when the
queue is drained if it goes on becoming shorter as it does now.";

pub(super) fn draw(model: &Model, paint: Paint, frame: &mut Frame, area: Rect) {
    let now_ms = model.status.as_ref().map_or(0, |status| status.now_ms);
    let width = usize::from(area.width.saturating_sub(4));
    let plain = |text: &str| text.lines().map(|line| Line::new(line, Tone::Plain)).collect();
    let (title, lines): (String, Vec<Line>) = match &model.over {
        Over::Nothing => return,
        Over::Help => ("Help".to_owned(), plain(HELP)),
        Over::Confirm(deed, id) => (format!("{} {id}?", deed.title()), question(*deed, model, id, width)),
        Over::Queue(id, looked) => {
            (format!("Queue of {id}"), show(looked, width, |look| queue(look, now_ms, width)))
        }
        Over::Letters(id, looked) => (
            format!("Dead letters of {id}"),
            show(looked, width, |letters| dead_letters(letters, now_ms, width)),
        ),
    };
    if area.height < 3 || area.width < 4 {
        return;
    }
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let panel = Rect { height, ..area };
    let block = Block::bordered().title(format!(" {title} "));
    let inner = block.inner(panel);
    frame.render_widget(Clear, area);
    frame.render_widget(block, panel);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    draw_scrolled(lines, model.scroll, paint, frame, inner);
}

fn show<T>(looked: &Looked<T>, width: usize, seen: impl FnOnce(&T) -> Vec<Line>) -> Vec<Line> {
    let words =
        |words: &str, tone| wrap(words, width).into_iter().map(|line| Line::new(line, tone)).collect();
    match looked {
        Looked::Asking => words("looking …", Tone::Faint),
        Looked::Failed(why) => words(why, Tone::Bad),
        Looked::Seen(look) => seen(look),
    }
}

fn question(deed: Deed, model: &Model, id: &str, width: usize) -> Vec<Line> {
    let output = model.outputs().iter().find(|output| output.id == id);
    let words = match (deed, output.map(|output| output.backpressure.as_str())) {
        (Deed::Resume, _) => {
            "The shards are verified, then it goes on, with what is queued first where order is kept."
                .to_owned()
        }
        (Deed::Pause, backpressure) => {
            let fate = match backpressure {
                Some("queue") => "events go to its queue",
                Some("drop") => "events are DROPPED",
                _ => "inputs wait",
            };
            format!(
                "What is being sent is not called back. Until it is resumed, or the forwarder is started again, {fate}."
            )
        }
    };
    let tone = if words.contains("DROPPED") { Tone::Bad } else { Tone::Plain };
    let mut lines: Vec<Line> = wrap(&words, width).into_iter().map(|line| Line::new(line, tone)).collect();
    lines.extend([Line::default(), Line::new("y to do it, n to leave it", Tone::Plain)]);
    lines
}

fn queue(look: &QueueLook, now_ms: i64, width: usize) -> Vec<Line> {
    let acked = look.acked_sequence.map(|acked| format!(" from {} on", count(acked)));
    let mut words = vec![format!(
        "{} not delivered{}; {} on disk in {}",
        many(look.pending_batches, "batch", "batches"),
        acked.unwrap_or_default(),
        bytes(look.disk_bytes),
        many(look.segments_total, "segment", "segments")
    )];
    if let (Some(oldest), Some(newest)) = (look.oldest_event_ms, look.newest_event_ms) {
        let apart = u64::try_from(newest.saturating_sub(oldest)).unwrap_or(0);
        let apart = span(Duration::from_millis(apart));
        words.push(format!(
            "events on disk from {} ({} ago) over {apart}",
            time(oldest),
            age(oldest, now_ms)
        ));
    }
    if look.quarantined_files > 0 {
        words.push(format!("{} set aside in quarantine/", many(look.quarantined_files, "file", "files")));
    }
    let reads = look
        .consumers
        .iter()
        .map(|reader| format!("{} has all up to {}", reader.name, count(reader.sequence)));
    words.extend(reads);
    let mut lines: Vec<Line> =
        words.iter().flat_map(|words| wrap(words, width)).map(|line| Line::new(line, Tone::Plain)).collect();
    let header = format!(
        "{:>10} {:>7} {:>10} {:>9}  {:<20}  STATE",
        "FIRST", "BATCHES", "EVENTS", "ON DISK", "OLDEST EVENT"
    );
    lines.extend([Line::default(), Line::new(header, Tone::Faint)]);
    lines.extend(look.segments.iter().map(segment));
    if look.segments_total > look.segments.len() as u64 {
        let more = look.segments_total - look.segments.len() as u64;
        lines.push(Line::new(format!("and {} younger ones", count(more)), Tone::Faint));
    }
    lines
}

fn segment(segment: &SegmentLook) -> Line {
    let tone = match segment.state.as_str() {
        "active" => Tone::Good,
        "damaged" => Tone::Bad,
        "delivered" => Tone::Faint,
        _ => Tone::Plain,
    };
    let oldest = segment.first_time_ms.map_or_else(|| "-".to_owned(), time);
    let numbers = format!(
        "{:>10} {:>7} {:>10} {:>9}  {oldest:<20}  ",
        count(segment.first_sequence),
        count(segment.batches),
        count(segment.events),
        bytes(segment.disk_bytes)
    );
    Line::new(numbers, Tone::Plain).with(&segment.state, tone)
}

fn dead_letters(letters: &Letters, now_ms: i64, width: usize) -> Vec<Line> {
    if letters.letters == 0 && letters.unreadable == 0 {
        return vec![Line::new("There are none.", Tone::Good)];
    }
    let mut lines = vec![Line::new(
        format!(
            "{} in {}",
            many(letters.events, "event", "events"),
            many(letters.letters, "letter", "letters")
        ),
        Tone::Plain,
    )];
    if letters.unreadable > 0 {
        lines.push(Line::new(format!("{} cannot be read", count(letters.unreadable)), Tone::Bad));
    }
    lines.push(Line::default());
    for code in &letters.by_code {
        let ago = age(code.last_refused_ms, now_ms);
        let first = Line::new(&code.code, Tone::Warning);
        lines.push(
            first
                .with(format!("  {}, the last {ago} ago", many(code.events, "event", "events")), Tone::Plain),
        );
        let message = wrap(&code.last_message, width.saturating_sub(2));
        lines.extend(message.into_iter().map(|line| Line::new(format!("  {line}"), Tone::Plain)));
    }
    lines.extend([Line::default(), Line::new("THE NEWEST", Tone::Faint)]);
    lines.extend(letters.newest.iter().map(|letter| {
        let words = format!(
            "{}  {}, {}, {}",
            time(letter.refused_ms),
            many(letter.events.into(), "event", "events"),
            bytes(letter.body_bytes),
            letter.code
        );
        Line::new(words, Tone::Plain)
    }));
    lines.push(Line::new("`millpond dead-letters show` shows what is in them", Tone::Faint));
    lines
}
