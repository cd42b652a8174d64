//! From chunks to encoded batches: one task per output, ahead of its driver.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_kinesis::{Batch, Batcher, Push, Sealed};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::chunk::{Chunk, Form, Framing, Messages, Receipt, Rejected};
use crate::codec::{EventWriter, Written, valid};
use crate::config::checked::Oversize;
use crate::cores;
use crate::counters::OutputCounters;
use crate::dead_letters::{DeadLetterError, DeadLetters, Reason};

/// What a record may hold besides its one event: header line, line feed, partition key.
const RECORD_OVERHEAD_MAX: usize = 64 + 1 + 1024;

/// A batch on its way: sealed, perhaps still being compressed.
#[derive(Debug)]
pub struct Encoding {
    /// Shares in the chunks whose events are in the batch.
    pub receipts: Vec<Receipt>,
    /// The batch, as soon as it is encoded.
    pub batch: JoinHandle<Batch>,
}

/// Turns what the inputs give into batches.
#[derive(Debug)]
pub struct Assembler {
    /// Name of this machine, as it stands in every event.
    pub host: Arc<str>,
    /// The stream, for dead letters.
    pub stream: String,
    /// Collects the events.
    pub batcher: Batcher,
    /// gzip level.
    pub compression_level: u8,
    /// What happens to an event that fits in no record.
    pub oversize: Oversize,
    /// Largest record, for messages.
    pub max_record_size: usize,
    /// Where such events are kept.
    pub dead_letters: DeadLetters,
    /// What is counted.
    pub counters: Arc<OutputCounters>,
    /// Shares in the chunks whose events are in the open batch.
    pub receipts: Vec<Receipt>,
    /// Where sealed batches go, in order.
    pub out: mpsc::Sender<Encoding>,
}

/// Why the assembler stopped before its inputs did.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// The driver is gone.
    #[error("the output no longer takes batches")]
    Closed,
    /// An event can neither be sent nor kept.
    #[error("an event that is not sent could not be kept: {0}")]
    DeadLetter(#[from] DeadLetterError),
}

impl Assembler {
    /// Takes chunks until all inputs have ended, then seals what is left.
    ///
    /// # Errors
    /// See [`AssemblyError`]. Events that were not handed on stay unacknowledged.
    pub async fn run(mut self, mut chunks: mpsc::Receiver<Chunk>) -> Result<(), AssemblyError> {
        let start = Instant::now();
        loop {
            let flush_at = self.batcher.deadline().map(|deadline| start + deadline);
            let chunk = tokio::select! {
                // What is due is sealed first: a busy input must not hold back the batch of a quiet one.
                biased;
                () = sleep_until(flush_at) => None,
                chunk = chunks.recv() => match chunk {
                    Some(chunk) => Some(chunk),
                    None => break,
                },
            };
            match chunk {
                Some(chunk) => self.take(start.elapsed(), chunk).await?,
                None => {
                    // What comes now and then needs no large buffers.
                    self.batcher.release_spares();
                    self.seal().await?;
                }
            }
        }
        self.seal().await
    }

    async fn take(&mut self, now: Duration, chunk: Chunk) -> Result<(), AssemblyError> {
        let writer = EventWriter::new(&chunk, &self.host);
        // Valid as a whole is valid in each line. Other messages may end in the middle of a character.
        let all_valid = chunk.framing == Framing::Lines && std::str::from_utf8(&chunk.data).is_ok();
        let mut rest = Rest { messages: chunk.messages(), all_valid };
        self.receipts.push(chunk.receipt.clone());
        while let Some((line, push)) = self.fill(now, &chunk, &writer, &mut rest) {
            if let Some(event) = self.hand_on_sealed(&chunk, push).await? {
                self.take_oversize(now, &chunk, &writer, &line, event).await?;
            }
        }
        if self.batcher.events() == 0 {
            // All of it went with batches that were sealed; each holds a share of its own.
            self.settle_open();
        }
        if let Form::Events(rejected) = &chunk.form {
            for rejected in &**rejected {
                self.reject(&chunk, rejected).await?;
            }
        }
        chunk.receipt.settle();
        Ok(())
    }

    /// Takes messages up to one that changes more than the open batch; gives that one, and what came of it. A loop of
    /// its own, because this is done for every event and nothing in it ever waits.
    fn fill<'a>(
        &mut self,
        now: Duration,
        chunk: &Chunk,
        writer: &EventWriter,
        rest: &mut Rest<'a>,
    ) -> Option<(Cow<'a, [u8]>, Push)> {
        let (mut events, mut not_utf8, mut not_objects) = (0, 0, 0);
        let mut found = None;
        for line in rest.messages.by_ref() {
            events += 1;
            let line = if rest.all_valid { Cow::Borrowed(line) } else { valid(line) };
            not_utf8 += u64::from(matches!(line, Cow::Owned(_)));
            let mut written = Written::Text;
            let push =
                self.batcher.push(now, chunk.read_at_ms, |buffer| written = writer.write(&line, buffer));
            not_objects += u64::from(written == Written::NotAnObject);
            if let Some(push) = push {
                found = Some((line, *push));
                break;
            }
        }
        self.counters.events.add(events);
        self.counters.not_utf8.add(not_utf8);
        self.counters.not_objects.add(not_objects);
        found
    }

    /// Hands on what a push sealed, and gives back an event that fits in no record. A chunk whose events are in several
    /// batches gives each of them a share.
    async fn hand_on_sealed(&mut self, chunk: &Chunk, push: Push) -> Result<Option<Vec<u8>>, AssemblyError> {
        for sealed in [push.sealed_before, push.full].into_iter().flatten() {
            let receipts = std::mem::replace(&mut self.receipts, vec![chunk.receipt.clone()]);
            self.hand_on(sealed, receipts).await?;
        }
        Ok(push.oversize)
    }

    async fn take_oversize(
        &mut self,
        now: Duration,
        chunk: &Chunk,
        writer: &EventWriter,
        line: &[u8],
        event: Vec<u8>,
    ) -> Result<(), AssemblyError> {
        match self.oversize {
            Oversize::DeadLetter => self.keep(chunk, event).await,
            Oversize::Drop => {
                self.counters.dropped_oversize.add(1);
                let (bytes, source) = (event.len(), &*chunk.source);
                tracing::warn!(bytes, source, "an event fits in no record and was dropped (oversize: drop)");
                Ok(())
            }
            Oversize::Truncate => {
                let room = self.max_record_size.saturating_sub(RECORD_OVERHEAD_MAX);
                let push = self.batcher.push(now, chunk.read_at_ms, |out| writer.write_cut(line, room, out));
                match self.hand_on_sealed(chunk, push.map(|push| *push).unwrap_or_default()).await? {
                    None => self.counters.truncated.add(1),
                    // Not even the event's frame fits: a very long source, a very small record.
                    Some(_) => self.keep(chunk, event).await?,
                }
                Ok(())
            }
        }
    }

    /// Keeps an event that a pipeline has failed on.
    async fn reject(&mut self, chunk: &Chunk, rejected: &Rejected) -> Result<(), AssemblyError> {
        let message = format!("the pipeline `{}` failed on the event: {}", rejected.pipeline, rejected.why);
        self.counters.events.add(1);
        self.store("PipelineFailed", &message, chunk, rejected.event.clone()).await
    }

    async fn keep(&mut self, chunk: &Chunk, event: Vec<u8>) -> Result<(), AssemblyError> {
        let message = format!(
            "the event has {} bytes and fits in no record of at most {} (max_record_size)",
            event.len(),
            self.max_record_size
        );
        tracing::warn!(source = &*chunk.source, "{message}: it goes to the dead letters");
        self.store("Oversize", &message, chunk, Bytes::from(event)).await
    }

    async fn store(
        &mut self,
        code: &str,
        message: &str,
        chunk: &Chunk,
        event: Bytes,
    ) -> Result<(), AssemblyError> {
        let stream = &self.stream;
        let reason = Reason { code, message, stream, partition_key: None, format: "event" };
        self.dead_letters.store(&reason, 1, event, chunk.read_at_ms).await?;
        self.counters.dead_letters.add(1);
        Ok(())
    }

    async fn seal(&mut self) -> Result<(), AssemblyError> {
        match self.batcher.seal() {
            Some(sealed) => {
                let receipts = std::mem::take(&mut self.receipts);
                self.hand_on(sealed, receipts).await
            }
            None => {
                self.settle_open();
                Ok(())
            }
        }
    }

    fn settle_open(&mut self) {
        self.receipts.drain(..).for_each(Receipt::settle);
    }

    async fn hand_on(&mut self, sealed: Sealed, receipts: Vec<Receipt>) -> Result<(), AssemblyError> {
        let level = self.compression_level;
        let turn = cores::turn_to_compress().await;
        let batch = tokio::task::spawn_blocking(move || {
            let batch = sealed.encode(level);
            drop(turn);
            batch
        });
        self.out.send(Encoding { receipts, batch }).await.map_err(|_| AssemblyError::Closed)
    }
}

/// The messages of a chunk that are still to be taken.
struct Rest<'a> {
    messages: Messages<'a>,
    /// They are UTF-8.
    all_valid: bool,
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
