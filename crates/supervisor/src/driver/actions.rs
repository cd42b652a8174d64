//! What the machine wants done.

use std::sync::Arc;

use millpond_queue::{Sequence, Tally};

use super::{Backlog, DriveError, Driver, Notice, Phase};
use crate::backlog;
use crate::chunk::Fate;
use crate::forwarder::{Action, DropReason, Key};
use crate::ledger::Settled;
use crate::put::events_of;
use crate::queue_thread::{Append, QueueThread};

impl Driver {
    pub(super) fn perform(&mut self, action: Action) -> Result<(), DriveError> {
        match action {
            Action::Put(key) => self.put(key),
            Action::Done(key) => {
                if let (Key::Queued(sequence), Some(queue)) = (key, self.queue()) {
                    queue.ack(Sequence(sequence))?;
                }
                self.settle(key, Fate::Delivered);
            }
            Action::Spool(id) => self.spool(id)?,
            Action::Withdraw => {
                if let Some(queue) = self.queue() {
                    queue.withdraw()?;
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

    pub(super) fn queue(&self) -> Option<&QueueThread> {
        self.backlog.as_ref().and_then(Backlog::queue)
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
        let ledger = self.backlog.as_ref().and_then(Backlog::ledger).cloned();
        self.tasks.spawn(async move {
            let done = sender.put(&batch, &pending, since).await;
            let notice = match (ledger, key) {
                (Some(ledger), Key::Queued(sequence)) if done.result.finished => {
                    match ledger.settle(Settled::of(Sequence(sequence), &batch)).await {
                        Ok(()) => Notice::Put(key, done),
                        Err(error) => Notice::Unwritten(error),
                    }
                }
                _ => Notice::Put(key, done),
            };
            // The driver is gone only when nobody wants to know any more.
            drop(notify.send(notice));
        });
    }

    fn spool(&mut self, id: u64) -> Result<(), DriveError> {
        let queue = self.backlog.as_ref().and_then(Backlog::queue);
        let (Some(held), Some(queue)) = (self.batches.get_mut(Key::Live(id)), queue) else {
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
        Ok(queue.append(append)?)
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

    pub(super) fn settle(&mut self, key: Key, fate: Fate) {
        let Some(held) = self.batches.remove(key) else {
            panic!("{key:?} has its fate and is not held");
        };
        held.receipts.into_iter().for_each(|receipt| receipt.settle_as(fate));
    }
}
