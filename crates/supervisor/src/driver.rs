//! Performs what the [forwarder](crate::forwarder) of one output decides, and tells it what happened. Decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use millpond_kinesis::{Batch, Class, Failure, Pending, Verification};
use millpond_queue::{Frame, Fs, Reader, Sequence};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::assembler::Encoding;
use crate::backlog::{self, Content, Reading};
use crate::chunk::Receipt;
use crate::dead_letters::Reason;
use crate::failure_log::FailureLog;
use crate::forwarder::{Action, DropReason, Event, Forwarder, Key};
use crate::health::{Name, Verdict};
use crate::put::{PutDone, Sender, events_of};
use crate::queue_thread::{Append, CloseFailed, QueueGone, QueueThread};

/// Whether the process runs or stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It runs.
    Run,
    /// It stops, and has until then.
    Stop(Instant),
}

/// Something that a task or the queue's thread reports.
pub enum Notice {
    /// A put ended.
    Put(Key, PutDone),
    /// The shards were looked at.
    Verified(Verification),
    /// A live batch is durable in the queue.
    Spooled(u64),
    /// Whether the queue takes batches, and why not.
    QueueRoom(Result<(), String>),
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
    tasks: JoinSet<()>,
    batches: HashMap<Key, Held>,
    next_id: u64,
    start: Instant,
    said: Said,
}

/// A batch in memory.
#[derive(Debug)]
struct Held {
    batch: Arc<Batch>,
    pending: Pending,
    receipts: Vec<Receipt>,
    may_have_arrived: bool,
}

/// What the log knows.
#[derive(Debug)]
struct Said {
    name: Name,
    since: Duration,
    reason: String,
    /// That the output is unhealthy was said, and not yet that it is no longer.
    down: bool,
    backlog: bool,
    /// That the queue is full was said, and not yet that it is no longer.
    full: bool,
    throttled: bool,
    failures: FailureLog,
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
    /// A driver for `machine`. `notices` and `notify` are the two ends of one channel; the queue's thread reports
    /// its room there too.
    #[must_use]
    pub fn new(
        machine: Forwarder,
        sender: Sender,
        backlog: Option<Backlog>,
        encodings: mpsc::Receiver<Encoding>,
        (notify, notices): (mpsc::UnboundedSender<Notice>, mpsc::UnboundedReceiver<Notice>),
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let said = Said {
            name: machine.health().name(),
            since: Duration::ZERO,
            reason: String::new(),
            down: false,
            backlog: machine.has_backlog(),
            full: false,
            throttled: false,
            failures: FailureLog::default(),
        };
        Self {
            machine,
            sender,
            backlog,
            encodings,
            encoding: None,
            notices,
            notify,
            phase,
            tasks: JoinSet::new(),
            batches: HashMap::new(),
            next_id: 0,
            start: Instant::now(),
            said,
        }
    }

    /// Forwards until the inputs have ended and all is delivered, or until told to stop. Then closes the queue.
    ///
    /// # Errors
    /// See [`DriveError`]. What was acknowledged is delivered or durable all the same.
    pub async fn run(mut self) -> Result<(), DriveError> {
        let outcome = self.drive().await;
        self.tasks.shutdown().await;
        self.batches.clear();
        if let Some(Backlog { queue, reader }) = self.backlog.take() {
            drop(reader);
            match tokio::task::spawn_blocking(|| queue.close()).await {
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
            if let Some(event) = event.take() {
                self.machine.handle(self.start.elapsed(), event, &mut actions);
                for action in actions.drain(..) {
                    if action == Action::Finished {
                        return Ok(());
                    }
                    self.perform(action)?;
                }
                self.say_changes();
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
                Ok(()) = self.phase.changed() => Some(Event::Stop),
            };
        }
    }

    fn hold_live(&mut self, (batch, receipts): (Batch, Vec<Receipt>)) -> Event {
        let id = self.next_id;
        self.next_id += 1;
        self.hold(Key::Live(id), batch, receipts);
        Event::Live(id)
    }

    fn hold(&mut self, key: Key, batch: Batch, receipts: Vec<Receipt>) {
        let pending = Pending::all(&batch);
        let held = Held { batch: Arc::new(batch), pending, receipts, may_have_arrived: false };
        let known = self.batches.insert(key, held);
        assert!(known.is_none(), "{key:?} is held twice");
    }

    fn on_notice(&mut self, notice: Notice) -> Result<Option<Event>, DriveError> {
        let from_the_queue = matches!(notice, Notice::Spooled(_) | Notice::QueueRoom(_));
        if self.machine.has_given_up() && !from_the_queue {
            return Ok(None);
        }
        match notice {
            Notice::Put(key, done) => Ok(Some(self.on_put(key, done))),
            Notice::Verified(verification) => Ok(Some(Event::Verified(self.on_verified(verification)))),
            Notice::Spooled(id) => {
                self.sender.counters.spooled_batches.add(1);
                self.settle(Key::Live(id));
                Ok(Some(Event::Spooled(id)))
            }
            Notice::QueueRoom(room) => {
                self.say_room(&room);
                Ok(Some(Event::QueueRoom(room.is_ok())))
            }
            Notice::Read(reading) => self.on_read(reading).map(Some),
        }
    }

    fn on_put(&mut self, key: Key, done: PutDone) -> Event {
        if let Some(failure) = &done.failure {
            self.say_failure(failure);
        }
        if let Some(held) = self.batches.get_mut(&key) {
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
                Verdict::Covered
            }
            Verification::Unknown { reason } => {
                let reason = reason.message;
                tracing::warn!(output, reason, "the shards may not be listed: the first batch decides");
                Verdict::Unknown
            }
            Verification::NotCovered { reason } => {
                if self.said.failures.note(self.start.elapsed(), "shards-not-covered").is_some() {
                    tracing::warn!(
                        output,
                        reason,
                        "the open shards do not cover the hash range: nothing is sent yet"
                    );
                }
                self.said.reason = reason;
                Verdict::Bad
            }
            Verification::Down(failure) => {
                self.say_failure(&failure);
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
                    self.hold(Key::Queued(sequence.0), batch, Vec::new());
                    self.machine.handle(now, Event::Read(sequence.0), &mut actions);
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
                self.settle(key);
            }
            Action::Spool(id) => self.spool(id)?,
            Action::Drop(id, reason) => self.drop_batch(id, reason),
            Action::Abandon(id) => {
                if let Some(held) = self.batches.remove(&Key::Live(id)) {
                    self.sender.counters.abandoned_events.add(events_of(&held.batch, held.pending.len()));
                }
            }
            Action::Forget(sequence) => {
                self.batches.remove(&Key::Queued(sequence));
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
        let Some(held) = self.batches.get(&key) else {
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
        let (Some(held), Some(backlog)) = (self.batches.get(&Key::Live(id)), &self.backlog) else {
            panic!("batch {id} is to be spooled and there is no batch or no queue");
        };
        let batch = if held.pending.len() == held.batch.len() {
            Arc::clone(&held.batch)
        } else {
            // The rest of it was delivered already.
            Arc::new(held.batch.subset(held.pending.indexes()))
        };
        let notify = self.notify.clone();
        let on_durable = Box::new(move |_| drop(notify.send(Notice::Spooled(id))));
        let append = Append { info: backlog::info_of(&batch), payload: batch.to_payload(), on_durable };
        Ok(backlog.queue.append(append)?)
    }

    fn read(&mut self, max: usize) {
        let Some(reader) = self.backlog.as_mut().and_then(|backlog| backlog.reader.take()) else {
            panic!("the queue is to be read and is being read, or is not there");
        };
        let notify = self.notify.clone();
        self.tasks.spawn(async move {
            let reading = backlog::read(reader, max).await;
            drop(notify.send(Notice::Read(reading)));
        });
    }

    fn drop_batch(&mut self, id: u64, reason: DropReason) {
        let Some(held) = self.batches.get(&Key::Live(id)) else { return };
        let events = events_of(&held.batch, held.pending.len());
        let counters = &self.sender.counters;
        match reason {
            DropReason::Unhealthy => counters.dropped_unhealthy.add(events),
            DropReason::QueueFull => counters.dropped_queue_full.add(events),
        }
        if let Some(held_back) = self.said.failures.note(self.start.elapsed(), reason.as_str()) {
            let (output, dropped_in_all) = (&*self.sender.id, counters.dropped());
            tracing::warn!(
                output,
                reason = reason.as_str(),
                events,
                dropped_in_all,
                held_back,
                "events are dropped by policy"
            );
        }
        self.settle(Key::Live(id));
    }

    fn settle(&mut self, key: Key) {
        let Some(held) = self.batches.remove(&key) else {
            panic!("{key:?} has its fate and is not held");
        };
        held.receipts.into_iter().for_each(Receipt::settle);
    }

    /// A queue that drains at its limit is full and not full many times a second.
    fn say_room(&mut self, room: &Result<(), String>) {
        let output = &*self.sender.id;
        match room {
            Err(reason) => {
                if let Some(held_back) = self.said.failures.note(self.start.elapsed(), "queue-full") {
                    self.said.full = true;
                    tracing::warn!(output, reason, held_back, "the queue takes no more batches for now");
                }
            }
            Ok(()) if self.said.full => {
                self.said.full = false;
                tracing::info!(output, "the queue takes batches again");
            }
            Ok(()) => {}
        }
    }

    fn say_failure(&mut self, failure: &Failure) {
        self.said.reason.clone_from(&failure.message);
        if let Some(held_back) = self.said.failures.note(self.start.elapsed(), &kind_of(failure)) {
            let (output, class, code) = (&*self.sender.id, failure.class.as_str(), failure.label());
            let reason = &*failure.message;
            tracing::warn!(output, class, code, held_back, reason, "a put or a look at the shards failed");
        }
    }

    fn say_changes(&mut self) {
        let output = &*self.sender.id;
        let now = self.start.elapsed();
        let name = self.machine.health().name();
        if name != self.said.name {
            let after_secs = (now - self.said.since).as_millis() as f64 / 1000.0;
            let (state, was) = (name.to_string(), self.said.name.to_string());
            self.said.since = now;
            self.said.name = name;
            match name {
                // A probe that failed is no news beside its failure, which is said.
                Name::Unhealthy if self.said.down => tracing::debug!(output, state, was, "still unhealthy"),
                Name::Unhealthy => {
                    self.said.down = true;
                    let reason = &*self.said.reason;
                    tracing::warn!(output, state, was, after_secs, reason, "the output is unhealthy");
                }
                Name::Verifying => tracing::debug!(output, state, was, after_secs, "verifying"),
                Name::Recovering => {
                    self.said.down = false;
                    tracing::info!(output, state, was, after_secs, "puts are accepted");
                }
                Name::Healthy => {
                    self.said.down = false;
                    tracing::info!(output, state, was, after_secs, "the output is healthy");
                    for (kind, held_back) in self.said.failures.clear() {
                        tracing::info!(output, kind, held_back, "failures that were not said one by one");
                    }
                }
            }
        }
        let throttled = self.machine.is_throttled();
        if throttled != self.said.throttled {
            self.said.throttled = throttled;
            tracing::debug!(output, throttled, "the service asks to slow down, or no longer does");
        }
        let backlog = self.machine.has_backlog();
        if backlog != self.said.backlog {
            self.said.backlog = backlog;
            if !backlog {
                tracing::info!(
                    output,
                    delivered = self.sender.counters.delivered_events.get(),
                    "the queue is empty"
                );
            }
        }
    }
}

/// Failures of one kind are said now and then, a new kind at once. Throttling differs by shard and is one kind; apart from
/// that, what a person would read as the same is the same: the words, not the call and not the numbers in them.
fn kind_of(failure: &Failure) -> String {
    if failure.class == Class::Throttled {
        return failure.label().to_owned();
    }
    let words = failure.message.split_once(": ").map_or(&*failure.message, |(_, words)| words);
    words.chars().filter(|char| !char.is_ascii_digit()).collect()
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
