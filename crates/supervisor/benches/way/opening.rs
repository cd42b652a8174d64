//! Starting with little and with much in the queue, while the link is down.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use millpond::backlog::info_of;
use millpond_kinesis::{Batch, BatchMeta, Format, RecordRef};
use millpond_queue::{Fs, Options, Queue};

use crate::forwarder::{Forwarder, fresh};
use crate::table::Goal;
use crate::{Bench, line, median};

const SMALL_BYTES: u64 = 20_000_000;
const BATCH_BYTES: usize = 64 << 10;
/// Batches that share a sync.
const GROUP: u64 = 64;
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let sizes: Vec<u64> = [SMALL_BYTES, bench.large_bytes].into_iter().filter(|bytes| *bytes > 0).collect();
    for bytes in sizes {
        let directory = fresh(&bench.directory, "opening")?;
        fill(&directory.join("data/queues/main"), bytes)
            .with_context(|| format!("{} MB of queue (MILLPOND_BENCH_GB for less)", bytes / 1_000_000))?;
        let (mut times, mut resident) = (Vec::new(), Vec::new());
        for _ in 0..bench.rounds {
            // The socket of the round before.
            std::fs::remove_file(directory.join("notify")).or_else(ignore_missing)?;
            let settings = "backpressure: queue\nqueue: { max_size: \"100 GiB\", min_free: \"16 MiB\" }";
            let forwarder = Forwarder::start(&directory, "none-*.log", NOWHERE, settings)?;
            times.push(forwarder.ready_after.as_secs_f64() * 1e3);
            resident.push(forwarder.resident()?.1 as f64 / 1e6);
        }
        let time = median(times);
        let figures = format!("{time:.1} ms, {:.1} MB resident", median(resident));
        let what = format!("from start to ready, {} MB queued", bytes / 1_000_000);
        line(&what, &figures, Some(Goal::at_most(time, 50.0).with_unit(" ms")));
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Fills a queue with batches of noise.
fn fill(directory: &Path, bytes: u64) -> anyhow::Result<()> {
    let options = Options { size_bytes_max: 1 << 40, free_bytes_min: 0, ..Options::default() };
    let (mut queue, _) = Queue::open(Fs::create(directory)?, options)?;
    let mut random = fastrand::Rng::with_seed(1);
    let data: Bytes = std::iter::repeat_with(|| random.u8(..)).take(BATCH_BYTES).collect();
    let meta = BatchMeta {
        format: Format::Opaque,
        events: 500,
        raw_bytes: 10 * BATCH_BYTES as u64,
        first_time_ms: 1_790_000_000_000,
        last_time_ms: 1_790_000_000_000,
    };
    let batch =
        Batch::from_records(meta, &[RecordRef { partition_key: "key", explicit_hash_key: None, data }]);
    for number in 1..=bytes / BATCH_BYTES as u64 {
        queue.append(info_of(&batch), &batch.to_payload())?;
        if number % GROUP == 0 {
            let durable = queue.commit()?;
            anyhow::ensure!(durable.upto > queue.acked(), "batches were appended");
        }
    }
    queue.close(meta.last_time_ms)?;
    Ok(())
}
