//! Processes that die and disks that lose power, for real.
//!
//! `kills` runs everywhere; `QUEUE_KILLS` sets the rounds. `power_cuts` needs root, loop devices
//! and xfsprogs: `cargo test -p millpond-queue --test process -- --ignored --nocapture`, with
//! `QUEUE_CUTS` rounds for each file system.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case has failed")]

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use millpond_queue::{BatchInfo, Finding, Fs, Options, Queue, Sequence};

const DIRECTORY: &str = "QUEUE_CHILD_DIRECTORY";

fn options() -> Options {
    Options { segment_bytes_max: 256 << 10, free_bytes_min: 0, ..Options::default() }
}

fn payload(sequence: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(sequence);
    let len = [0, 100, 3_000, 40_000][random.usize(..4)];
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

/// The process that is going to die: appends, commits, acknowledges, and says what it was told.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let (mut queue, _) = Queue::open(Fs::create(directory.as_ref()).unwrap(), options()).unwrap();
    let mut out = std::io::stdout();
    let mut random = fastrand::Rng::new();
    let mut reader = queue.reader(queue.acked());
    loop {
        for _ in 0..random.usize(1..8) {
            let next = queue.durable().0 + queue.stats().staged_batches;
            assert_eq!(queue.append(BatchInfo::default(), &[payload(next)]).unwrap(), Sequence(next));
        }
        let upto = queue.commit().unwrap().upto;
        writeln!(out, "durable {upto}").unwrap();
        out.flush().unwrap();
        while reader.position().0 + 40 < upto.0 {
            let frame = reader.next().unwrap().unwrap();
            queue.ack(frame.sequence);
        }
        if random.u32(..10) == 0 {
            let acked = queue.checkpoint(0).unwrap().acked;
            writeln!(out, "acked {acked}").unwrap();
            out.flush().unwrap();
        }
    }
}

/// What a child has said.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    durable: u64,
    acked: u64,
}

fn start(directory: &Path) -> (Child, Arc<Mutex<Said>>, JoinHandle<()>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = Arc::new(Mutex::new(Said::default()));
    let out = BufReader::new(child.stdout.take().unwrap());
    let listener = thread::spawn({
        let said = Arc::clone(&said);
        move || {
            for line in out.lines() {
                let line = line.unwrap();
                let mut said = said.lock().unwrap();
                if let Some(upto) = line.strip_prefix("durable ") {
                    said.durable = upto.parse().unwrap();
                } else if let Some(acked) = line.strip_prefix("acked ") {
                    said.acked = acked.parse().unwrap();
                }
            }
        }
    });
    (child, said, listener)
}

/// Opens what is left, and compares it with what was said. Gives the batches read.
fn check(directory: &Path, said: Said, what: &str) -> u64 {
    let (queue, recovery) = Queue::open(Fs::create(directory).unwrap(), options()).unwrap();
    assert!(recovery.durable.0 >= said.durable, "{what}: {said:?}, {recovery:?}");
    assert!(recovery.acked.0 >= said.acked, "{what}: {said:?}, {recovery:?}");
    assert!(!recovery.findings.iter().any(Finding::is_loss), "{what}: {recovery:?}");
    let mut reader = queue.reader(queue.acked());
    for sequence in recovery.acked.0..recovery.durable.0 {
        let frame = reader.next().unwrap().unwrap();
        assert_eq!(frame.sequence, Sequence(sequence), "{what}");
        assert_eq!(frame.payload, payload(sequence), "{what}: {sequence}");
    }
    assert_eq!((reader.next().unwrap(), queue.stats().damaged_spans), (None, 0), "{what}");
    recovery.durable.0 - recovery.acked.0
}

#[test]
fn kills() {
    let rounds = env::var("QUEUE_KILLS").map_or(15, |rounds| rounds.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut read = 0;
    for round in 0..rounds {
        let (mut child, said, listener) = start(directory.path());
        thread::sleep(Duration::from_millis(fastrand::u64(10..150)));
        child.kill().unwrap();
        child.wait().unwrap();
        listener.join().unwrap();
        let said = *said.lock().unwrap();
        read += check(directory.path(), said, &format!("round {round}"));
    }
    println!("{rounds} kills, {read} batches read back");
}

fn run(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(status.success(), "{command}: {status}");
}

/// A file system in a file, mounted while this lives.
struct Mounted {
    image: PathBuf,
    at: PathBuf,
}

impl Mounted {
    fn new(root: &Path, kind: &str) -> Mounted {
        let (image, at) = (root.join("image"), root.join("mounted"));
        File::create(&image).unwrap().set_len(400 << 20).unwrap();
        fs::create_dir_all(&at).unwrap();
        run(&format!("mkfs.{kind} -q {}", image.display()));
        let mounted = Mounted { image, at };
        mounted.mount();
        mounted
    }

    fn mount(&self) {
        run(&format!("mount -o loop {} {}", self.image.display(), self.at.display()));
    }

    /// The power fails: what was not flushed is gone, and nothing is flushed.
    fn cut(&self, mut child: Child) {
        run(&format!("xfs_io -x -c shutdown {}", self.at.display()));
        child.kill().unwrap();
        child.wait().unwrap();
        run(&format!("umount {}", self.at.display()));
        self.mount();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run(&format!("umount {}", self.at.display()));
    }
}

#[test]
#[ignore = "needs root, loop devices and xfsprogs"]
fn power_cuts() {
    let rounds = env::var("QUEUE_CUTS").map_or(50, |rounds| rounds.parse().unwrap());
    for kind in ["ext4", "xfs"] {
        let root = tempfile::tempdir().unwrap();
        let disk = Mounted::new(root.path(), kind);
        let queue = disk.at.join("queue");
        let (mut read, mut durable) = (0, 0);
        for round in 0..rounds {
            let (child, said, listener) = start(&queue);
            thread::sleep(Duration::from_millis(fastrand::u64(30..400)));
            // Only what was said before the cut is promised.
            let before = *said.lock().unwrap();
            disk.cut(child);
            listener.join().unwrap();
            durable = before.durable;
            read += check(&queue, before, &format!("{kind}, round {round}"));
        }
        println!("{kind}: {rounds} power cuts, {durable} batches confirmed, {read} read back");
    }
}
