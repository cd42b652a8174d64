//! Performs what the [forwarder](crate::forwarder) of one output decides, and tells it what happened. Decides nothing.

mod actions;
mod held;
mod notices;
mod said;

use std::sync::Arc;

use millpond_kinesis::{Batch, Verification};
use millpond_queue::{self as queue, Fs, Reader, Sequence};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::assembler::Encoding;
use crate::backlog::Reading;
use crate::chunk::Receipt;
use crate::forwarder::{Action, Event, Forwarder, Key};
use crate::output_state::{OutputView, Publisher};
use crate::put::{PutDone, Sender};
use crate::queue_thread::{CloseFailed, QueueGone, QueueThread, Report};
use held::Batches;
use said::Said;

/// Whether the process runs or stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It runs.
    Run,
    /// It stops, and has until then.
    Stop(Instant),
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
}

/// The queue of an output, as its driver uses it.
pub struct Backlog {
    /// Writes and acknowledges.
    pub queue: QueueThread,
    /// Reads; away while a reading goes on.
    pub reader: Option<Reader<Fs>>,
}

/// How a driver hears of the world.
pub struct Wires {
    /// Batches of the inputs.
    pub encodings: mpsc::Receiver<Encoding>,
    /// Both ends of one channel, on which tasks and the queue's thread report.
    pub notices: (mpsc::UnboundedSender<Notice>, mpsc::UnboundedReceiver<Notice>),
    /// Whether the process stops.
    pub phase: watch::Receiver<Phase>,
    /// What a person asks for.
    pub control: mpsc::Receiver<Control>,
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
        let Wires { encodings, notices: (notify, notices), phase, control } = wires;
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
        self.state.view(self.backlog.as_ref().map(|backlog| backlog.queue.stats_request()))
    }

    /// Forwards until the inputs have ended and all is delivered, or until told to stop. Then closes the queue.
    ///
    /// # Errors
    /// See [`DriveError`]. What was acknowledged is delivered or durable all the same.
    pub async fn run(mut self) -> Result<(), DriveError> {
        let outcome = self.drive().await;
        self.tasks.shutdown().await;
        drop(std::mem::replace(&mut self.batches, Batches::new(u64::MAX)));
        if let Some(Backlog { queue, reader }) = self.backlog.take() {
            drop(reader);
            let closed = tokio::task::spawn_blocking(|| queue.close()).await;
            while let Ok(notice) = self.notices.try_recv() {
                if let Notice::Queue(Report::GivenUp(given_up)) = notice {
                    self.on_given_up(given_up);
                }
            }
            match closed {
                Ok(Ok(())) => {}
                Ok(Err(CloseFailed::Gone(gone))) => return outcome.and(Err(gone.into())),
                Ok(Err(error)) => {
                    tracing::error!(output = &*self.sender.id, %error, "the queue was not closed cleanly");
                }
                Err(_) => return outcome.and(Err(DriveError::Panicked)),
            }
        }
        outcome
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
            let give_up_at = match *self.phase.borrow() {
                Phase::Stop(at) if !self.machine.has_given_up() => Some(at),
                _ => None,
            };
            let timer = self.machine.deadline().map(|at| self.start + at);
            let takes_live = !inputs_ended && self.machine.wants_live();
            event = tokio::select! {
                Some(notice) = self.notices.recv() => self.on_notice(notice)?,
                Some(ended) = self.tasks.join_next() => match ended {
                    Err(error) if error.is_panic() => return Err(DriveError::Panicked),
                    _ => None,
                },
                live = next_live(&mut self.encodings, &mut self.encoding), if takes_live => match live {
                    Some(live) => Some(self.hold_live(live?)),
                    None => {
                        inputs_ended = true;
                        Some(Event::InputsEnded)
                    }
                },
                () = sleep_until(timer) => Some(Event::Time),
                () = sleep_until(give_up_at) => {
                    self.tasks.abort_all();
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
    }
}

/// The next batch from the inputs, `None` when there will be none. Loses nothing when it is dropped half-way.
async fn next_live(
    encodings: &mut mpsc::Receiver<Encoding>,
    encoding: &mut Option<Encoding>,
) -> Option<Result<(Batch, Vec<Receipt>), DriveError>> {
    if encoding.is_none() {
        *encoding = Some(encodings.recv().await?);
    }
    let batch = (&mut encoding.as_mut()?.batch).await;
    let receipts = encoding.take()?.receipts;
    Some(batch.map(|batch| (batch, receipts)).map_err(|_| DriveError::Panicked))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
