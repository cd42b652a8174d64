//! The persistent queue of a destination.

use super::read::{Destination, Text};
use super::settings::Settings;
use super::surroundings::COMPUTED;
use super::write::Yaml;
use crate::config::settings::{DRAIN_RATE_MAX, QUEUE_BYTES_MIN, SIZE_MAX};
use crate::config::units::{Fault, Size};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Parts of a queue that must fit into it; the configuration asks for this many records and segments.
const PARTS_MIN: u64 = 4;

/// Where Cribl keeps its queues unless told otherwise, as it writes this.
const CRIBL_PATH: &str = "$CRIBL_HOME/state/queues";

/// Events that Cribl keeps in memory before it writes, unless told otherwise.
const CRIBL_BUFFER_EVENTS: &str = "42";

const KEYS: [&str; 11] = [
    "pqMode",
    "pqMaxBackpressureSec",
    "pqPath",
    "pqMaxFileSize",
    "pqMaxSize",
    "pqOnBackpressure",
    "pqStrictOrdering",
    "pqCompress",
    "pqRatePerSec",
    "pqMaxBufferSize",
    "pqMaxBufferSizeBytes",
];

/// Without `onBackpressure: queue` Cribl has no queue either, and all of these are its defaults or left from before.
pub(super) fn unused(from: &Destination<'_>) {
    from.ignore(&KEYS);
    from.expect_empty("pqControls");
}

/// The section `queue`.
pub(super) fn queue(from: &Destination<'_>, record_bytes_max: u64, gzip: bool) -> Yaml {
    let mut to = Settings::default();
    let mode = from.word("pqMode", &["error", "backpressure", "always"], "error").unwrap_or("error");
    to.put("mode", Yaml::word(mode));
    // In the other modes Cribl writes its default and does not use it.
    from.ignore(&["pqMaxBackpressureSec"]);
    if mode == "backpressure" {
        to.put("backpressure_secs", from.whole("pqMaxBackpressureSec", (1, 3600)).map(Yaml::word));
    }
    to.put("path", path(from));
    let size = max_size(from, record_bytes_max);
    to.put("max_segment_size", Yaml::text(Size(segment_size(from, size)).to_string()));
    to.put("max_size", Yaml::text(Size(size).to_string()));
    to.put("on_full", from.word("pqOnBackpressure", &["block", "drop"], "block").map(Yaml::word));
    let strict_ordering = from.flag("pqStrictOrdering");
    to.put("strict_ordering", strict_ordering.map(Yaml::word));
    to.put("compression", compression(from, gzip));
    to.put("drain_rate", drain_rate(from, strict_ordering.unwrap_or(true)));
    report_buffer(from);
    // What Cribl's user interface keeps for its button that empties the queue.
    from.expect_empty("pqControls");
    Yaml::Section(to.0)
}

fn path(from: &Destination<'_>) -> Option<Yaml> {
    const REMEDY: &str = "`<data_dir>/queues` is used; set `path` if the queue must be elsewhere";
    match from.text("pqPath") {
        Text::Absent => None,
        // One default for the other.
        Text::Constant(path) if path.trim_end_matches('/') == CRIBL_PATH => None,
        Text::Constant(path) if path.starts_with('/') && !path.contains('$') => Some(Yaml::text(path)),
        Text::Constant(_) => {
            from.note("pqPath", Fault::new("is no whole path, and is not carried over", REMEDY));
            None
        }
        Text::Computed(entry) => {
            from.note_on(entry, Fault::new(COMPUTED, REMEDY));
            None
        }
    }
}

fn max_size(from: &Destination<'_>, record_bytes_max: u64) -> u64 {
    let given = from.size("pqMaxSize");
    let least = QUEUE_BYTES_MIN.max(record_bytes_max.saturating_mul(PARTS_MIN));
    let size = given.unwrap_or(5 * GIB).clamp(least, SIZE_MAX);
    if given.is_some_and(|given| given != size) {
        let range = format!("{} or more, and four records", Size(QUEUE_BYTES_MIN));
        from.clamped("pqMaxSize", &Size(size).to_string(), &range);
    }
    let fault = Fault::new(
        "is for each worker process in Cribl, and for the whole queue in millpond",
        format!(
            "{} is used; multiply it by the number of processes if the queue is to hold as much",
            Size(size)
        ),
    );
    from.note("pqMaxSize", fault);
    size
}

/// Size of a file of the queue; Cribl's own default is smaller than that of millpond, and stays.
fn segment_size(from: &Destination<'_>, queue_bytes_max: u64) -> u64 {
    let given = from.size("pqMaxFileSize");
    let most = GIB.min(queue_bytes_max / PARTS_MIN / MIB * MIB).max(MIB);
    let size = given.unwrap_or(MIB).clamp(MIB, most);
    if given.is_some_and(|given| given != size) {
        let range = format!("{} to {}, and a quarter of the queue", Size(MIB), Size(GIB));
        from.clamped("pqMaxFileSize", &Size(size).to_string(), &range);
    }
    size
}

fn compression(from: &Destination<'_>, gzip: bool) -> Option<Yaml> {
    let word = from.word("pqCompress", &["none", "gzip"], "none")?;
    if word == "gzip" && gzip {
        let fault = Fault::new(
            "has nothing to do: records are gzip before they are queued, and are queued as they are",
            "it is left out; the queue is no larger for it",
        );
        from.note("pqCompress", fault);
        return None;
    }
    Some(Yaml::word(word))
}

fn drain_rate(from: &Destination<'_>, strict_ordering: bool) -> Option<Yaml> {
    // 0 is no limit here and there, and what is less than 1 must not become it.
    let least = u64::from(!super::quantity::is_exactly(from.number("pqRatePerSec")?, 0));
    let rate = from.whole("pqRatePerSec", (least, DRAIN_RATE_MAX))?;
    if rate > 0 && strict_ordering {
        let fault = Fault::new(
            "works in Cribl only without `pqStrictOrdering`, and in millpond with either",
            format!("{rate} is used; remove `drain_rate` if the queue is to drain as fast as it did"),
        );
        from.note("pqRatePerSec", fault);
    }
    Some(Yaml::word(rate))
}

fn report_buffer(from: &Destination<'_>) {
    let events = from.number("pqMaxBufferSize").filter(|events| *events != CRIBL_BUFFER_EVENTS);
    let keys = [
        ("pqMaxBufferSize", events.is_some()),
        ("pqMaxBufferSizeBytes", from.is_given("pqMaxBufferSizeBytes")),
    ];
    for (key, _) in keys.into_iter().filter(|(_, given)| *given) {
        let fault = Fault::new(
            "has no counterpart: what is acknowledged is on disk, and is not held in memory",
            "it is left out; `max_record_size` and `flush_period` say how much is gathered before",
        );
        from.note(key, fault);
    }
}
