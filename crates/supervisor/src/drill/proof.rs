//! What arrived, compared with what was written.

use millpond_local_kinesis::{KeptRecord, verify};

use super::Depth;

/// The outcome of the drill.
#[derive(Debug, Clone, Copy, Default)]
pub struct Proof {
    /// Lines written.
    pub written: u64,
    /// Events that arrived, repetitions included.
    pub arrived: u64,
    /// Different lines that arrived.
    pub distinct: u64,
    /// Lines that did not arrive.
    pub missing: u64,
    /// Events that arrived again.
    pub repeated: u64,
    /// Records or events that are not what was sent.
    pub malformed: u64,
    /// Records that carried them.
    pub records: u64,
    /// Bytes of the events as NDJSON.
    pub raw_bytes: u64,
    /// Bytes of the records as they arrived.
    pub wire_bytes: u64,
    /// The most that was queued.
    pub peak_queue: Depth,
    /// The forwarder's largest resident set, in bytes.
    pub peak_memory: u64,
}

impl Proof {
    /// Counts what is in the records against the lines numbered 0 to `written`, each beginning with `#NUMBER `.
    #[must_use]
    pub fn take(written: u64, records: &[KeptRecord]) -> Self {
        let mut seen = vec![false; usize::try_from(written).unwrap_or(usize::MAX)];
        let mut proof = Self { written, ..Self::default() };
        let verified = verify(records, |_, event| {
            proof.arrived += 1;
            proof.raw_bytes += event.len() as u64 + 1;
            let slot = number(event).and_then(|number| seen.get_mut(usize::try_from(number).ok()?));
            match slot {
                None => proof.malformed += 1,
                Some(seen) if *seen => proof.repeated += 1,
                Some(seen) => *seen = true,
            }
        });
        proof.malformed += verified.malformed.len() as u64;
        proof.records = verified.records;
        proof.wire_bytes = records.iter().map(|record| record.data.len() as u64).sum();
        proof.distinct = seen.iter().filter(|seen| **seen).count() as u64;
        proof.missing = written - proof.distinct;
        proof
    }

    /// Did every line arrive, and nothing else?
    #[must_use]
    pub fn holds(&self) -> bool {
        self.missing == 0 && self.malformed == 0 && self.written > 0
    }
}

/// The running number in an event's `_raw`.
fn number(event: &[u8]) -> Option<u64> {
    let rest = event.strip_prefix(b"{\"_raw\":\"#")?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_number_of_an_event() {
        assert_eq!(number(br##"{"_raw":"#12 x","_time":1}"##), Some(12));
        assert_eq!(number(br##"{"_raw":"12 x"}"##), None);
        assert_eq!(number(br##"{"_raw":"#x"}"##), None);
        assert_eq!(number(b""), None);
    }

    #[test]
    fn nothing_written_proves_nothing() {
        assert!(!Proof::default().holds());
        assert!(!Proof { written: 1, missing: 1, ..Proof::default() }.holds());
        assert!(Proof { written: 1, distinct: 1, ..Proof::default() }.holds());
    }
}
