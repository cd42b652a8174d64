//! Pipelines, as a person reads them. Pure.

use super::fact;
use crate::admin::status::PipelineStatus;
use crate::terminal::human::count;
use crate::terminal::line::Line;
use crate::terminal::table::Tone;

/// The pipelines below a line that is empty; nothing where there is none.
#[must_use]
pub fn pipelines(pipelines: &[PipelineStatus], width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if !pipelines.is_empty() {
        lines.push(Line::default());
    }
    let name_width = pipelines.iter().map(|pipeline| pipeline.name.chars().count()).max().unwrap_or(0);
    for pipeline in pipelines {
        let filtered = match pipeline.filtered_events {
            0 => String::new(),
            events => format!(", {} filtered", count(events)),
        };
        let words = format!(
            "{:<name_width$}  pipeline  {} events in, {} out{filtered}",
            pipeline.name,
            count(pipeline.received_events),
            count(pipeline.made_events),
        );
        lines.push(Line::new(words, Tone::Plain));
        if pipeline.failed_events > 0 {
            let words = format!("it failed on {} events; the log says why", count(pipeline.failed_events));
            lines.extend(fact("trouble", &words, Tone::Warning, width));
        }
    }
    lines
}
