//! What no forwarder can leave out.

use std::time::Duration;

use millpond::codec::escape;
use millpond_kinesis::COMPRESSION_LEVEL_DEFAULT;
use millpond_kinesis::encode::gzip;
use nix::time::{ClockId, clock_gettime};

use crate::corpus::Corpus;
use crate::table::{Row, Table};
use crate::{median, per_million};

/// A record, as the default has it.
const RECORD_BYTES: usize = 1 << 20;

/// One round of it.
pub(crate) struct Floor {
    /// All of it.
    pub(crate) cpu: Duration,
    /// Of which compression.
    gzip: Duration,
    wire_bytes: u64,
}

impl Floor {
    /// Splits lines, escapes them into JSON, packs them by the record, and checksums the records.
    pub(crate) fn measure(corpus: &Corpus) -> Self {
        let suffix = format!(
            "\",\"_time\":1790000000.000,\"host\":\"edge\",\"source\":\"{}\"}}\n",
            corpus.path.display()
        );
        let mut floor = Self { cpu: Duration::ZERO, gzip: Duration::ZERO, wire_bytes: 0 };
        let mut record = Vec::with_capacity(RECORD_BYTES + (64 << 10));
        let start = thread_time();
        let mut rest = &corpus.text[..];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            record.extend_from_slice(b"{\"_raw\":\"");
            escape(&rest[..end], &mut record);
            record.extend_from_slice(suffix.as_bytes());
            rest = &rest[end + 1..];
            if record.len() >= RECORD_BYTES {
                floor.pack(&mut record);
            }
        }
        floor.pack(&mut record);
        floor.cpu = thread_time() - start;
        floor
    }

    fn pack(&mut self, record: &mut Vec<u8>) {
        let start = thread_time();
        let packed = gzip(record, COMPRESSION_LEVEL_DEFAULT);
        self.gzip += thread_time() - start;
        std::hint::black_box(crc32fast::hash(&packed));
        self.wire_bytes += packed.len() as u64;
        record.clear();
    }
}

/// What this thread has had of a processor.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has such a clock").into()
}

pub(crate) fn report(table: &mut Table, floors: &[Floor], corpus: &Corpus) {
    let cpu =
        |of: fn(&Floor) -> Duration| median(floors.iter().map(|floor| per_million(of(floor), corpus.lines)));
    let whole = cpu(|floor| floor.cpu);
    table.row(Row {
        what: "floor: lines, JSON, gzip, CRC; one thread".to_owned(),
        cpu: whole,
        ratio: Some((1.0, None)),
        events_per_second: Some(1e6 / whole),
        wire_bytes: Some(
            median(floors.iter().map(|floor| floor.wire_bytes as f64)) * 1e6 / corpus.lines as f64,
        ),
        ..Row::default()
    });
    let gzip = cpu(|floor| floor.gzip);
    table.row(Row {
        what: "  of which gzip".to_owned(),
        cpu: gzip,
        ratio: Some((gzip / whole, None)),
        ..Row::default()
    });
}
