//! Where it is written down that batches of a replay were accepted: a thread of its own writes, and what is reported during
//! a save shares the next one.

use std::io;
use std::sync::mpsc;

use millpond_kinesis::Batch;
use millpond_queue::Sequence;
use tokio::sync::oneshot;

/// A batch of which every record has its fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Its number in its queue.
    pub sequence: Sequence,
    /// Its events.
    pub events: u64,
    /// Its bytes as they were sent.
    pub bytes: u64,
    /// Time of its oldest event, in milliseconds since the Unix epoch.
    pub first_time_ms: i64,
    /// Time of its newest event.
    pub last_time_ms: i64,
}

impl Settled {
    /// This batch is settled.
    #[must_use]
    pub fn of(sequence: Sequence, batch: &Batch) -> Self {
        let meta = batch.meta();
        Self {
            sequence,
            events: u64::from(meta.events),
            bytes: batch.wire_bytes(),
            first_time_ms: meta.first_time_ms,
            last_time_ms: meta.last_time_ms,
        }
    }
}

/// What is written.
pub trait Book: Send + 'static {
    /// Takes note of a batch, in memory.
    fn note(&mut self, settled: &Settled);

    /// Makes durable what was noted.
    ///
    /// # Errors
    /// It may or may not be durable.
    fn save(&mut self) -> io::Result<()>;

    /// Makes durable what was noted, for the last time.
    ///
    /// # Errors
    /// As [`Book::save`].
    fn close(self: Box<Self>) -> io::Result<()>;
}

/// What was accepted could not be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what was accepted cannot be written down, so nothing more is sent: {0}")]
pub struct LedgerError(String);

struct Entry {
    settled: Settled,
    durable: oneshot::Sender<Result<(), LedgerError>>,
}

/// Reports batches. Whoever does waits for the answer, so no more are on their way than batches fly.
#[derive(Debug, Clone)]
pub struct Ledger {
    entries: mpsc::Sender<Entry>,
}

impl Ledger {
    /// Returns when it is durable that the batch is settled.
    ///
    /// # Errors
    /// [`LedgerError`]: it may not be.
    pub async fn settle(&self, settled: Settled) -> Result<(), LedgerError> {
        let gone = || LedgerError("the thread that writes has ended".to_owned());
        let (durable, is_durable) = oneshot::channel();
        self.entries.send(Entry { settled, durable }).map_err(|_| gone())?;
        is_durable.await.map_err(|_| gone())?
    }
}

/// The thread that writes.
#[derive(Debug)]
pub struct LedgerThread(std::thread::JoinHandle<io::Result<()>>);

/// Gives the book a thread of its own. It ends when no ledger is left.
///
/// # Errors
/// When the operating system gives no thread.
pub fn keep(book: Box<dyn Book>) -> io::Result<(Ledger, LedgerThread)> {
    let (entries, inbox) = mpsc::channel();
    let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || write(book, &inbox))?;
    Ok((Ledger { entries }, LedgerThread(thread)))
}

impl LedgerThread {
    /// Waits until all is written, after the last [`Ledger`] has gone. Blocks.
    ///
    /// # Errors
    /// When the last save fails.
    pub fn join(self) -> io::Result<()> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn write(mut book: Box<dyn Book>, inbox: &mpsc::Receiver<Entry>) -> io::Result<()> {
    while let Ok(first) = inbox.recv() {
        let group: Vec<Entry> = std::iter::once(first).chain(inbox.try_iter()).collect();
        group.iter().for_each(|entry| book.note(&entry.settled));
        let saved = book.save().map_err(|error| LedgerError(error.to_string()));
        for entry in group {
            // Whoever does not wait any more will send it again.
            entry.durable.send(saved.clone()).ok();
        }
    }
    book.close()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was noted, and how much of it was saved; saving can be made to fail.
    #[derive(Debug, Default)]
    struct Pages {
        noted: Vec<u64>,
        saved: Vec<u64>,
        broken: bool,
    }

    struct Shared(Arc<Mutex<Pages>>);

    impl Book for Shared {
        fn note(&mut self, settled: &Settled) {
            self.0.lock().unwrap().noted.push(settled.sequence.0);
        }

        fn save(&mut self) -> io::Result<()> {
            let mut pages = self.0.lock().unwrap();
            if pages.broken {
                return Err(io::Error::other("no space left"));
            }
            pages.saved = pages.noted.clone();
            Ok(())
        }

        fn close(mut self: Box<Self>) -> io::Result<()> {
            self.save()
        }
    }

    fn settled(sequence: u64) -> Settled {
        Settled { sequence: Sequence(sequence), events: 1, bytes: 1, first_time_ms: 0, last_time_ms: 0 }
    }

    #[tokio::test]
    async fn an_answer_means_that_it_is_saved() {
        let pages: Arc<Mutex<Pages>> = Arc::default();
        let (ledger, thread) = keep(Box::new(Shared(Arc::clone(&pages)))).unwrap();
        let all = (1..=50).map(|sequence| {
            let (ledger, pages) = (ledger.clone(), Arc::clone(&pages));
            tokio::spawn(async move {
                ledger.settle(settled(sequence)).await.unwrap();
                assert!(pages.lock().unwrap().saved.contains(&sequence));
            })
        });
        for task in all.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        pages.lock().unwrap().broken = true;
        let error = ledger.settle(settled(51)).await.unwrap_err();
        assert!(error.to_string().ends_with("nothing more is sent: no space left"), "{error}");
        drop(ledger);
        assert!(thread.join().is_err());
        assert_eq!(pages.lock().unwrap().saved.len(), 50);
    }
}
