//! Standard input.
//!
//! It carries no acknowledgement: what was read is gone from it, so everything that was read is handed on, also at a
//! stop.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::lines::take_lines;
use super::{InputContext, InputError};
use crate::chunk::{Chunk, Form, Framing, Receipt};
use crate::ways::{Closed, Fanout};

/// Bytes of one read.
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes of a chunk, unless a single line is longer.
const CHUNK_BYTES_MAX: usize = 256 << 10;
/// Reads that wait to be taken.
const READS_WAITING_MAX: usize = 2;
/// How long whole lines wait for more.
const FLUSH_PERIOD: Duration = Duration::from_millis(100);

/// How long a stop waits for a block that the reading thread has in its hands.
const HAND_OVER: Duration = Duration::from_millis(20);

/// Reads standard input until its end, or until told to stop.
///
/// # Errors
/// When it cannot be read, or no output takes events any more.
pub async fn run_stdin(ctx: InputContext) -> Result<(), InputError> {
    run(Box::new(io::stdin()), ctx).await
}

async fn run(from: Box<dyn Read + Send>, ctx: InputContext) -> Result<(), InputError> {
    let (blocks_tx, blocks) = mpsc::channel(READS_WAITING_MAX);
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    // A read cannot be interrupted: at a stop the thread is left behind, and ends with the process.
    std::thread::Builder::new()
        .name(format!("input {} read", ctx.input))
        .spawn(move || read_all(from, &blocks_tx, &over))
        .map_err(|source| InputError::Thread { input: Arc::clone(&ctx.input), source })?;
    ctx.started.tell();
    let (returned_tx, returned) = mpsc::unbounded_channel();
    let stdin = Stdin {
        ctx,
        blocks,
        is_over,
        buffer: Vec::new(),
        in_cut_line: false,
        returned_tx,
        returned,
        in_flight: 0,
    };
    stdin.run().await
}

/// Reads until the end, a failure, or until nobody wants more.
fn read_all(
    mut from: Box<dyn Read + Send>,
    blocks: &mpsc::Sender<io::Result<Vec<u8>>>,
    is_over: &AtomicBool,
) {
    let mut scratch = vec![0; READ_BYTES_MAX];
    while !is_over.load(Ordering::Acquire) {
        let block = match from.read(&mut scratch) {
            Ok(0) => return,
            Ok(n) => Ok(scratch.get(..n).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_failed = block.is_err();
        if blocks.blocking_send(block).is_err() || is_failed {
            return;
        }
    }
}

struct Stdin {
    ctx: InputContext,
    blocks: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// Tells the reading thread to read no more.
    is_over: Arc<AtomicBool>,
    /// Read and not handed on yet.
    buffer: Vec<u8>,
    in_cut_line: bool,
    returned_tx: mpsc::UnboundedSender<(bool, u64)>,
    returned: mpsc::UnboundedReceiver<(bool, u64)>,
    in_flight: u64,
}

impl Stdin {
    async fn run(mut self) -> Result<(), InputError> {
        let mut result = self.read().await;
        // What is on its way between the two threads, and in the hands of the other one, was taken from standard input.
        self.is_over.store(true, Ordering::Release);
        while let Ok(Some(block)) = tokio::time::timeout(HAND_OVER, self.blocks.recv()).await {
            match block {
                Ok(block) => self.buffer.extend_from_slice(&block),
                Err(error) => result = result.and(Err(self.failed(error))),
            }
        }
        if self.hand_on(true).await.is_err() {
            result = result.and(Err(InputError::OutputsClosed { input: Arc::clone(&self.ctx.input) }));
        }
        self.await_receipts().await;
        result
    }

    /// Reads until the end of standard input or the stop, and hands lines on.
    async fn read(&mut self) -> Result<(), InputError> {
        let mut stop = self.ctx.stop.clone();
        let mut flush_at: Option<Instant> = None;
        loop {
            let block = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
                Some((ok, lines)) = self.returned.recv() => {
                    self.receipt(ok, lines);
                    continue;
                }
                () = sleep_until(flush_at), if flush_at.is_some() => None,
                block = self.blocks.recv() => match block {
                    Some(block) => Some(block.map_err(|error| self.failed(error))?),
                    None => return Ok(()),
                },
            };
            if let Some(block) = &block {
                self.buffer.extend_from_slice(block);
                flush_at = flush_at.or_else(|| Some(Instant::now() + FLUSH_PERIOD));
            }
            if block.is_none() || self.buffer.len() >= CHUNK_BYTES_MAX {
                self.hand_on(false)
                    .await
                    .map_err(|Closed| InputError::OutputsClosed { input: Arc::clone(&self.ctx.input) })?;
                flush_at = None;
            }
        }
    }

    fn failed(&self, source: io::Error) -> InputError {
        InputError::Stdin { input: Arc::clone(&self.ctx.input), source }
    }

    /// Hands whole lines on; at the end also a last one without a line end.
    async fn hand_on(&mut self, is_end: bool) -> Result<(), Closed> {
        let taken = take_lines(&self.buffer, self.in_cut_line, self.ctx.max_line, is_end);
        self.in_cut_line = taken.in_cut_line;
        self.buffer.drain(..taken.consumed);
        let counters = &self.ctx.counters;
        counters.lines_cut.add(taken.cut);
        counters.bytes_cut.add(taken.cut_bytes);
        if taken.cut > 0 {
            tracing::warn!(
                lines = taken.cut,
                "{} lines of standard input are longer than max_line and were cut",
                taken.cut
            );
        }
        if taken.data.is_empty() {
            return Ok(());
        }
        counters.events.add(taken.lines);
        counters.bytes.add(taken.data.len() as u64);
        self.in_flight += 1;
        counters.chunks_in_flight.set(self.in_flight);
        let (returned, lines) = (self.returned_tx.clone(), taken.lines);
        let receipt = Receipt::new(move |ok| {
            if returned.send((ok, lines)).is_err() {
                tracing::debug!("a receipt came back after its input had ended");
            }
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let chunk = Chunk {
            input: Arc::clone(&self.ctx.input),
            source: "stdin".into(),
            host: None,
            codec: self.ctx.codec,
            read_at_ms: i64::try_from(now.as_millis()).unwrap_or(i64::MAX),
            data: Bytes::from(taken.data),
            framing: Framing::Lines,
            form: Form::default(),
            receipt,
        };
        self.ctx.out.send(chunk).await
    }

    fn receipt(&mut self, ok: bool, lines: u64) {
        self.in_flight -= 1;
        self.ctx.counters.chunks_in_flight.set(self.in_flight);
        if !ok {
            tracing::warn!(
                lines,
                "up to {lines} lines of standard input are neither delivered nor durable, and cannot be read again"
            );
        }
    }

    /// Lets the outputs see the end, and waits for all that is on its way.
    async fn await_receipts(mut self) {
        self.ctx.out = Fanout::none();
        while self.in_flight > 0 {
            if let Some((ok, lines)) = self.returned.recv().await {
                self.receipt(ok, lines);
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Write};

    use tokio::sync::{oneshot, watch};
    use tokio::time::timeout;

    use super::*;
    use crate::chunk::Codec;
    use crate::inputs::InputCounters;
    use crate::ways::Way;

    const SOON: Duration = Duration::from_secs(30);

    struct Rig {
        pipe: Option<PipeWriter>,
        from: Option<PipeReader>,
        chunks: mpsc::Receiver<Chunk>,
        stop: watch::Sender<bool>,
        done: oneshot::Receiver<Result<(), InputError>>,
        counters: Arc<InputCounters>,
    }

    fn start(max_line: usize) -> Rig {
        let (from, pipe) = io::pipe().unwrap();
        let again = from.try_clone().unwrap();
        let (tx, chunks) = mpsc::channel(1);
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
        let (tell, done) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tell.send(runtime.block_on(run(Box::new(from), ctx))).ok();
        });
        Rig { pipe: Some(pipe), from: Some(again), chunks, stop, done, counters }
    }

    impl Rig {
        fn write(&mut self, text: &str) {
            self.pipe.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        }

        async fn next(&mut self) -> Option<String> {
            let chunk = timeout(SOON, self.chunks.recv()).await.expect("something happens")?;
            let text = String::from_utf8(chunk.data.to_vec()).unwrap();
            chunk.receipt.settle();
            Some(text)
        }

        async fn ended(&mut self) -> Result<(), InputError> {
            timeout(SOON, &mut self.done).await.expect("it ends").unwrap()
        }
    }

    #[tokio::test]
    async fn reads_to_the_end_with_a_last_line_that_has_none() {
        let mut rig = start(100);
        rig.write("one\ntwo\nthr");
        assert_eq!(rig.next().await.unwrap(), "one\ntwo\n");
        rig.write("ee\nfour");
        assert_eq!(rig.next().await.unwrap(), "three\n");
        rig.pipe = None;
        assert_eq!(rig.next().await.unwrap(), "four");
        assert_eq!(rig.next().await, None);
        rig.ended().await.unwrap();
        assert_eq!((rig.counters.events.get(), rig.counters.bytes.get()), (4, 18));
    }

    #[tokio::test]
    async fn whole_lines_do_not_wait_long_for_more() {
        let mut rig = start(100);
        let began = Instant::now();
        rig.write("one\n");
        assert_eq!(rig.next().await.unwrap(), "one\n");
        assert!(began.elapsed() >= FLUSH_PERIOD / 2);
        assert!(began.elapsed() < FLUSH_PERIOD * 20, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn much_comes_in_large_chunks_and_nothing_is_missing() {
        let mut rig = start(20);
        let mut pipe = rig.pipe.take().unwrap();
        let writer = std::thread::spawn(move || {
            for n in 0..200_000 {
                writeln!(pipe, "{n}{}", "x".repeat(if n % 1000 == 0 { 100 } else { 0 })).unwrap();
            }
        });
        let mut n = 0;
        let mut chunks = 0;
        while let Some(text) = rig.next().await {
            assert!(text.len() <= CHUNK_BYTES_MAX + READ_BYTES_MAX);
            for line in text.lines() {
                assert_eq!(line.trim_end_matches('x'), n.to_string());
                assert!(line.len() <= 20);
                n += 1;
            }
            chunks += 1;
        }
        writer.join().unwrap();
        rig.ended().await.unwrap();
        assert_eq!((n, rig.counters.lines_cut.get()), (200_000, 200));
        println!("{chunks} chunks");
    }

    #[tokio::test]
    async fn a_stop_hands_on_what_was_read_and_waits_for_receipts() {
        let mut rig = start(100);
        rig.write("one\ntw");
        let first = timeout(SOON, rig.chunks.recv()).await.unwrap().unwrap();
        rig.stop.send(true).unwrap();
        assert_eq!(rig.next().await.unwrap(), "tw");
        assert_eq!(rig.next().await, None);
        assert!(timeout(Duration::from_millis(50), rig.ended()).await.is_err());
        drop(first);
        assert_eq!(rig.counters.events.get(), 2);
    }

    #[tokio::test]
    async fn a_stop_loses_nothing_that_was_read() {
        let mut rig = start(100);
        let mut pipe = rig.pipe.take().unwrap();
        let content: String = (0..1_000_000).map(|n| format!("{n}\n")).collect();
        let expected = content.clone();
        let writer = std::thread::spawn(move || pipe.write_all(content.as_bytes()));
        // Until the channels are full and everybody waits.
        let mut before = u64::MAX;
        while before != rig.counters.bytes.get() || before == 0 {
            before = rig.counters.bytes.get();
            tokio::time::sleep(FLUSH_PERIOD * 3).await;
        }
        rig.stop.send(true).unwrap();
        let mut text = String::new();
        while let Some(chunk) = rig.next().await {
            text.push_str(&chunk);
        }
        rig.ended().await.unwrap();
        // What was not read is in the pipe, still.
        let mut rest = rig.from.take().unwrap();
        let mut left = Vec::new();
        rest.read_to_end(&mut left).unwrap();
        writer.join().unwrap().unwrap();
        assert!(text.len() < expected.len() / 2, "a stop reads no more");
        assert_eq!(text.len() + left.len(), expected.len());
        assert_eq!(text + std::str::from_utf8(&left).unwrap(), expected);
    }

    #[tokio::test]
    async fn closed_outputs_are_an_error() {
        let mut rig = start(100);
        rig.chunks.close();
        rig.write("one\n");
        assert!(matches!(rig.ended().await, Err(InputError::OutputsClosed { .. })));
    }
}
