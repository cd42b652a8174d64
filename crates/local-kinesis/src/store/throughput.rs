//! A shard's write rate.

//= https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html (read 2026-11)
//# Each shard can support up to 1 MB/sec or 1,000 records/sec write throughput
const BYTES_PER_SECOND: f64 = 1_048_576.0;
const RECORDS_PER_SECOND: f64 = 1000.0;

/// What a shard may still take now. One second's worth can be saved up.
#[derive(Debug, Clone)]
pub(crate) struct Throughput {
    bytes: f64,
    records: f64,
    at_ms: i64,
}

impl Throughput {
    pub(crate) fn new(now_ms: i64) -> Self {
        Self { bytes: BYTES_PER_SECOND, records: RECORDS_PER_SECOND, at_ms: now_ms }
    }

    /// Takes a record out of the allowance; false if the shard has no more now.
    ///
    /// A record that is larger than a second's worth passes when anything is left, and is paid for afterwards:
    /// otherwise records over 1 MiB could never be written.
    pub(crate) fn admit(&mut self, bytes: usize, now_ms: i64) -> bool {
        let seconds = (now_ms - self.at_ms).max(0) as f64 / 1000.0;
        self.at_ms = self.at_ms.max(now_ms);
        self.bytes = (self.bytes + seconds * BYTES_PER_SECOND).min(BYTES_PER_SECOND);
        self.records = (self.records + seconds * RECORDS_PER_SECOND).min(RECORDS_PER_SECOND);
        let enough = (self.bytes >= bytes as f64 || self.bytes >= BYTES_PER_SECOND) && self.records >= 1.0;
        if enough {
            self.bytes -= bytes as f64;
            self.records -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_records_a_second() {
        let mut throughput = Throughput::new(0);
        assert_eq!((0..1500).filter(|_| throughput.admit(10, 0)).count(), 1000);
        assert_eq!((0..1500).filter(|_| throughput.admit(10, 500)).count(), 500);
        assert_eq!((0..1500).filter(|_| throughput.admit(10, 60_000)).count(), 1000);
    }

    #[test]
    fn a_mebibyte_a_second() {
        let mut throughput = Throughput::new(0);
        assert!(throughput.admit(1 << 20, 0));
        assert!(!throughput.admit(1, 0));
        assert!(!throughput.admit(1 << 20, 999));
        assert!(throughput.admit(1 << 20, 1000));
    }

    #[test]
    fn a_large_record_is_paid_for_afterwards() {
        let mut throughput = Throughput::new(0);
        assert!(throughput.admit(10 << 20, 0));
        assert!(!throughput.admit(1, 9000));
        assert!(throughput.admit(1, 9001));
    }
}
