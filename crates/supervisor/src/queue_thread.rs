//! One operating-system thread that owns a queue. What several senders append while a sync is under way shares the
//! next one: the sync itself is the batching window, there is no artificial delay.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use millpond_queue::{AppendError, BatchInfo, CommitError, Fs, FullReason, Queue, Sequence, Stats};
use tokio::sync::oneshot;

/// The cursor is made durable this long after the first acknowledgement it lacks …
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// … or after this many of them.
const CHECKPOINT_ACKS: u32 = 64;
/// While the queue is full, delivered segments are looked for this often at most.
const RECLAIM_EVERY: Duration = Duration::from_millis(50);
/// Free space on a file system cannot be awaited: a queue that is full or broken is tried again this often.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Called once with the sequence when the batch is durable.
pub type OnDurable = Box<dyn FnOnce(Sequence) + Send>;

/// Whether the queue takes batches; `Err` says in words why not. Called when that changes.
pub type OnRoom = Box<dyn FnMut(Result<(), String>) + Send>;

/// A batch to append.
pub struct Append {
    /// What the queue notes about it.
    pub info: BatchInfo,
    /// Its bytes.
    pub payload: [Bytes; 2],
    /// Whom to tell. Dropped without a call when the queue closes before the batch is durable.
    pub on_durable: OnDurable,
}

enum Command {
    Append(Append),
    Ack(Sequence),
    Stats(oneshot::Sender<Stats>),
    Close,
}

/// The way to the thread of a queue. Dropping it closes the queue without waiting.
#[derive(Debug)]
pub struct QueueThread {
    commands: mpsc::Sender<Command>,
    thread: Option<std::thread::JoinHandle<Result<(), millpond_queue::CloseError>>>,
}

/// Acknowledges batches of a queue.
#[derive(Debug, Clone)]
pub struct Acknowledger {
    commands: mpsc::Sender<Command>,
}

impl Acknowledger {
    /// Acknowledges a batch. When the queue is closed already, the batch is read again after the next start.
    pub fn ack(&self, sequence: Sequence) {
        drop(self.commands.send(Command::Ack(sequence)));
    }
}

/// The thread of a queue is gone: it panicked, and said so on its way.
#[derive(Debug, thiserror::Error)]
#[error("the thread of the queue has stopped unexpectedly; its message is in the log above")]
pub struct QueueGone;

/// Why a queue was not closed cleanly.
#[derive(Debug, thiserror::Error)]
pub enum CloseFailed {
    /// What was durable still is; the next start recovers.
    #[error(transparent)]
    Queue(#[from] millpond_queue::CloseError),
    /// Its thread is gone.
    #[error(transparent)]
    Gone(#[from] QueueGone),
}

impl QueueThread {
    /// Gives the queue a thread of its own, named `name`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(name: &str, queue: Queue<Fs>, on_room: OnRoom) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let owner = Owner {
            queue,
            on_room,
            waiting: VecDeque::new(),
            staged: VecDeque::new(),
            unsaved_acks: 0,
            acked_at: None,
            checkpoint_at: None,
            blocked: None,
            tried_at: Instant::now(),
            closing: false,
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || owner.run(&inbox))?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Appends a batch; what is handed over in one order becomes durable in that order.
    ///
    /// # Errors
    /// [`QueueGone`]: the batch is not durable and never will be.
    pub fn append(&self, append: Append) -> Result<(), QueueGone> {
        self.commands.send(Command::Append(append)).map_err(|_| QueueGone)
    }

    /// Acknowledges a batch.
    ///
    /// # Errors
    /// [`QueueGone`]: the batch will be read again after a restart.
    pub fn ack(&self, sequence: Sequence) -> Result<(), QueueGone> {
        self.commands.send(Command::Ack(sequence)).map_err(|_| QueueGone)
    }

    /// Acknowledges for somebody who does not own the way to the thread.
    #[must_use]
    pub fn acknowledger(&self) -> Acknowledger {
        Acknowledger { commands: self.commands.clone() }
    }

    /// What the queue holds.
    ///
    /// # Errors
    /// [`QueueGone`].
    pub async fn stats(&self) -> Result<Stats, QueueGone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Stats(reply)).map_err(|_| QueueGone)?;
        answer.await.map_err(|_| QueueGone)
    }

    /// Makes durable what was handed over, writes the cursor and closes the queue. Blocks until that is done.
    ///
    /// # Errors
    /// See [`CloseFailed`]; what was durable stays so.
    pub fn close(mut self) -> Result<(), CloseFailed> {
        self.commands.send(Command::Close).map_err(|_| QueueGone)?;
        let Some(thread) = self.thread.take() else {
            return Err(QueueGone.into());
        };
        Ok(thread.join().map_err(|_| QueueGone)??)
    }
}

/// What lives on the thread.
struct Owner {
    queue: Queue<Fs>,
    on_room: OnRoom,
    /// Not yet staged: the queue has no room for them now.
    waiting: VecDeque<Append>,
    /// Staged, not yet durable.
    staged: VecDeque<(Sequence, OnDurable)>,
    unsaved_acks: u32,
    acked_at: Option<Instant>,
    checkpoint_at: Option<Instant>,
    blocked: Option<String>,
    tried_at: Instant,
    closing: bool,
}

impl Owner {
    fn run(mut self, inbox: &mpsc::Receiver<Command>) -> Result<(), millpond_queue::CloseError> {
        while !self.closing {
            match self.next_timer() {
                None => match inbox.recv() {
                    Ok(command) => self.take(command),
                    Err(mpsc::RecvError) => self.closing = true,
                },
                Some(timer) => {
                    let patience = timer.saturating_duration_since(Instant::now());
                    match inbox.recv_timeout(patience) {
                        Ok(command) => self.take(command),
                        Err(mpsc::RecvTimeoutError::Timeout) => {}
                        Err(mpsc::RecvTimeoutError::Disconnected) => self.closing = true,
                    }
                }
            }
            while let Ok(command) = inbox.try_recv() {
                self.take(command);
            }
            self.write();
            self.checkpoint();
        }
        self.queue.close(crate::clock::unix_ms())
    }

    /// When there is something to do although nobody asks.
    fn next_timer(&self) -> Option<Instant> {
        let checkpoint = self.acked_at.map(|at| at + CHECKPOINT_EVERY);
        let retry = self.blocked.is_some().then(|| self.tried_at + RETRY_EVERY);
        let reclaim = (self.blocked.is_some() && self.unsaved_acks > 0)
            .then(|| self.checkpoint_at.map_or_else(Instant::now, |at| at + RECLAIM_EVERY));
        checkpoint.into_iter().chain(retry).chain(reclaim).min()
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Append(append) => self.waiting.push_back(append),
            Command::Ack(sequence) => {
                self.queue.ack(sequence);
                self.unsaved_acks += 1;
                self.acked_at.get_or_insert_with(Instant::now);
            }
            // Nobody waits for the answer any more if this fails.
            Command::Stats(reply) => drop(reply.send(self.queue.stats())),
            Command::Close => self.closing = true,
        }
    }

    /// Stages what waits and commits it, group by group, until all is durable or the queue takes no more.
    fn write(&mut self) {
        if self.waiting.is_empty() && self.staged.is_empty() {
            return;
        }
        self.tried_at = Instant::now();
        let blocked = loop {
            let refused = self.stage();
            if !self.staged.is_empty()
                && let Err(reason) = self.commit()
            {
                break Some(reason);
            }
            match refused {
                None => break None,
                Some(reason) if self.staged.is_empty() && reason.is_some() => break reason,
                Some(_) => {}
            }
        };
        if blocked.is_some() != self.blocked.is_some() {
            (self.on_room)(blocked.clone().map_or(Ok(()), Err));
        }
        self.blocked = blocked;
    }

    /// Hands the queue what it takes. `None`: all of it. `Some(None)`: commit first. `Some(Some(why))`: no room.
    fn stage(&mut self) -> Option<Option<String>> {
        while let Some(append) = self.waiting.front() {
            match self.queue.append(append.info, &append.payload) {
                Ok(sequence) => {
                    let append = self.waiting.pop_front().expect("it was just looked at");
                    self.staged.push_back((sequence, append.on_durable));
                }
                Err(AppendError::Full(FullReason::Staged)) => return Some(None),
                Err(error) => return Some(Some(error.to_string())),
            }
        }
        None
    }

    fn commit(&mut self) -> Result<(), String> {
        let outcome = self.queue.commit();
        // Even a commit that failed half-way may have made the first batches durable.
        let durable = self.queue.durable();
        while self.staged.front().is_some_and(|(sequence, _)| *sequence < durable) {
            let (sequence, on_durable) = self.staged.pop_front().expect("it was just looked at");
            on_durable(sequence);
        }
        match outcome {
            Ok(durable) => {
                assert!(self.staged.is_empty(), "a commit up to {} left batches behind", durable.upto);
                Ok(())
            }
            Err(error @ (CommitError::Full(_) | CommitError::Failed(_))) => Err(error.to_string()),
        }
    }

    fn checkpoint(&mut self) {
        let now = Instant::now();
        let due = self.acked_at.is_some_and(|at| now >= at + CHECKPOINT_EVERY);
        let rested = self.checkpoint_at.is_none_or(|at| now >= at + RECLAIM_EVERY);
        let wanted = self.blocked.is_some() && self.unsaved_acks > 0 && rested;
        if !due && !wanted && self.unsaved_acks < CHECKPOINT_ACKS {
            return;
        }
        self.unsaved_acks = 0;
        self.acked_at = None;
        self.checkpoint_at = Some(now);
        if let Err(error) = self.queue.checkpoint(crate::clock::unix_ms()) {
            tracing::error!(%error, "the queue's cursor could not be written: after a crash, batches are repeated");
            // Tried again a second from now.
            self.acked_at = Some(now);
        } else if self.blocked.is_some() {
            self.write();
        }
    }
}
