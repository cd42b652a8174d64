//! A full queue, once the link is back.

use std::time::{Duration, Instant};

use millpond_local_kinesis::Keep;

use crate::backlog::Saved;
use crate::corpus::Corpus;
use crate::floor::Floor;
use crate::forwarder::{Forwarder, endpoint, fresh};
use crate::table::{Goal, Row, Table};
use crate::{Bench, median, per_million};

/// One round of it.
pub(crate) struct Drain {
    /// From its start, which is in it, until all has arrived.
    cpu: Duration,
    time: Duration,
    events: u64,
    bytes: u64,
    wire_bytes: u64,
    resident_bytes_max: u64,
}

/// Drains a copy of the queue with a new forwarder.
pub(crate) async fn round(bench: &Bench, backlog: &Saved) -> anyhow::Result<Drain> {
    let directory = fresh(&bench.directory, "drain")?;
    backlog.copy_to(&directory)?;
    let server = endpoint(Keep::CountOnly).await?;
    let start = Instant::now();
    let settings = "backpressure: queue\nqueue: { min_free: \"16 MiB\" }";
    let mut forwarder = Forwarder::start(&directory, "none-*.log", &server.endpoint(), settings)?;
    forwarder.until_arrived(&server, backlog.events).await?;
    Ok(Drain {
        cpu: forwarder.cpu()?,
        time: start.elapsed(),
        events: backlog.events,
        bytes: backlog.bytes,
        wire_bytes: server.counts().body_bytes,
        resident_bytes_max: forwarder.resident()?.1,
    })
}

pub(crate) fn report(table: &mut Table, rounds: &[Drain], floors: &[Floor], corpus: &Corpus) {
    let Some(first) = rounds.first() else { return };
    let of = |figure: fn(&Drain) -> f64| median(rounds.iter().map(figure));
    let ratios = rounds
        .iter()
        .zip(floors)
        .map(|(round, floor)| per_million(round.cpu, round.events) / per_million(floor.cpu, corpus.lines));
    let (ratio, resident) = (median(ratios), of(|round| round.resident_bytes_max as f64));
    table.row(Row {
        what: format!("drain of {} MB, {} events", first.bytes / 1_000_000, first.events),
        cpu: of(|round| per_million(round.cpu, round.events)),
        ratio: Some((ratio, Some(Goal::at_most(ratio, 0.05)))),
        events_per_second: Some(of(|round| round.events as f64 / round.time.as_secs_f64())),
        cores: Some(of(|round| round.cpu.as_secs_f64() / round.time.as_secs_f64())),
        resident: Some((resident, Goal::at_most(resident, 40e6))),
        wire_bytes: Some(of(|round| round.wire_bytes as f64 * 1e6 / round.events as f64)),
        disk_bytes: None,
    });
}
