//! The queue against the raw disk, in the same minute: `cargo bench -p millpond-queue`.
//!
//! Each figure is the median of interleaved rounds; absolute figures are those of the disk, the
//! ratios are the queue's. `QUEUE_BENCH_DIR` chooses the disk, `QUEUE_BENCH_GB` the size of the
//! large queue that is opened (0: leave that out).
#![expect(clippy::unwrap_used, reason = "a bench that cannot set up has failed")]

use std::{
    env, fs,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millpond_queue::{BatchInfo, Fs, Options, Queue, Sequence};

const BATCH_BYTES: usize = 64 << 10;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1500);

fn options() -> Options {
    Options { size_bytes_max: 1 << 40, free_bytes_min: 0, ..Options::default() }
}

fn batch() -> Bytes {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..)).take(BATCH_BYTES).collect()
}

fn info() -> BatchInfo {
    BatchInfo { kind: 1, events: 100, records: 1, ..BatchInfo::default() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn mb_per_s(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

/// A fresh queue, or directory, below the bench's own.
fn fresh(root: &Path, name: &str) -> PathBuf {
    let path = root.join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

/// One round of `appenders` threads that each wait until their batch is durable, and one that
/// commits. Everything is acknowledged as it goes, so delivered segments are removed as well.
/// Gives MB/s and the mean group.
fn append(root: &Path, appenders: usize) -> (f64, f64) {
    let (mut queue, _) = Queue::open(Fs::create(&fresh(root, "append")).unwrap(), options()).unwrap();
    let (give, take) = mpsc::channel::<mpsc::SyncSender<()>>();
    let payload = batch();
    let start = Instant::now();
    let producers: Vec<_> = (0..appenders)
        .map(|_| {
            let give = give.clone();
            thread::spawn(move || {
                let (done, durable) = mpsc::sync_channel(1);
                while start.elapsed() < ROUND {
                    give.send(done.clone()).unwrap();
                    durable.recv().unwrap();
                }
            })
        })
        .collect();
    drop(give);
    let (mut batches, mut commits) = (0u64, 0u64);
    while let Ok(first) = take.recv() {
        let group: Vec<_> = std::iter::once(first).chain(take.try_iter()).collect();
        for _ in &group {
            queue.append(info(), std::slice::from_ref(&payload)).unwrap();
        }
        let upto = queue.commit().unwrap().upto;
        for done in &group {
            done.send(()).unwrap();
        }
        batches += group.len() as u64;
        commits += 1;
        if commits.is_multiple_of(500) {
            (queue.acked().0..upto.0).for_each(|sequence| queue.ack(Sequence(sequence)));
            queue.checkpoint(0).unwrap();
        }
    }
    let time = start.elapsed();
    producers.into_iter().for_each(|producer| producer.join().unwrap());
    queue.close(0).unwrap();
    (mb_per_s(batches * BATCH_BYTES as u64, time), batches as f64 / commits as f64)
}

/// The same bytes per sync, straight into a file that is begun again every 16 MiB.
fn raw_append(root: &Path, group: f64) -> f64 {
    let directory = fresh(root, "raw");
    let bytes = vec![7u8; (group * BATCH_BYTES as f64) as usize];
    let start = Instant::now();
    let (mut written, mut at, mut number) = (0u64, u64::MAX, 0);
    let mut file = None;
    while start.elapsed() < ROUND {
        if at >= 16 << 20 {
            file = Some(File::create(directory.join(number.to_string())).unwrap());
            if number > 3 {
                fs::remove_file(directory.join((number - 3).to_string())).unwrap();
            }
            (at, number) = (0, number + 1);
        }
        let file = file.as_ref().unwrap();
        file.write_all_at(&bytes, at).unwrap();
        file.sync_data().unwrap();
        at += bytes.len() as u64;
        written += bytes.len() as u64;
    }
    mb_per_s(written, start.elapsed())
}

fn appending(root: &Path) {
    for appenders in [1, 16] {
        let (mut queue, mut raw, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (speed, group) = append(root, appenders);
            queue.push(speed);
            groups.push(group);
            raw.push(raw_append(root, group));
        }
        let ratio = median(queue.iter().zip(&raw).map(|(queue, raw)| queue / raw).collect());
        println!(
            "append, {appenders:2} appenders of 64 KiB: {:6.0} MB/s, groups of {:4.1}; raw write + fdatasync of \
             the same size {:6.0} MB/s; ratio {ratio:.2}",
            median(queue),
            median(groups),
            median(raw)
        );
    }
}

/// Fills a queue with `bytes` of batches and closes it.
fn fill(directory: &Path, bytes: u64) {
    let (mut queue, _) = Queue::open(Fs::create(directory).unwrap(), options()).unwrap();
    let payload = batch();
    for number in 0..bytes / BATCH_BYTES as u64 {
        queue.append(info(), std::slice::from_ref(&payload)).unwrap();
        if number % 64 == 63 {
            assert!(queue.commit().unwrap().upto > Sequence::FIRST);
        }
    }
    queue.close(0).unwrap();
}

fn reading(root: &Path) {
    const BYTES: u64 = 256 << 20;
    let directory = fresh(root, "read");
    fill(&directory, BYTES);
    let files: Vec<PathBuf> = {
        let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
        files.sort();
        files
    };
    let (queue, _) = Queue::open(Fs::create(&directory).unwrap(), options()).unwrap();
    let (mut read, mut raw) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut reader = queue.reader(Sequence::FIRST);
        let mut bytes = 0;
        while let Some(frame) = reader.next().unwrap() {
            bytes += frame.payload.len() as u64;
        }
        read.push(mb_per_s(bytes, start.elapsed()));

        let start = Instant::now();
        let mut buffer = vec![0; 1 << 20];
        let mut total = 0;
        for path in &files {
            let file = File::open(path).unwrap();
            let mut at = 0;
            loop {
                let read = file.read_at(&mut buffer, at).unwrap();
                if read == 0 {
                    break;
                }
                std::hint::black_box(crc32fast::hash(&buffer[..read]));
                at += read as u64;
            }
            total += at;
        }
        raw.push(mb_per_s(total, start.elapsed()));
    }
    let ratio = median(read.iter().zip(&raw).map(|(read, raw)| read / raw).collect());
    println!(
        "read, from memory: {:6.0} MB/s; pread of 1 MiB and CRC of the same files {:6.0} MB/s; ratio {ratio:.2}",
        median(read),
        median(raw)
    );
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn opening(root: &Path) {
    let gigabytes: f64 = env::var("QUEUE_BENCH_GB").map_or(2.0, |gigabytes| gigabytes.parse().unwrap());
    let mut times = Vec::new();
    for (name, bytes) in [("small", 20 << 20), ("large", (gigabytes * 1e9) as u64)] {
        let directory = fresh(root, name);
        fill(&directory, bytes);
        let rounds = (0..ROUNDS).map(|_| {
            let before = resident_kib();
            let start = Instant::now();
            let (queue, recovery) = Queue::open(Fs::create(&directory).unwrap(), options()).unwrap();
            let time = start.elapsed().as_secs_f64() * 1e3;
            let grown = resident_kib().saturating_sub(before);
            queue.close(0).unwrap();
            (time, recovery.segments, grown)
        });
        let rounds: Vec<_> = rounds.collect();
        let time = median(rounds.iter().map(|round| round.0).collect());
        times.push(time);
        println!(
            "open, {:6.0} MB in {:4} segments: {time:6.1} ms, {} KiB more resident memory",
            bytes as f64 / 1e6,
            rounds[0].1,
            rounds[0].2
        );
    }
    println!("open, large : small = {:.2}", times[1] / times[0]);
}

fn main() {
    let root =
        env::var_os("QUEUE_BENCH_DIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let root = root.join("queue-bench");
    println!("in {}", root.display());
    appending(&root);
    reading(&root);
    opening(&root);
    fs::remove_dir_all(&root).unwrap();
}
