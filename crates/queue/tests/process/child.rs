//! The process that is going to die: appends, commits, acknowledges, and says what it was told.

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use millpond_queue::{BatchInfo, Fs, Options, Queue, Reader, Sequence};

const DIRECTORY: &str = "QUEUE_CHILD_DIRECTORY";
const SEED: &str = "QUEUE_CHILD_SEED";

/// What is in the batch of this sequence; some are larger than the smallest segments.
pub(crate) fn payload(sequence: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(sequence);
    let len = [0, 100, 3_000, 40_000, 90_000][random.usize(..5)];
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// How a queue is used for one life of a process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    seed: u64,
    segment_bytes_max: u64,
    catalog: bool,
    /// Batches in one commit.
    group_max: usize,
    /// Batches that stay unacknowledged.
    lag: usize,
    /// Acknowledgements pass this many others.
    disorder: usize,
    /// One of so many commits is followed by a checkpoint, …
    checkpoint_in: u32,
    /// … and one of so many by a clean end and a new opening.
    reopen_in: u32,
}

impl Habits {
    pub(crate) fn of(seed: u64) -> Habits {
        let mut random = fastrand::Rng::with_seed(seed);
        Habits {
            seed,
            segment_bytes_max: [64 << 10, 256 << 10, 1 << 20][random.usize(..3)],
            catalog: random.bool(),
            group_max: [1, 8, 50][random.usize(..3)],
            lag: [0, 40, 200][random.usize(..3)],
            disorder: [1, 8][random.usize(..2)],
            checkpoint_in: [1, 4, 16][random.usize(..3)],
            reopen_in: [20, 1_000][random.usize(..2)],
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            segment_bytes_max: self.segment_bytes_max,
            free_bytes_min: 0,
            catalog: self.catalog,
            ..Options::default()
        }
    }
}

/// What a child has said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// Everything below is durable.
    pub(crate) durable: u64,
    /// Everything below is durably acknowledged.
    pub(crate) acked: u64,
    /// What may be acknowledged: said before it is.
    pub(crate) offered: BTreeSet<u64>,
    pub(crate) reclaimed: u64,
    ended: bool,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let (word, numbers) = line.split_once(' ').expect("a child says a word and numbers");
        let mut numbers = numbers.split(' ').map(|number| number.parse().expect("a number"));
        let mut next = || numbers.next().expect("a number follows");
        match word {
            "durable" => self.durable = next(),
            "acked" => (self.acked, self.reclaimed) = (next(), self.reclaimed + next()),
            "offered" => self.offered.extend(numbers),
            word => panic!("a child said {word}"),
        }
    }
}

/// A child that runs.
pub(crate) struct Running {
    child: Child,
    said: Arc<(Mutex<Said>, Condvar)>,
    listener: JoinHandle<()>,
    /// What it writes to standard error.
    words: PathBuf,
}

impl Running {
    /// Starts a child on the queue in `directory`, of which this was said before.
    pub(crate) fn start(directory: &Path, habits: Habits, words: &Path, said: Said) -> Running {
        let mut child = Command::new(env::current_exe().unwrap())
            .env(DIRECTORY, directory)
            .env(SEED, habits.seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(words).unwrap())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let said = Arc::new((Mutex::new(Said { ended: false, ..said }), Condvar::new()));
        let listener = thread::spawn({
            let said = Arc::clone(&said);
            move || listen(out, &said)
        });
        Running { child, said, listener, words: words.to_owned() }
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> Said {
        self.lock().clone()
    }

    /// It ends when it is killed, and not before.
    pub(crate) fn must_live(&self) {
        assert!(!self.lock().ended, "a child ended by itself: {}", self.complaints());
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.0.lock().unwrap()
    }

    /// Waits until it has made something durable.
    pub(crate) fn wait_for_progress(&self) {
        let before = self.lock().durable;
        let waits = |said: &mut Said| said.durable == before && !said.ended;
        drop(self.said.1.wait_while(self.lock(), waits).unwrap());
        self.must_live();
    }

    /// Kills it; gives all that it has said.
    pub(crate) fn kill(mut self) -> Said {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.listener.join().unwrap();
        Arc::into_inner(self.said).unwrap().0.into_inner().unwrap()
    }

    fn complaints(&self) -> String {
        fs::read_to_string(&self.words).unwrap_or_default()
    }
}

fn listen(out: ChildStdout, said: &(Mutex<Said>, Condvar)) {
    let (said, changed) = said;
    for line in BufReader::new(out).lines() {
        said.lock().unwrap().hear(&line.unwrap());
        changed.notify_all();
    }
    said.lock().unwrap().ended = true;
    changed.notify_all();
}

/// Is this process such a child? Then it never comes back.
pub(crate) fn run_if_child() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let seed = env::var(SEED).unwrap().parse().unwrap();
    let habits = Habits::of(seed);
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        let (queue, _) = Queue::open(Fs::create(directory.as_ref()).unwrap(), habits.options()).unwrap();
        let mut user = User { habits, reader: queue.reader(queue.acked()), queue, unacked: Vec::new() };
        while random.u32(..habits.reopen_in) > 0 {
            user.append(&mut random);
            user.acknowledge(&mut random);
        }
        user.queue.close(0).unwrap();
    }
}

/// Uses a queue until it dies.
struct User {
    habits: Habits,
    queue: Queue<Fs>,
    reader: Reader<Fs>,
    unacked: Vec<Sequence>,
}

impl User {
    fn append(&mut self, random: &mut fastrand::Rng) {
        for _ in 0..random.usize(1..=self.habits.group_max) {
            let next = self.queue.durable().0 + self.queue.stats().staged_batches;
            assert_eq!(self.queue.append(BatchInfo::default(), &[payload(next)]).unwrap(), Sequence(next));
        }
        say(&format!("durable {}", self.queue.commit().unwrap().upto));
    }

    fn acknowledge(&mut self, random: &mut fastrand::Rng) {
        while let Some(frame) = self.reader.next().unwrap() {
            self.unacked.push(frame.sequence);
        }
        let mut offer = String::from("offered");
        let mut chosen = Vec::new();
        while self.unacked.len() > self.habits.lag {
            let index = random.usize(..self.habits.disorder.min(self.unacked.len()));
            let sequence = self.unacked.remove(index);
            write!(offer, " {sequence}").unwrap();
            chosen.push(sequence);
        }
        if !chosen.is_empty() {
            say(&offer);
            chosen.into_iter().for_each(|sequence| self.queue.ack(sequence));
        }
        if random.u32(..self.habits.checkpoint_in) == 0 {
            let outcome = self.queue.checkpoint(0).unwrap();
            say(&format!("acked {} {}", outcome.acked, outcome.reclaimed_segments));
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}
