//! Performs what the [forwarder](crate::forwarder) of one output decides, and tells it what happened. Decides nothing.

mod actions;
mod held;
mod notices;
mod said;

use std::collections::VecDeque;
use std::sync::Arc;

use millpond_kinesis::Verification;
use millpond_queue::{self as queue, Sequence};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::assembler::Encoding;
use crate::backlog::{Reading, Source};
use crate::forwarder::{Action, Event, Forwarder, Key};
use crate::ledger::{Ledger, LedgerError};
use crate::output_state::{OutputView, Publisher};
use crate::put::{PutDone, Sender, events_of};
use crate::queue_thread::{CloseFailed, QueueGone, QueueThread, Report};
use held::{Batches, Held};
use said::Said;

/// Whether an output runs or stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It runs.
    Run,
    /// It stops, and has until then.
    Stop(Instant),
    /// It stops, and has until then; what it has not sent is for the output that takes its place.
    HandOver(Instant),
}

impl Phase {
    /// Until when it has to stop, if it has.
    #[must_use]
    pub fn until(self) -> Option<Instant> {
        match self {
            Self::Run => None,
            Self::Stop(until) | Self::HandOver(until) => Some(until),
        }
    }
}

/// What a person asks of an output while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Send nothing more; what flies is not called back. Until then an output that queues queues, one that drops drops,
    /// and one that blocks lets its inputs wait. Nothing of it outlives the process.
    Pause,
    /// Verify the shards, and then go on.
    Resume,
}

/// Something that a task or the queue's thread reports.
pub enum Notice {
    /// A put ended.
    Put(Key, PutDone),
    /// The shards were looked at.
    Verified(Verification),
    /// The queue has taken a live batch, or gives it back.
    Spooled(u64, Option<Sequence>),
    /// What the queue's thread reports.
    Queue(Report),
    /// Batches were read back.
    Read(Reading),
    /// That a batch was accepted could not be written down.
    Unwritten(LedgerError),
}

/// What an output has to send besides what its inputs give, as its driver uses it.
pub struct Backlog {
    /// Hears what is through.
    pub keeper: Keeper,
    /// Reads; away while a reading goes on.
    pub reader: Option<Box<dyn Source>>,
}

/// Who hears which batches of a backlog are through.
pub enum Keeper {
    /// The queue that they are in, which also takes batches of the inputs.
    Queue(QueueThread),
    /// A ledger. A batch flies until that it was accepted is durable there, so that a crash repeats no more than what flies.
    Ledger(Ledger),
}

impl Backlog {
    fn queue(&self) -> Option<&QueueThread> {
        match &self.keeper {
            Keeper::Queue(queue) => Some(queue),
            Keeper::Ledger(_) => None,
        }
    }

    fn ledger(&self) -> Option<&Ledger> {
        match &self.keeper {
            Keeper::Queue(_) => None,
            Keeper::Ledger(ledger) => Some(ledger),
        }
    }
}

/// How a driver hears of the world.
pub struct Wires {
    /// Batches of the inputs.
    pub encodings: mpsc::Receiver<Encoding>,
    /// What goes before them.
    pub inherited: Leftovers,
    /// Both ends of one channel, on which tasks and the queue's thread report.
    pub notices: (mpsc::UnboundedSender<Notice>, mpsc::UnboundedReceiver<Notice>),
    /// Whether the process stops.
    pub phase: watch::Receiver<Phase>,
    /// What a person asks for.
    pub control: mpsc::Receiver<Control>,
}

/// Batches that an output has not sent, for the one that takes its place. Dropping them leaves them unacknowledged.
#[derive(Debug, Default)]
pub struct Leftovers(VecDeque<Held>);

impl Leftovers {
    /// How many there are.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.0.len()
    }

    /// Events in them that were not accepted.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.0.iter().map(|held| events_of(&held.batch, held.pending.len())).sum()
    }
}

/// What is needed to drive one output.
pub struct Driver {
    machine: Forwarder,
    sender: Sender,
    backlog: Option<Backlog>,
    encodings: mpsc::Receiver<Encoding>,
    encoding: Option<Encoding>,
    notices: mpsc::UnboundedReceiver<Notice>,
    notify: mpsc::UnboundedSender<Notice>,
    phase: watch::Receiver<Phase>,
    control: mpsc::Receiver<Control>,
    tasks: JoinSet<()>,
    batches: Batches,
    /// What the output before this one has left.
    inherited: VecDeque<Held>,
    /// What this one leaves.
    left: VecDeque<Held>,
    next_id: u64,
    start: Instant,
    /// What the queue gave up last: everything below a sequence, and by which policy.
    given_up: (Sequence, queue::DropReason),
    said: Said,
    state: Publisher,
}

/// Why an output stopped forwarding before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The queue's thread is gone.
    #[error(transparent)]
    Queue(#[from] QueueGone),
    /// What was accepted cannot be written down, so nothing more may be sent.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A task panicked.
    #[error("a task of the output panicked; its message is in the log above")]
    Panicked,
}

impl Driver {
    /// A driver for `machine`. Bytes of batches from the inputs that are in flight reach `bytes_max` and then grow no
    /// further, and so do those of batches that were read back; the last one may go beyond it.
    #[must_use]
    pub fn new(
        machine: Forwarder,
        sender: Sender,
        backlog: Option<Backlog>,
        wires: Wires,
        bytes_max: u64,
    ) -> Self {
        let Wires { encodings, inherited, notices: (notify, notices), phase, control } = wires;
        let said = Said::new(Arc::clone(&sender.id), Arc::clone(&sender.counters), &machine);
        let state = Publisher::new(&machine);
        Self {
            machine,
            sender,
            backlog,
            encodings,
            encoding: None,
            notices,
            notify,
            phase,
            control,
            tasks: JoinSet::new(),
            batches: Batches::new(bytes_max),
            inherited: inherited.0,
            left: VecDeque::new(),
            next_id: 0,
            start: Instant::now(),
            given_up: (Sequence(0), queue::DropReason::Full),
            said,
            state,
        }
    }

    /// Looks at what it is doing, from anywhere.
    #[must_use]
    pub fn view(&self) -> OutputView {
        self.state.view(self.backlog.as_ref().and_then(Backlog::queue).map(QueueThread::stats_request))
    }

    /// Forwards until the inputs have ended and all is delivered, or until told to stop. Then closes the queue, and gives
    /// back what is for the output that takes its place.
    ///
    /// # Errors
    /// See [`DriveError`]. What was acknowledged is delivered or durable all the same.
    pub async fn run(mut self) -> Result<Leftovers, DriveError> {
        let outcome = self.drive().await;
        self.tasks.shutdown().await;
        drop(std::mem::replace(&mut self.batches, Batches::new(u64::MAX)));
        if let Some(Backlog { keeper: Keeper::Queue(queue), reader }) = self.backlog.take() {
            drop(reader);
            let closed = tokio::task::spawn_blocking(|| queue.close()).await;
            while let Ok(notice) = self.notices.try_recv() {
                if let Notice::Queue(Report::GivenUp(given_up)) = notice {
                    self.on_given_up(given_up);
                }
            }
            match closed {
                Ok(Ok(())) => {}
                Ok(Err(CloseFailed::Gone(gone))) => return Err(outcome.err().unwrap_or(gone.into())),
                Ok(Err(error)) => {
                    tracing::error!(output = &*self.sender.id, %error, "the queue was not closed cleanly");
                }
                Err(_) => return Err(outcome.err().unwrap_or(DriveError::Panicked)),
            }
        }
        outcome.map(|()| Leftovers(self.left))
    }

    async fn drive(&mut self) -> Result<(), DriveError> {
        let mut actions = Vec::new();
        let mut inputs_ended = false;
        let mut event = Some(Event::Time);
        loop {
            while let Some(happened) = event {
                self.machine.handle(self.start.elapsed(), happened, &mut actions);
                for action in actions.drain(..) {
                    if action == Action::Finished {
                        return Ok(());
                    }
                    self.perform(action)?;
                }
                self.said.changes(self.start.elapsed(), &self.machine);
                self.state.handled(&self.machine);
                event = self.batches.news();
            }
            let give_up_at = self.phase.borrow().until().filter(|_| !self.machine.has_given_up());
            let timer = self.machine.deadline().map(|at| self.start + at);
            let takes_live = !inputs_ended && self.machine.wants_live();
            event = tokio::select! {
                Some(notice) = self.notices.recv() => self.on_notice(notice)?,
                Some(ended) = self.tasks.join_next() => match ended {
                    Err(error) if error.is_panic() => return Err(DriveError::Panicked),
                    _ => None,
                },
                live = next_live(&mut self.inherited, &mut self.encodings, &mut self.encoding), if takes_live => match live {
                    Some(live) => Some(self.hold_live(live?)),
                    None => {
                        inputs_ended = true;
                        Some(Event::InputsEnded)
                    }
                },
                () = sleep_until(timer) => Some(Event::Time),
                () = sleep_until(give_up_at) => {
                    self.tasks.abort_all();
                    self.batches.forget_answers();
                    Some(Event::GiveUp)
                }
                Some(control) = self.control.recv() => Some(match control {
                    Control::Pause => Event::Pause(true),
                    Control::Resume => Event::Pause(false),
                }),
                Ok(()) = self.phase.changed() => Some(Event::Stop),
            };
        }
    }
}

/// The `reason` label of metrics and logs for what a queue gives up.
#[must_use]
pub fn policy_name(reason: queue::DropReason) -> &'static str {
    match reason {
        queue::DropReason::Full => "queue_full_oldest",
        queue::DropReason::Expired => "expired",
        queue::DropReason::Purged => "purged",
    }
}

/// The next batch, `None` when there will be none: first what the output before this one left, then what the inputs give.
/// Loses nothing when it is dropped half-way.
async fn next_live(
    inherited: &mut VecDeque<Held>,
    encodings: &mut mpsc::Receiver<Encoding>,
    encoding: &mut Option<Encoding>,
) -> Option<Result<Held, DriveError>> {
    if let Some(held) = inherited.pop_front() {
        return Some(Ok(held));
    }
    if encoding.is_none() {
        *encoding = Some(encodings.recv().await?);
    }
    let batch = (&mut encoding.as_mut()?.batch).await;
    let receipts = encoding.take()?.receipts;
    Some(batch.map(|batch| Held::new(batch, receipts)).map_err(|_| DriveError::Panicked))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
