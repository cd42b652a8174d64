//! The queue beside a model that knows what may be there after anything.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millpond_queue::{
    AppendError, BatchInfo, CommitError, Finding, OpenError, Options, Queue, Reader, Sequence,
    storage::{
        faulty::{Call, Fault},
        mem::{Choose, Mem},
    },
};

pub(crate) const CAPACITY: u64 = 1 << 20;

pub(crate) fn options() -> Options {
    Options {
        segment_bytes_max: 8 << 10,
        size_bytes_max: 160 << 10,
        free_bytes_min: 8 << 10,
        read_ahead_bytes: 900,
        ..Options::default()
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Append {
        bytes: usize,
    },
    Commit,
    Read {
        batches: usize,
    },
    /// Acknowledges one of the batches read, not always the oldest.
    Ack {
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
}

/// What a batch contains, by a number that is never used again.
fn payload(id: u64, bytes: usize) -> Bytes {
    let mut random = fastrand::Rng::with_seed(id);
    std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()
}

pub(crate) struct World {
    pub(crate) mem: Mem,
    queue: Option<Queue<Mem>>,
    reader: Option<Reader<Mem>>,
    next_id: u64,
    /// What is promised to be there.
    durable: BTreeMap<u64, Bytes>,
    durable_end: u64,
    /// Appended, not confirmed; may come back after a crash, in order, if a commit was tried.
    staged: Vec<Bytes>,
    read: Vec<u64>,
    acked: u64,
    /// Acknowledged above the low-water mark.
    above: BTreeSet<u64>,
    /// The low-water mark that is promised to survive, and what is promised to survive above it.
    acked_saved: u64,
    above_saved: BTreeSet<u64>,
    /// Acknowledged in an earlier life, above the low-water mark: their weight is not known.
    earlier: BTreeSet<u64>,
    /// The low-water mark has passed such a batch: from then on, what is pending may be an estimate.
    is_estimate: bool,
}

impl World {
    pub(crate) fn new(mem: Mem) -> World {
        World {
            mem,
            queue: None,
            reader: None,
            next_id: 0,
            durable: BTreeMap::new(),
            durable_end: 1,
            staged: Vec::new(),
            read: Vec::new(),
            acked: 1,
            above: BTreeSet::new(),
            acked_saved: 1,
            above_saved: BTreeSet::new(),
            earlier: BTreeSet::new(),
            is_estimate: false,
        }
    }

    /// The same expectations of another disk.
    pub(crate) fn on(&self, mem: Mem) -> World {
        World {
            mem,
            queue: None,
            reader: None,
            next_id: self.next_id,
            durable: self.durable.clone(),
            durable_end: self.durable_end,
            staged: self.staged.clone(),
            read: Vec::new(),
            acked: self.acked,
            above: self.above.clone(),
            acked_saved: self.acked_saved,
            above_saved: self.above_saved.clone(),
            earlier: self.earlier.clone(),
            is_estimate: self.is_estimate,
        }
    }

    /// Opens the queue and compares everything in it with what may be there.
    pub(crate) fn open(&mut self) {
        self.queue = None;
        self.reader = None;
        // What was to go wrong may go wrong now; then the next attempt succeeds.
        let opened = Queue::open(self.mem.clone(), options()).or_else(|error| {
            assert!(matches!(error, OpenError::Io { .. }), "{error}");
            if self.mem.is_stopped() {
                return Err(error);
            }
            self.mem.faults().clear();
            Queue::open(self.mem.clone(), options())
        });
        let (queue, recovery) = match opened {
            Err(_) if self.mem.is_stopped() => return,
            opened => opened.unwrap(),
        };
        self.mem.faults().clear();
        let losses = recovery.findings.iter().filter(|finding| finding.is_loss()).count();
        assert_eq!(losses, 0, "{recovery:?}");
        assert!(!recovery.findings.contains(&Finding::CursorLost), "{recovery:?}");
        let end = recovery.durable.0;
        assert!(end >= self.durable_end, "lost: {recovery:?}, durable was {}", self.durable_end);
        let extra = (end - self.durable_end) as usize;
        assert!(extra <= self.staged.len(), "invented: {recovery:?}, durable was {}", self.durable_end);
        for batch in self.staged.drain(..).take(extra) {
            self.durable.insert(self.durable_end, batch);
            self.durable_end += 1;
        }
        let acked = recovery.acked.0;
        assert!(acked >= self.acked_saved, "{recovery:?}, the cursor was at {}", self.acked_saved);
        assert!(acked <= self.acked, "{recovery:?}, acknowledged was {}", self.acked);
        // What was below the low-water mark in memory may be above the one on disk.
        self.above.extend(acked..self.acked);
        self.acked = acked;
        self.acked_saved = acked;
        self.read.clear();
        let mut reader = queue.reader(queue.acked());
        let mut skipped: BTreeSet<u64> = (acked..end).collect();
        loop {
            if self.mem.is_stopped() {
                return;
            }
            let Some(frame) = reader.next().unwrap() else { break };
            assert!(skipped.remove(&frame.sequence.0), "{} is not pending", frame.sequence);
            assert_eq!(
                skipped.range(..frame.sequence.0).find(|sequence| !self.above.contains(sequence)),
                None
            );
            assert_eq!(frame.payload, self.durable[&frame.sequence.0]);
        }
        assert!(skipped.is_subset(&self.above), "{skipped:?} were skipped, {:?} acknowledged", self.above);
        let promised = self.above_saved.split_off(&acked);
        assert!(promised.is_subset(&skipped), "{promised:?} were acknowledged, {skipped:?} skipped");
        self.earlier.clone_from(&skipped);
        self.above_saved.clone_from(&skipped);
        self.above = skipped;
        let stats = queue.stats();
        assert_eq!((stats.batches, stats.damaged_spans, stats.missing_batches), (end - acked, 0, 0));
        self.check_pending(&queue);
        self.reader = Some(queue.reader(queue.acked()));
        self.queue = Some(queue);
    }

    /// Moves the low-water mark over what is acknowledged.
    fn advance(&mut self) {
        while self.above.remove(&self.acked) {
            self.is_estimate |= self.earlier.contains(&self.acked);
            self.acked += 1;
        }
    }

    fn check_pending(&self, queue: &Queue<Mem>) {
        if self.is_estimate {
            return;
        }
        let pending = self.durable.range(self.acked..self.durable_end);
        let bytes: u64 = pending.clone().map(|(_, payload)| payload.len() as u64).sum();
        let stats = queue.stats();
        assert_eq!((stats.payload_bytes, stats.raw_bytes), (bytes, 3 * bytes), "{stats:?}");
        assert_eq!(stats.events, pending.map(|(sequence, _)| sequence).sum::<u64>(), "{stats:?}");
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
                return self.open();
            }
            Op::Close => {
                let closed = self.queue.take().unwrap().close(0);
                if closed.is_ok() {
                    self.commit_is_ok();
                    self.cursor_is_saved();
                }
                return self.open();
            }
            Op::Fail { call, errno, after, written } => {
                return self.mem.faults().add(Fault { written, ..Fault::next(call, errno).after(after) });
            }
            Op::Free { bytes } => {
                let used = self.mem.used_bytes();
                return self.mem.set_capacity((used + bytes).min(CAPACITY));
            }
            Op::Append { bytes } => self.append(bytes),
            Op::Commit => match self.queue.as_mut().unwrap().commit() {
                Ok(durable) => {
                    self.commit_is_ok();
                    assert_eq!(durable.upto.0, self.durable_end);
                }
                Err(CommitError::Full(_) | CommitError::Failed(_)) => self.commit_in_part(),
            },
            Op::Read { batches } => self.read(batches),
            Op::Ack { back } if !self.read.is_empty() => {
                let index = back.min(self.read.len() - 1);
                let sequence = self.read.remove(index);
                self.queue.as_mut().unwrap().ack(Sequence(sequence));
                self.above.insert(sequence);
                self.advance();
                assert_eq!(self.queue.as_ref().unwrap().acked().0, self.acked);
            }
            Op::Ack { .. } => {}
            Op::Checkpoint => {
                if let Ok(outcome) = self.queue.as_mut().unwrap().checkpoint(0) {
                    assert_eq!(outcome.acked.0, self.acked);
                    self.cursor_is_saved();
                }
            }
        }
        if self.mem.is_stopped() {
            return;
        }
        let queue = self.queue.as_ref().unwrap();
        let used = self.mem.used_bytes();
        assert!(used <= options().size_bytes_max, "{used} bytes used");
        assert!(queue.stats().disk_bytes >= used, "{used} bytes used, {:?}", queue.stats());
        if queue.stats().acked.0 == self.acked {
            self.check_pending(queue);
        }
    }

    fn cursor_is_saved(&mut self) {
        self.acked_saved = self.acked;
        self.above_saved.clone_from(&self.above);
    }

    fn append(&mut self, bytes: usize) {
        let queue = self.queue.as_mut().unwrap();
        let batch = payload(self.next_id, bytes);
        self.next_id += 1;
        let sequence = self.durable_end + self.staged.len() as u64;
        let info = BatchInfo { events: sequence as u32, raw_bytes: 3 * bytes as u64, ..BatchInfo::default() };
        let half = bytes / 2;
        match queue.append(info, &[batch.slice(..half), batch.slice(half..)]) {
            Ok(given) => {
                assert_eq!(given.0, sequence);
                self.staged.push(batch);
            }
            Err(AppendError::Full(_) | AppendError::Failed(_)) => {}
            Err(error @ AppendError::TooLarge { .. }) => panic!("{error}"),
        }
    }

    fn commit_is_ok(&mut self) {
        for batch in self.staged.drain(..) {
            self.durable.insert(self.durable_end, batch);
            self.durable_end += 1;
        }
    }

    /// Some of what was staged may have become durable before the error.
    fn commit_in_part(&mut self) {
        let end = self.queue.as_ref().unwrap().durable().0;
        assert!(end >= self.durable_end);
        for batch in self.staged.drain(..(end - self.durable_end) as usize) {
            self.durable.insert(self.durable_end, batch);
            self.durable_end += 1;
        }
    }

    fn read(&mut self, batches: usize) {
        let reader = self.reader.as_mut().unwrap();
        for _ in 0..batches {
            let position = reader.position().0;
            let expected = (position..).find(|sequence| !self.earlier.contains(sequence)).unwrap();
            match reader.next() {
                Ok(Some(frame)) => {
                    assert_eq!(frame.sequence.0, expected);
                    assert_eq!(frame.payload, self.durable[&expected], "{expected}");
                    self.read.push(expected);
                }
                Ok(None) => assert_eq!(expected, self.durable_end),
                Err(_) => assert!((position..=expected).contains(&reader.position().0)),
            }
        }
    }
}
