//! Reading queued batches back, beside the thread that writes.

use std::time::{Duration, Instant};

use millpond_kinesis::{Batch, BatchMeta, Format};
use millpond_queue::{BatchInfo, Frame, Fs, Reader, Sequence};

use crate::clock::Steady;

/// A disk that does not answer is asked again after this long.
const READ_RETRY: Duration = Duration::from_secs(1);

/// What a frame holds.
#[derive(Debug)]
pub enum Content {
    /// A batch to send.
    Batch(Batch),
    /// Bytes that no batch can be made of, although their checksum is right: another program wrote them.
    Foreign {
        /// What is wrong with them.
        reason: String,
        /// The frame as it was read.
        frame: Frame,
    },
}

/// What a reading gave.
pub struct Reading {
    /// The reader, for the next time.
    pub reader: Reader<Fs>,
    /// Batches in order.
    pub batches: Vec<(Sequence, Content)>,
    /// Batches that can be read may remain behind these.
    pub more: bool,
}

/// Reads up to `max` batches off the reactor. An error of the disk is said, and leaves the rest for later.
///
/// # Panics
/// When the reading itself panicked.
pub async fn read(mut reader: Reader<Fs>, max: usize) -> Reading {
    let reading = tokio::task::spawn_blocking(move || {
        let mut frames = Vec::with_capacity(max);
        let mut failure = None;
        while frames.len() < max {
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        (reader, frames, failure)
    });
    let (reader, frames, failure) = match reading.await {
        Ok(read) => read,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    let more = frames.len() == max || failure.is_some();
    if let Some(error) = failure {
        tracing::error!(%error, "the queue cannot be read now and is tried again");
        tokio::time::sleep(READ_RETRY).await;
    }
    let batches = frames.into_iter().map(|frame| (frame.sequence, decode(frame))).collect();
    Reading { reader, batches, more }
}

fn decode(frame: Frame) -> Content {
    let info = frame.info;
    let Some(format) = Format::from_code(info.kind) else {
        return Content::Foreign { reason: format!("a frame of the unknown kind {}", info.kind), frame };
    };
    let meta = BatchMeta {
        format,
        events: info.events,
        raw_bytes: info.raw_bytes,
        first_time_ms: info.first_time_ms,
        last_time_ms: info.last_time_ms,
    };
    match Batch::from_payload(meta, frame.payload.clone()) {
        Ok(batch) => Content::Batch(batch),
        Err(error) => Content::Foreign { reason: error.to_string(), frame },
    }
}

/// What the queue notes about a batch.
#[must_use]
pub fn info_of(batch: &Batch) -> BatchInfo {
    let meta = batch.meta();
    BatchInfo {
        kind: meta.format.code(),
        events: meta.events,
        records: u32::try_from(batch.len()).unwrap_or(u32::MAX),
        raw_bytes: meta.raw_bytes,
        first_time_ms: meta.first_time_ms,
        last_time_ms: meta.last_time_ms,
        appended_ms: Steady::of_process().mark_ms(Instant::now()),
    }
}
