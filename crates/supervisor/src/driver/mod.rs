//! Performs what the [forwarder](crate::forwarder) of one output decides, and tells it what happened. Decides nothing.

mod held;
mod said;

use std::collections::VecDeque;
use std::sync::Arc;

use millpond_kinesis::{Batch, Verification};
use millpond_queue::{self as queue, Frame, Fs, Reader, Sequence, Tally};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::assembler::Encoding;
use crate::backlog::{self, Content, Reading};
use crate::chunk::Fate;
use crate::dead_letters::Reason;
use crate::forwarder::{Action, DropReason, Event, Forwarder, Key};
use crate::health::Verdict;
use crate::output_state::{OutputView, Publisher};
use crate::put::{PutDone, Sender, events_of};
use crate::queue_thread::{Append, CloseFailed, GivenUp, QueueGone, QueueThread, Report};
use crate::rate::Load;
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
        self.state.view(self.backlog.as_ref().map(|backlog| backlog.queue.stats_request()))
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

    fn hold_live(&mut self, held: Held) -> Event {
        let id = self.next_id;
        self.next_id += 1;
        self.batches.insert(Key::Live(id), held);
        Event::Live(id)
    }

    fn hold_queued(&mut self, sequence: Sequence, batch: Batch) {
        // It may have been given up while it was read.
        let (below, reason) = self.given_up;
        let given_up = (sequence < below).then_some(reason);
        let held = Held { given_up, ..Held::new(batch, Vec::new()) };
        self.batches.insert(Key::Queued(sequence.0), held);
    }

    fn on_notice(&mut self, notice: Notice) -> Result<Option<Event>, DriveError> {
        let from_the_queue = matches!(notice, Notice::Spooled(..) | Notice::Queue(_));
        if self.machine.has_given_up() && !from_the_queue {
            return Ok(None);
        }
        match notice {
            Notice::Put(key, done) => Ok(Some(self.on_put(key, done))),
            Notice::Verified(verification) => Ok(Some(Event::Verified(self.on_verified(verification)))),
            // It came too late, and its input will give it again.
            Notice::Spooled(id, _) if self.batches.get(Key::Live(id)).is_none() => Ok(None),
            Notice::Spooled(id, None) => Ok(Some(Event::Withdrawn(id))),
            Notice::Spooled(id, Some(Sequence(sequence))) => {
                self.sender.counters.spooled_batches.add(1);
                self.settle(Key::Live(id), Fate::Queued);
                Ok(Some(Event::Spooled { id, sequence }))
            }
            Notice::Queue(Report::Readable(Sequence(end))) => Ok(Some(Event::Readable(end))),
            Notice::Queue(Report::Room(room)) => {
                self.said.room(self.start.elapsed(), &room);
                self.state.queue_room(&room);
                Ok(Some(Event::QueueRoom(room.is_ok())))
            }
            Notice::Queue(Report::GivenUp(given_up)) => {
                self.on_given_up(given_up);
                Ok(None)
            }
            Notice::Read(reading) => self.on_read(reading).map(Some),
        }
    }

    fn on_put(&mut self, key: Key, done: PutDone) -> Event {
        if let Some(failure) = &done.failure {
            self.said.failure(self.start.elapsed(), failure);
            self.state.failed(&failure.message);
        }
        self.batches.fly(key, false);
        if let Some(held) = self.batches.get_mut(key) {
            held.may_have_arrived = done.failure.is_some_and(|failure| failure.may_have_arrived);
            held.pending = done.left;
        }
        Event::Put { key, result: done.result }
    }

    fn on_verified(&mut self, verification: Verification) -> Verdict {
        let output = &*self.sender.id;
        match verification {
            Verification::Covered { open_shards } => {
                tracing::info!(output, open_shards, "shards verified: they cover the whole hash range");
                self.state.counted_shards(open_shards);
                Verdict::Covered
            }
            Verification::Unknown { reason } => {
                let reason = reason.message;
                self.state.failed(&reason);
                tracing::warn!(output, reason, "the shards may not be listed: the first batch decides");
                Verdict::Unknown
            }
            Verification::NotCovered { reason } => {
                self.state.failed(&reason);
                self.said.shards_not_covered(self.start.elapsed(), reason);
                Verdict::Bad
            }
            Verification::Down(failure) => {
                self.state.failed(&failure.message);
                self.said.failure(self.start.elapsed(), &failure);
                Verdict::Bad
            }
        }
    }

    /// Takes in what was read back. The batches are handed to the machine one by one, the last event is returned.
    fn on_read(&mut self, reading: Reading) -> Result<Event, DriveError> {
        let now = self.start.elapsed();
        let mut actions = Vec::new();
        for (sequence, content) in reading.batches {
            match content {
                Content::Batch(batch) => {
                    let load = Load { events: u64::from(batch.meta().events), bytes: batch.wire_bytes() };
                    self.hold_queued(sequence, batch);
                    let read = Event::Read { sequence: sequence.0, load };
                    self.machine.handle(now, read, &mut actions);
                }
                Content::Foreign { reason, frame } => self.set_aside(reason, frame),
            }
        }
        for action in actions {
            self.perform(action)?;
        }
        if let Some(backlog) = &mut self.backlog {
            backlog.reader = Some(reading.reader);
        }
        Ok(Event::ReadDone { more: reading.more })
    }

    /// A frame that is no batch goes to the dead letters, then it counts as delivered.
    fn set_aside(&mut self, reason: String, frame: Frame) {
        let Some(queue) = self.backlog.as_ref().map(|backlog| backlog.queue.acknowledger()) else { return };
        let (dead_letters, stream) =
            (self.sender.dead_letters.clone(), self.sender.output.stream_name().to_owned());
        let (output, counters) = (Arc::clone(&self.sender.id), Arc::clone(&self.sender.counters));
        self.tasks.spawn(async move {
            let because = Reason {
                code: "ForeignFrame",
                message: &reason,
                stream: &stream,
                partition_key: None,
                format: "frame",
            };
            let (events, sequence) = (frame.info.events, frame.sequence);
            match dead_letters.store(&because, events, frame.payload, crate::clock::unix_ms()).await {
                Ok(()) => {
                    counters.dead_letters.add(u64::from(events));
                    tracing::error!(output = &*output, %sequence, reason, "a queued frame is no batch: kept in the dead letters");
                    queue.ack(sequence);
                }
                Err(error) => {
                    tracing::error!(output = &*output, %sequence, %error, "a queued frame is no batch and stays in the queue");
                }
            }
        });
    }

    fn perform(&mut self, action: Action) -> Result<(), DriveError> {
        match action {
            Action::Put(key) => self.put(key),
            Action::Done(key) => {
                if let (Key::Queued(sequence), Some(backlog)) = (key, &self.backlog) {
                    backlog.queue.ack(Sequence(sequence))?;
                }
                self.settle(key, Fate::Delivered);
            }
            Action::Spool(id) => self.spool(id)?,
            Action::Withdraw => {
                if let Some(backlog) = &self.backlog {
                    backlog.queue.withdraw()?;
                }
            }
            Action::Drop(id, reason) => self.drop_batch(id, reason),
            Action::Abandon(id) => self.abandon(id),
            Action::Forget(sequence) => {
                if let Some(held) = self.batches.remove(Key::Queued(sequence))
                    && let Some(reason) = held.given_up
                {
                    let events = events_of(&held.batch, held.pending.len());
                    self.count_given_up(reason, Tally { batches: 1, events, ..Tally::default() });
                }
            }
            Action::Verify => {
                let (output, notify) = (self.sender.output.clone(), self.notify.clone());
                self.tasks.spawn(async move {
                    let verification = output.verify().await;
                    // The driver is gone only when nobody wants to know any more.
                    drop(notify.send(Notice::Verified(verification)));
                });
            }
            Action::Read(max) => self.read(max),
            Action::Finished => {}
        }
        Ok(())
    }

    fn put(&mut self, key: Key) {
        self.batches.fly(key, true);
        let Some(held) = self.batches.get(key) else {
            panic!("{key:?} is to be put and is not held");
        };
        if held.may_have_arrived {
            self.sender.counters.repeated_events.add(events_of(&held.batch, held.pending.len()));
        }
        let (batch, pending) = (Arc::clone(&held.batch), held.pending.clone());
        let (sender, notify, since) = (self.sender.clone(), self.notify.clone(), self.start.elapsed());
        self.tasks.spawn(async move {
            let done = sender.put(&batch, &pending, since).await;
            drop(notify.send(Notice::Put(key, done)));
        });
    }

    fn spool(&mut self, id: u64) -> Result<(), DriveError> {
        let (Some(held), Some(backlog)) = (self.batches.get_mut(Key::Live(id)), &self.backlog) else {
            panic!("batch {id} is to be spooled and there is no batch or no queue");
        };
        if std::mem::take(&mut held.may_have_arrived) {
            // The queue does not remember it, so the repetition counts now.
            self.sender.counters.repeated_events.add(events_of(&held.batch, held.pending.len()));
        }
        let batch = if held.pending.len() == held.batch.len() {
            Arc::clone(&held.batch)
        } else {
            // The rest of it was delivered already.
            Arc::new(held.batch.subset(held.pending.indexes()))
        };
        let notify = self.notify.clone();
        let on_kept = Box::new(move |sequence| drop(notify.send(Notice::Spooled(id, sequence))));
        let append = Append { info: backlog::info_of(&batch), payload: batch.to_payload(), on_kept };
        Ok(backlog.queue.append(append)?)
    }

    fn read(&mut self, max: usize) {
        let Some(reader) = self.backlog.as_mut().and_then(|backlog| backlog.reader.take()) else {
            panic!("the queue is to be read and is being read, or is not there");
        };
        let (notify, bytes_max) = (self.notify.clone(), self.batches.readable_bytes());
        self.tasks.spawn(async move {
            let reading = backlog::read(reader, max, bytes_max).await;
            drop(notify.send(Notice::Read(reading)));
        });
    }

    fn drop_batch(&mut self, id: u64, reason: DropReason) {
        let Some(held) = self.batches.get(Key::Live(id)) else { return };
        let events = events_of(&held.batch, held.pending.len());
        let counters = &self.sender.counters;
        let counter = match reason {
            DropReason::Unhealthy => &counters.dropped_unhealthy,
            DropReason::QueueFull => &counters.dropped_queue_full,
        };
        counter.add(events);
        self.said.dropped(self.start.elapsed(), reason.as_str(), events, counter.get());
        self.settle(Key::Live(id), Fate::Dropped);
    }

    /// Lets go of a batch that is neither delivered nor durable.
    fn abandon(&mut self, id: u64) {
        let Some(held) = self.batches.remove(Key::Live(id)) else { return };
        if let Phase::HandOver(_) = *self.phase.borrow() {
            self.left.push_back(held);
        } else {
            self.sender.counters.abandoned_events.add(events_of(&held.batch, held.pending.len()));
        }
    }

    fn settle(&mut self, key: Key, fate: Fate) {
        let Some(held) = self.batches.remove(key) else {
            panic!("{key:?} has its fate and is not held");
        };
        held.receipts.into_iter().for_each(|receipt| receipt.settle_as(fate));
    }

    /// The queue has given batches up. Those that are held here are sent all the same.
    fn on_given_up(&mut self, GivenUp { reason, lost, below }: GivenUp) {
        self.given_up = (below, reason);
        for (key, held) in self.batches.iter_mut() {
            if matches!(*key, Key::Queued(sequence) if Sequence(sequence) < below) {
                held.given_up.get_or_insert(reason);
            }
        }
        if lost.batches > 0 {
            self.count_given_up(reason, lost);
        }
    }

    fn count_given_up(&mut self, reason: queue::DropReason, lost: Tally) {
        let counters = &self.sender.counters;
        let counter = match reason {
            queue::DropReason::Full => &counters.dropped_oldest,
            queue::DropReason::Expired => &counters.expired,
        };
        counter.add(lost.events);
        self.said.given_up(self.start.elapsed(), policy_name(reason), lost, counter.get());
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
