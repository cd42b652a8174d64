//! What the thread does with its queue, step by step: the time is an argument, the disk is in memory and fails on demand.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millpond_queue::storage::faulty::{Call, Fault};
use millpond_queue::storage::mem::{Choose, Mem};
use millpond_queue::{Options, Reader, Retain};

use super::*;

mod given_up;
mod lease;
mod room;
mod sync;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// What the clock says at the start.
const START_MS: i64 = 1_800_000_000_000;

/// What was heard from the thread.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Kept(u64, Option<u64>),
    Full,
    Room,
    Readable(u64),
    /// Reason, batches, events, everything below is settled.
    GivenUp(DropReason, u64, u64, u64),
}

use Heard::{Full, GivenUp as Gone, Kept, Readable, Room};

/// A thread without a thread.
struct World {
    disk: Mem,
    options: Options,
    policy: Policy,
    owner: Option<Owner<Mem>>,
    reader: Reader<Mem>,
    heard: Arc<Mutex<Vec<Heard>>>,
    start: Instant,
    now: Instant,
    given: u64,
}

/// A power cut that takes all that was not synced.
struct TakesAll;

impl Choose for TakesAll {
    fn choose(&mut self, _count: usize) -> usize {
        0
    }
}

/// A queue of a few segments, each of some ten batches.
fn small() -> Options {
    Options {
        segment_bytes_max: 64 << 10,
        size_bytes_max: 512 << 10,
        free_bytes_min: 0,
        catalog: false,
        ..Options::default()
    }
}

impl World {
    fn new(options: Options, policy: Policy) -> Self {
        let now = Instant::now();
        Self::open(Mem::new(64 << 20), options, policy, now, now)
    }

    fn open(disk: Mem, options: Options, policy: Policy, start: Instant, now: Instant) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (queue, _) = Queue::open(disk.clone(), options).unwrap();
        let reader = queue.reader(queue.acked());
        let mouth = Arc::clone(&heard);
        let on_report = Box::new(move |report| {
            mouth.lock().unwrap().push(match report {
                Report::Room(Ok(())) => Room,
                Report::Room(Err(_)) => Full,
                Report::Readable(Sequence(end)) => Readable(end),
                Report::GivenUp(GivenUp { reason, lost, below }) => {
                    Gone(reason, lost.batches, lost.events, below.0)
                }
            });
        });
        let clock = Steady::new(start, START_MS);
        let mut owner = Owner::new(queue, policy, clock, on_report);
        owner.begin(now);
        Self { disk, options, policy, owner: Some(owner), reader, heard, start, now, given: 0 }
    }

    fn owner(&mut self) -> &mut Owner<Mem> {
        self.owner.as_mut().unwrap()
    }

    /// The process is stopped, and started again `later`.
    fn restart(mut self, later: Duration) -> Self {
        let now = self.now;
        self.owner().take(Command::Close, now);
        self.owner().work(now);
        self.owner.take().unwrap().close(now).unwrap();
        Self::open(self.disk.clone(), self.options, self.policy, self.start, now + later)
    }

    fn append(&mut self, bytes: usize) {
        self.hand_over(bytes);
        self.settle();
    }

    fn settle(&mut self) {
        let now = self.now;
        self.owner().work(now);
        self.is_at_rest();
    }

    /// A batch of three events is handed over; numbers count from 0.
    fn hand_over(&mut self, bytes: usize) {
        let id = self.given;
        self.given += 1;
        let mouth = Arc::clone(&self.heard);
        let appended_ms = START_MS + (self.now - self.start).as_millis() as i64;
        let append = Append {
            info: BatchInfo { events: 3, appended_ms, ..BatchInfo::default() },
            payload: [Bytes::from(vec![id as u8; bytes]), Bytes::new()],
            on_kept: Box::new(move |sequence| {
                mouth.lock().unwrap().push(Kept(id, sequence.map(|Sequence(sequence)| sequence)));
            }),
        };
        let now = self.now;
        self.owner().take(Command::Append(append), now);
    }

    /// Reads everything and acknowledges it.
    fn deliver(&mut self) -> Vec<u64> {
        let mut delivered = Vec::new();
        let now = self.now;
        while let Some(frame) = self.reader.next().unwrap() {
            self.owner().take(Command::Ack(frame.sequence), now);
            delivered.push(frame.sequence.0);
        }
        self.owner().work(now);
        delivered
    }

    /// Time passes, from timer to timer.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut turns = 0;
        while let Some(timer) = self.owner().timers.next().filter(|timer| *timer <= until) {
            self.now = self.now.max(timer);
            let now = self.now;
            self.owner().work(now);
            self.is_at_rest();
            turns += 1;
            assert!(turns < 1_000, "the thread does not come to rest");
        }
        self.now = until;
    }

    /// What is due was done.
    fn is_at_rest(&mut self) {
        let now = self.now;
        let timers = &self.owner().timers;
        assert!(timers.next().is_none_or(|timer| timer > now), "it would spin: {timers:?}");
    }

    fn sleeps(&mut self) -> bool {
        self.owner().timers.next().is_none()
    }

    fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// How many batches a power cut would leave.
    fn after_a_power_cut(&self) -> u64 {
        let (queue, _) = Queue::open(self.disk.crash(&mut TakesAll), self.options).unwrap();
        queue.stats().batches
    }
}
