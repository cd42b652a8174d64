//! When the thread of a queue has something to do although nobody asks. Pure: the time is an argument.
//!
//! A thread with nothing to do has no timer and sleeps until somebody asks.

use std::time::{Duration, Instant};

/// The cursor is made durable this long after the first acknowledgement it lacks …
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// … or after this many of them.
const CHECKPOINT_ACKS: u32 = 64;
/// While the queue is full, delivered segments are looked for this often at most.
const RECLAIM_EVERY: Duration = Duration::from_millis(50);
/// Free space on a file system cannot be awaited: what failed, or found no room, is tried again this often.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(1);
/// A time for which something is kept is told apart in this many steps: nothing is looked at more often.
const STEPS: u32 = 32;
/// Batches that are kept after their delivery are looked at this often at least, and at most.
const RETAINED_EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3_600));

/// What the next thing to do depends on.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    /// When the first acknowledgement came that the cursor on disk lacks, and how many it lacks.
    acked_at: Option<Instant>,
    unsaved_acks: u32,
    /// When the cursor was written last.
    checkpoint_at: Option<Instant>,
    /// When the queue was last tried without success: it has no room, or its disk fails.
    blocked_at: Option<Instant>,
    /// When what is written must be durable.
    sync_at: Option<Instant>,
    /// When the oldest batch becomes too old.
    pub(super) expire_at: Option<Instant>,
    /// When delivered batches may have been kept for long enough.
    pub(super) retained_at: Option<Instant>,
}

impl Timers {
    /// When there is something to do next, if nobody asks before.
    pub(super) fn next(&self) -> Option<Instant> {
        let timers = [self.checkpoint_at(), self.retry_at(), self.sync_at(), self.expire_at];
        timers.into_iter().flatten().min()
    }

    fn retry_at(&self) -> Option<Instant> {
        self.blocked_at.map(|at| at + RETRY_EVERY)
    }

    /// A sync that was due when the queue was last tried has failed, and waits for the next try.
    fn sync_at(&self) -> Option<Instant> {
        self.sync_at.filter(|due| self.blocked_at.is_none_or(|tried| tried < *due))
    }

    fn checkpoint_at(&self) -> Option<Instant> {
        let patience = if self.unsaved_acks < CHECKPOINT_ACKS { CHECKPOINT_EVERY } else { Duration::ZERO };
        let acked = self.acked_at.map(|at| at + patience);
        // Somebody waits for the space of what was delivered.
        let wanted = self.acked_at.filter(|_| self.blocked_at.is_some() && self.unsaved_acks > 0);
        let wanted = wanted.map(|at| self.checkpoint_at.map_or(at, |last| at.max(last + RECLAIM_EVERY)));
        acked.into_iter().chain(wanted).chain(self.retained_at).min()
    }

    pub(super) fn is_checkpoint_due(&self, now: Instant) -> bool {
        is_due(self.checkpoint_at(), now)
    }

    pub(super) fn is_expiry_due(&self, now: Instant) -> bool {
        is_due(self.expire_at, now)
    }

    /// Must what is written become durable now?
    pub(super) fn is_sync_due(&self, now: Instant) -> bool {
        is_due(self.sync_at, now)
    }

    /// While the queue is blocked it is left alone until a try is due.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.blocked_at.is_none() || is_due(self.retry_at(), now) || is_due(self.sync_at(), now)
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_at.is_some()
    }

    pub(super) fn has_unsaved_acks(&self) -> bool {
        self.unsaved_acks > 0
    }

    pub(super) fn on_ack(&mut self, now: Instant) {
        self.unsaved_acks += 1;
        self.acked_at.get_or_insert(now);
    }

    /// A checkpoint has begun; if it fails, the next one is due after [`CHECKPOINT_EVERY`].
    pub(super) fn on_checkpoint(&mut self, now: Instant) {
        (self.unsaved_acks, self.acked_at, self.retained_at) = (0, None, None);
        self.checkpoint_at = Some(now);
    }

    pub(super) fn on_checkpoint_failed(&mut self, now: Instant) {
        self.acked_at = Some(now);
    }

    /// The queue was tried at `now`; `blocked`: it took not all that it was given.
    pub(super) fn on_try(&mut self, now: Instant, blocked: bool) {
        self.blocked_at = blocked.then_some(now);
    }

    /// What was written at `now` must be durable within `every`, if that of an earlier write is not due before.
    pub(super) fn on_write(&mut self, now: Instant, every: Duration) {
        self.sync_at.get_or_insert(now + every);
    }

    /// Everything written is durable.
    pub(super) fn on_sync(&mut self) {
        self.sync_at = None;
    }

    /// The oldest batch, of those that may be `max_age` old, becomes too old at `oldest_at`.
    pub(super) fn on_expiry(&mut self, now: Instant, max_age: Duration, oldest_at: Option<Instant>) {
        self.expire_at = oldest_at.map(|at| at.max(now + max_age / STEPS));
    }

    /// Delivered batches are kept, for `retain`.
    pub(super) fn on_retained(&mut self, now: Instant, retain: Duration) {
        let (least, most) = RETAINED_EVERY;
        self.retained_at = Some(now + (retain / STEPS).clamp(least, most));
    }
}

fn is_due(timer: Option<Instant>, now: Instant) -> bool {
    timer.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_to_do_has_no_timer() {
        assert_eq!(Timers::default().next(), None);
    }

    #[test]
    fn a_cursor_is_written_after_a_second_or_many_acknowledgements() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.on_ack(start);
        timers.on_ack(start + 500 * MS);
        assert_eq!(timers.next(), Some(start + CHECKPOINT_EVERY));
        (2..CHECKPOINT_ACKS).for_each(|_| timers.on_ack(start + 600 * MS));
        assert_eq!(timers.next(), Some(start));
        timers.on_checkpoint(start + 700 * MS);
        assert_eq!(timers.next(), None);
        timers.on_checkpoint_failed(start + 700 * MS);
        assert_eq!(timers.next(), Some(start + 1_700 * MS));
    }

    #[test]
    fn a_full_queue_looks_for_room_when_something_was_delivered() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.on_try(start, true);
        assert_eq!(timers.next(), Some(start + RETRY_EVERY));
        assert!(!timers.may_try(start + 999 * MS) && timers.may_try(start + 1_000 * MS));
        timers.on_ack(start + 10 * MS);
        assert!(timers.is_checkpoint_due(start + 10 * MS));
        timers.on_checkpoint(start + 10 * MS);
        timers.on_ack(start + 20 * MS);
        assert_eq!(timers.next(), Some(start + 60 * MS), "not with every acknowledgement");
        timers.on_try(start + 60 * MS, false);
        assert_eq!(timers.next(), Some(start + 1_020 * MS));
    }

    #[test]
    fn a_sync_comes_in_time_and_a_failed_one_is_tried_with_the_rest() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.on_try(start, false);
        timers.on_write(start, 100 * MS);
        timers.on_write(start + 90 * MS, 100 * MS);
        assert_eq!(timers.next(), Some(start + 100 * MS));
        assert!(timers.is_sync_due(start + 100 * MS));
        // There is no room for another one, but this one must be synced all the same.
        timers.on_try(start + 95 * MS, true);
        assert_eq!(timers.next(), Some(start + 100 * MS));
        assert!(timers.may_try(start + 100 * MS));
        timers.on_try(start + 101 * MS, true);
        assert_eq!(timers.next(), Some(start + 1_101 * MS), "it failed");
        assert!(timers.is_sync_due(start + 102 * MS) && !timers.may_try(start + 102 * MS));
        timers.on_sync();
        timers.on_try(start + 1_101 * MS, false);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn batches_expire_together_and_not_one_by_one() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.on_expiry(start, 32_000 * MS, Some(start + 5 * MS));
        assert_eq!(timers.next(), Some(start + 1_000 * MS));
        timers.on_expiry(start, 32_000 * MS, Some(start + 5_000 * MS));
        assert_eq!(timers.next(), Some(start + 5_000 * MS));
        timers.on_expiry(start, 32_000 * MS, None);
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn what_is_kept_is_looked_at_now_and_then() {
        let start = Instant::now();
        let check = |retain, expected| {
            let mut timers = Timers::default();
            timers.on_retained(start, retain);
            assert_eq!(timers.next(), Some(start + expected));
            assert!(timers.is_checkpoint_due(start + expected));
            timers.on_checkpoint(start + expected);
            assert_eq!(timers.next(), None, "unless something is still kept");
        };
        check(1_000 * MS, 100 * MS);
        check(32 * 60_000 * MS, 60_000 * MS);
        check(Duration::from_secs(365 * 86_400), Duration::from_secs(3_600));
    }

    /// Whatever happens, a thread that has done what was due has its next timer ahead: it never spins.
    #[test]
    fn what_was_done_is_not_due_any_more() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let mut timers = Timers::default();
            let mut now = Instant::now();
            for _ in 0..50 {
                now += random.u32(0..700) * MS;
                match random.u8(..5) {
                    0 => (0..random.u32(..100)).for_each(|_| timers.on_ack(now)),
                    1 => timers.on_try(now, random.bool()),
                    2 => timers.on_write(now, random.u32(1..10_000) * MS),
                    3 => timers.on_retained(now, random.u32(1_000..) * MS),
                    _ => timers.on_expiry(now, 1_000 * MS, random.bool().then_some(now)),
                }
                settle(&mut timers, now, &mut random);
                assert!(timers.next().is_none_or(|next| next > now), "{timers:?}");
            }
        }
    }

    /// What the thread does with what is due, as it may turn out.
    fn settle(timers: &mut Timers, now: Instant, random: &mut fastrand::Rng) {
        if timers.is_expiry_due(now) {
            timers.on_expiry(now, 1_000 * MS, random.bool().then_some(now));
        }
        if timers.may_try(now) && (timers.is_blocked() || timers.is_sync_due(now)) {
            let blocked = random.bool();
            if !blocked {
                timers.on_sync();
            }
            timers.on_try(now, blocked);
        }
        if timers.is_checkpoint_due(now) {
            timers.on_checkpoint(now);
            if random.bool() {
                timers.on_checkpoint_failed(now);
            }
        }
    }
}
