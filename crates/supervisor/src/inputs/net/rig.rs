//! An input that listens, as its peers and the outputs see it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::opened::NetInput;
use crate::chunk::{Chunk, Codec};
use crate::inputs::{InputContext, InputCounters, InputError};
use crate::ways::{Fanout, Way};

/// Nothing here takes longer on a machine that is not stuck.
pub(in crate::inputs) const SOON: Duration = Duration::from_secs(60);

pub(in crate::inputs) struct Rig {
    pub(in crate::inputs) chunks: mpsc::Receiver<Chunk>,
    pub(in crate::inputs) counters: Arc<InputCounters>,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), InputError>>,
}

impl Rig {
    /// Runs an input, with `room` for so many chunks.
    pub(in crate::inputs) fn start(room: usize, max_line: usize, opened: NetInput) -> Self {
        let (tx, chunks) = mpsc::channel(room);
        let (stop, stopped) = watch::channel(false);
        let counters = Arc::new(InputCounters::default());
        let ctx = InputContext {
            input: "in".into(),
            codec: Codec::Text,
            max_line,
            out: Fanout::fixed([Way::plain("main", tx)]),
            stop: stopped,
            counters: Arc::clone(&counters),
            started: crate::inputs::Started::new().0,
            positions_dir: "unused".into(),
        };
        Self { chunks, counters, stop, running: tokio::spawn(opened.run(ctx)) }
    }

    /// The messages of the next chunk, with the host that they come from; `None` at the end.
    pub(in crate::inputs) async fn next(&mut self) -> Option<(Option<String>, Vec<String>)> {
        let chunk = timeout(SOON, self.chunks.recv()).await.expect("something happens")?;
        let messages =
            chunk.messages().map(|message| String::from_utf8_lossy(message).into_owned()).collect();
        let host = chunk.host.as_deref().map(str::to_owned);
        chunk.receipt.settle();
        Some((host, messages))
    }

    /// The next `count` messages, of however many chunks.
    pub(in crate::inputs) async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.extend(self.next().await.expect("more comes").1);
        }
        messages
    }

    pub(in crate::inputs) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for the end; what still came is dropped without being settled.
    pub(in crate::inputs) async fn ended(&mut self) -> Result<(), InputError> {
        self.chunks.close();
        while let Some(chunk) = timeout(SOON, self.chunks.recv()).await.expect("something happens") {
            drop(chunk);
        }
        timeout(SOON, &mut self.running).await.expect("it ends").unwrap()
    }

    /// Stops it; everything that it hands on is settled and given back.
    pub(in crate::inputs) async fn finish(mut self) -> Vec<String> {
        self.stop();
        let mut rest = Vec::new();
        while let Some((_, messages)) = self.next().await {
            rest.extend(messages);
        }
        timeout(SOON, self.running).await.expect("it ends").unwrap().unwrap();
        assert_eq!(self.counters.chunks_in_flight.get(), 0);
        rest
    }

    /// Waits until a counter says this.
    pub(in crate::inputs) async fn counted(
        &self,
        what: impl Fn(&InputCounters) -> &crate::inputs::counters::Count,
        expected: u64,
    ) {
        let reached = async {
            while what(&self.counters).get() != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = timeout(SOON, reached).await;
        assert!(found.is_ok(), "{} instead of {expected}", what(&self.counters).get());
    }
}

/// An address of this machine; the system chooses the port.
pub(in crate::inputs) fn anywhere() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
