//! Real bytes on disk against the limits. Pure: it says whether there is room, not what follows.

use crate::{error::FullReason, format::FRAMES_AT, options::Options};

/// No segment is made smaller than this.
const SEGMENT_BYTES_MIN: u64 = 2 * FRAMES_AT;
/// Segments that should fit into the size limit, so that delivered ones can go while others fill.
const SEGMENTS_IN_SIZE_MIN: u64 = 4;
/// Room left for what grows without asking: the catalog, between two measurements.
const CATALOG_RESERVE_BYTES: u64 = 1 << 20;
/// What the file system allocates at once.
const BLOCK_BYTES: u64 = 4096;

/// The space that an ordinary segment is given.
pub(crate) fn segment_bytes(options: &Options) -> u64 {
    let bytes = options.segment_bytes_max.min(options.size_bytes_max / SEGMENTS_IN_SIZE_MIN);
    bytes.max(SEGMENT_BYTES_MIN).next_multiple_of(BLOCK_BYTES)
}

/// What new space would mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    /// What all files of the queue occupy.
    pub(crate) used_bytes: u64,
    /// What is wanted in addition.
    pub(crate) wanted_bytes: u64,
    /// What the file system has free.
    pub(crate) free_bytes: u64,
}

/// Whether there is room.
pub(crate) fn admit(demand: Demand, options: &Options) -> Result<(), FullReason> {
    let reserve = if options.catalog { CATALOG_RESERVE_BYTES.min(options.size_bytes_max / 16) } else { 0 };
    let used = demand.used_bytes.saturating_add(demand.wanted_bytes).saturating_add(reserve);
    if used > options.size_bytes_max {
        return Err(FullReason::SizeMax);
    }
    if demand.free_bytes < demand.wanted_bytes {
        return Err(FullReason::NoSpace);
    }
    if demand.free_bytes - demand.wanted_bytes < options.free_bytes_min {
        return Err(FullReason::FreeMin);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_exact() {
        let options =
            Options { size_bytes_max: 100, free_bytes_min: 10, catalog: false, ..Options::default() };
        let check = |used_bytes, wanted_bytes, free_bytes, expected| {
            let demand = Demand { used_bytes, wanted_bytes, free_bytes };
            assert_eq!(admit(demand, &options), expected, "{demand:?}");
        };
        check(0, 100, 1000, Ok(()));
        check(1, 100, 1000, Err(FullReason::SizeMax));
        check(u64::MAX, 1, 1000, Err(FullReason::SizeMax));
        check(0, 50, 60, Ok(()));
        check(0, 50, 59, Err(FullReason::FreeMin));
        check(0, 50, 49, Err(FullReason::NoSpace));
    }

    #[test]
    fn segments_are_a_fraction_of_the_size() {
        let check = |segment_bytes_max, size_bytes_max, expected| {
            let options = Options { segment_bytes_max, size_bytes_max, ..Options::default() };
            assert_eq!(segment_bytes(&options), expected);
        };
        check(16 << 20, 5 << 30, 16 << 20);
        check(16 << 20, 10 << 20, 2560 << 10);
        check(1, 1 << 30, 8192);
    }
}
