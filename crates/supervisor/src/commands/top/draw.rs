//! The screen, drawn of the model. Pure.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line as Drawn, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::history::Series;
use super::model::{Model, Over};
use super::panels;
use crate::admin::status::OutputStatus;
use crate::commands::status::view;
use crate::terminal::human::{bytes, count, span};
use crate::terminal::line::Line;
use crate::terminal::table::Tone;

/// Rows for outputs, at most, on a small terminal.
const OUTPUTS_MAX: u16 = 6;
/// Columns of the table but for the names of outputs.
const WITHOUT_NAMES: usize = 68;
/// Columns for the names and numbers of sparklines.
const NAMES: u16 = 24;

/// Draws everything.
pub(super) fn draw(model: &Model, coloured: bool, frame: &mut Frame) {
    let paint = Paint { coloured };
    let head = head(model, frame.area().width.into());
    let tall = frame.area().height >= 36;
    let outputs = u16::try_from(model.outputs().len()).unwrap_or(u16::MAX);
    let shown = outputs.min(if tall { 2 * OUTPUTS_MAX } else { OUTPUTS_MAX });
    let spark = if tall { 3 } else { 1 };
    let [top, table, sparks, rest, foot] = Layout::vertical([
        Constraint::Length(u16::try_from(head.len()).unwrap_or(3).min(3)),
        Constraint::Length(if shown > 0 { shown + 2 } else { 0 }),
        Constraint::Length(if shown > 0 { 3 * spark + 1 } else { 0 }),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(paint.lines(head)), top);
    draw_outputs(model, paint, frame, table);
    if let Some(output) = model.outputs().get(model.chosen()) {
        draw_rates(model, output, paint, frame, sparks);
    }
    let below = match &model.over {
        Over::Nothing => about_chosen(model, rest.width.into()),
        // Everything below the outputs is theirs.
        _ => Vec::new(),
    };
    draw_scrolled(below, model.scroll, paint, frame, rest);
    let under = Rect { y: table.bottom(), height: foot.y.saturating_sub(table.bottom()), ..frame.area() };
    panels::draw(model, paint, frame, under);
    frame.render_widget(Paragraph::new(paint.line(footer(model))), foot);
}

/// How tones look here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    coloured: bool,
}

impl Paint {
    pub(super) fn style(self, tone: Tone) -> Style {
        let colour = match tone {
            Tone::Good => Color::Green,
            Tone::Warning => Color::Yellow,
            Tone::Bad => Color::Red,
            Tone::Faint => Color::DarkGray,
            Tone::Plain => return Style::new(),
        };
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn line(self, line: Line) -> Drawn<'static> {
        Drawn::from_iter(line.0.into_iter().map(|(text, tone)| Span::styled(text, self.style(tone))))
    }

    pub(super) fn lines(self, lines: Vec<Line>) -> Vec<Drawn<'static>> {
        lines.into_iter().map(|line| self.line(line)).collect()
    }
}

/// Draws lines from `scroll` on, or the last screen of them.
pub(super) fn draw_scrolled(lines: Vec<Line>, scroll: usize, paint: Paint, frame: &mut Frame, area: Rect) {
    let most = lines.len().saturating_sub(area.height.into());
    let shown: Vec<Line> = lines.into_iter().skip(scroll.min(most)).take(area.height.into()).collect();
    frame.render_widget(Paragraph::new(paint.lines(shown)), area);
}

/// What runs, or that nobody answers.
fn head(model: &Model, width: usize) -> Vec<Line> {
    let mut lines = match &model.status {
        Some(status) => view::head(status, width),
        None => vec![Line::new("millpond top", Tone::Plain)],
    };
    lines.truncate(2);
    match (&model.trouble, &model.status) {
        (Some((why, since)), _) => {
            let ago = span(Duration::from_secs(model.now.saturating_sub(*since).as_secs()));
            lines.truncate(1);
            let words = format!("no answer for {ago}, asking again: {why}");
            let mut wrapped = crate::terminal::line::wrap(&words, width);
            wrapped.truncate(2);
            lines.extend(wrapped.into_iter().map(|words| Line::new(words, Tone::Bad)));
        }
        (None, None) => lines.push(Line::new(format!("asking {} …", model.url), Tone::Faint)),
        (None, Some(_)) => {}
    }
    lines
}

fn footer(model: &Model) -> Line {
    match (&model.notice, &model.over) {
        (Some(Ok(words)), _) => Line::new(words, Tone::Good),
        (Some(Err(words)), _) => Line::new(words, Tone::Bad),
        (None, Over::Confirm(..)) => Line::new("y yes  n no", Tone::Plain),
        (None, Over::Nothing) => {
            let keys = "q quit  ↑↓ output  l queue  d dead letters  p pause  r resume  PgDn more  ? help";
            Line::new(keys, Tone::Faint)
        }
        (None, _) => Line::new("Esc back  ↑↓ PgUp PgDn move  q quit", Tone::Faint),
    }
}

/// A row for each output; the chosen one is among them.
fn draw_outputs(model: &Model, paint: Paint, frame: &mut Frame, area: Rect) {
    if area.height < 2 {
        return;
    }
    let now_ms = model.status.as_ref().map_or(0, |status| status.now_ms);
    let rows = usize::from(area.height - 2);
    let first = (model.chosen() + 1).saturating_sub(rows);
    let names = usize::from(area.width).saturating_sub(WITHOUT_NAMES).clamp(12, 40);
    let header = ["", "OUTPUT", "STATE", "FOR", "QUEUED", "OLDEST", "ON DISK", "EMPTY IN"];
    let mut lines = vec![Line::default(), columns(header, Tone::Faint, names)];
    for (index, output) in model.outputs().iter().enumerate().skip(first).take(rows) {
        let mark = if index == model.chosen() { "▶" } else { "" };
        lines.push(row(output, mark, now_ms, names));
    }
    let chosen = model.chosen() - first + 2;
    let mut drawn = paint.lines(lines);
    if let Some(line) = drawn.get_mut(chosen) {
        line.style = line.style.add_modifier(Modifier::BOLD);
    }
    frame.render_widget(Paragraph::new(drawn), area);
}

fn row(output: &OutputStatus, mark: &str, now_ms: i64, names: usize) -> Line {
    let running = output.running.as_ref();
    let held = running.and_then(view::held);
    let none = || "-".to_owned();
    let passed = |since_ms: i64| now_ms.saturating_sub(since_ms) as f64 / 1000.0;
    let since = running.map(|running| view::unwell_since(output, running).unwrap_or(running.since_ms));
    let since = since.map_or_else(none, |since| short(passed(since)));
    let queued = held.map_or_else(none, |held| count(held.events));
    let oldest = held.and_then(|held| held.oldest_secs);
    let disk = held.map_or_else(none, |held| bytes(held.disk_bytes));
    let left = held.and_then(|held| held.drain).map_or_else(none, |drain| short(drain.secs_left));
    let oldest = oldest.map_or_else(none, short);
    let cells = [mark, &output.id, &output.state, &since, &queued, &oldest, &disk, &left];
    columns(cells, view::tone(&output.state), names)
}

/// A stretch of time in one unit, or in days and hours: the columns are narrow, and below them it is exact.
fn short(secs: f64) -> String {
    const DAY: u64 = 86_400;
    let secs = secs.max(0.0) as u64;
    let unit = [3_600, 60].into_iter().find(|unit| (*unit..DAY).contains(&secs)).unwrap_or(1);
    span(Duration::from_secs(secs / unit * unit))
}

/// Cells in columns of their own; the third one has a tone.
fn columns(cells: [&str; 8], tone: Tone, names: usize) -> Line {
    let [mark, id, state, since, queued, oldest, disk, left] = cells;
    let id: String = id.chars().take(names).collect();
    let tone_of_all = if state == "STATE" { Tone::Faint } else { Tone::Plain };
    Line::new(format!("{mark:<1} {id:<names$} "), tone_of_all)
        .with(format!("{state:<10} "), tone)
        .with(format!("{since:<9}{queued:>11}  {oldest:<9}{disk:>10}  {left}"), tone_of_all)
}

/// Rates of the chosen output.
fn draw_rates(model: &Model, output: &OutputStatus, paint: Paint, frame: &mut Frame, area: Rect) {
    let Some(history) = model.history(&output.id) else { return };
    let series = [
        ("events/s in", &history.received, Tone::Plain),
        ("events/s delivered", &history.delivered, Tone::Good),
        ("events queued", &history.queued, Tone::Warning),
    ];
    let height = area.height.saturating_sub(1) / 3;
    if height == 0 || area.width <= NAMES {
        return;
    }
    for (index, (name, series, tone)) in (0..).zip(series) {
        let row = Rect { y: area.y + 1 + index * height, height, ..area };
        draw_series(name, series, paint.style(tone), frame, row);
    }
}

fn draw_series(name: &str, series: &Series, style: Style, frame: &mut Frame, area: Rect) {
    let width = NAMES + 9;
    let [words, line] = Layout::horizontal([Constraint::Length(width), Constraint::Min(0)]).areas(area);
    let last = series.last().map_or_else(|| "-".to_owned(), count);
    frame.render_widget(Paragraph::new(format!("  {name:<18} {last:>11}")), words);
    frame.render_widget(Sparkline::default().data(series.newest(line.width.into())).style(style), line);
}

/// What else there is to say, of the chosen output and of the inputs.
fn about_chosen(model: &Model, width: usize) -> Vec<Line> {
    let Some(status) = &model.status else { return Vec::new() };
    let mut lines = Vec::new();
    if let Some(output) = model.outputs().get(model.chosen()) {
        lines.push(Line::default());
        lines.extend(view::facts(output, status.now_ms, width));
    }
    lines.push(Line::default());
    lines.extend(view::inputs(&status.inputs, width));
    lines
}
