//! What an input hands on: whole lines, with a receipt that travels with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

/// A run of whole lines from one source.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Id of the input in the configuration.
    pub input: Arc<str>,
    /// Where the lines come from, as it will stand in the event: a file's path, `stdin`.
    pub source: Arc<str>,
    /// How a line becomes an event.
    pub codec: Codec,
    /// When the lines were read, in milliseconds since the Unix epoch.
    pub read_at_ms: i64,
    /// The lines, each ended by `\n`; only the last one may lack it. A `\r` before the `\n` is not part of the line.
    pub data: Bytes,
    /// Tells the input when all of these lines are delivered or durable.
    pub receipt: Receipt,
}

/// How a line becomes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// The line is wrapped: `{"_raw":…,"_time":…,"host":…,"source":…}`.
    #[default]
    Text,
    /// The line is a JSON object and passes as it is; any other line is wrapped as text and counted.
    Json,
}

/// One share in the fate of a chunk.
///
/// Every batch that holds events of the chunk holds a share. The input hears once, when the last share is gone: `true`
/// if each of them was [settled](Receipt::settle), `false` if one was dropped without it (the process is stopping and
/// the events are neither delivered nor durable). A forgotten share therefore never acknowledges anything.
#[derive(Debug)]
pub struct Receipt {
    inner: Arc<Shared>,
    settled: bool,
}

type Notify = Box<dyn FnOnce(bool) + Send + Sync>;

struct Shared {
    all_settled: AtomicBool,
    notify: Option<Notify>,
}

impl Receipt {
    /// Makes the first share; `notify` is called exactly once, with whether all shares were settled.
    pub fn new(notify: impl FnOnce(bool) + Send + Sync + 'static) -> Self {
        let inner = Arc::new(Shared { all_settled: AtomicBool::new(true), notify: Some(Box::new(notify)) });
        Self { inner, settled: false }
    }

    /// Gives this share back: its events are delivered, durable, or dropped by a policy and counted.
    pub fn settle(mut self) {
        self.settled = true;
    }
}

impl Clone for Receipt {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), settled: false }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.settled {
            self.inner.all_settled.store(false, Ordering::Release);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(notify) = self.notify.take() {
            notify(self.all_settled.load(Ordering::Acquire));
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("all_settled", &self.all_settled).finish_non_exhaustive()
    }
}

/// The way from an input to the outputs that take its events.
#[derive(Debug, Clone)]
pub struct Fanout {
    outputs: Vec<mpsc::Sender<Chunk>>,
}

/// Every output has stopped taking events: the process is stopping.
#[derive(Debug, thiserror::Error)]
#[error("no output takes events any more")]
pub struct Closed;

impl Fanout {
    /// A way to the given outputs, in this order.
    #[must_use]
    pub fn new(outputs: Vec<mpsc::Sender<Chunk>>) -> Self {
        Self { outputs }
    }

    /// Waits until every output has room for a chunk. Nothing is reserved: it tells when reading one is worth it, and
    /// can be given up without consequence, while a [`send`](Self::send) that is given up may have reached some outputs.
    ///
    /// # Errors
    /// [`Closed`] when an output no longer takes events.
    pub async fn room(&self) -> Result<(), Closed> {
        if self.outputs.is_empty() {
            return Err(Closed);
        }
        for output in &self.outputs {
            drop(output.reserve().await.map_err(|_| Closed)?);
        }
        Ok(())
    }

    /// Hands the chunk to every output, waiting while one of them has no room.
    ///
    /// # Errors
    /// [`Closed`] when an output no longer takes events; the chunk's receipt then reports that it is not settled.
    pub async fn send(&self, chunk: Chunk) -> Result<(), Closed> {
        let Some((last, others)) = self.outputs.split_last() else {
            return Err(Closed);
        };
        for output in others {
            output.send(chunk.clone()).await.map_err(|_| Closed)?;
        }
        last.send(chunk).await.map_err(|_| Closed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn receipt() -> (Receipt, Arc<Mutex<Vec<bool>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        (Receipt::new(move |ok| ear.lock().unwrap().push(ok)), heard)
    }

    #[test]
    fn is_told_once_when_the_last_share_is_settled() {
        let (first, heard) = receipt();
        let second = first.clone();
        first.settle();
        assert!(heard.lock().unwrap().is_empty());
        second.settle();
        assert_eq!(*heard.lock().unwrap(), [true]);
    }

    #[test]
    fn one_forgotten_share_means_not_settled() {
        let (first, heard) = receipt();
        let second = first.clone();
        drop(first);
        second.settle();
        assert_eq!(*heard.lock().unwrap(), [false]);
    }

    #[tokio::test]
    async fn a_closed_output_never_acknowledges() {
        let (receipt, heard) = receipt();
        let (tx, rx) = mpsc::channel(1);
        drop(rx);
        let chunk = Chunk {
            input: "in".into(),
            source: "stdin".into(),
            codec: Codec::Text,
            read_at_ms: 0,
            data: Bytes::from_static(b"x\n"),
            receipt,
        };
        assert!(Fanout::new(vec![tx]).send(chunk).await.is_err());
        assert_eq!(*heard.lock().unwrap(), [false]);
    }
}
