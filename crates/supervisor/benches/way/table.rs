//! What was measured, side by side.

use std::fmt;

/// A figure that should not be larger.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    is_met: bool,
    at_most: f64,
    unit: &'static str,
}

impl Goal {
    pub(crate) fn at_most(figure: f64, at_most: f64) -> Self {
        Self { is_met: figure <= at_most, at_most, unit: "" }
    }

    pub(crate) fn with_unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met { "ok" } else { "MISSED" };
        write!(f, "≤ {}{} {verdict}", self.at_most, self.unit)
    }
}

/// One row; what does not apply is left out.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) what: String,
    /// Processor seconds for a million events.
    pub(crate) cpu: f64,
    /// To the floor, and what it should be.
    pub(crate) ratio: Option<(f64, Option<Goal>)>,
    pub(crate) events_per_second: Option<f64>,
    /// Processors that were busy in the mean.
    pub(crate) cores: Option<f64>,
    /// The largest resident set, in bytes.
    pub(crate) resident: Option<(f64, Goal)>,
    /// Bytes of request bodies for a million events.
    pub(crate) wire_bytes: Option<f64>,
    /// Bytes written to disks for a million events.
    pub(crate) disk_bytes: Option<f64>,
}

/// The rows.
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn row(&mut self, row: Row) {
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [
            "cpu s",
            "per cpu s",
            "to the floor",
            "goal",
            "events/s",
            "cores",
            "resident MB",
            "wire MB",
            "disk MB",
        ];
        let [cpu, rate, ratio, goal, events, cores, resident, wire, disk] = head;
        writeln!(
            f,
            "{:<46}{cpu:>7}{rate:>11}{ratio:>14}  {goal:<14}{events:>11}{cores:>7}{resident:>13}{wire:>9}{disk:>9}",
            "for a million events"
        )?;
        for row in &self.0 {
            let (ratio, goal) = row.ratio.unzip();
            let megabytes = |bytes: Option<f64>| bytes.map(|bytes| format!("{:.1}", bytes / 1e6));
            let resident = row.resident.map(|(bytes, goal)| {
                format!("{:.1}{}", bytes / 1e6, if goal.is_met { "" } else { " MISSED" })
            });
            writeln!(
                f,
                "{:<46}{:>7.3}{:>11.0}{:>14}  {:<14}{:>11}{:>7}{:>13}{:>9}{:>9}",
                row.what,
                row.cpu,
                1e6 / row.cpu,
                ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
                goal.flatten().map(|goal| goal.to_string()).unwrap_or_default(),
                row.events_per_second.map(|events| format!("{events:.0}")).unwrap_or_default(),
                row.cores.map(|cores| format!("{cores:.2}")).unwrap_or_default(),
                resident.unwrap_or_default(),
                megabytes(row.wire_bytes).unwrap_or_default(),
                megabytes(row.disk_bytes).unwrap_or_default(),
            )?;
        }
        Ok(())
    }
}
