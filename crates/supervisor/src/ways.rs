//! The ways from an input to the outputs that take its events. A reload may change them while chunks are on them.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::chunk::Chunk;

/// The way to one output.
#[derive(Debug, Clone)]
pub struct Way {
    /// The output's name in the configuration.
    pub output: Arc<str>,
    /// Where it takes chunks.
    pub chunks: mpsc::Sender<Chunk>,
}

/// The ways to all outputs that take the events of one input.
#[derive(Debug, Clone)]
pub struct Fanout {
    ways: watch::Receiver<Arc<[Way]>>,
}

/// An output has stopped taking events although nobody has closed the way to it: the process is stopping.
#[derive(Debug, thiserror::Error)]
#[error("no output takes events any more")]
pub struct Closed;

impl Fanout {
    /// The given ways, and whatever stands in their place later. They stay as they are when the sender is gone.
    #[must_use]
    pub fn new(ways: watch::Receiver<Arc<[Way]>>) -> Self {
        Self { ways }
    }

    /// Ways that never change.
    #[must_use]
    pub fn fixed(ways: impl Into<Arc<[Way]>>) -> Self {
        Self { ways: watch::channel(ways.into()).1 }
    }

    /// No ways, and none to come: what an input holds when it will send no more.
    #[must_use]
    pub fn none() -> Self {
        Self::fixed([])
    }

    /// Waits until every output has room for a chunk, and there is one. Nothing is reserved: it tells when reading a chunk
    /// is worth it, and can be given up without consequence, while a [`send`](Self::send) that is given up may have
    /// reached some outputs.
    ///
    /// # Errors
    /// [`Closed`] when an output no longer takes events.
    pub async fn room(&self) -> Result<(), Closed> {
        let mut ways = self.ways.clone();
        loop {
            let now = Arc::clone(&ways.borrow_and_update());
            if !now.is_empty() {
                let all_have_room = async {
                    for way in &*now {
                        drop(way.chunks.reserve().await.map_err(|_| Closed)?);
                    }
                    Ok(())
                };
                tokio::select! {
                    biased;
                    room = all_have_room => return room,
                    Ok(()) = ways.changed() => continue,
                }
            }
            ways.changed().await.map_err(|_| Closed)?;
        }
    }

    /// Hands the chunk to every output, waiting while one of them has no room. An output that is taken away meanwhile gets
    /// none; if that leaves nobody, the receipt reports that the chunk is not settled.
    ///
    /// # Errors
    /// [`Closed`] when an output no longer takes events; the chunk's receipt then reports that it is not settled.
    pub async fn send(&self, chunk: Chunk) -> Result<(), Closed> {
        let mut ways = self.ways.clone();
        let outputs: Vec<Arc<str>> = ways.borrow().iter().map(|way| Arc::clone(&way.output)).collect();
        if outputs.is_empty() {
            return Err(Closed);
        }
        let mut taken = false;
        for output in outputs {
            if let Some(room) = room_at(&mut ways, &output).await? {
                room.send(chunk.clone());
                taken = true;
            }
        }
        if taken {
            chunk.receipt.settle();
        }
        Ok(())
    }
}

/// Waits for room at an output, wherever the way to it leads meanwhile; nothing when there is no way to it any more.
/// The way that no longer leads there is let go of at once: its old end waits for that.
async fn room_at(
    ways: &mut watch::Receiver<Arc<[Way]>>,
    output: &str,
) -> Result<Option<mpsc::OwnedPermit<Chunk>>, Closed> {
    loop {
        let way = ways.borrow_and_update().iter().find(|way| *way.output == *output).cloned();
        let Some(Way { chunks, .. }) = way else { return Ok(None) };
        tokio::select! {
            biased;
            room = chunks.reserve_owned() => return room.map(Some).map_err(|_| Closed),
            Ok(()) = ways.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use futures_now::now_or_never;

    use super::*;
    use crate::chunk::{Codec, Framing, Receipt};

    /// Polls once.
    mod futures_now {
        use std::future::Future;
        use std::pin::pin;
        use std::task::{Context, Poll, Waker};

        pub(super) fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
            match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(value) => Some(value),
                Poll::Pending => None,
            }
        }
    }

    fn chunk(text: &'static str) -> (Chunk, Arc<Mutex<Vec<bool>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let chunk = Chunk {
            input: "in".into(),
            source: "stdin".into(),
            host: None,
            codec: Codec::Text,
            read_at_ms: 0,
            data: Bytes::from_static(text.as_bytes()),
            framing: Framing::Lines,
            receipt: Receipt::new(move |ok| ear.lock().unwrap().push(ok)),
        };
        (chunk, heard)
    }

    fn way(output: &str) -> (Way, mpsc::Receiver<Chunk>) {
        let (chunks, incoming) = mpsc::channel(1);
        (Way { output: output.into(), chunks }, incoming)
    }

    fn take(incoming: &mut mpsc::Receiver<Chunk>) -> Bytes {
        let chunk = incoming.try_recv().unwrap();
        chunk.receipt.settle();
        chunk.data
    }

    #[tokio::test]
    async fn a_closed_output_never_acknowledges() {
        let (way, incoming) = way("a");
        drop(incoming);
        let (chunk, heard) = chunk("x\n");
        let fanout = Fanout::fixed([way]);
        assert!(fanout.room().await.is_err() && fanout.send(chunk).await.is_err());
        assert_eq!(*heard.lock().unwrap(), [false]);
    }

    #[tokio::test]
    async fn every_output_gets_a_chunk_and_each_has_a_share_in_it() {
        let ((a, mut to_a), (b, mut to_b)) = (way("a"), way("b"));
        let (chunk, heard) = chunk("x\n");
        Fanout::fixed([a, b]).send(chunk).await.unwrap();
        assert_eq!(take(&mut to_a), "x\n");
        assert!(heard.lock().unwrap().is_empty());
        assert_eq!(take(&mut to_b), "x\n");
        assert_eq!(*heard.lock().unwrap(), [true]);
    }

    #[tokio::test]
    async fn a_chunk_that_waits_follows_an_output_that_is_replaced_and_frees_the_old_one() {
        let ((old, mut to_old), (new, mut to_new), (b, mut to_b)) = (way("a"), way("a"), way("b"));
        let (ways, follow) = watch::channel(Arc::from([old, b.clone()]));
        let fanout = Fanout::new(follow);
        fanout.send(chunk("1\n").0).await.unwrap();
        take(&mut to_b);
        let (second, heard) = chunk("2\n");
        let mut sending = tokio::spawn({
            let fanout = fanout.clone();
            async move { fanout.send(second).await }
        });
        assert!(now_or_never(&mut sending).is_none(), "the old one is full");
        ways.send_replace(Arc::from([new, b]));
        sending.await.unwrap().unwrap();
        assert_eq!(take(&mut to_new), "2\n");
        assert_eq!(take(&mut to_b), "2\n");
        assert_eq!(*heard.lock().unwrap(), [true]);
        assert_eq!(take(&mut to_old), "1\n");
        assert!(to_old.recv().await.is_none(), "nobody holds the old way");
    }

    #[tokio::test]
    async fn a_chunk_whose_last_output_is_taken_away_is_not_settled() {
        let (a, _to_a) = way("a");
        let (ways, follow) = watch::channel(Arc::from([a]));
        let fanout = Fanout::new(follow);
        fanout.send(chunk("1\n").0).await.unwrap();
        let (second, heard) = chunk("2\n");
        let sending = fanout.send(second);
        tokio::pin!(sending);
        assert!(now_or_never(&mut sending).is_none());
        ways.send_replace(Arc::from([]));
        sending.await.unwrap();
        assert_eq!(*heard.lock().unwrap(), [false]);
    }

    #[tokio::test]
    async fn without_outputs_there_is_no_room_until_one_comes() {
        let (ways, follow) = watch::channel(Arc::from([]));
        let fanout = Fanout::new(follow);
        assert!(now_or_never(fanout.room()).is_none());
        let (a, _to_a) = way("a");
        ways.send_replace(Arc::from([a]));
        fanout.room().await.unwrap();
        ways.send_replace(Arc::from([]));
        drop(ways);
        assert!(fanout.room().await.is_err());
    }
}
