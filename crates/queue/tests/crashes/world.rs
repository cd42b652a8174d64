//! The queue beside a model that knows what may be there after anything.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millpond_queue::{
    AppendError, BatchInfo, CommitError, ConsumerError, DropReason, Finding, FullReason, GivenUp, OpenError,
    Options, Queue, Recovery, Retain, Sequence,
    inspect::{self, Entry},
    storage::{
        faulty::{Call, Fault},
        mem::{Choose, Mem},
    },
};

use crate::told::{Told, Who, acked, reader};

pub(crate) const CAPACITY: u64 = 1 << 20;

pub(crate) fn options() -> Options {
    Options {
        segment_bytes_max: 8 << 10,
        size_bytes_max: 160 << 10,
        free_bytes_min: 8 << 10,
        read_ahead_bytes: 900,
        handover_bytes_max: 2_000,
        ..Options::default()
    }
}

/// Options that packs, and keeps what was delivered for 30 ms, or as long as it has room.
pub(crate) fn keeping() -> Options {
    Options { pack: Some(3), retain: Retain { for_ms: Some(30), bytes_max: Some(40 << 10) }, ..options() }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Append {
        bytes: usize,
    },
    /// Writes without a sync.
    Write,
    Commit,
    Read {
        who: Who,
        batches: usize,
    },
    /// Acknowledges one of the batches read, not always the oldest.
    Ack {
        who: Who,
        back: usize,
    },
    Checkpoint,
    Close,
    /// The process dies; what it wrote is in memory.
    Kill,
    /// The power fails; what was not synced is there, or not, or in part.
    Cut,
    Fail {
        call: Call,
        errno: i32,
        after: u64,
        written: usize,
    },
    /// The disk has this much free space.
    Free {
        bytes: u64,
    },
    /// Gives up the oldest segment.
    DropOldest,
    /// Gives up what was appended before this many milliseconds ago.
    Expire {
        age_ms: i64,
    },
    /// Gives up this many of the oldest.
    Purge {
        batches: u64,
    },
    AddConsumer,
    RemoveConsumer,
}

/// What a batch contains, by a number that is never used again. Half of them can be packed.
fn payload(id: u64, bytes: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(id);
    let letters = if id.is_multiple_of(2) { 255 } else { 3 };
    std::iter::repeat_with(|| random.u8(..=letters)).take(bytes).collect()
}

/// When a batch was appended: one in seven does not say.
fn appended_ms(sequence: u64) -> i64 {
    if sequence.is_multiple_of(7) { 0 } else { 1_000 + sequence as i64 }
}

pub(crate) struct World {
    pub(crate) mem: Mem,
    options: Options,
    queue: Option<Queue<Mem>>,
    /// Everything was read to compare it: the next operation needs a process that has given nothing out.
    looked: bool,
    next_id: u64,
    /// What is promised to be there, or was there once.
    durable: BTreeMap<u64, Bytes>,
    durable_end: u64,
    /// Appended, not confirmed; may come back after a crash, in order, if a commit was tried.
    staged: Vec<Bytes>,
    /// How many of the staged survive the end of the process.
    written: usize,
    own: Told,
    named: Option<Told>,
    /// A consumer was added or removed, and whether that is durable is not known.
    named_in_doubt: bool,
}

impl World {
    pub(crate) fn new(mem: Mem, options: Options) -> World {
        World {
            mem,
            options,
            queue: None,
            looked: false,
            next_id: 0,
            durable: BTreeMap::new(),
            durable_end: 1,
            staged: Vec::new(),
            written: 0,
            own: Told::new(1),
            named: None,
            named_in_doubt: false,
        }
    }

    /// The same expectations of another disk.
    pub(crate) fn on(&self, mem: Mem) -> World {
        World {
            mem,
            options: self.options,
            queue: None,
            looked: false,
            next_id: self.next_id,
            durable: self.durable.clone(),
            durable_end: self.durable_end,
            staged: self.staged.clone(),
            written: 0,
            own: self.own.clone(),
            named: self.named.clone(),
            named_in_doubt: self.named_in_doubt,
        }
    }

    fn open_queue(&mut self) -> Option<(Queue<Mem>, Recovery)> {
        self.queue = None;
        // What was to go wrong may go wrong now; then the next attempt succeeds.
        let opened = Queue::open(self.mem.clone(), self.options).or_else(|error| {
            assert!(matches!(error, OpenError::Io { .. }), "{error}");
            if self.mem.is_stopped() {
                return Err(error);
            }
            self.mem.faults().clear();
            Queue::open(self.mem.clone(), self.options)
        });
        let opened = match opened {
            Err(_) if self.mem.is_stopped() => return None,
            opened => opened.unwrap(),
        };
        self.mem.faults().clear();
        Some(opened)
    }

    /// Opens the queue and compares everything in it with what may be there.
    pub(crate) fn open(&mut self) {
        let Some((mut queue, recovery)) = self.open_queue() else { return };
        let losses = recovery.findings.iter().filter(|finding| finding.is_loss()).count();
        assert_eq!(losses, 0, "{recovery:?}");
        assert!(!recovery.findings.contains(&Finding::CursorLost), "{recovery:?}");
        let end = recovery.durable.0;
        let promised = self.durable_end + self.written as u64;
        assert!(end >= promised, "lost: {recovery:?}, durable was {promised}");
        let extra = (end - self.durable_end) as usize;
        assert!(extra <= self.staged.len(), "invented: {recovery:?}, durable was {}", self.durable_end);
        self.is_durable(extra);
        self.staged.clear();
        self.written = 0;
        self.adopt_named(&mut queue);
        let named = self.named.as_mut().map(|told| (Who::Named, told));
        for (who, told) in [(Who::Own, &mut self.own)].into_iter().chain(named) {
            let low = acked(&mut queue, who);
            told.is_back_at(low);
            let mut reader = reader(&mut queue, who, Sequence(low));
            let mut skipped: BTreeSet<u64> = (low..end).collect();
            loop {
                if self.mem.is_stopped() {
                    return;
                }
                let Some(frame) = reader.next().unwrap() else { break };
                let sequence = frame.sequence.0;
                assert!(skipped.remove(&sequence), "{who:?}: {sequence} is not pending");
                assert_eq!(skipped.range(..sequence).find(|&&sequence| !told.has_settled(sequence)), None);
                assert_eq!(frame.payload, self.durable[&sequence]);
            }
            told.skips(low, skipped);
        }
        self.own.check_losses(&queue.stats().losses);
        let stats = queue.stats();
        assert_eq!(
            (stats.batches, stats.damaged_spans, stats.missing_batches),
            (end - recovery.acked.0, 0, 0)
        );
        self.check_pending(&queue);
        self.looked = true;
        self.queue = Some(queue);
    }

    /// Finds out about a consumer that may be there or not, and about one that must be.
    fn adopt_named(&mut self, queue: &mut Queue<Mem>) {
        let found = queue.consumers().next().is_some();
        if self.named_in_doubt {
            self.named = None;
            // One that is gone may come back after a crash, since its removal may not be durable.
            self.named_in_doubt = queue.remove_consumer("c").is_err();
            return;
        }
        assert_eq!(found, self.named.is_some(), "the consumer that was added, and no other");
    }

    /// A process that has given nothing out yet.
    fn start_afresh(&mut self) {
        if !std::mem::take(&mut self.looked) {
            return;
        }
        let acked = self.queue.as_ref().unwrap().acked();
        let Some((queue, recovery)) = self.open_queue() else { return };
        assert_eq!((recovery.acked, recovery.durable), (acked, Sequence(self.durable_end)));
        self.own.starts(queue.reader(recovery.acked));
        self.queue = Some(queue);
        if let Some(named) = &mut self.named {
            let consumer = self.queue.as_mut().unwrap().consumer("c").unwrap();
            named.starts(consumer.reader(consumer.acked()));
        }
    }

    fn check_pending(&self, queue: &Queue<Mem>) {
        if self.own.is_estimate {
            return;
        }
        let pending = self.durable.range(self.own.low..self.durable_end);
        let bytes: u64 = pending.clone().map(|(_, payload)| payload.len() as u64).sum();
        let stats = queue.stats();
        assert_eq!((stats.payload_bytes, stats.raw_bytes), (bytes, 3 * bytes), "{stats:?}");
        assert_eq!(stats.events, pending.map(|(sequence, _)| sequence).sum::<u64>(), "{stats:?}");
    }

    /// Whatever is still on disk, delivered or not, is what was appended.
    pub(crate) fn look_around(&self) {
        let mut last = 0;
        for entry in inspect::entries(self.mem.copy(), Sequence::FIRST) {
            match entry.unwrap() {
                Entry::Frame(frame) if frame.sequence.0 < self.durable_end => {
                    assert!(frame.sequence.0 > last);
                    last = frame.sequence.0;
                    assert_eq!(frame.payload, self.durable[&last]);
                }
                Entry::Frame(frame) => {
                    let staged = frame.sequence.0 - self.durable_end;
                    assert_eq!(Some(&frame.payload), self.staged.get(staged as usize));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn run(&mut self, op: Op, choose: &mut dyn Choose) {
        if self.queue.is_none() || self.mem.is_stopped() {
            return; // The process is dead.
        }
        match op {
            Op::Kill => {
                self.queue = None;
                return self.open();
            }
            Op::Cut => {
                self.mem = self.mem.crash(choose);
                self.mem.set_capacity(CAPACITY);
                self.written = 0;
                return self.open();
            }
            Op::Free { bytes } => {
                let used = self.mem.used_bytes();
                return self.mem.set_capacity((used + bytes).min(CAPACITY));
            }
            _ => self.start_afresh(),
        }
        if self.queue.is_some() && !self.mem.is_stopped() {
            self.run_alive(op);
        }
        if self.mem.is_stopped() || self.queue.is_none() || self.looked {
            return;
        }
        let queue = self.queue.as_ref().unwrap();
        let used = self.mem.used_bytes();
        assert!(used <= self.options.size_bytes_max, "{used} bytes used");
        assert!(queue.stats().disk_bytes >= used, "{used} bytes used, {:?}", queue.stats());
        self.check_pending(queue);
    }

    fn queue(&mut self) -> &mut Queue<Mem> {
        self.queue.as_mut().unwrap()
    }

    fn now_ms(&self) -> i64 {
        1_000 + self.durable_end as i64
    }

    fn run_alive(&mut self, op: Op) {
        match op {
            Op::Kill | Op::Cut | Op::Free { .. } => unreachable!("these are not for a live process"),
            Op::Close => self.close(),
            Op::Fail { call, errno, after, written } => {
                self.mem.faults().add(Fault { written, ..Fault::next(call, errno).after(after) });
            }
            Op::Append { bytes } => self.append(bytes),
            Op::Write => {
                let written = self.queue().write().map(|written| written.upto);
                if written.is_ok() {
                    assert_eq!(self.queue().written().0, self.durable_end + self.staged.len() as u64);
                }
                self.commit_in_part();
            }
            Op::Commit => match self.queue().commit() {
                Ok(durable) => {
                    self.is_durable(self.staged.len());
                    self.written = 0;
                    assert_eq!(durable.upto.0, self.durable_end);
                }
                Err(CommitError::Full(_) | CommitError::Failed(_)) => self.commit_in_part(),
            },
            Op::Read { who, batches } => {
                let (durable, end) = (&self.durable, self.durable_end);
                if let Some(told) = [Some(&mut self.own), self.named.as_mut()][who as usize].as_mut() {
                    told.read(durable, end, batches);
                }
            }
            Op::Ack { who, back } => self.ack(who, back),
            Op::Checkpoint => {
                let now_ms = self.now_ms();
                if let Ok(outcome) = self.queue().checkpoint(now_ms) {
                    assert_eq!(outcome.acked.0, self.own.low);
                    self.cursors_are_saved();
                }
            }
            Op::DropOldest => {
                let dropped = self.queue().drop_oldest();
                let known = dropped.is_ok();
                self.gave_up(DropReason::Full, dropped.ok().flatten());
                if known {
                    self.cursors_are_saved();
                }
            }
            Op::Expire { age_ms } => self.expire(age_ms),
            Op::Purge { batches } => self.purge(batches),
            Op::AddConsumer => self.add_consumer(),
            Op::RemoveConsumer => match self.queue().remove_consumer("c") {
                Ok(was_there) => {
                    assert!(was_there == self.named.is_some() || self.named_in_doubt);
                    self.named = None;
                    self.named_in_doubt = false;
                }
                Err(_) => {
                    self.named = None;
                    self.named_in_doubt = true;
                }
            },
        }
    }

    fn close(&mut self) {
        let now_ms = self.now_ms();
        let closed = self.queue.take().unwrap().close(now_ms);
        if closed.is_ok() {
            self.is_durable(self.staged.len());
            self.cursors_are_saved();
        }
        self.written = 0;
        self.open();
    }

    fn ack(&mut self, who: Who, back: usize) {
        let Some(told) = [Some(&mut self.own), self.named.as_mut()][who as usize].take() else { return };
        let Some(sequence) = told.take_read(back) else { return };
        let queue = self.queue.as_mut().unwrap();
        match who {
            Who::Own => queue.ack(Sequence(sequence)),
            Who::Named => queue.consumer("c").unwrap().ack(Sequence(sequence)),
        }
        told.acks(sequence);
        assert_eq!(acked(queue, who), told.low, "{who:?}");
    }

    fn expire(&mut self, age_ms: i64) {
        let before_ms = self.now_ms() - age_ms;
        let low = self.named.iter().map(|told| told.low).fold(self.own.low, u64::min);
        let stays = (low..self.durable_end).find(|&sequence| appended_ms(sequence) >= before_ms);
        let expired = self.queue().expire(before_ms);
        let upto = stays.unwrap_or(self.durable_end);
        let last_old = (low..upto).rfind(|&sequence| appended_ms(sequence) > 0);
        let saved = expired.is_ok() && last_old.is_some();
        if let Ok(expired) = &expired {
            assert_eq!(expired.oldest_appended_ms, stays.map(appended_ms));
            let end = last_old.map_or(low, |last| last + 1);
            assert_eq!(self.queue().acked().0, self.own.low_after(end));
        }
        self.gave_up(DropReason::Expired, expired.ok());
        if saved {
            self.cursors_are_saved();
        }
    }

    fn purge(&mut self, batches: u64) {
        let low = self.named.iter().map(|told| told.low).fold(self.own.low, u64::min);
        let end = (low + batches).min(self.durable_end);
        let purged = self.queue().purge(Sequence(low + batches));
        let saved = purged.is_ok() && low < end;
        if purged.is_ok() {
            assert_eq!(self.queue().acked().0, self.own.low_after(end));
        }
        self.gave_up(DropReason::Purged, purged.ok());
        if saved {
            self.cursors_are_saved();
        }
    }

    /// Batches below the low-water marks of now were given up, if they were not acknowledged.
    fn gave_up(&mut self, reason: DropReason, said: Option<GivenUp>) {
        let queue = self.queue.as_mut().unwrap();
        let batches = self.own.gave_up(acked(queue, Who::Own), reason);
        if let Some(said) = said {
            assert_eq!(said.lost.batches, batches, "{reason:?}: {said:?}");
        }
        if let Some(named) = &mut self.named {
            named.gave_up(acked(queue, Who::Named), reason);
        }
        self.own.check_losses(&queue.stats().losses);
    }

    fn add_consumer(&mut self) {
        if self.named_in_doubt {
            return;
        }
        let from = Sequence(self.durable_end.saturating_sub(4));
        let queue = self.queue.as_mut().unwrap();
        match queue.add_consumer("c", from) {
            Ok(consumer) if self.named.is_none() => {
                let mut told = Told::new(consumer.acked().0);
                told.starts(consumer.reader(consumer.acked()));
                self.named = Some(told);
            }
            Ok(consumer) => assert_eq!(consumer.acked().0, self.named.as_ref().unwrap().low),
            Err(ConsumerError::Full(_)) => {}
            Err(ConsumerError::Io(_)) => self.named_in_doubt = true,
            Err(error) => panic!("{error}"),
        }
    }

    fn cursors_are_saved(&mut self) {
        self.own.is_saved();
        self.named.iter_mut().for_each(Told::is_saved);
    }

    fn append(&mut self, bytes: usize) {
        let batch = payload(self.next_id, bytes);
        self.next_id += 1;
        let sequence = self.durable_end + self.staged.len() as u64;
        let info = BatchInfo {
            events: sequence as u32,
            raw_bytes: 3 * bytes as u64,
            appended_ms: appended_ms(sequence),
            ..BatchInfo::default()
        };
        let half = bytes / 2;
        let parts = [batch.slice(..half), batch.slice(half..)];
        match self.queue().append(info, &parts) {
            Ok(given) => {
                assert_eq!(given.0, sequence);
                self.staged.push(batch);
            }
            Err(AppendError::Full(FullReason::SizeMax)) => {
                let kept = self.queue().stats().delivered_bytes;
                assert_eq!(kept, 0, "what is kept gives way to what is new");
            }
            Err(AppendError::Full(_) | AppendError::Failed(_)) => {}
            Err(error @ (AppendError::TooLarge { .. } | AppendError::UsedUp)) => panic!("{error}"),
        }
    }

    fn is_durable(&mut self, batches: usize) {
        for batch in self.staged.drain(..batches) {
            self.durable.insert(self.durable_end, batch);
            self.durable_end += 1;
        }
    }

    /// Some of what was staged may have become durable, or have been written, although there was an error.
    fn commit_in_part(&mut self) {
        let end = self.queue().durable().0;
        assert!(end >= self.durable_end);
        self.is_durable((end - self.durable_end) as usize);
        self.written = (self.queue().written().0 - end) as usize;
    }
}
