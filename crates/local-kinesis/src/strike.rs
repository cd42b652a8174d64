//! What the faults that are on do to one request. Decides nothing by chance and does nothing itself.

use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;

use crate::decode::unpacked;
use crate::fault::{FaultKind, Skew};
use crate::fault_control::Active;
use crate::{Operation, Probability};

/// What happens to a request, in this order. The first fault of a sort wins, delays add up.
#[derive(Debug, Default)]
pub(crate) struct Strike {
    /// Wait before anything else, one after the other; each ends when its fault is cleared.
    pub(crate) delays: Vec<(Duration, Arc<Active>)>,
    /// The request is not answered.
    pub(crate) link: Option<(LinkFault, Arc<Active>)>,
    /// The answer does not come from the service.
    pub(crate) page: Option<Page>,
    /// How far the endpoint's clock is ahead, in milliseconds; none: it is right and signatures' ages are not checked.
    pub(crate) skew_ms: Option<i64>,
    /// The service refuses the call.
    pub(crate) refusal: Option<Refusal>,
    /// A listing leaves a shard out: this one, or the first open one.
    pub(crate) gap: Option<Option<u32>>,
    /// What may happen to single records.
    pub(crate) records: Vec<RecordFault>,
    /// The call is carried out, but its answer does not arrive whole.
    pub(crate) after: Option<After>,
}

/// How a request goes without answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkFault {
    Down,
    Reset,
    Hang,
}

/// Answers that do not come from the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Portal,
    Empty,
    Error500,
}

impl Page {
    /// For counting.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Portal => "portal",
            Self::Empty => "empty",
            Self::Error500 => "error500",
        }
    }
}

/// Answers of the service by which it does not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Refusal {
    Denied,
    ExpiredToken,
    NotFound,
    Throttled(Probability),
}

/// Answers that get lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Truncated,
    Reset,
}

impl After {
    /// For counting.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Reset => "accept-then-reset",
        }
    }
}

/// What may happen to a record of a put.
#[derive(Debug)]
pub(crate) struct RecordFault {
    active: Arc<Active>,
}

/// What does happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Throttled,
    InternalFailure,
}

impl Strike {
    /// Gathers what concerns a call. `shards` gives the numbers of the shards it concerns, and is asked only if a fault
    /// is limited to a shard.
    pub(crate) fn gather(active: Vec<Arc<Active>>, op: Operation, shards: impl FnOnce() -> Vec<u32>) -> Self {
        let mut strike = Self::default();
        if active.is_empty() {
            return strike;
        }
        let asks_shard =
            |active: &Arc<Active>| active.fault.shard.is_some() && active.fault.kind != FaultKind::Gap;
        let shards = if active.iter().any(asks_shard) { shards() } else { Vec::new() };
        for active in active {
            let fault = &active.fault;
            let by_op = fault.op.is_none_or(|only| only == op);
            let by_shard = !asks_shard(&active) || active.shard.is_some_and(|shard| shards.contains(&shard));
            if by_op && by_shard && concerns(&fault.kind, op, fault.op.is_some()) {
                strike.add(active, op);
            }
        }
        strike
    }

    fn add(&mut self, active: Arc<Active>, op: Operation) {
        match active.fault.kind {
            FaultKind::Slow(delay) => self.delays.push((delay, active.clone())),
            FaultKind::Down => return set_link(&mut self.link, LinkFault::Down, active),
            FaultKind::Reset => return set_link(&mut self.link, LinkFault::Reset, active),
            FaultKind::Hang => return set_link(&mut self.link, LinkFault::Hang, active),
            FaultKind::Portal => set_first(&mut self.page, Page::Portal),
            FaultKind::Empty => set_first(&mut self.page, Page::Empty),
            FaultKind::Error500 => set_first(&mut self.page, Page::Error500),
            FaultKind::Skew(skew) => set_first(&mut self.skew_ms, skew_ms(skew)),
            FaultKind::Denied | FaultKind::ListDenied => set_first(&mut self.refusal, Refusal::Denied),
            FaultKind::ExpiredToken => set_first(&mut self.refusal, Refusal::ExpiredToken),
            FaultKind::NotFound => set_first(&mut self.refusal, Refusal::NotFound),
            FaultKind::Throttle(p) if !op.is_put() => set_first(&mut self.refusal, Refusal::Throttled(p)),
            FaultKind::Gap => set_first(&mut self.gap, active.shard),
            FaultKind::Truncated => set_first(&mut self.after, After::Truncated),
            FaultKind::AcceptThenReset => set_first(&mut self.after, After::Reset),
            // They count what they strike record by record.
            FaultKind::Throttle(_) | FaultKind::Partial(_) | FaultKind::Refuse(_) => {
                return self.records.push(RecordFault { active });
            }
            FaultKind::Rate(_) => return,
        }
        active.hit();
    }

    /// What happens to a record that goes to this shard; `dice` gives numbers from 0 up to 1.
    pub(crate) fn fate(&self, shard: u32, mut dice: impl FnMut() -> f64) -> Option<Fate> {
        let mut strikes = |fault: &&RecordFault| fault.concerns(shard) && dice() < fault.probability();
        let fault = self.records.iter().find(|fault| strikes(fault))?;
        fault.active.hit();
        match fault.active.fault.kind {
            FaultKind::Throttle(_) => Some(Fate::Throttled),
            _ => Some(Fate::InternalFailure),
        }
    }

    /// Whether a record that goes to this shard is refused for what it contains.
    pub(crate) fn refuses(&self, shard: u32, data: &[u8]) -> bool {
        let contains = |fault: &&RecordFault| match &fault.active.fault.kind {
            FaultKind::Refuse(text) if fault.concerns(shard) => {
                // What cannot be unpacked is searched as it is.
                let unpacked = unpacked(data).unwrap_or_else(|_| data.into());
                memmem::find(&unpacked, text.as_bytes()).is_some()
            }
            _ => false,
        };
        let found = self.records.iter().find(contains);
        found.inspect(|fault| fault.active.hit()).is_some()
    }
}

impl RecordFault {
    fn concerns(&self, shard: u32) -> bool {
        self.active.fault.shard.is_none() || self.active.shard == Some(shard)
    }

    fn probability(&self) -> f64 {
        match self.active.fault.kind {
            FaultKind::Throttle(probability) | FaultKind::Partial(probability) => probability.get(),
            _ => 0.0,
        }
    }
}

/// Whether a kind acts on an operation; `named` says that the fault names this operation.
///
/// What the link and proxies do strikes everything. What Kinesis says strikes STS only where that is asked for.
fn concerns(kind: &FaultKind, op: Operation, named: bool) -> bool {
    match kind {
        FaultKind::Throttle(_) => op.is_put() || named,
        FaultKind::Partial(_) => op == Operation::PutRecords,
        FaultKind::Refuse(_) => op.is_put(),
        FaultKind::Denied | FaultKind::ExpiredToken => !op.is_sts() || named,
        FaultKind::NotFound => {
            !op.is_sts() && !matches!(op, Operation::CreateStream | Operation::ListStreams)
        }
        FaultKind::Gap => matches!(op, Operation::ListShards | Operation::DescribeStream),
        FaultKind::ListDenied => op.is_listing(),
        FaultKind::Down
        | FaultKind::Reset
        | FaultKind::Hang
        | FaultKind::Slow(_)
        | FaultKind::Rate(_)
        | FaultKind::Portal
        | FaultKind::Empty
        | FaultKind::Error500
        | FaultKind::Truncated
        | FaultKind::Skew(_)
        | FaultKind::AcceptThenReset => true,
    }
}

fn set_first<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

fn set_link(place: &mut Option<(LinkFault, Arc<Active>)>, fault: LinkFault, active: Arc<Active>) {
    if place.is_none() {
        active.hit();
        *place = Some((fault, active));
    }
}

fn skew_ms(skew: Skew) -> i64 {
    let ms = |by: Duration| i64::try_from(by.as_millis()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    match skew {
        Skew::Ahead(by) => ms(by),
        Skew::Behind(by) => -ms(by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, FaultControl};

    fn strike(faults: &[&str], op: Operation, shards: &[u32]) -> Strike {
        let faults: Vec<Fault> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        Strike::gather(FaultControl::new(faults).snapshot(), op, || shards.to_vec())
    }

    #[test]
    fn operations_are_told_apart() {
        use Operation::{AssumeRole, ListShards, PutRecord, PutRecords};
        assert_eq!(strike(&["denied"], PutRecord, &[]).refusal, Some(Refusal::Denied));
        assert_eq!(strike(&["denied"], AssumeRole, &[]).refusal, None);
        assert_eq!(strike(&["denied,op=AssumeRole"], AssumeRole, &[]).refusal, Some(Refusal::Denied));
        assert_eq!(strike(&["denied,op=AssumeRole"], PutRecord, &[]).refusal, None);
        assert_eq!(strike(&["list-denied"], ListShards, &[]).refusal, Some(Refusal::Denied));
        assert_eq!(strike(&["list-denied"], PutRecord, &[]).refusal, None);
        assert_eq!(strike(&["portal"], AssumeRole, &[]).page, Some(Page::Portal));
        assert_eq!(strike(&["throttle:1"], ListShards, &[]).refusal, None);
        assert!(strike(&["throttle:1,op=ListShards"], ListShards, &[]).refusal.is_some());
        assert_eq!(strike(&["partial:1"], PutRecord, &[]).records.len(), 0);
        assert_eq!(strike(&["partial:1"], PutRecords, &[]).records.len(), 1);
        assert_eq!(strike(&["gap"], ListShards, &[]).gap, Some(None));
        assert_eq!(strike(&["gap,shard=2"], ListShards, &[]).gap, Some(Some(2)));
    }

    #[test]
    fn shards_are_told_apart() {
        let hang =
            |shards: &[u32]| strike(&["hang,shard=shardId-000000000001"], Operation::PutRecords, shards).link;
        assert!(hang(&[0, 1]).is_some());
        assert!(hang(&[0, 2]).is_none());
        assert!(hang(&[]).is_none());
        let throttle = strike(&["throttle:1,shard=1"], Operation::PutRecords, &[0, 1]);
        assert_eq!(throttle.fate(1, || 0.999), Some(Fate::Throttled));
        assert_eq!(throttle.fate(0, || 0.0), None);
    }

    #[test]
    fn the_first_of_a_sort_wins_and_delays_add_up() {
        let strike =
            strike(&["slow:1s", "empty", "portal", "slow:2s", "reset", "hang"], Operation::PutRecord, &[]);
        assert_eq!(strike.delays.iter().map(|(delay, _)| delay.as_secs()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(strike.page, Some(Page::Empty));
        assert_eq!(strike.link.unwrap().0, LinkFault::Reset);
    }

    #[test]
    fn chance_decides_by_the_dice() {
        let strike = strike(&["throttle:0.4", "partial:0.5"], Operation::PutRecords, &[]);
        assert_eq!(strike.fate(0, || 0.39), Some(Fate::Throttled));
        assert_eq!(strike.fate(0, || 0.4), Some(Fate::InternalFailure));
        assert_eq!(strike.fate(0, || 0.5), None);
    }

    #[test]
    fn content_is_searched_unpacked() {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(b"{\"a\":\"some poison here\"}").unwrap();
        let packed = encoder.finish().unwrap();
        let strike = strike(&["refuse:poison,shard=3"], Operation::PutRecord, &[3]);
        assert!(strike.refuses(3, &packed));
        assert!(strike.refuses(3, b"poison"));
        assert!(!strike.refuses(2, &packed));
        assert!(!strike.refuses(3, b"potion"));
        assert!(strike.refuses(3, b"\x1f\x8bpoison"), "what cannot be unpacked is searched as it is");
    }
}
