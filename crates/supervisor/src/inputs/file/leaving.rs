//! Files that are not where they were found: read to their end, then forgotten.

use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use super::reader::{Reader, now_ms};
use super::tail::{Look, Place, TailId};

/// What is to be done with a file that left.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It may grow, or something is on its way.
    Wait,
    /// It is quiet, and its last line has no end: that is not to come any more.
    TakeRest,
    /// All of it is read, and it matches under its new path: it is an ordinary file there.
    Settle,
    /// All of it is acknowledged, and nobody can write to it any more.
    Forget,
    /// All of it is acknowledged; should it come back, its position is known.
    Store,
}

/// What is known of a file that left.
#[derive(Debug, Clone, Copy)]
struct Facts {
    place: Place,
    is_quiet: bool,
    is_idle: bool,
    has_unread: bool,
    is_settled: bool,
}

/// Pure: what to do next.
fn step(facts: Facts) -> Step {
    let Facts { place, is_quiet, is_idle, has_unread, is_settled } = facts;
    match place {
        Place::Here => Step::Wait,
        Place::Vanished if is_settled => Step::Store,
        Place::Vanished => Step::Wait,
        _ if !is_quiet => Step::Wait,
        _ if has_unread => Step::TakeRest,
        Place::Moved { is_named: true } => Step::Settle,
        Place::Deleted if is_settled => Step::Forget,
        Place::Moved { is_named: false } if is_idle && is_settled => Step::Store,
        Place::Deleted | Place::Moved { is_named: false } => Step::Wait,
    }
}

impl Reader {
    /// Takes the next step with each file that left.
    pub(super) fn look_at_leaving(&mut self) {
        let now = Instant::now();
        let ids: Vec<TailId> = self.roster.leaving().iter().copied().collect();
        for id in ids {
            self.look_at_left(id, now);
        }
        self.count_files();
    }

    fn look_at_left(&mut self, id: TailId, now: Instant) {
        let Some(tail) = self.roster.get_mut(id) else { return };
        if let Some(metadata) = tail.file.as_ref().and_then(|file| file.metadata().ok()) {
            let look = Look::of(&metadata);
            if tail.seen != Some(look) {
                tail.seen = Some(look);
                tail.grown_at = now;
                self.roster.enqueue(id);
            }
            if metadata.nlink() == 0 {
                self.deleted_too(id);
            }
        }
        let Some(tail) = self.roster.get(id) else { return };
        if tail.is_queued {
            return;
        }
        let silence = now.duration_since(tail.grown_at);
        let facts = Facts {
            place: tail.place,
            is_quiet: silence >= self.timing.gone_quiet,
            is_idle: silence >= self.timing.idle_close,
            has_unread: tail.unread() > 0,
            is_settled: tail.is_settled(),
        };
        self.take_step(id, step(facts));
    }

    fn deleted_too(&mut self, id: TailId) {
        let Some(tail) = self.roster.get(id) else { return };
        if tail.place != Place::Deleted {
            tracing::info!(path = %tail.path.display(), "{} was deleted, too", tail.path.display());
            self.counters.deletions.add(1);
            self.roster.set_place(id, Place::Deleted);
        }
    }

    fn take_step(&mut self, id: TailId, step: Step) {
        match step {
            Step::Wait => {}
            Step::TakeRest => {
                if let Some(tail) = self.roster.get_mut(id) {
                    tail.is_at_end = true;
                }
                self.roster.enqueue(id);
            }
            Step::Settle => {
                if let Some(tail) = self.roster.get_mut(id) {
                    let path = tail.path.clone();
                    tail.set_found_as(&path);
                }
                self.roster.set_place(id, Place::Here);
                self.is_dirty = true;
            }
            Step::Forget | Step::Store => {
                let Some(tail) = self.roster.remove(id) else { return };
                tracing::info!(
                    path = %tail.found_as.display(), position = tail.window.acked().offset,
                    "{} is done: all {} bytes of it are delivered or durable",
                    tail.found_as.display(), tail.window.acked().offset,
                );
                if step == Step::Store {
                    self.stored.insert(tail.key, tail.stored(now_ms()));
                }
                self.is_dirty = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        let moved = |is_named| Place::Moved { is_named };
        // place, quiet, idle, unread, settled
        for (place, is_quiet, is_idle, has_unread, is_settled, expected) in [
            (moved(true), false, false, false, true, Step::Wait),
            (moved(true), true, false, true, true, Step::TakeRest),
            (moved(true), true, false, false, false, Step::Settle),
            (moved(false), true, false, true, false, Step::TakeRest),
            (moved(false), true, false, false, true, Step::Wait),
            (moved(false), true, true, false, false, Step::Wait),
            (moved(false), true, true, false, true, Step::Store),
            (Place::Deleted, false, false, true, true, Step::Wait),
            (Place::Deleted, true, false, true, true, Step::TakeRest),
            (Place::Deleted, true, false, false, false, Step::Wait),
            (Place::Deleted, true, false, false, true, Step::Forget),
            (Place::Vanished, false, false, true, false, Step::Wait),
            (Place::Vanished, false, false, true, true, Step::Store),
            (Place::Here, true, true, true, true, Step::Wait),
        ] {
            let facts = Facts { place, is_quiet, is_idle, has_unread, is_settled };
            assert_eq!(step(facts), expected, "{facts:?}");
        }
    }

    /// Nothing is ever forgotten while something of it is on its way or unread, unless it is gone anyway.
    #[test]
    fn no_facts_lead_to_forgetting_what_is_not_acknowledged() {
        for bits in 0..16_u8 {
            let bit = |n: u8| bits & (1 << n) != 0;
            for place in [
                Place::Moved { is_named: true },
                Place::Moved { is_named: false },
                Place::Deleted,
                Place::Vanished,
            ] {
                let facts = Facts {
                    place,
                    is_quiet: bit(0),
                    is_idle: bit(1),
                    has_unread: bit(2),
                    is_settled: bit(3),
                };
                if matches!(step(facts), Step::Forget | Step::Store) {
                    assert!(facts.is_settled, "{facts:?}");
                    assert!(!facts.has_unread || place == Place::Vanished, "{facts:?}");
                }
            }
        }
    }
}
