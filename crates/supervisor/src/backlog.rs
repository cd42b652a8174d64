//! Reading queued batches back, beside the thread that writes.

use std::time::{Duration, Instant};

use millpond_kinesis::{Batch, BatchMeta, Format};
use millpond_queue::{BatchInfo, Frame, ReadError, Reader, Sequence, Storage};

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

/// Where queued batches are read, in order. It is asked where a disk may take its time.
pub trait Source: Send + 'static {
    /// The next one; `None` when there is none for now.
    ///
    /// # Errors
    /// The disk did not answer. Asked again, it goes on at the same place.
    fn next_content(&mut self) -> Result<Option<(Sequence, Content)>, ReadError>;
}

impl<S: Storage> Source for Reader<S> {
    fn next_content(&mut self) -> Result<Option<(Sequence, Content)>, ReadError> {
        Ok(self.next()?.map(|frame| (frame.sequence, Content::of(frame))))
    }
}

/// What a reading gave.
pub struct Reading {
    /// The reader, for the next time.
    pub reader: Box<dyn Source>,
    /// Batches in order.
    pub batches: Vec<(Sequence, Content)>,
    /// Batches that can be read may remain behind these.
    pub more: bool,
}

/// Reads up to `max` batches off the reactor, and none beyond the one with which they have `bytes_max` bytes. An error
/// of the disk is said, and leaves the rest for later.
///
/// # Panics
/// When the reading itself panicked.
pub async fn read(mut reader: Box<dyn Source>, max: usize, bytes_max: u64) -> Reading {
    let reading = tokio::task::spawn_blocking(move || {
        let mut batches = Vec::new();
        let (mut more, mut bytes) = (true, 0);
        let mut failure = None;
        while more && batches.len() < max && bytes < bytes_max {
            match reader.next_content() {
                Ok(Some((sequence, content))) => {
                    bytes += content.bytes();
                    batches.push((sequence, content));
                }
                Ok(None) => more = false,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        (Reading { reader, batches, more }, failure)
    });
    let (reading, failure) = match reading.await {
        Ok(read) => read,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    if let Some(error) = failure {
        tracing::error!(%error, "the queue cannot be read now and is tried again");
        tokio::time::sleep(READ_RETRY).await;
    }
    reading
}

impl Content {
    /// What a frame holds.
    #[must_use]
    pub fn of(frame: Frame) -> Self {
        let info = frame.info;
        let Some(format) = Format::from_code(info.kind) else {
            return Self::Foreign { reason: format!("a frame of the unknown kind {}", info.kind), frame };
        };
        match Batch::from_payload(meta_of(format, &info), frame.payload.clone()) {
            Ok(batch) => Self::Batch(batch),
            Err(error) => Self::Foreign { reason: error.to_string(), frame },
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.wire_bytes(),
            Self::Foreign { frame, .. } => frame.payload.len() as u64,
        }
    }
}

/// What a batch was, by what the queue has noted about it.
#[must_use]
pub fn meta_of(format: Format, info: &BatchInfo) -> BatchMeta {
    BatchMeta {
        format,
        events: info.events,
        raw_bytes: info.raw_bytes,
        first_time_ms: info.first_time_ms,
        last_time_ms: info.last_time_ms,
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millpond_kinesis::RecordRef;
    use millpond_queue::{Fs, Options, Queue};

    use super::*;

    fn batch(data_bytes: usize) -> Batch {
        let meta =
            BatchMeta { format: Format::Gzip, events: 1, raw_bytes: 1, first_time_ms: 0, last_time_ms: 0 };
        let data = Bytes::from(vec![7; data_bytes]);
        Batch::from_records(meta, &[RecordRef { partition_key: "k", explicit_hash_key: None, data }])
    }

    #[tokio::test]
    async fn reading_ends_by_number_by_bytes_and_with_the_queue() {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { free_bytes_min: 0, ..Options::default() };
        let (mut queue, _) = Queue::open(Fs::create(directory.path()).unwrap(), options).unwrap();
        let batch = batch(1_000);
        for _ in 0..9 {
            queue.append(info_of(&batch), &batch.to_payload()).unwrap();
        }
        let durable = queue.commit().unwrap();
        assert!(durable.upto > queue.acked());
        let mut reader: Box<dyn Source> = Box::new(queue.reader(queue.acked()));
        for (max, bytes_max, count, more) in [
            (2, u64::MAX, 2, true),
            // The one with which it is reached is read.
            (100, 2_500, 3, true),
            (100, 1, 1, true),
            (3, u64::MAX, 3, true),
            (100, u64::MAX, 0, false),
        ] {
            let reading = read(reader, max, bytes_max).await;
            assert_eq!((reading.batches.len(), reading.more), (count, more), "{max} {bytes_max}");
            reader = reading.reader;
        }
    }
}
