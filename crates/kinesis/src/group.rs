//! Batches that share calls, like writers that share a sync.
//!
//! Only so many calls are under way at a time. A batch that finds one free makes its call at once,
//! alone. One that does not gets in line, and whoever makes the next call takes along what waits: so
//! calls grow with the round trip and the load, and nothing ever waits for company. When a call fails
//! as a whole, the line is turned away: whether and when there is another attempt is not decided here.
//!
//! Whose turn it is passes from hand to hand as a [`Slot`]; one that is dropped, whatever the reason,
//! goes to the next in line. **Invariant:** while anyone waits, all slots are in somebody's hands.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::attempt::{Attempt, unsent};
use crate::batch::Batch;
use crate::classify;
use crate::client::{Cause, Failure};
use crate::output::{Report, Stream};
use crate::settle::{Pending, Settled};

/// The calls of one output, and who waits for one.
pub(crate) struct Groups {
    stream: Arc<Stream>,
    line: Mutex<Line>,
}

struct Line {
    /// In the order of their sends.
    waiting: VecDeque<Waiting>,
    /// Slots that nobody has.
    free: u32,
}

/// A batch in line.
struct Waiting {
    batch: Batch,
    pending: Pending,
    bytes: usize,
    turn: oneshot::Sender<Turn>,
}

/// What happens to a batch in line.
enum Turn {
    /// It makes the next call, and takes along what waits behind it.
    Call(Slot),
    /// Another took it along, or it was turned away; the call that decided began at this time.
    Done(Settled, Instant),
}

/// The right to make a call.
struct Slot(Option<Arc<Groups>>);

impl Groups {
    /// Calls to `stream`, at most `calls_max` of them under way.
    pub(crate) fn new(stream: Arc<Stream>, calls_max: u32) -> Arc<Groups> {
        assert!(calls_max > 0, "a stream that nothing may be sent to");
        let line = Mutex::new(Line { waiting: VecDeque::new(), free: calls_max });
        Arc::new(Groups { stream, line })
    }

    /// See [`crate::Output::send`]; the attempt began at `begin`.
    pub(crate) async fn send(self: &Arc<Groups>, batch: &Batch, pending: &Pending, begin: Instant) -> Report {
        if pending.is_empty() {
            return Report::new(Settled::default(), Vec::new(), begin);
        }
        let slot = match self.get_in_line(batch, pending) {
            Ok(slot) => slot,
            Err(turn) => match turn.await {
                Ok(Turn::Call(slot)) => slot,
                Ok(Turn::Done(settled, call_began)) => return follower(settled, begin, call_began),
                Err(_) => return follower(self.abandoned(pending), begin, begin),
            },
        };
        self.lead(slot, batch, pending, begin).await
    }

    /// A free slot, or else the end of the line.
    fn get_in_line(
        self: &Arc<Groups>,
        batch: &Batch,
        pending: &Pending,
    ) -> Result<Slot, oneshot::Receiver<Turn>> {
        let mut line = self.line();
        if line.free > 0 {
            assert!(line.waiting.is_empty(), "nobody waits while a slot is free");
            line.free -= 1;
            return Ok(Slot(Some(Arc::clone(self))));
        }
        let (turn, my_turn) = oneshot::channel();
        let bytes = wire_bytes(batch, pending);
        line.waiting.push_back(Waiting { batch: batch.clone(), pending: pending.clone(), bytes, turn });
        Err(my_turn)
    }

    /// Makes the call for this batch and for those that wait, and tells each what became of it.
    async fn lead(&self, slot: Slot, batch: &Batch, pending: &Pending, begin: Instant) -> Report {
        let followers = self.take_along(pending.len(), wire_bytes(batch, pending));
        let call_began = Instant::now();
        let mut attempt = Attempt::new(&self.stream);
        attempt.add(batch, pending);
        for follower in &followers {
            attempt.add(&follower.batch, &follower.pending);
        }
        attempt.put_records().await;
        let ended = attempt.end();
        if let Some(failure) = &ended.broken_off {
            self.turn_away(&unsent(failure), call_began);
        }
        drop(slot);
        let mut settled = ended.settled.into_iter();
        let own = settled.next().expect("the leader's batch is the first");
        for (follower, settled) in followers.into_iter().zip(settled) {
            // One that no longer listens was dropped meanwhile.
            drop(follower.turn.send(Turn::Done(settled, call_began)));
        }
        Report { waited: call_began - begin, ..Report::new(own, ended.calls, begin) }
    }

    /// Takes from the front of the line what fits into one call beside this much. Those who no longer
    /// listen leave the line unsent.
    fn take_along(&self, mut records: usize, mut bytes: usize) -> Vec<Waiting> {
        let options = &self.stream.options;
        let mut line = self.line();
        let mut taken = Vec::new();
        while let Some(next) = line.waiting.front() {
            let is_gone = next.turn.is_closed();
            if !is_gone {
                records += next.pending.len();
                bytes += next.bytes;
                if records > options.request_records_max || bytes > options.request_bytes_max {
                    break;
                }
            }
            taken.extend(line.waiting.pop_front().filter(|_| !is_gone));
        }
        taken
    }

    /// Tells all who wait that they have failed, unsent.
    fn turn_away(&self, failure: &Failure, call_began: Instant) {
        let turned_away = std::mem::take(&mut self.line().waiting);
        for Waiting { pending, turn, .. } in turned_away {
            drop(turn.send(Turn::Done(all_to_retry(&pending, failure.clone()), call_began)));
        }
    }

    /// Whose turn it is now; nobody's: a slot is free again.
    fn next_in_line(&self) -> Option<Waiting> {
        let mut line = self.line();
        let next = line.waiting.pop_front();
        line.free += u32::from(next.is_none());
        next
    }

    /// The call was dropped while it was under way.
    fn abandoned(&self, pending: &Pending) -> Settled {
        let context = self.stream.context("PutRecords");
        let failure = classify::no_answer(context, Cause::Other, "the call was abandoned half-way", true);
        all_to_retry(pending, failure)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

impl Drop for Slot {
    /// Passes the slot on to the first in line who still listens.
    fn drop(&mut self) {
        let mut slot = self.0.take();
        while let Some(groups) = slot.take() {
            let Some(next) = groups.next_in_line() else { return };
            if let Err(Turn::Call(mut returned)) = next.turn.send(Turn::Call(Slot(Some(groups)))) {
                slot = returned.0.take();
            }
        }
    }
}

fn all_to_retry(pending: &Pending, failure: Failure) -> Settled {
    Settled { retry: pending.indexes().to_vec(), failure: Some(failure), ..Settled::default() }
}

fn wire_bytes(batch: &Batch, pending: &Pending) -> usize {
    pending.indexes().iter().map(|index| batch.record(*index as usize).wire_bytes()).sum()
}

fn follower(settled: Settled, begin: Instant, call_began: Instant) -> Report {
    Report {
        shared: true,
        waited: call_began.saturating_duration_since(begin),
        ..Report::new(settled, Vec::new(), begin)
    }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
