//! What goes into the machine and what comes out.

use std::time::Duration;

use crate::config::checked::{Backpressure, OnFull, QueueMode};
use crate::health::{PutHealth, Verdict};
use crate::rate::{DrainLimits, Load};

/// A batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// From the inputs, by its number since the start.
    Live(u64),
    /// From the queue, by its sequence there.
    Queued(u64),
}

/// The settings that decide.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What happens while the output cannot take batches.
    pub backpressure: Backpressure,
    /// When batches go through the queue.
    pub queue_mode: QueueMode,
    /// What is queued goes before what is new.
    pub strict_ordering: bool,
    /// What happens when the queue is full.
    pub on_full: OnFull,
    /// How fast what comes from the queue may be sent.
    pub drain: DrainLimits,
    /// Most puts in flight. Several of them may share a call.
    pub concurrency: u32,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time has passed.
    Time,
    /// The inputs gave a batch. Numbers grow.
    Live(u64),
    /// A put ended.
    Put {
        /// The batch.
        key: Key,
        /// How.
        result: PutResult,
    },
    /// The shards were looked at.
    Verified(Verdict),
    /// The queue has taken a live batch: it is as safe there as the settings ask for, though perhaps not readable yet.
    Spooled {
        /// The batch.
        id: u64,
        /// Its sequence in the queue.
        sequence: u64,
    },
    /// Everything in the queue below this sequence can be read.
    Readable(u64),
    /// The queue gives a live batch back that it had no room for; see [`Action::Withdraw`].
    Withdrawn(u64),
    /// Whether the queue takes batches; those it was given before wait inside it.
    QueueRoom(bool),
    /// Whether as many bytes are in memory as may be.
    Memory {
        /// Batches from the inputs may be put: those in flight have not enough bytes yet.
        puts: bool,
        /// Batches may be read back: those that were have not enough bytes yet.
        reads: bool,
    },
    /// A batch was read back.
    Read {
        /// Its sequence.
        sequence: u64,
        /// What it weighs.
        load: Load,
    },
    /// The reading that was asked for is over; `more`: there are batches behind those it gave.
    ReadDone {
        /// Whether durable batches remain unread.
        more: bool,
    },
    /// A person wants nothing to be sent from now on, or wants it to go on. What flies is not called back; apart from
    /// that, a pause is an outage that no probe ends.
    Pause(bool),
    /// No input will give a batch any more.
    InputsEnded,
    /// Finish what flies, keep the rest, send nothing new from the queue.
    Stop,
    /// The time for stopping is over: no put that flies will be answered any more.
    GiveUp,
}

/// How a put ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutResult {
    /// Every record of the batch has its fate; nothing is left to send.
    pub finished: bool,
    /// At least one record was accepted or refused for good.
    pub progressed: bool,
    /// What it says of the way to the service.
    pub health: PutHealth,
    /// When it began.
    pub since: Duration,
    /// What is left to send.
    pub left: Load,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send (what is left of) the batch, once.
    Put(Key),
    /// Every record of the batch has its fate: acknowledge it and forget it.
    Done(Key),
    /// Give the live batch to the queue.
    Spool(u64),
    /// Take back what was given to the queue and waits for room there. If nothing is left waiting, the queue says anew
    /// whether it has room when it is given the next batch.
    Withdraw,
    /// Drop the live batch by policy, and count it.
    Drop(u64, DropReason),
    /// Let go of a live batch that is neither delivered nor durable: its input keeps its position.
    Abandon(u64),
    /// Let go of a queued batch: it stays in the queue.
    Forget(u64),
    /// Look at the shards.
    Verify,
    /// Read up to this many batches from the queue.
    Read(usize),
    /// All is done that will be done.
    Finished,
}

/// Why a batch was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// `backpressure: drop` while the output was unhealthy or paused.
    Unhealthy,
    /// `on_full: drop` while the queue was full.
    QueueFull,
}

impl DropReason {
    /// The `reason` label of metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unhealthy => "output_unhealthy",
            Self::QueueFull => "queue_full",
        }
    }
}
