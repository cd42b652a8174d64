//! Sums over batches.

use crate::batch::{BatchInfo, Tally};

/// What a number of batches amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Weight {
    pub(crate) events: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) raw_bytes: u64,
}

impl Weight {
    pub(crate) fn of(info: &BatchInfo, payload_len: u32) -> Weight {
        Weight { events: info.events.into(), payload_bytes: payload_len.into(), raw_bytes: info.raw_bytes }
    }

    #[must_use]
    pub(crate) fn plus(self, other: Weight) -> Weight {
        Weight {
            events: self.events.saturating_add(other.events),
            payload_bytes: self.payload_bytes.saturating_add(other.payload_bytes),
            raw_bytes: self.raw_bytes.saturating_add(other.raw_bytes),
        }
    }

    /// This without `other`, which is at most this.
    #[must_use]
    pub(crate) fn without(self, other: Weight) -> Weight {
        Weight {
            events: self.events.saturating_sub(other.events),
            payload_bytes: self.payload_bytes.saturating_sub(other.payload_bytes),
            raw_bytes: self.raw_bytes.saturating_sub(other.raw_bytes),
        }
    }

    /// This, but in nothing more than `other`.
    #[must_use]
    pub(crate) fn at_most(self, other: Weight) -> Weight {
        Weight {
            events: self.events.min(other.events),
            payload_bytes: self.payload_bytes.min(other.payload_bytes),
            raw_bytes: self.raw_bytes.min(other.raw_bytes),
        }
    }

    /// This, but in nothing less than `other`.
    #[must_use]
    pub(crate) fn at_least(self, other: Weight) -> Weight {
        Weight {
            events: self.events.max(other.events),
            payload_bytes: self.payload_bytes.max(other.payload_bytes),
            raw_bytes: self.raw_bytes.max(other.raw_bytes),
        }
    }

    /// This as what so many batches amount to.
    pub(crate) fn tally(self, batches: u64) -> Tally {
        let Weight { events, payload_bytes, raw_bytes } = self;
        Tally { batches, events, payload_bytes, raw_bytes }
    }

    /// The part of this that `some` of `all` batches have on average.
    #[must_use]
    pub(crate) fn share(self, some: u64, all: u64) -> Weight {
        let of = |sum: u64| {
            let share = u128::from(sum) * u128::from(some.min(all)) / u128::from(all.max(1));
            u64::try_from(share).expect("a share is no more than the whole")
        };
        Weight {
            events: of(self.events),
            payload_bytes: of(self.payload_bytes),
            raw_bytes: of(self.raw_bytes),
        }
    }
}

/// Sums over the batches of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    pub(crate) batches: u64,
    pub(crate) records: u64,
    pub(crate) weight: Weight,
    /// The times mean something only when there are batches.
    pub(crate) first_time_ms: i64,
    pub(crate) last_time_ms: i64,
    pub(crate) first_appended_ms: i64,
    pub(crate) last_appended_ms: i64,
}

impl Summary {
    pub(crate) fn add(&mut self, info: &BatchInfo, payload_len: u32) {
        if self.batches == 0 {
            self.first_time_ms = info.first_time_ms;
            self.last_time_ms = info.last_time_ms;
            self.first_appended_ms = info.appended_ms;
            self.last_appended_ms = info.appended_ms;
        }
        self.batches += 1;
        self.records += u64::from(info.records);
        self.weight = self.weight.plus(Weight::of(info, payload_len));
        self.first_time_ms = self.first_time_ms.min(info.first_time_ms);
        self.last_time_ms = self.last_time_ms.max(info.last_time_ms);
        self.first_appended_ms = self.first_appended_ms.min(info.appended_ms);
        self.last_appended_ms = self.last_appended_ms.max(info.appended_ms);
    }
}
