//! A journal, a `journalctl` that shows it, and an output that the test plays.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::inputs::Started;
use crate::ways::Way;

const SOON: Duration = Duration::from_secs(60);

/// Shows a file of entries whose cursors are the numbers of their lines, and notes how it was called.
const JOURNALCTL: &str = r#"#!/bin/sh
dir=$(dirname "$0"); after=0
echo "$@" >> "$dir/calls"; echo "a complaint" >&2
for argument; do
    case $argument in
        --after-cursor=*) after=${argument#*=} ;;
        --lines=1) tail -n 1 "$dir/journal"; exit ;;
    esac
done
echo $$ > "$dir/pid.new"; mv "$dir/pid.new" "$dir/pid"
exec tail -n +$((after + 1)) -f "$dir/journal"
"#;

struct Rig {
    dir: tempfile::TempDir,
    written: u64,
    config: JournaldInput,
}

struct Running {
    chunks: mpsc::Receiver<Chunk>,
    counters: Arc<InputCounters>,
    stop: watch::Sender<bool>,
    done: JoinHandle<Result<(), InputError>>,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("journalctl");
        fs::write(&program, JOURNALCTL).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("journal"), "").unwrap();
        let config = JournaldInput { units: Vec::new(), directory: None, read_from: ReadFrom::Beginning };
        Self { dir, written: 0, config }
    }

    fn append(&self, text: &str) {
        let mut journal = OpenOptions::new().append(true).open(self.dir.path().join("journal")).unwrap();
        journal.write_all(text.as_bytes()).unwrap();
    }

    /// Writes so many entries, numbered from 1 on.
    fn write(&mut self, count: u64) {
        let entries = (self.written + 1..=self.written + count).map(|n| {
            format!("{{\"__CURSOR\":\"{n}\",\"__REALTIME_TIMESTAMP\":\"{n}\",\"MESSAGE\":\"{n}\"}}\n")
        });
        self.append(&entries.collect::<String>());
        self.written += count;
    }

    fn start(&self) -> Running {
        self.start_as(&self.dir.path().join("journalctl"))
    }

    fn start_as(&self, program: &Path) -> Running {
        let (tx, chunks) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let counters = Arc::new(InputCounters::default());
        let ctx = InputContext {
            input: "in".into(),
            codec: Codec::Json,
            max_line: 1000,
            out: Fanout::fixed([Way::plain("main", tx)]),
            stop: stopped,
            counters: Arc::clone(&counters),
            started: Started::new().0,
            positions_dir: self.dir.path().join("data"),
        };
        let (program, config) = (program.to_owned(), self.config.clone());
        let done = tokio::spawn(async move { run(&program, config, ctx).await });
        Running { chunks, counters, stop, done }
    }

    /// The process that shows the journal now.
    async fn pid(&self) -> rustix::process::Pid {
        let started = async {
            loop {
                if let Ok(text) = fs::read_to_string(self.dir.path().join("pid")) {
                    return rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, started).await.unwrap()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.dir.path().join("calls")).unwrap()
    }
}

impl Running {
    async fn chunk(&mut self) -> Chunk {
        timeout(SOON, self.chunks.recv()).await.expect("something comes").expect("the input runs")
    }

    /// Takes events up to the one with this message; they must be those from `first` on.
    async fn take(&mut self, first: u64, last: u64) {
        let mut next = first;
        while next <= last {
            let chunk = self.chunk().await;
            next = expect(&chunk, next);
            chunk.receipt.settle();
        }
        assert_eq!(next, last + 1);
    }

    /// Stops it; what still comes is settled, and nothing is expected but entries from `next` on.
    async fn stop(mut self, mut next: u64) {
        self.stop.send_replace(true);
        while let Some(chunk) = timeout(SOON, self.chunks.recv()).await.unwrap() {
            next = expect(&chunk, next);
            chunk.receipt.settle();
        }
        timeout(SOON, self.done).await.unwrap().unwrap().unwrap();
    }
}

/// The entries of a chunk are those from `next` on; gives the one behind them.
fn expect(chunk: &Chunk, mut next: u64) -> u64 {
    for message in chunk.messages() {
        let event: serde_json::Value = serde_json::from_slice(message).unwrap();
        assert_eq!(event["_raw"], next.to_string());
        next += 1;
    }
    next
}

#[tokio::test]
async fn a_restart_goes_on_behind_what_was_acknowledged() {
    let mut rig = Rig::new();
    rig.config.units = vec!["a.service".to_owned(), "b@*".to_owned()];
    rig.config.directory = Some("/x".into());
    rig.write(100_000);
    let mut input = rig.start();
    input.take(1, 100_000).await;
    input.stop(100_001).await;
    rig.write(10);
    let mut input = rig.start();
    input.take(100_001, 100_010).await;
    rig.write(1);
    input.take(100_011, 100_011).await;
    input.stop(100_012).await;
    let all = "--output=json --all --no-pager --quiet --unit=a.service --unit=b@* --directory /x --follow --no-tail";
    assert_eq!(rig.calls(), format!("{all}\n{all} --after-cursor=100000\n"));
}

#[tokio::test]
async fn what_was_not_acknowledged_is_read_again_after_a_crash() {
    let mut rig = Rig::new();
    rig.write(1);
    let mut input = rig.start();
    input.take(1, 1).await;
    rig.write(2);
    let chunk = input.chunk().await;
    // The outputs end as they do when the process does: nothing is settled.
    input.stop.send_replace(true);
    input.chunks.close();
    drop(chunk);
    timeout(SOON, input.done).await.unwrap().unwrap().unwrap();
    let mut input = rig.start();
    input.take(2, 3).await;
    input.stop(4).await;
}

#[tokio::test]
async fn what_an_output_gives_back_is_read_again() {
    let mut rig = Rig::new();
    rig.write(3);
    let mut input = rig.start();
    let chunk = input.chunk().await;
    assert_eq!(expect(&chunk, 1), 4);
    drop(chunk);
    input.take(1, 3).await;
    assert_eq!(input.counters.chunks_resent.get(), 1);
    input.stop(4).await;
}

#[tokio::test]
async fn a_journalctl_that_dies_is_started_again_and_nothing_is_missing_or_repeated() {
    let mut rig = Rig::new();
    let mut input = rig.start();
    for n in 1..=3 {
        rig.write(1);
        input.take(n, n).await;
        let pid = rig.pid().await;
        fs::remove_file(rig.dir.path().join("pid")).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    rig.pid().await;
    rig.write(1);
    input.take(4, 4).await;
    assert_eq!(input.counters.read_errors.get(), 3);
    let last = rig.pid().await;
    input.stop(5).await;
    assert!(rustix::process::test_kill_process(last).is_err(), "it ends with the input, and is reaped");
}

#[tokio::test]
async fn reading_may_begin_at_the_end_as_it_is_at_the_first_start() {
    for before in [0, 5] {
        let mut rig = Rig::new();
        rig.config.read_from = ReadFrom::End;
        rig.write(before);
        let input = rig.start();
        rig.pid().await;
        input.stop(before + 1).await;
        // Written while nobody read: it is not passed over.
        rig.write(2);
        let mut input = rig.start();
        input.take(before + 1, before + 2).await;
        input.stop(before + 3).await;
    }
}

#[tokio::test]
async fn slow_outputs_hold_journalctl_up() {
    let mut rig = Rig::new();
    rig.write(200_000);
    let mut input = rig.start();
    let first = input.chunk().await;
    tokio::time::sleep(FLUSH_PERIOD * 3).await;
    assert!(input.counters.bytes.get() < 4 * CHUNK_BYTES_MAX as u64, "{}", input.counters.bytes.get());
    let next = expect(&first, 1);
    first.receipt.settle();
    input.take(next, 200_000).await;
    input.stop(200_001).await;
}

#[tokio::test]
async fn what_is_no_entry_is_handed_on_as_it_is_and_counted() {
    let mut rig = Rig::new();
    rig.append(&format!("no entry\n{{\"__CURSOR\":\"2\",\"MESSAGE\":\"{}\"}}\n", "x".repeat(2000)));
    rig.written = 2;
    rig.write(1);
    let mut input = rig.start();
    let chunk = input.chunk().await;
    let messages: Vec<_> = chunk.messages().map(|message| message.len()).collect();
    assert_eq!(messages[..2], [8, 1000]);
    assert_eq!(chunk.messages().count(), 3);
    assert_eq!((input.counters.unparsed.get(), input.counters.lines_cut.get()), (2, 1));
    chunk.receipt.settle();
    input.stop(4).await;
}

#[tokio::test]
async fn without_journalctl_the_error_says_what_to_do() {
    let rig = Rig::new();
    let input = rig.start_as(Path::new("/nonexistent/journalctl"));
    let error = timeout(SOON, input.done).await.unwrap().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("input in: cannot run /nonexistent/journalctl: "), "{error}");
    assert!(
        error.ends_with("the journal is there only with systemd: install it, or remove the input"),
        "{error}"
    );
}

#[tokio::test]
async fn positions_of_another_type_of_input_are_not_taken_for_a_cursor() {
    let rig = Rig::new();
    let (mut kept, _) = Kept::open(&rig.dir.path().join("data"), &"in".into()).unwrap();
    kept.save_first(&[1, 0, 0, 0, 0, 0]).unwrap();
    drop(kept);
    let error = timeout(SOON, rig.start().done).await.unwrap().unwrap().unwrap_err().to_string();
    assert!(error.contains("these are positions of another type of input"), "{error}");
}
