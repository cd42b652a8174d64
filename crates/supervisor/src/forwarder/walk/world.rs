//! What the forwarder is surrounded by: anything that may happen next is a move.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Bounds;
use crate::forwarder::{Action, Event, Forwarder, Key, Policy, PutResult};
use crate::health::{PutHealth, Verdict};
use crate::rate::Load;

/// Something that may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// As much time passes as the machine wants to wait.
    Deadline,
    /// So many milliseconds pass.
    Wait(u64),
    Live,
    InputsEnd,
    /// A put is answered: accepted whole, or how not.
    Accepted(Key),
    Answered(Key, PutHealth),
    Verified(Verdict),
    /// The queue takes the oldest batch it was given, makes what it took readable, gives back what it was given.
    Take,
    Sync,
    WithdrawAll,
    GiveBack,
    Room(bool),
    /// A reading ends; `true`: it saw what became readable after it had begun.
    ReadDone(bool),
    Pause(bool),
    Stop,
    GiveUp,
}

/// What became of a batch in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    Done,
    Dropped,
    Abandoned,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) machine: Forwarder,
    pub(super) now: Duration,
    pub(super) bounds: Bounds,
    pub(super) given: u64,
    /// Puts that were not answered yet, and when they began.
    pub(super) puts: BTreeMap<Key, Duration>,
    pub(super) looking: bool,
    /// So many batches are being read, of those below a sequence.
    pub(super) reading: Option<(usize, usize)>,
    /// Batches by their sequence; how many can be read, and were.
    pub(super) queue: Vec<u64>,
    pub(super) readable: usize,
    pub(super) read: usize,
    /// Given to the queue; wanted back; on their way back.
    pub(super) parked: VecDeque<u64>,
    pub(super) wanted_back: bool,
    pub(super) coming_back: VecDeque<u64>,
    pub(super) room: bool,
    /// The machine was told that there is none.
    pub(super) told_full: bool,
    pub(super) paused: bool,
    pub(super) ended: bool,
    pub(super) stopped: bool,
    pub(super) gave_up: bool,
    pub(super) finished: bool,
    pub(super) accepted: Vec<u64>,
    pub(super) fates: BTreeMap<u64, Fate>,
}

pub(super) type Checked = Result<(), String>;

pub(super) fn must(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

impl World {
    pub(super) fn new(policy: Policy, bounds: Bounds) -> Self {
        Self {
            machine: Forwarder::new(policy, bounds.before, 1),
            now: Duration::ZERO,
            bounds,
            given: bounds.before,
            puts: BTreeMap::new(),
            looking: false,
            reading: None,
            queue: (0..bounds.before).collect(),
            readable: 0,
            read: 0,
            parked: VecDeque::new(),
            wanted_back: false,
            coming_back: VecDeque::new(),
            room: true,
            told_full: false,
            paused: false,
            ended: false,
            stopped: false,
            gave_up: false,
            finished: false,
            accepted: Vec::new(),
            fates: BTreeMap::new(),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Has a batch met this fate?
    pub(super) fn has(&self, fate: Fate) -> bool {
        self.fates.values().any(|met| *met == fate)
    }

    pub(super) fn id(&self, key: Key) -> u64 {
        match key {
            Key::Live(id) => id,
            Key::Queued(sequence) => self.queue[sequence as usize],
        }
    }

    fn may_give(&self) -> bool {
        !self.ended && self.given < self.bounds.before + self.bounds.live && self.machine.wants_live()
    }

    /// What may happen next.
    pub(super) fn moves(&self) -> Vec<Move> {
        if self.finished {
            return Vec::new();
        }
        let mut moves = vec![Move::Wait(600), Move::Wait(100_000)];
        let mut may = |possible: bool, step: Move| {
            if possible {
                moves.push(step);
            }
        };
        may(self.machine.deadline().is_some(), Move::Deadline);
        may(self.may_give() && !self.stopped, Move::Live);
        may(!self.ended, Move::InputsEnd);
        for verdict in [Verdict::Covered, Verdict::Bad] {
            may(self.looking, Move::Verified(verdict));
        }
        may(self.room && !self.parked.is_empty(), Move::Take);
        may(self.readable < self.queue.len(), Move::Sync);
        may(self.wanted_back, Move::WithdrawAll);
        may(!self.coming_back.is_empty(), Move::GiveBack);
        may(self.room && self.bounds.shortages > 0, Move::Room(false));
        may(!self.room, Move::Room(true));
        may(self.reading.is_some(), Move::ReadDone(true));
        may(self.reading.is_some_and(|(_, end)| end < self.readable), Move::ReadDone(false));
        may(!self.paused && self.bounds.pauses > 0, Move::Pause(true));
        may(self.paused, Move::Pause(false));
        may(!self.stopped && self.bounds.stops, Move::Stop);
        may(self.stopped && !self.gave_up, Move::GiveUp);
        for key in self.puts.keys() {
            may(true, Move::Accepted(*key));
            for health in [PutHealth::Throttled, PutHealth::Transient, PutHealth::Misconfigured] {
                may(true, Move::Answered(*key, health));
            }
        }
        moves
    }

    /// What happens next if everybody means well and the inputs have no more to give.
    pub(super) fn good_move(&self) -> Option<Move> {
        let put = self.puts.keys().next().copied();
        let wishes = [
            self.paused.then_some(Move::Pause(false)),
            (!self.room).then_some(Move::Room(true)),
            (!self.coming_back.is_empty()).then_some(Move::GiveBack),
            self.wanted_back.then_some(Move::WithdrawAll),
            (!self.parked.is_empty()).then_some(Move::Take),
            (self.readable < self.queue.len()).then_some(Move::Sync),
            self.looking.then_some(Move::Verified(Verdict::Covered)),
            put.map(Move::Accepted),
            self.reading.map(|_| Move::ReadDone(false)),
            (!self.ended).then_some(Move::InputsEnd),
            self.machine.deadline().map(|_| Move::Deadline),
        ];
        wishes.into_iter().flatten().next()
    }

    pub(super) fn make(&mut self, step: Move) -> Checked {
        match step {
            Move::Deadline => {
                let deadline = self.machine.deadline().ok_or("nobody waits")?;
                must(deadline > self.now, || "a deadline that is over".to_owned())?;
                self.now = deadline;
                self.handle(Event::Time)
            }
            Move::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.handle(Event::Time)
            }
            Move::Live => {
                self.given += 1;
                self.handle(Event::Live(self.given - 1))
            }
            Move::InputsEnd => {
                self.ended = true;
                self.handle(Event::InputsEnded)
            }
            Move::Accepted(key) => {
                self.accepted.push(self.id(key));
                self.answer(key, PutHealth::Open)
            }
            Move::Answered(key, health) => self.answer(key, health),
            Move::Verified(verdict) => {
                self.looking = false;
                self.handle(Event::Verified(verdict))
            }
            Move::Pause(paused) => {
                self.bounds.pauses -= u8::from(paused);
                self.paused = paused;
                self.handle(Event::Pause(paused))
            }
            Move::Stop => {
                self.stopped = true;
                self.handle(Event::Stop)
            }
            Move::GiveUp => {
                self.gave_up = true;
                // Nobody is heard any more but the queue.
                (self.puts, self.looking, self.reading) = (BTreeMap::new(), false, None);
                self.handle(Event::GiveUp)
            }
            Move::Take
            | Move::Sync
            | Move::WithdrawAll
            | Move::GiveBack
            | Move::Room(_)
            | Move::ReadDone(_) => self.queue_moves(step),
        }
    }

    fn queue_moves(&mut self, step: Move) -> Checked {
        match step {
            Move::Take => {
                let id = self.parked.pop_front().ok_or("nothing to take")?;
                let sequence = self.queue.len() as u64;
                self.queue.push(id);
                // Of what was let go of nobody wants to hear.
                if self.fates.contains_key(&id) {
                    Ok(())
                } else {
                    self.handle(Event::Spooled { id, sequence })
                }
            }
            Move::Sync => {
                self.readable = self.queue.len();
                self.handle(Event::Readable(self.readable as u64))
            }
            Move::WithdrawAll => {
                self.wanted_back = false;
                self.coming_back.append(&mut self.parked);
                self.coming_back.retain(|id| !self.fates.contains_key(id));
                self.told_full = false;
                Ok(())
            }
            Move::GiveBack => {
                let id = self.coming_back.pop_front().ok_or("nothing to give back")?;
                if self.fates.contains_key(&id) { Ok(()) } else { self.handle(Event::Withdrawn(id)) }
            }
            Move::Room(room) => {
                self.bounds.shortages -= u8::from(!room);
                self.room = room;
                self.tell_room()
            }
            Move::ReadDone(late) => {
                let (max, seen) = self.reading.take().ok_or("nobody reads")?;
                let seen = if late { self.readable } else { seen };
                let end = seen.min(self.read + max);
                for sequence in self.read..end {
                    let load = Load { events: 1, bytes: 1 };
                    self.handle(Event::Read { sequence: sequence as u64, load })?;
                }
                self.read = end;
                self.handle(Event::ReadDone { more: self.read < seen })
            }
            _ => Err(format!("{step:?} is no move of the queue")),
        }
    }

    /// The queue finds out that it has no room when it is given something.
    fn tell_room(&mut self) -> Checked {
        let full = !self.room && (!self.parked.is_empty() || self.told_full);
        if full == self.told_full {
            return Ok(());
        }
        self.told_full = full;
        self.handle(Event::QueueRoom(!full))
    }

    fn answer(&mut self, key: Key, health: PutHealth) -> Checked {
        let since = self.puts.remove(&key).ok_or("no such put")?;
        let finished = health == PutHealth::Open;
        let left = if finished { Load::default() } else { Load { events: 1, bytes: 1 } };
        // That a part was accepted makes the next attempt come sooner, which is no other state.
        let result = PutResult { finished, progressed: finished, health, since, left };
        self.handle(Event::Put { key, result })
    }

    fn handle(&mut self, event: Event) -> Checked {
        let mut actions = Vec::new();
        self.machine.handle(self.now, event, &mut actions);
        for action in actions {
            self.perform(action)?;
        }
        self.tell_room()
    }

    fn perform(&mut self, action: Action) -> Checked {
        let may_send = self.machine.health().permits() > 0 && !self.paused && !self.gave_up;
        match action {
            Action::Put(key) => {
                must(may_send, || format!("{key:?} is put while the output is down"))?;
                must(!self.accepted.contains(&self.id(key)), || format!("{key:?} is put and was accepted"))?;
                self.check_order(key)?;
                must(self.puts.insert(key, self.now).is_none(), || format!("{key:?} is put twice"))
            }
            Action::Done(key) => {
                let id = self.id(key);
                must(self.accepted.contains(&id), || format!("{key:?} is done and was not accepted"))?;
                self.end(id, Fate::Done)
            }
            Action::Spool(id) => {
                self.parked.push_back(id);
                Ok(())
            }
            Action::Withdraw => {
                self.wanted_back = true;
                Ok(())
            }
            Action::Drop(id, reason) => {
                must(self.may_drop(reason), || format!("{id} is dropped and no policy says so"))?;
                self.end(id, Fate::Dropped)
            }
            Action::Abandon(id) => {
                must(self.stopped, || format!("{id} is abandoned and nobody stops"))?;
                self.end(id, Fate::Abandoned)
            }
            Action::Forget(sequence) => {
                must(self.stopped, || format!("{sequence} is forgotten and nobody stops"))
            }
            Action::Verify => {
                must(!self.paused && !self.looking, || "a look that nobody wants".to_owned())?;
                self.looking = true;
                Ok(())
            }
            Action::Read(max) => {
                must(may_send && !self.stopped, || "a reading while the output is down".to_owned())?;
                must(self.reading.replace((max, self.readable)).is_none(), || {
                    "two readings at once".to_owned()
                })
            }
            Action::Finished => {
                self.finished = true;
                Ok(())
            }
        }
    }
}
