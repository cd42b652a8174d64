//! One operating-system thread that owns a queue. What several senders append while a sync is under way shares the
//! next one: the sync itself is the batching window, there is no artificial delay.

mod owner;
#[cfg(test)]
mod tests;
mod timers;

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use millpond_queue::{BatchInfo, DropReason, Fs, Queue, Sequence, Stats, Tally};
use tokio::sync::oneshot;

use crate::clock::Steady;
use owner::Owner;

/// With [`Policy::sync_every`]: what may be written and not synced stays in memory too, so there is a limit to it; a
/// queue needs it as its `staged_bytes_max`.
pub const UNSYNCED_BYTES_MAX: u64 = 16 << 20;

/// What the thread does with its queue by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// When there is no room, the oldest segment makes some.
    pub drop_oldest: bool,
    /// Batches that were appended longer ago are given up.
    pub max_age: Option<Duration>,
    /// How long the queue keeps what is delivered, as in its options.
    pub retain: Option<Duration>,
    /// A batch counts as kept when it is written, and is made durable this much later. `None`: it counts when it is
    /// durable.
    pub sync_every: Option<Duration>,
    /// For a queue that others want to have now and then. `None`: it stays open until it is closed.
    pub lease: Option<Lease>,
}

/// How long a queue stays open by itself; then it is closed as by [`QueueThread::close`], and what waits for room is let
/// go of without a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// After the last batch was appended.
    pub idle: Duration,
    /// At most.
    pub longest: Duration,
}

/// Called once, with the batch's sequence when it is as safe as the [`Policy`] asks for, or with nothing when it was
/// given back (see [`QueueThread::withdraw`]).
pub type OnKept = Box<dyn FnOnce(Option<Sequence>) + Send>;

/// Hears what the thread reports, in the order in which it happened, the calls of [`OnKept`] included.
pub type OnReport = Box<dyn FnMut(Report) + Send>;

/// What the thread of a queue reports by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Whether the queue takes batches; `Err` says in words why not. Said when that changes.
    Room(Result<(), String>),
    /// Everything below can be read. Said at the start if there is anything to read, and then whenever it changes.
    Readable(Sequence),
    /// Batches were given up by policy.
    GivenUp(GivenUp),
}

/// Batches were given up by policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenUp {
    /// The policy.
    pub reason: DropReason,
    /// What is lost by it. What a reader had given out before is not in it.
    pub lost: Tally,
    /// Everything below is settled: a reader gives it out no more, and what it has given out of it before is lost unless
    /// it is delivered all the same.
    pub below: Sequence,
}

/// A batch to append.
pub struct Append {
    /// What the queue notes about it.
    pub info: BatchInfo,
    /// Its bytes.
    pub payload: [Bytes; 2],
    /// Whom to tell. Dropped without a call when the queue closes before it has taken the batch.
    pub on_kept: OnKept,
}

enum Command {
    Append(Append),
    Withdraw,
    Ack(Sequence),
    Stats(oneshot::Sender<Stats>),
    Close,
}

/// The way to the thread of a queue. Dropping it closes the queue without waiting.
#[derive(Debug)]
pub struct QueueThread {
    commands: mpsc::Sender<Command>,
    thread: Option<std::thread::JoinHandle<Result<(), millpond_queue::CloseError>>>,
}

/// Acknowledges batches of a queue.
#[derive(Debug, Clone)]
pub struct Acknowledger {
    commands: mpsc::Sender<Command>,
}

impl Acknowledger {
    /// Acknowledges a batch. When the queue is closed already, the batch is read again after the next start.
    pub fn ack(&self, sequence: Sequence) {
        drop(self.commands.send(Command::Ack(sequence)));
    }
}

/// Asks what a queue holds, for somebody who does not own the way to the thread.
#[derive(Debug, Clone)]
pub struct StatsRequest {
    commands: mpsc::Sender<Command>,
}

impl StatsRequest {
    /// What the queue holds, as soon as its thread has time to say it.
    ///
    /// # Errors
    /// [`QueueGone`]: it is closed, or its thread has panicked.
    pub async fn ask(&self) -> Result<Stats, QueueGone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Stats(reply)).map_err(|_| QueueGone)?;
        answer.await.map_err(|_| QueueGone)
    }
}

/// The thread of a queue is gone: it panicked, and said so on its way.
#[derive(Debug, thiserror::Error)]
#[error("the thread of the queue has stopped unexpectedly; its message is in the log above")]
pub struct QueueGone;

/// Why a queue was not closed cleanly.
#[derive(Debug, thiserror::Error)]
pub enum CloseFailed {
    /// What was durable still is; the next start recovers.
    #[error(transparent)]
    Queue(#[from] millpond_queue::CloseError),
    /// Its thread is gone.
    #[error(transparent)]
    Gone(#[from] QueueGone),
}

impl QueueThread {
    /// Gives the queue a thread of its own, named `name`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(name: &str, queue: Queue<Fs>, policy: Policy, on_report: OnReport) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let owner = Owner::new(queue, policy, Steady::of_process(), on_report);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || owner.run(&inbox))?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Appends a batch; what is handed over in one order is kept in that order.
    ///
    /// # Errors
    /// [`QueueGone`]: the batch is not kept and never will be.
    pub fn append(&self, append: Append) -> Result<(), QueueGone> {
        self.commands.send(Command::Append(append)).map_err(|_| QueueGone)
    }

    /// Gives back the batches that wait for room; one that the queue has room for is kept all the same. If none is left,
    /// the next batch that finds no room is the next [`Report::Room`].
    ///
    /// # Errors
    /// [`QueueGone`].
    pub fn withdraw(&self) -> Result<(), QueueGone> {
        self.commands.send(Command::Withdraw).map_err(|_| QueueGone)
    }

    /// Acknowledges a batch.
    ///
    /// # Errors
    /// [`QueueGone`]: the batch will be read again after a restart.
    pub fn ack(&self, sequence: Sequence) -> Result<(), QueueGone> {
        self.commands.send(Command::Ack(sequence)).map_err(|_| QueueGone)
    }

    /// Acknowledges for somebody who does not own the way to the thread.
    #[must_use]
    pub fn acknowledger(&self) -> Acknowledger {
        Acknowledger { commands: self.commands.clone() }
    }

    /// Asks what the queue holds, for as long as it is open.
    #[must_use]
    pub fn stats_request(&self) -> StatsRequest {
        StatsRequest { commands: self.commands.clone() }
    }

    /// Makes durable what was handed over, writes the cursor and closes the queue. Blocks until that is done.
    ///
    /// # Errors
    /// See [`CloseFailed`]; what was durable stays so.
    pub fn close(mut self) -> Result<(), CloseFailed> {
        // It may be closing already, or closed: how that has ended, the thread says.
        drop(self.commands.send(Command::Close));
        let Some(thread) = self.thread.take() else {
            return Err(QueueGone.into());
        };
        Ok(thread.join().map_err(|_| QueueGone)??)
    }
}

impl Drop for QueueThread {
    fn drop(&mut self) {
        // Others may still hold ways to the thread. After `close` nobody listens any more.
        drop(self.commands.send(Command::Close));
    }
}
