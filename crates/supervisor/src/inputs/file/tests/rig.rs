//! A directory of logs, an input that reads it on its own thread, and an output that the test plays.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::super::{Timing, run};
use crate::chunk::{Chunk, Codec, Framing};
use crate::config::checked::{FileInput, ReadFrom};
use crate::inputs::{InputContext, InputCounters, InputError};
use crate::ways::{Fanout, Way};

/// How long a test waits for something that must happen.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// Short times, so that tests do not take long. `rescan` is far away: notices must do.
pub(super) fn quick() -> Timing {
    Timing {
        save_interval: Duration::from_millis(20),
        gone_quiet: Duration::from_millis(150),
        gone_look: Duration::from_millis(10),
        idle_close: Duration::from_millis(300),
        stop_deleted: Duration::from_millis(300),
        ..Timing::default()
    }
}

/// The directories of a test.
pub(super) struct Rig {
    dir: tempfile::TempDir,
    pub(super) config: FileInput,
    pub(super) timing: Timing,
    pub(super) max_line: usize,
    pub(super) room: usize,
}

impl Rig {
    /// An input with patterns below the directory of logs.
    pub(super) fn new(include: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let logs = dir.path().join("logs");
        fs::create_dir(&logs).unwrap();
        let config = FileInput {
            include: include.iter().map(|text| logs.join(text).to_str().unwrap().to_owned()).collect(),
            exclude: Vec::new(),
            read_from: ReadFrom::Beginning,
            rescan: Duration::from_secs(3600),
            multiline: None,
        };
        Self { dir, config, timing: quick(), max_line: 1 << 20, room: 4 }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(super) fn append(&self, name: &str, content: &str) -> File {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// The positions as a crash would leave them now.
    pub(super) fn keep_positions(&self) -> Kept {
        let dir = self.data_dir().join("in");
        let files = ["positions.a", "positions.b"].map(|name| dir.join(name));
        Kept { files: files.map(|file| (fs::read(&file).unwrap(), file)) }
    }

    /// Starts the input.
    pub(super) fn start(&self) -> Input {
        let (tx, chunks) = mpsc::channel(self.room);
        let (stop, stopped) = watch::channel(false);
        let counters = Arc::new(InputCounters::default());
        let ctx = InputContext {
            input: "in".into(),
            codec: Codec::Text,
            max_line: self.max_line,
            out: Fanout::fixed([Way::plain("main", tx)]),
            stop: stopped,
            counters: Arc::clone(&counters),
            started: crate::inputs::Started::new().0,
            positions_dir: self.data_dir(),
        };
        let (tell, done) = oneshot::channel();
        let (config, timing) = (self.config.clone(), self.timing);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tell.send(runtime.block_on(run(config, ctx, timing))).ok();
        });
        Input {
            chunks,
            stop,
            counters,
            done,
            logs: self.dir.path().join("logs"),
            lines: HashMap::new(),
            last: None,
        }
    }

    /// Runs the input until it has given `lines` lines, settles all of them and stops it.
    pub(super) async fn run_for(&self, lines: usize) -> HashMap<String, Vec<String>> {
        let mut input = self.start();
        input.take(lines).await;
        input.stop().await
    }
}

/// Position files as they were at one time.
pub(super) struct Kept {
    files: [(Vec<u8>, PathBuf); 2],
}

impl Kept {
    /// Forgets what was saved since.
    pub(super) fn put_back(self) {
        for (body, file) in self.files {
            fs::write(file, body).unwrap();
        }
    }
}

/// A running input; the test is its output.
pub(super) struct Input {
    pub(super) chunks: mpsc::Receiver<Chunk>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) counters: Arc<InputCounters>,
    done: oneshot::Receiver<Result<(), InputError>>,
    logs: PathBuf,
    /// Lines taken, by source (relative to the directory of logs).
    pub(super) lines: HashMap<String, Vec<String>>,
    pub(super) last: Option<Instant>,
}

impl Input {
    /// The next chunk, not settled.
    pub(super) async fn chunk(&mut self) -> Chunk {
        match timeout(SOON, self.chunks.recv()).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => panic!("the input has ended: {:?}, taken: {:?}", self.done.try_recv(), self.lines),
            Err(_) => panic!("nothing came; taken: {:?}", self.lines),
        }
    }

    /// Remembers the lines of a chunk, and settles it.
    pub(super) fn settle(&mut self, chunk: Chunk) -> usize {
        let lines = self.note(&chunk);
        chunk.receipt.settle();
        lines
    }

    /// Remembers the lines of a chunk.
    pub(super) fn note(&mut self, chunk: &Chunk) -> usize {
        self.last = Some(Instant::now());
        let source = Path::new(&*chunk.source).strip_prefix(&self.logs).unwrap().to_str().unwrap().to_owned();
        let text = |message: &[u8]| String::from_utf8_lossy(message).into_owned();
        let lines: Vec<String> = match chunk.framing {
            Framing::Lines => text(&chunk.data).split_terminator('\n').map(str::to_owned).collect(),
            Framing::Ends(_) => chunk.messages().map(text).collect(),
        };
        let count = lines.len();
        self.lines.entry(source).or_default().extend(lines);
        count
    }

    /// Takes and settles chunks until there were so many lines.
    pub(super) async fn take(&mut self, lines: usize) {
        let mut taken = 0;
        while taken < lines {
            let chunk = self.chunk().await;
            taken += self.settle(chunk);
        }
        assert_eq!(taken, lines, "{:?}", self.lines);
    }

    /// Takes so many lines more, and expects them to be these.
    pub(super) async fn expect(&mut self, source: &str, lines: &[&str]) {
        let before = self.lines.get(source).map_or(0, Vec::len);
        self.take(lines.len()).await;
        let new = self.lines.get(source).map_or(&[][..], |all| &all[before..]);
        assert_eq!(new, lines, "{source} of {:?}", self.lines);
    }

    /// Waits until something that is counted has come true.
    pub(super) async fn until(&self, what: &str, is_true: impl Fn(&InputCounters) -> bool) {
        let by = Instant::now() + SOON;
        while !is_true(&self.counters) {
            assert!(Instant::now() < by, "not in time: {what}: {:#?}", self.counters);
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops the input, settles whatever still comes, and gives all lines.
    pub(super) async fn stop(mut self) -> HashMap<String, Vec<String>> {
        self.stop.send(true).unwrap();
        while let Some(chunk) = timeout(SOON, self.chunks.recv()).await.expect("the input ends") {
            self.settle(chunk);
        }
        timeout(SOON, &mut self.done).await.expect("the input ends").unwrap().unwrap();
        self.lines
    }

    /// How the input has ended.
    pub(super) async fn ended(&mut self) -> Result<(), InputError> {
        timeout(SOON, &mut self.done).await.expect("the input ends").unwrap()
    }

    /// Ends the input as a crash would: nothing that is on its way is ever settled, and positions stay as they are.
    pub(super) async fn crash(mut self) -> HashMap<String, Vec<String>> {
        self.chunks.close();
        self.stop.send(true).unwrap();
        while let Some(chunk) = self.chunks.recv().await {
            drop(chunk);
        }
        self.ended().await.unwrap();
        self.lines
    }
}
