//! The queue against the raw disk, in the same minute: `cargo bench -p millpond-queue`.
//!
//! Each figure is the median of interleaved rounds; absolute figures are those of the disk, the
//! ratios are the queue's. `QUEUE_BENCH_DIR` chooses the disk, `QUEUE_BENCH_GB` the size of the
//! large queue that is opened (20; 0 leaves that out).
#![expect(clippy::unwrap_used, reason = "a bench that cannot set up has failed")]

use std::{
    env, fs,
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use millpond_queue::{BatchInfo, Fs, Options, Queue, Sequence};

/// The queue that a child process is to open.
const OPEN: &str = "QUEUE_BENCH_OPEN";
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

/// A line of the table: speeds in MB/s, their ratio round by round, and what it should be.
fn row(what: &str, queue: &[f64], raw: &[f64], beside: &str, goal: f64) {
    let ratio = median(queue.iter().zip(raw).map(|(queue, raw)| queue / raw).collect());
    let (queue, raw) = (median(queue.to_vec()), median(raw.to_vec()));
    println!("{what:<34}{queue:>8.0} MB/s   {beside:<26}{raw:>8.0} MB/s   ratio {ratio:.2} (goal {goal:.1})");
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
        let group = median(groups);
        row(
            &format!("append, {appenders} x 64 KiB, {group:.1} a sync"),
            &queue,
            &raw,
            "raw write + fdatasync",
            0.8,
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
    row("read, in the page cache", &read, &raw, "raw pread of 1 MiB + CRC", 0.7);
}

/// Opens the queue in `directory` and says how long that took in µs, how many segments there are, and the most memory
/// that this process ever had, in KiB. A process of its own, so that nothing else is in that figure.
fn open_once(directory: &Path) {
    let start = Instant::now();
    let (queue, recovery) = Queue::open(Fs::create(directory).unwrap(), options()).unwrap();
    let micros = start.elapsed().as_micros();
    queue.close(0).unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    println!("{micros} {} {}", recovery.segments, line.split_whitespace().nth(1).unwrap());
}

/// Makes the kernel forget what it has read, as after a boot. Needs root.
fn forget_cache() -> std::io::Result<()> {
    Command::new("sync").status()?;
    fs::write("/proc/sys/vm/drop_caches", "3")
}

fn opening(root: &Path) {
    let gigabytes: f64 = env::var("QUEUE_BENCH_GB").map_or(20.0, |gigabytes| gigabytes.parse().unwrap());
    if gigabytes == 0.0 {
        return;
    }
    let sizes = [20_000_000, (gigabytes * 1e9) as u64];
    let directories = ["small", "large"].map(|name| fresh(root, name));
    directories.iter().zip(sizes).for_each(|(directory, bytes)| fill(directory, bytes));
    for cache in ["cold", "warm"] {
        if cache == "cold"
            && let Err(error) = forget_cache()
        {
            println!("open, from a cold cache: left out, it needs root ({error})");
            continue;
        }
        let mut figures = [[const { Vec::new() }; 3], [const { Vec::new() }; 3]];
        for _ in 0..2 * ROUNDS {
            for (directory, figures) in directories.iter().zip(&mut figures) {
                if cache == "cold" {
                    forget_cache().unwrap();
                }
                let opener = Command::new(env::current_exe().unwrap()).env(OPEN, directory).output().unwrap();
                let said = String::from_utf8(opener.stdout).unwrap();
                let numbers = said.split_whitespace().map(|number| number.parse::<f64>().unwrap());
                figures.iter_mut().zip(numbers).for_each(|(figures, number)| figures.push(number));
            }
        }
        opened(cache, sizes, figures.map(|figures| figures.map(median)));
    }
}

fn opened(cache: &str, sizes: [u64; 2], medians: [[f64; 3]; 2]) {
    for (bytes, [micros, segments, memory]) in sizes.into_iter().zip(medians) {
        let megabytes = bytes as f64 / 1e6;
        println!(
            "open, {cache} cache, {megabytes:>6.0} MB in {segments:>4.0} segments {:>8.2} ms, {:.1} MiB of memory",
            micros / 1e3,
            memory / 1024.0
        );
    }
    let [[small, _, little], [large, _, much]] = medians;
    println!(
        "open, {cache} cache, large to small: time {:.2} (goal 2 at most), memory {:.2} (goal 1)",
        large / small,
        much / little
    );
}

fn main() {
    if let Some(directory) = env::var_os(OPEN) {
        return open_once(Path::new(&directory));
    }
    let root =
        env::var_os("QUEUE_BENCH_DIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let root = root.join("queue-bench");
    println!("The queue, in {}; medians of {ROUNDS} rounds", root.display());
    appending(&root);
    reading(&root);
    opening(&root);
    fs::remove_dir_all(&root).unwrap();
}
