//! From a line in a file to its record in the stream.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use millpond_local_kinesis::{Keep, verify};

use crate::forwarder::{Forwarder, endpoint, fresh};
use crate::{Bench, line};

const LINES: u64 = 200;
/// Longer than a batch is open, and no multiple of it.
const EVERY: Duration = Duration::from_millis(137);

/// Writes lines one by one, and looks when each was accepted.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let directory = fresh(&bench.directory, "latency")?;
    let server = endpoint(Keep::All).await?;
    let path = directory.join("app.log");
    let mut file = std::fs::File::create(&path)?;
    let settings = "flush_period: 100ms";
    let mut forwarder =
        Forwarder::start(&directory, &path.display().to_string(), &server.endpoint(), settings)?;
    for _ in 0..LINES {
        // One write, so that no half line is read.
        file.write_all(format!("{}\n", unix_ms()?).as_bytes())?;
        tokio::time::sleep(EVERY).await;
    }
    forwarder.until_arrived(&server, LINES).await?;
    let mut latencies = Vec::new();
    let mut failed = Ok(());
    verify(&server.records(), |record, event| match written_ms(event) {
        Ok(written_ms) => latencies.push(record.arrived_ms - written_ms),
        Err(error) => failed = Err(error),
    });
    failed?;
    latencies.sort_unstable();
    let quantile = |share: f64| latencies[((latencies.len() - 1) as f64 * share).round() as usize];
    let figures = format!("p50 {} ms, p99 {} ms", quantile(0.5), quantile(0.99));
    line("a lone line until accepted, flush_period 100ms", &figures, None);
    Ok(())
}

fn unix_ms() -> anyhow::Result<i64> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// What the line says.
fn written_ms(event: &[u8]) -> anyhow::Result<i64> {
    let text = std::str::from_utf8(event)?;
    let raw = text.strip_prefix("{\"_raw\":\"").and_then(|rest| rest.split('"').next());
    raw.context("an event without its line")?.parse().context("a line that is no time")
}
