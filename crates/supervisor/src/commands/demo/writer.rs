//! Writes log lines at an even rate, each with a running number, as an application would.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;

/// Lines are written this often.
const TICK: Duration = Duration::from_millis(20);

/// Real-looking lines; shop.log holds one of 100 KB, which this demo leaves out.
const SOURCES: [&str; 2] = [
    include_str!("../../../../../fixtures/logs/gateway.log"),
    include_str!("../../../../../fixtures/logs/shop.log"),
];
const LINE_MAX: usize = 4096;

/// A task that writes to a log file.
pub(super) struct Writer {
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Writer {
    /// Starts to append `rate` lines a second to `path`.
    pub(super) fn start(path: &Path, rate: u32) -> anyhow::Result<Self> {
        let mut file = std::fs::File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let written = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, end) = (Arc::clone(&written), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let lines: Vec<&str> = SOURCES
                .iter()
                .flat_map(|source| source.lines())
                .filter(|line| line.len() < LINE_MAX)
                .collect();
            let mut ticks = tokio::time::interval(TICK);
            let (mut number, mut owed) = (0_u64, 0.0);
            let mut buffer = Vec::new();
            while !end.load(Ordering::Relaxed) {
                ticks.tick().await;
                owed += f64::from(rate) * TICK.as_secs_f64();
                buffer.clear();
                while owed >= 1.0 {
                    owed -= 1.0;
                    let line = lines[usize::try_from(number).unwrap_or(0) % lines.len()];
                    writeln!(buffer, "#{number} {line}")?;
                    number += 1;
                }
                file.write_all(&buffer)?;
                count.store(number, Ordering::Relaxed);
            }
            Ok(())
        });
        Ok(Self { written, stop, task })
    }

    /// Lines written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Did it end although nobody asked it to?
    pub(super) fn has_failed(&self) -> bool {
        self.task.is_finished() && !self.stop.load(Ordering::Relaxed)
    }

    /// Writes no more.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.task).await?.context("writing the log file")
    }
}
