//! What lives on the thread of a queue.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::Instant;

use millpond_queue::{
    AppendError, CheckpointFailed, CloseError, CommitError, DropReason, FullReason, Losses, Queue, Sequence,
    Storage, Tally,
};

use super::timers::{RETRY_EVERY, Timers};
use super::{Append, Command, GivenUp, OnKept, OnReport, Policy, Report};
use crate::clock::Steady;
use crate::failure_log::FailureLog;

/// Why not everything that was handed over is kept.
enum Refused {
    /// What is staged must become durable first.
    Staged,
    /// There is no room for now.
    Full(String),
    /// The disk fails.
    Failed(String),
}

/// Owns the queue. Generic for tests with a disk that fails.
pub(super) struct Owner<S: Storage> {
    queue: Queue<S>,
    policy: Policy,
    clock: Steady,
    on_report: OnReport,
    pub(super) timers: Timers,
    /// Not yet staged: the queue has no room for them now.
    waiting: VecDeque<Append>,
    /// Staged, and not yet as safe as the policy asks for.
    staged: VecDeque<(Sequence, OnKept)>,
    /// What was reported last.
    full: bool,
    readable: Sequence,
    losses: Losses,
    start: Instant,
    failures: FailureLog,
    closing: bool,
    /// When it was opened, and when the last batch came.
    opened_at: Instant,
    appended_at: Instant,
}

impl<S: Storage> Owner<S> {
    pub(super) fn new(queue: Queue<S>, policy: Policy, clock: Steady, on_report: OnReport) -> Self {
        let (start, queue_end, losses) = (Instant::now(), queue.durable(), queue.stats().losses);
        Self {
            queue,
            policy,
            clock,
            on_report,
            timers: Timers::default(),
            waiting: VecDeque::new(),
            staged: VecDeque::new(),
            full: false,
            readable: queue_end,
            losses,
            start,
            failures: FailureLog::default(),
            closing: false,
            opened_at: start,
            appended_at: start,
        }
    }

    pub(super) fn run(mut self, inbox: &mpsc::Receiver<Command>) -> Result<(), CloseError> {
        self.begin(Instant::now());
        while !self.closing {
            match self.timers.next().into_iter().chain(self.lease_ends()).min() {
                None => match inbox.recv() {
                    Ok(command) => self.take(command, Instant::now()),
                    Err(mpsc::RecvError) => self.closing = true,
                },
                Some(timer) => {
                    let patience = timer.saturating_duration_since(Instant::now());
                    match inbox.recv_timeout(patience) {
                        Ok(command) => self.take(command, Instant::now()),
                        Err(mpsc::RecvTimeoutError::Timeout) => {}
                        Err(mpsc::RecvTimeoutError::Disconnected) => self.closing = true,
                    }
                }
            }
            while let Ok(command) = inbox.try_recv() {
                self.take(command, Instant::now());
            }
            self.work(Instant::now());
        }
        self.close(Instant::now())
    }

    pub(super) fn close(self, now: Instant) -> Result<(), CloseError> {
        self.queue.close(self.clock.ms(now))
    }

    /// What became too old while the queue was closed goes before anybody reads it, then the rest may be read.
    pub(super) fn begin(&mut self, now: Instant) {
        (self.opened_at, self.appended_at) = (now, now);
        if self.queue.stats().batches > 0 {
            self.readable = Sequence(0);
        }
        self.expire(now);
        self.report_readable();
        self.look_at_retained(now);
    }

    pub(super) fn work(&mut self, now: Instant) {
        if self.timers.is_expiry_due(now) {
            self.expire(now);
        }
        if self.timers.may_try(now) || self.closing {
            self.put_down(now);
        }
        if self.timers.is_checkpoint_due(now) {
            self.checkpoint(now);
        }
        self.closing |= self.lease_ends().is_some_and(|at| at <= now);
    }

    /// When others may have the queue.
    pub(super) fn lease_ends(&self) -> Option<Instant> {
        let lease = self.policy.lease?;
        let longest = self.opened_at + lease.longest;
        let waits = !self.waiting.is_empty() || !self.staged.is_empty();
        Some(if waits { longest } else { longest.min(self.appended_at + lease.idle) })
    }

    #[cfg(test)]
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    pub(super) fn take(&mut self, command: Command, now: Instant) {
        match command {
            Command::Append(append) => {
                self.appended_at = now;
                self.waiting.push_back(append);
            }
            Command::Withdraw => {
                // It may have got room since.
                self.put_down(now);
                self.waiting.drain(..).for_each(|append| (append.on_kept)(None));
                // Nobody hears that there is room where nothing waits for it: the next batch asks anew.
                self.full &= !self.staged.is_empty();
            }
            Command::Ack(sequence) => {
                self.queue.ack(sequence);
                self.timers.on_ack(now);
            }
            // Nobody waits for the answer any more if this fails.
            Command::Stats(reply) => drop(reply.send(self.queue.stats())),
            Command::Close => self.closing = true,
        }
    }

    /// Keeps what waits, group by group, until there is no more or the queue takes no more; syncs when that is due.
    fn put_down(&mut self, now: Instant) {
        let sync_is_due = self.timers.is_sync_due(now);
        if self.waiting.is_empty() && self.staged.is_empty() && !sync_is_due {
            // What it was blocked by was taken back; whether there is room, the next batch will show.
            self.timers.on_try(now, false);
            return;
        }
        let blocked = loop {
            let staged = self.stage(now);
            // IMPORTANT: where a sync is overdue because it failed, nothing more counts as kept until one succeeds.
            let sync =
                self.policy.sync_every.is_none() || sync_is_due || matches!(staged, Err(Refused::Staged));
            let some_are_staged = !self.staged.is_empty();
            match self.keep(now, sync).and(staged) {
                Ok(()) => break None,
                Err(Refused::Staged) => {}
                // Room is counted for all that is staged, and generously: alone, the next one may have it.
                Err(Refused::Full(_)) if some_are_staged && self.staged.is_empty() => {}
                Err(Refused::Full(reason)) => {
                    if let Err(reason) = self.make_room(now, reason) {
                        break Some(reason);
                    }
                }
                Err(Refused::Failed(reason)) => break Some(reason),
            }
        };
        self.timers.on_try(now, blocked.is_some());
        if blocked.is_some() != self.full {
            self.full = blocked.is_some();
            (self.on_report)(Report::Room(blocked.map_or(Ok(()), Err)));
        }
    }

    /// Hands the queue what it takes.
    fn stage(&mut self, now: Instant) -> Result<(), Refused> {
        while let Some(append) = self.waiting.front() {
            match self.queue.append(append.info, &append.payload) {
                Ok(sequence) => {
                    let append = self.waiting.pop_front().expect("it was just looked at");
                    self.staged.push_back((sequence, append.on_kept));
                    self.note_age(append.info.appended_ms, now);
                }
                Err(AppendError::Full(FullReason::Staged)) => return Err(Refused::Staged),
                Err(error @ AppendError::Full(_)) => return Err(Refused::Full(error.to_string())),
                Err(error) => return Err(Refused::Failed(error.to_string())),
            }
        }
        Ok(())
    }

    /// Writes what is staged, and makes it durable if `sync`; tells whose batches are as safe as the policy asks for.
    fn keep(&mut self, now: Instant, sync: bool) -> Result<(), Refused> {
        let outcome = match sync {
            true => self.queue.commit().map(|durable| durable.upto),
            false => self.queue.write().map(|written| written.upto),
        };
        // Even what failed half-way may have kept the first batches.
        let kept = if sync { self.queue.durable() } else { self.queue.written() };
        while let Some((sequence, on_kept)) = self.staged.pop_front_if(|(sequence, _)| *sequence < kept) {
            on_kept(Some(sequence));
        }
        self.report_readable();
        match self.policy.sync_every {
            Some(every) if self.queue.durable() < self.queue.written() => self.timers.on_write(now, every),
            _ if outcome.is_ok() => self.timers.on_sync(),
            _ => {}
        }
        match outcome {
            Ok(upto) => {
                assert!(
                    self.staged.is_empty(),
                    "everything up to {upto} is kept, and batches are left behind"
                );
                Ok(())
            }
            Err(error @ CommitError::Full(_)) => Err(Refused::Full(error.to_string())),
            Err(error @ CommitError::Failed(_)) => Err(Refused::Failed(error.to_string())),
        }
    }

    fn report_readable(&mut self) {
        let readable = self.queue.durable();
        if readable != self.readable {
            self.readable = readable;
            (self.on_report)(Report::Readable(readable));
        }
    }

    /// Makes some room, so that it is worth trying again: from what was delivered, else from the oldest segment, if that
    /// is the policy. An error says why there is none.
    fn make_room(&mut self, now: Instant, full: String) -> Result<(), String> {
        if self.timers.has_unsaved_acks() {
            self.save(now);
            return Ok(());
        }
        if !self.policy.drop_oldest {
            return Err(full);
        }
        let acked = self.queue.acked();
        let outcome = self.queue.drop_oldest();
        self.report_given_up(DropReason::Full, acked);
        match outcome {
            Ok(Some(_)) => Ok(()),
            // There is only the segment that is written to.
            Ok(None) => Err(full),
            Err(error) => {
                self.say_failure(&error, "the oldest batches of the queue could not be given up");
                Err(format!("giving up the oldest batches: {error}"))
            }
        }
    }

    /// Gives up what is too old, and gives its space back.
    fn expire(&mut self, now: Instant) {
        let Some(max_age) = self.policy.max_age.filter(|_| self.clock.is_set()) else {
            self.timers.expire_at = None;
            return;
        };
        let max_age_ms = i64::try_from(max_age.as_millis()).unwrap_or(i64::MAX);
        let acked = self.queue.acked();
        let outcome = self.queue.expire(self.clock.ms(now).saturating_sub(max_age_ms));
        self.report_given_up(DropReason::Expired, acked);
        match outcome {
            Ok(given_up) => {
                let oldest_at = given_up.oldest_appended_ms.and_then(|ms| self.too_old_at(ms, now));
                self.timers.on_expiry(now, max_age, oldest_at);
                if oldest_at.is_none() && self.queue.durable() < self.queue.written() {
                    // Only what is durable was looked at.
                    self.timers.expire_at = Some(now + RETRY_EVERY);
                }
            }
            Err(error) => {
                self.say_failure(&error, "batches of the queue that are too old could not be given up");
                self.timers.expire_at = Some(now + RETRY_EVERY);
            }
        }
        if self.queue.acked() != acked {
            self.checkpoint(now);
        }
    }

    /// A batch that was appended then may be the oldest one.
    fn note_age(&mut self, appended_ms: i64, now: Instant) {
        let Some(max_age) = self.policy.max_age else { return };
        if self.timers.expire_at.is_none() && appended_ms > 0 {
            self.timers.on_expiry(now, max_age, self.too_old_at(appended_ms, now));
        }
    }

    /// When a batch is too old that was appended then; `None`: not within the life of this process.
    fn too_old_at(&self, appended_ms: i64, now: Instant) -> Option<Instant> {
        let max_age_ms = i64::try_from(self.policy.max_age?.as_millis()).ok()?;
        let too_old_ms = appended_ms.checked_add(max_age_ms)?.checked_add(1)?;
        if too_old_ms <= self.clock.ms(now) { Some(now) } else { self.clock.when(too_old_ms) }
    }

    /// Reports what the queue has given up since it was asked last. IMPORTANT: what it counts is reported and not what a
    /// call returned, so that nothing is missing where the call failed half-way.
    fn report_given_up(&mut self, reason: DropReason, acked: Sequence) {
        let losses = self.queue.stats().losses;
        let lost = since(losses.of(reason), self.losses.of(reason));
        self.losses = losses;
        let below = self.queue.acked();
        if lost != Tally::default() || below != acked {
            (self.on_report)(Report::GivenUp(GivenUp { reason, lost, below }));
        }
    }

    /// Writes the cursor and gives space back, to what waits for it.
    fn checkpoint(&mut self, now: Instant) {
        if self.save(now) && self.timers.is_blocked() {
            self.put_down(now);
        }
    }

    fn save(&mut self, now: Instant) -> bool {
        self.timers.on_checkpoint(now);
        let outcome = self.queue.checkpoint(self.clock.ms(now));
        if let Err(error) = &outcome {
            self.timers.on_checkpoint_failed(now);
            let what = match error {
                CheckpointFailed::Damage(_) => "damage in the queue could not be set aside",
                CheckpointFailed::Cursor(_) => {
                    "the queue's cursor could not be written: after a crash, batches are repeated"
                }
                CheckpointFailed::Reclaim(_) => {
                    "the space of what was delivered could not be given back: the disk stays fuller than it need be"
                }
            };
            self.say_failure(error, what);
        }
        self.look_at_retained(now);
        outcome.is_ok()
    }

    /// What is kept after its delivery goes in time, although nothing else happens.
    fn look_at_retained(&mut self, now: Instant) {
        if let Some(retain) = self.policy.retain
            && self.queue.stats().delivered_bytes > 0
        {
            self.timers.on_retained(now, retain);
        }
    }

    fn say_failure(&mut self, error: &dyn std::fmt::Display, what: &'static str) {
        if let Some(held_back) = self.failures.note(self.start.elapsed(), what) {
            tracing::error!(%error, held_back, "{what}; it is tried again");
        }
    }
}

/// What was added.
fn since(now: Tally, before: Tally) -> Tally {
    Tally {
        batches: now.batches - before.batches,
        events: now.events - before.events,
        payload_bytes: now.payload_bytes - before.payload_bytes,
        raw_bytes: now.raw_bytes - before.raw_bytes,
    }
}
