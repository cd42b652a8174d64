//! Makes a large queue, to try tools on: `cargo run --release -p millpond-queue --example fill -- DIRECTORY GIGABYTES`.
//!
//! With a third argument, it goes on afterwards and appends that many MB/s until it is ended, as a forwarder does while the
//! link is down.
#![expect(clippy::unwrap_used, reason = "an example that cannot set up has failed")]

use std::{
    env, io,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use millpond_queue::{BatchInfo, Fs, Options, Queue};

const BATCH_BYTES: usize = 64 << 10;
const GROUP: u64 = 64;
/// The events of what is made at once are from this long.
const PAST_MS: i64 = 48 * 3_600_000;

struct Filler {
    queue: Queue<Fs>,
    payloads: Vec<Bytes>,
}

impl Filler {
    fn open(directory: &Path) -> Filler {
        let options = Options { size_bytes_max: 1 << 40, free_bytes_min: 0, ..Options::default() };
        let (queue, _) = Queue::open(Fs::create(directory).unwrap(), options).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let payload = |_| std::iter::repeat_with(|| random.u8(..)).take(BATCH_BYTES).collect();
        Filler { queue, payloads: (0..16).map(payload).collect() }
    }

    /// Appends batches whose events are from `time_ms`, and makes them durable.
    fn append(&mut self, batches: u64, time_ms: i64) {
        for number in 0..batches {
            let info = BatchInfo {
                kind: 4,
                events: 500,
                records: 1,
                raw_bytes: 7 * BATCH_BYTES as u64,
                first_time_ms: time_ms - 1_000,
                last_time_ms: time_ms,
                appended_ms: time_ms,
            };
            let payload = self.payloads[number as usize % self.payloads.len()].clone();
            self.queue.append(info, &[payload]).unwrap();
        }
        let durable = self.queue.commit().unwrap();
        assert_eq!(durable.upto, self.queue.durable());
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [directory, gigabytes, rest @ ..] = &arguments[..] else {
        return Err(io::Error::other("usage: fill DIRECTORY GIGABYTES [MB_PER_SEC_AFTERWARDS]"));
    };
    let mut filler = Filler::open(Path::new(directory));
    let batches = (gigabytes.parse::<f64>().unwrap() * 1e9) as u64 / BATCH_BYTES as u64;
    let start = now_ms() - PAST_MS;
    for at in (0..batches).step_by(GROUP as usize) {
        let share = at as f64 / batches.max(1) as f64;
        filler.append(GROUP.min(batches - at), start + (PAST_MS as f64 * share) as i64);
    }
    let Some(rate) = rest.first() else {
        filler.queue.close(now_ms()).unwrap();
        return Ok(());
    };
    let group_time = Duration::from_secs_f64(8.0 * BATCH_BYTES as f64 / (rate.parse::<f64>().unwrap() * 1e6));
    let mut next = Instant::now();
    loop {
        filler.append(8, now_ms());
        filler.queue.checkpoint(now_ms()).unwrap();
        next += group_time;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
