//! Facts about a segment → what to do about it. Pure: the table is the whole of it.

/// Where a segment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The last one: what a crash interrupted is here.
    Tail,
    /// Any other: complete before the next one was made.
    Earlier,
}

/// What the first block of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// A segment header of this queue.
    Good,
    /// A segment header of a version that is not known here.
    Unknown(u16),
    /// A segment header of a known version, both copies damaged.
    Damaged,
    /// Less than a header, or nothing but zeros.
    Incomplete,
    /// Something else.
    Alien,
}

/// What follows the header, up to and with the first thing that is no good frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// Good frames up to the end (of the file, or where the next segment takes over).
    Good,
    /// Good frames, then zeros to the end.
    Zeros,
    /// Good frames, then something bad.
    Bad,
}

/// What is known when a verdict is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) place: Place,
    pub(crate) header: Header,
    pub(crate) body: Body,
    /// Whether something proves that the first sequence that is not there was durable: a good
    /// frame written after a later commit, the next segment, or the cursor.
    pub(crate) was_durable: bool,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Use it.
    Clean,
    /// Use it; the zeros were never written to.
    Unwritten,
    /// Cut it there: a commit that was interrupted and never confirmed.
    TornTail,
    /// Set the bad bytes aside, count what was in them, go on behind them.
    Damaged,
    /// Nothing is wrong with the bytes; what should follow them is gone.
    Missing,
    /// Refuse to open.
    Unsupported(u16),
    /// Its making was interrupted: it is made again when it is needed.
    TornCreation,
    /// Refuse to open: it is none of ours.
    Foreign,
}

/// The table.
pub(crate) fn verdict(facts: Facts) -> Verdict {
    use {Body::*, Header::*, Place::*};
    match (facts.header, facts.place, facts.body, facts.was_durable) {
        (Header::Good, _, Body::Good, false) => Verdict::Clean, // @A
        (Header::Good, Tail, Zeros, false) => Verdict::Unwritten, // @B
        (Header::Good, Tail, Bad, false) => Verdict::TornTail,  // @C
        (Header::Good, Tail, Zeros | Bad, true) => Verdict::Damaged, // @D
        // @E: What lies behind the last frame that counts is not looked at in an earlier segment,
        // so anything bad in it was durable.
        (Header::Good, Earlier, Zeros | Bad, _) => Verdict::Damaged,
        (Header::Good, _, Body::Good, true) => Verdict::Missing, // @F
        (Unknown(version), _, _, _) => Verdict::Unsupported(version), // @G
        // @H: A segment gets its name only after its header is durable, so this takes a disk that
        // loses what it confirmed. Without a frame proven, nothing is lost.
        (Incomplete, Tail, _, false) => Verdict::TornCreation,
        (Incomplete, Tail, _, true) | (Damaged, _, _, _) => Verdict::Damaged, // @I
        (Incomplete, Earlier, _, _) | (Alien, _, _, _) => Verdict::Foreign,   // @J
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of facts, with the row of the table it falls under.
    #[test]
    fn every_row() {
        use {Body::*, Header::*, Place::*};
        let mut seen = 0;
        for header in [Header::Good, Unknown(7), Damaged, Incomplete, Alien] {
            for place in [Tail, Earlier] {
                for body in [Body::Good, Zeros, Bad] {
                    for was_durable in [false, true] {
                        let expected = match header {
                            Unknown(version) => Verdict::Unsupported(version),
                            Alien => Verdict::Foreign,
                            Damaged => Verdict::Damaged,
                            Incomplete if place == Earlier => Verdict::Foreign,
                            Incomplete if was_durable => Verdict::Damaged,
                            Incomplete => Verdict::TornCreation,
                            Header::Good => match (body, place, was_durable) {
                                (Body::Good, _, false) => Verdict::Clean,
                                (Body::Good, _, true) => Verdict::Missing,
                                (_, Earlier, _) | (_, Tail, true) => Verdict::Damaged,
                                (Zeros, Tail, false) => Verdict::Unwritten,
                                (Bad, Tail, false) => Verdict::TornTail,
                            },
                        };
                        let facts = Facts { place, header, body, was_durable };
                        assert_eq!(verdict(facts), expected, "{facts:?}");
                        seen += 1;
                    }
                }
            }
        }
        assert_eq!(seen, 60);
    }
}
