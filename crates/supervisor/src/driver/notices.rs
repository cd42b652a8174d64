//! What tasks and the queue report, made events for the machine.

use std::sync::Arc;

use millpond_kinesis::{Batch, Verification};
use millpond_queue::{self as queue, Frame, Sequence, Tally};

use super::held::Held;
use super::{DriveError, Driver, Notice, policy_name};
use crate::backlog::{Content, Reading};
use crate::chunk::Fate;
use crate::dead_letters::Reason;
use crate::forwarder::{Event, Key};
use crate::health::Verdict;
use crate::put::PutDone;
use crate::queue_thread::{GivenUp, QueueThread, Report};
use crate::rate::Load;

impl Driver {
    pub(super) fn hold_live(&mut self, held: Held) -> Event {
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

    pub(super) fn on_notice(&mut self, notice: Notice) -> Result<Option<Event>, DriveError> {
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
            Notice::Unwritten(error) => Err(error.into()),
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
        let Some(queue) = self.queue().map(QueueThread::acknowledger) else { return };
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

    /// The queue has given batches up. Those that are held here are sent all the same.
    pub(super) fn on_given_up(&mut self, GivenUp { reason, lost, below }: GivenUp) {
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

    pub(super) fn count_given_up(&mut self, reason: queue::DropReason, lost: Tally) {
        let counters = &self.sender.counters;
        let counter = match reason {
            queue::DropReason::Full => &counters.dropped_oldest,
            queue::DropReason::Expired => &counters.expired,
            // Whoever purges has the queue to himself, so it was not this process.
            queue::DropReason::Purged => unreachable!("a queue that is owned cannot be purged"),
        };
        counter.add(lost.events);
        self.said.given_up(self.start.elapsed(), policy_name(reason), lost, counter.get());
    }
}
