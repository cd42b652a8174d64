//! What became of every event, in a table.

use std::fmt;

use crate::sender::Kind;

/// How an output bears an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Policy {
    Block,
    Drop,
    OnError,
    OnBackpressure,
    Always,
}

impl Policy {
    pub(crate) const ALL: [Self; 5] =
        [Self::Block, Self::Drop, Self::OnError, Self::OnBackpressure, Self::Always];

    pub(crate) fn settings(self) -> &'static str {
        match self {
            Self::Block => "backpressure: block",
            Self::Drop => "backpressure: drop",
            Self::OnError => "backpressure: queue\nqueue: { mode: error }",
            Self::OnBackpressure => {
                "backpressure: queue\nqueue: { mode: backpressure, backpressure_secs: 5 }"
            }
            Self::Always => "backpressure: queue\nqueue: { mode: always }",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Drop => "drop",
            Self::OnError => "queue error",
            Self::OnBackpressure => "queue backpressure",
            Self::Always => "queue always",
        }
    }
}

/// What became of the events of one cell.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) policy: Policy,
    /// Events that were sent to the forwarder.
    pub(crate) sent: u64,
    /// Of them, those that arrived.
    pub(crate) delivered: u64,
    /// Those that arrived again.
    pub(crate) repeated: u64,
    /// Those that `backpressure: drop` dropped, as the forwarder counts them.
    pub(crate) dropped: u64,
    /// Those that the kernel dropped because nobody read them, as the forwarder counts them.
    pub(crate) dropped_by_kernel: u64,
    /// Those that took the way through the queue.
    pub(crate) spooled_batches: u64,
}

impl Row {
    /// Every event that was sent has one fate, and the policy allows it.
    pub(crate) fn check(&self) {
        assert_eq!(self.sent, self.delivered + self.dropped + self.dropped_by_kernel, "{self:?}");
        // A client that waits for each answer never gives more than the memory holds.
        let drops = self.policy == Policy::Drop && self.kind != Kind::Http;
        assert_eq!(self.dropped > 0, drops, "{self:?}");
        let may_overflow = self.kind == Kind::Udp && self.policy == Policy::Block;
        assert!(self.dropped_by_kernel == 0 || may_overflow, "{self:?}");
        let queues = !matches!(self.policy, Policy::Block | Policy::Drop);
        assert_eq!(self.spooled_batches > 0, queues, "{self:?}");
        // A client that was told 503 sends its events again, and may be told so although they are on their way.
        assert!(self.repeated == 0 || self.kind == Kind::Http, "{self:?}");
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, delivered, repeated, dropped, dropped_by_kernel, .. } = self;
        write!(
            f,
            "{sent} = {delivered} delivered + {dropped} dropped + {dropped_by_kernel} dropped by the kernel; \
             {repeated} repeated"
        )
    }
}

/// Prints what there is.
pub(crate) fn print(rows: &mut [Row]) {
    rows.sort_by_key(|row| (row.kind, row.policy));
    println!();
    println!(
        "An outage of 30 s     policy                  in  delivered  dropped  by kernel  repeated   batches queued"
    );
    for row in rows {
        println!(
            "  {:<20}{:<20}{:>6}{:>11}{:>9}{:>11}{:>10}{:>17}",
            row.kind.name(),
            row.policy.name(),
            row.sent,
            row.delivered,
            row.dropped,
            row.dropped_by_kernel,
            row.repeated,
            row.spooled_batches
        );
    }
    println!();
}
