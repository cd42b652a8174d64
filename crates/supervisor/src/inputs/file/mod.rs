//! Files that grow.
//!
//! A file is known by its identity: device, inode, and a fingerprint of its first bytes. Its path may change (rotation
//! by rename: the file is read to its end, the new one at its old path from the beginning), its content may be replaced
//! in place (rotation by copy and truncate: read from the beginning; what a rotation cuts off before it is read is gone,
//! and counted as far as it was seen), and it may be deleted (read to its end while it is open). A copy of a file is
//! another file: patterns should leave the copies out that a rotation by copy makes.
//!
//! Files are read in turns, a chunk each. A last line without a line end waits for it; once the file has left its path
//! and nobody has written to it for a while, it is taken as it is.
//!
//! Everything happens on one thread, in one loop that waits for whatever comes first: room in the outputs, a receipt, a
//! change notice, a timer, the stop.

mod carried;
mod framer;
mod identity;
mod leaving;
mod missing;
mod notices;
mod observe;
mod pattern;
mod positions;
mod reader;
mod roster;
mod store;
mod tail;
#[cfg(test)]
mod tests;
mod trouble;
mod unfinished;
mod walk;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use self::notices::Changes;
use self::pattern::Patterns;
use self::reader::{Reader, Returned};
use self::store::PositionStore;
use super::multiline::Multiline;
use super::{InputContext, InputError};
use crate::config::checked::{FileInput, ReadFrom};
use crate::ways::{Closed, Fanout};

/// The times and limits that are not settings. Tests shorten them.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// Whether change notices are used at all.
    notices: bool,
    /// Between two answers to change notices, so that a busy file is read in larger pieces.
    notice_interval: Duration,
    /// Between two saves of positions.
    save_interval: Duration,
    /// A file that left its path and did not grow for so long is taken to be complete.
    gone_quiet: Duration,
    /// How often files that left their path are looked at: no notice reaches them.
    gone_look: Duration,
    /// A file that did not grow for so long is closed.
    idle_close: Duration,
    /// How long the position of a file that is gone is kept.
    forget_after: Duration,
    /// How long a stop waits for outputs to take the rest of deleted files, which is lost otherwise.
    stop_deleted: Duration,
    /// Files that are kept open at the same time; those that left their path come on top.
    open_files_max: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            notices: true,
            notice_interval: Duration::from_millis(5),
            save_interval: Duration::from_secs(1),
            gone_quiet: Duration::from_secs(5),
            gone_look: Duration::from_millis(500),
            idle_close: Duration::from_secs(300),
            forget_after: Duration::from_secs(7 * 24 * 3600),
            stop_deleted: Duration::from_secs(2),
            open_files_max: open_files_max(),
        }
    }
}

/// A quarter of what this process may open: other inputs, the queue and connections need some, too.
fn open_files_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / 4).unwrap_or(usize::MAX).clamp(16, 1024)
}

/// Reads files that match the patterns until told to stop.
///
/// # Errors
/// When positions cannot be read or written, a pattern is not one, or no output takes events any more. Trouble with a
/// single file is no error: it is logged, counted and tried again.
pub async fn run_file(config: FileInput, ctx: InputContext) -> Result<(), InputError> {
    run(config, ctx, Timing::default()).await
}

async fn run(config: FileInput, ctx: InputContext, timing: Timing) -> Result<(), InputError> {
    let pattern_error = |bad: pattern::BadPattern| InputError::Pattern {
        input: Arc::clone(&ctx.input),
        pattern: bad.pattern,
        reason: bad.reason,
    };
    let current_dir = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let patterns = Patterns::new(&config.include, &config.exclude, &current_dir).map_err(pattern_error)?;
    let multiline = multiline(&config, &ctx.input)?;
    let (mut store, stored) = PositionStore::open(&ctx.positions_dir, &ctx.input)?;
    let is_first_start = stored.is_none();
    let first_from = if is_first_start { config.read_from } else { ReadFrom::Beginning };
    let (returned_tx, returned) = mpsc::unbounded_channel();
    let mut reader = Reader::new(&ctx, Arc::new(patterns), multiline, first_from, timing, returned_tx);
    reader.start(stored.unwrap_or_default());
    if is_first_start {
        // From now on a file without a position is a new one.
        let positions = reader.positions();
        store.save_first(positions.iter()).map_err(|error| store.unsaved(&error))?;
    }
    ctx.started.tell();
    let now = Instant::now();
    let mut running = Running {
        out: Some(ctx.out),
        sending: None,
        returned,
        rescan_every: config.rescan,
        rescan_at: now + config.rescan,
        save_at: now + timing.save_interval,
        unsaved_chunks: 0,
        leaving_at: now,
        answer_at: now,
        timing,
        store,
        reader,
    };
    let is_closed = running.until_stopped(ctx.stop.clone()).await.is_err();
    running.finish().await?;
    if is_closed && !is_stopped(&ctx.stop) {
        return Err(InputError::OutputsClosed { input: ctx.input });
    }
    Ok(())
}

/// How events of several lines are told apart, if they are.
fn multiline(config: &FileInput, input: &Arc<str>) -> Result<Option<Multiline>, InputError> {
    let made = config.multiline.as_ref().map(|multiline| Multiline::new(&multiline.start, multiline.timeout));
    made.transpose().map_err(|error| InputError::Pattern {
        input: Arc::clone(input),
        pattern: config.multiline.as_ref().map(|multiline| multiline.start.clone()).unwrap_or_default(),
        reason: error.to_string(),
    })
}

fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}

/// Positions are saved after this many chunks, some MiB, or after the interval, whichever is first.
const UNSAVED_CHUNKS_MAX: u32 = 32;

type Sending = Pin<Box<dyn Future<Output = Result<(), Closed>> + Send>>;

/// What a running input waits for.
struct Running {
    reader: Reader,
    store: PositionStore,
    /// The way to the outputs; given away when reading is over, so that they see the end.
    out: Option<Fanout>,
    /// A chunk for which there was room a moment ago.
    sending: Option<Sending>,
    returned: mpsc::UnboundedReceiver<Returned>,
    timing: Timing,
    rescan_every: Duration,
    rescan_at: Instant,
    save_at: Instant,
    /// Chunks that came back since positions were saved.
    unsaved_chunks: u32,
    leaving_at: Instant,
    answer_at: Instant,
}

enum Happened {
    Stop,
    Returned(Returned),
    Sent(Result<(), Closed>),
    Changed(Changes),
    Due,
    Room(Result<(), Closed>),
}

impl Running {
    /// Reads until told to stop, or until no output takes anything.
    async fn until_stopped(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), Closed> {
        loop {
            match self.next(&mut stop).await {
                Happened::Stop => return Ok(()),
                Happened::Returned(returned) => {
                    self.reader.receipt(&returned);
                    self.save_if_much();
                }
                Happened::Sent(sent) => {
                    self.sending = None;
                    sent?;
                }
                Happened::Changed(changes) => self.answer(changes),
                Happened::Due => self.do_what_is_due(),
                Happened::Room(room) => {
                    room?;
                    self.read();
                }
            }
        }
    }

    async fn next(&mut self, stop: &mut watch::Receiver<bool>) -> Happened {
        let due = self.due_at();
        let may_read = self.sending.is_none() && self.reader.roster.has_turns();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Happened::Stop,
            Some(returned) = self.returned.recv() => Happened::Returned(returned),
            sent = finish_sending(&mut self.sending), if self.sending.is_some() => Happened::Sent(sent),
            changes = self.reader.notices.changed(self.answer_at) => Happened::Changed(changes),
            () = tokio::time::sleep_until(due.into()) => Happened::Due,
            room = room(self.out.as_ref()), if may_read => Happened::Room(room),
        }
    }

    fn due_at(&self) -> Instant {
        let mut due = self.rescan_at;
        if let Some(quiet) = self.reader.unfinished.due_at() {
            due = due.min(quiet);
        }
        if self.reader.is_dirty || self.reader.has_lost() {
            due = due.min(self.save_at);
        }
        if !self.reader.roster.leaving().is_empty() {
            due = due.min(self.leaving_at);
        }
        due
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        if now >= self.save_at {
            if self.reader.has_lost() {
                self.reader.rewind();
            }
            self.save_if_dirty();
            self.save_at = Instant::now() + self.timing.save_interval;
        }
        if self.reader.unfinished.due_at().is_some_and(|quiet| now >= quiet) {
            self.reader.finish_quiet(now);
        }
        if now >= self.leaving_at {
            self.reader.look_at_leaving();
            self.leaving_at = Instant::now() + self.timing.gone_look;
        }
        if now >= self.rescan_at {
            self.reader.rescan();
            self.rescan_at = Instant::now() + self.rescan_every;
        }
    }

    fn answer(&mut self, changes: Changes) {
        let began = Instant::now();
        self.reader.changed(changes);
        // Where looking takes long, it is done less often: a tenth of the time at most.
        let pause = (began.elapsed() * 10).max(self.timing.notice_interval);
        self.answer_at = Instant::now() + pause;
    }

    /// Reads the next chunk and begins to send it.
    fn read(&mut self) {
        if let (Some(chunk), Some(out)) = (self.reader.turn(), &self.out) {
            let out = out.clone();
            self.sending = Some(Box::pin(async move { out.send(chunk).await }));
        }
    }

    /// Where much is read in a second, a crash should not repeat all of it.
    fn save_if_much(&mut self) {
        self.unsaved_chunks += 1;
        if self.unsaved_chunks >= UNSAVED_CHUNKS_MAX {
            self.save_if_dirty();
            self.save_at = Instant::now() + self.timing.save_interval;
        }
    }

    /// Makes positions durable. A failure is told and tried again: nothing is lost by an old position.
    fn save_if_dirty(&mut self) {
        self.unsaved_chunks = 0;
        if self.reader.is_dirty
            && let Err(error) = self.save()
        {
            tracing::error!(input = %self.reader.input, %error, "positions are not saved: {error}");
        }
    }

    fn save(&mut self) -> Result<(), InputError> {
        let positions = self.reader.positions();
        let counters = &self.reader.counters;
        match self.store.save(positions.iter()) {
            Ok(()) => {
                counters.positions_saved.add(1);
                self.reader.is_dirty = false;
                Ok(())
            }
            Err(error) => {
                counters.position_errors.add(1);
                Err(self.store.unsaved(&error))
            }
        }
    }

    /// Reading is over: waits for every receipt, then saves the positions for good.
    async fn finish(mut self) -> Result<(), InputError> {
        self.read_deleted().await;
        if let Some(sending) = self.sending.take()
            && sending.await.is_err()
        {
            tracing::debug!("an output did not take the last chunk; it is read again after the next start");
        }
        self.out = None;
        while self.reader.in_flight() > 0 {
            tokio::select! {
                returned = self.returned.recv() => match returned {
                    Some(returned) => self.reader.receipt(&returned),
                    // The reader itself holds a sender.
                    None => break,
                },
                () = tokio::time::sleep_until(self.save_at.into()), if self.reader.is_dirty => {
                    self.save_if_dirty();
                    self.save_at = Instant::now() + self.timing.save_interval;
                }
            }
        }
        self.reader.look_at_leaving();
        self.save()?;
        tracing::info!(input = %self.reader.input, "input {} has stopped; its positions are saved", self.reader.input);
        Ok(())
    }

    /// A deleted file ends with this process, so what is left of it goes to the outputs if they take it soon.
    async fn read_deleted(&mut self) {
        self.reader.only_deleted_have_turns();
        let until = tokio::time::Instant::now() + self.timing.stop_deleted;
        while self.reader.roster.has_turns() {
            let sent = tokio::time::timeout_at(until, async {
                finish_sending(&mut self.sending).await?;
                self.sending = None;
                room(self.out.as_ref()).await
            });
            match sent.await {
                Ok(Ok(())) => self.read(),
                Ok(Err(Closed)) | Err(_) => break,
            }
        }
        self.reader.tell_unread_deleted();
    }
}

async fn finish_sending(sending: &mut Option<Sending>) -> Result<(), Closed> {
    match sending {
        Some(sending) => sending.await,
        None => Ok(()),
    }
}

async fn room(out: Option<&Fanout>) -> Result<(), Closed> {
    match out {
        Some(out) => out.room().await,
        None => Err(Closed),
    }
}
