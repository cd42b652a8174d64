//! The journal of systemd, read by `journalctl`.
//!
//! The position is the cursor of the last entry up to which everything is delivered or durable. Behind it reading begins
//! again after a stop or a crash, and when `journalctl` ends: then it is started again.
//!
//! While the outputs have no room, nothing is read, and `journalctl` waits. The journal is on disk; how long it keeps what
//! was not read yet is up to its own settings.

mod child;
mod cursors;
mod entry;
mod reading;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::child::{Journalctl, last_cursor, next_of};
use self::cursors::{Cursors, decode, encode};
use self::reading::{Reading, read_some};
use super::kept::Kept;
use super::net::{CHUNK_BYTES_MAX, FLUSH_PERIOD, sleep_until, stopped};
use super::{InputContext, InputCounters, InputError};
use crate::chunk::{Chunk, Codec, Form, Receipt};
use crate::config::checked::{JournaldInput, ReadFrom};
use crate::failure_log::FailureLog;
use crate::ways::{Closed, Fanout};

/// Between two saves of the position.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Bounds of the delay before a `journalctl` that has ended is started again; it doubles each time.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(30);
/// One that ran for so long has begun well.
const RAN_WELL: Duration = Duration::from_secs(60);

/// Follows the journal until told to stop.
///
/// # Errors
/// When there is no `journalctl`, the position cannot be read or written, or no output takes events any more.
pub async fn run_journald(config: JournaldInput, ctx: InputContext) -> Result<(), InputError> {
    run(Path::new("journalctl"), config, ctx).await
}

async fn run(program: &Path, config: JournaldInput, ctx: InputContext) -> Result<(), InputError> {
    let (mut kept, body) = Kept::open(&ctx.positions_dir, &ctx.input)?;
    let unusable = |error: io::Error| no_journal(&ctx.input, program, &error);
    let cursor = match body {
        Some(body) => {
            decode(&body).ok_or_else(|| kept.unreadable("these are positions of another type of input"))?
        }
        None => {
            let first = match config.read_from {
                ReadFrom::Beginning => String::new(),
                ReadFrom::End => last_cursor(program, &config).await.map_err(unusable)?,
            };
            // From now on nothing is passed over.
            kept.save_first(&encode(&first)).map_err(|error| kept.unsaved(&error))?;
            first
        }
    };
    let child = Journalctl::follow(program, &config, &cursor).map_err(unusable)?;
    ctx.started.tell();
    let (returned_tx, returned) = mpsc::unbounded_channel();
    let now = Instant::now();
    let follower = Follower {
        program: program.to_owned(),
        config,
        input: ctx.input,
        out: ctx.out,
        stop: ctx.stop.clone(),
        sending: None,
        counters: ctx.counters,
        max_line: ctx.max_line,
        reading: Reading::new(ctx.max_line),
        child: Some(child),
        child_since: now,
        restart_at: None,
        restart_delay: RESTART_FIRST,
        kept,
        cursors: Cursors::new(cursor),
        is_dirty: false,
        save_at: now + SAVE_INTERVAL,
        flush_at: None,
        returned_tx,
        returned,
        complaints: FailureLog::default(),
        began: now,
    };
    follower.run(ctx.stop).await
}

fn no_journal(input: &Arc<str>, program: &Path, error: &io::Error) -> InputError {
    InputError::Journal {
        input: Arc::clone(input),
        program: program.display().to_string(),
        message: error.to_string(),
        remedy: if error.kind() == io::ErrorKind::NotFound {
            "the journal is there only with systemd: install it, or remove the input"
        } else {
            "let the user that runs millpond read the journal (group systemd-journal), and try the command by hand"
        },
    }
}

type Sending = Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>;

struct Follower {
    program: PathBuf,
    config: JournaldInput,
    input: Arc<str>,
    out: Fanout,
    stop: watch::Receiver<bool>,
    /// A chunk on its way to the outputs.
    sending: Option<Sending>,
    counters: Arc<InputCounters>,
    max_line: usize,
    reading: Reading,
    child: Option<Journalctl>,
    child_since: Instant,
    restart_at: Option<Instant>,
    restart_delay: Duration,
    kept: Kept,
    cursors: Cursors,
    /// The position has changed since it was saved.
    is_dirty: bool,
    save_at: Instant,
    flush_at: Option<Instant>,
    returned_tx: mpsc::UnboundedSender<(u64, bool)>,
    returned: mpsc::UnboundedReceiver<(u64, bool)>,
    complaints: FailureLog,
    began: Instant,
}

enum Happened {
    Stop,
    Returned(u64, bool),
    Sent(Result<(), Closed>),
    Save,
    Flush,
    Restart,
    Complained(String),
    Read(io::Result<usize>),
}

impl Follower {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), InputError> {
        let result = self.until_stopped(&mut stop).await;
        // What is gathered is read again after the next start.
        if let Some(child) = self.child.take() {
            let (status, _) = child.end().await;
            tracing::debug!(status, "journalctl has ended");
        }
        if let Some(sending) = self.sending.take()
            && sending.await.is_err()
        {
            tracing::debug!("an output did not take the last chunk; it is read again after the next start");
        }
        self.out = Fanout::none();
        while self.cursors.awaited() > 0 {
            let Some((number, ok)) = self.returned.recv().await else { break };
            self.receipt(number, ok);
        }
        self.save()?;
        match result {
            Err(Closed) if !super::net::is_stopped(&stop) => {
                Err(InputError::OutputsClosed { input: self.input })
            }
            _ => Ok(()),
        }
    }

    async fn until_stopped(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Closed> {
        loop {
            match self.next(stop).await {
                Happened::Stop => return Ok(()),
                Happened::Returned(number, ok) => self.receipt(number, ok),
                Happened::Sent(sent) => {
                    self.sending = None;
                    sent?;
                    if self.reading.gathered.bytes() >= CHUNK_BYTES_MAX {
                        self.hand_on();
                    }
                }
                Happened::Save => self.save_now_and_then(),
                Happened::Flush => self.hand_on(),
                Happened::Restart => self.restart(),
                Happened::Complained(line) => {
                    self.complain("complaint", &format!("journalctl says: {line}"));
                }
                Happened::Read(Ok(1..)) => {
                    if self.reading.gathered.bytes() >= CHUNK_BYTES_MAX {
                        self.hand_on();
                    } else if !self.reading.gathered.is_empty() {
                        self.flush_at = self.flush_at.or_else(|| Some(Instant::now() + FLUSH_PERIOD));
                    }
                }
                Happened::Read(ended) => self.child_has_ended(ended).await,
            }
        }
    }

    async fn next(&mut self, stop: &mut watch::Receiver<bool>) -> Happened {
        let may_read = self.reading.gathered.bytes() < CHUNK_BYTES_MAX && !self.cursors.has_lost();
        let Self { child, reading, counters, sending, .. } = self;
        let from_child = async {
            match child {
                None => std::future::pending().await,
                Some(Journalctl { entries, complaints, .. }) => tokio::select! {
                    biased;
                    line = next_of(complaints) => Happened::Complained(line),
                    read = read_some(entries, reading, counters), if may_read => Happened::Read(read),
                },
            }
        };
        tokio::select! {
            biased;
            () = stopped(stop) => Happened::Stop,
            Some((number, ok)) = self.returned.recv() => Happened::Returned(number, ok),
            sent = finish(sending), if sending.is_some() => Happened::Sent(sent),
            () = tokio::time::sleep_until(self.save_at), if self.is_dirty => Happened::Save,
            () = sleep_until(self.flush_at), if self.flush_at.is_some() && sending.is_none() => Happened::Flush,
            () = sleep_until(self.restart_at), if self.restart_at.is_some() => Happened::Restart,
            happened = from_child => happened,
        }
    }

    /// Gives what is gathered to the outputs, unless they have not taken the last chunk yet.
    fn hand_on(&mut self) {
        if self.sending.is_some() || self.reading.gathered.is_empty() || self.cursors.has_lost() {
            return;
        }
        self.flush_at = None;
        let events = self.reading.gathered.count();
        let (data, framing) = self.reading.gathered.take();
        self.counters.events.add(events);
        self.counters.bytes.add(data.len() as u64);
        // Lines that are no entries have no cursor of their own: those of the entry before them.
        let last = self.reading.last.take().unwrap_or_else(|| self.cursors.last_sent().to_owned());
        let (number, returned) = (self.cursors.sent(last), self.returned_tx.clone());
        self.counters.chunks_in_flight.set(self.cursors.awaited() as u64);
        let receipt = Receipt::new(move |ok| {
            if returned.send((number, ok)).is_err() {
                tracing::debug!("a receipt came back after its input had ended");
            }
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let chunk = Chunk {
            input: Arc::clone(&self.input),
            source: "journald".into(),
            host: None,
            codec: Codec::Json,
            read_at_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            data,
            framing,
            form: Form::default(),
            receipt,
        };
        let (out, mut stop) = (self.out.clone(), self.stop.clone());
        self.sending = Some(Box::pin(async move {
            // A reload may have taken the last output away, and may bring another.
            tokio::select! {
                biased;
                room = out.room() => room?,
                () = stopped(&mut stop) => {}
            }
            out.send(chunk).await
        }));
    }

    fn receipt(&mut self, number: u64, ok: bool) {
        self.is_dirty |= self.cursors.receipt(number, ok);
        self.counters.chunks_in_flight.set(self.cursors.awaited() as u64);
        if self.cursors.must_rewind() {
            self.counters.chunks_resent.add(1);
            self.cursors = Cursors::new(self.cursors.acked().to_owned());
            // Dropping it ends it; the next one begins behind what is acknowledged.
            self.child = None;
            self.restart_at = Some(Instant::now());
        }
    }

    fn restart(&mut self) {
        self.restart_at = None;
        self.reading = Reading::new(self.max_line);
        self.flush_at = None;
        match Journalctl::follow(&self.program, &self.config, self.cursors.last_sent()) {
            Ok(child) => {
                self.child_since = Instant::now();
                self.child = Some(child);
            }
            Err(error) => {
                self.complain("start", &format!("journalctl cannot be started: {error}"));
                self.restart_later();
            }
        }
    }

    fn restart_later(&mut self) {
        self.restart_at = Some(Instant::now() + self.restart_delay);
        self.restart_delay = (self.restart_delay * 2).min(RESTART_MAX);
    }

    /// `journalctl` has ended, or its output cannot be read. What came of it whole goes on its way first.
    async fn child_has_ended(&mut self, ended: io::Result<usize>) {
        let Some(child) = self.child.take() else { return };
        let (status, complaints) = child.end().await;
        for line in complaints {
            self.complain("complaint", &format!("journalctl says: {line}"));
        }
        self.counters.read_errors.add(1);
        let reason = ended.map_or_else(|error| error.to_string(), |_| status);
        self.complain("ended", &format!("journalctl has ended ({reason}) and is started again"));
        if self.child_since.elapsed() >= RAN_WELL {
            self.restart_delay = RESTART_FIRST;
        }
        self.restart_later();
    }

    fn complain(&mut self, kind: &str, message: &str) {
        if let Some(held_back) = self.complaints.note(self.began.elapsed(), kind) {
            tracing::warn!(input = &*self.input, held_back, "{message}");
        }
    }

    /// A failure is told and tried again: nothing is lost by an old position.
    fn save_now_and_then(&mut self) {
        self.save_at = Instant::now() + SAVE_INTERVAL;
        if let Err(error) = self.save() {
            tracing::error!(input = &*self.input, %error, "the position is not saved: {error}");
        }
    }

    fn save(&mut self) -> Result<(), InputError> {
        if !self.is_dirty {
            return Ok(());
        }
        match self.kept.save(&encode(self.cursors.acked())) {
            Ok(()) => {
                self.counters.positions_saved.add(1);
                self.is_dirty = false;
                Ok(())
            }
            Err(error) => {
                self.counters.position_errors.add(1);
                Err(self.kept.unsaved(&error))
            }
        }
    }
}

async fn finish(sending: &mut Option<Sending>) -> Result<(), Closed> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}
