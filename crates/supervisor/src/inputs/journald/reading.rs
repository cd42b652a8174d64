//! What `journalctl` shows, on its way into a chunk.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::entry;
use crate::config::checked::StreamFraming;
use crate::inputs::InputCounters;
use crate::inputs::net::framing::Decoder;
use crate::inputs::net::gather::Gathered;

/// Bytes of one read.
const READ_BYTES_MAX: usize = 32 << 10;

/// What was read and is not on its way.
pub(super) struct Reading {
    decoder: Decoder,
    pub(super) gathered: Gathered,
    /// The last entry of it.
    pub(super) last: Option<String>,
}

impl Reading {
    pub(super) fn new(max_line: usize) -> Self {
        Self {
            decoder: Decoder::new(StreamFraming::Lines, max_line),
            gathered: Gathered::default(),
            last: None,
        }
    }

    /// Takes what has come.
    fn feed(&mut self, read: &[u8], counters: &InputCounters) {
        let Self { decoder, gathered, last } = self;
        let fed = decoder.feed(read, &mut |line| {
            let mut was_read = None;
            gathered.write(|out| {
                was_read = entry::write(line, out);
                if was_read.is_none() {
                    // The codec wraps it as text.
                    out.extend_from_slice(line);
                }
            });
            match was_read {
                Some(read) => {
                    counters.not_utf8.add(u64::from(!read.is_utf8));
                    *last = Some(read.cursor);
                }
                None => counters.unparsed.add(1),
            }
        });
        debug_assert!(fed.is_ok(), "lines have no lengths");
        let flaws = decoder.take_flaws();
        counters.lines_cut.add(flaws.cut);
        counters.bytes_cut.add(flaws.cut_bytes);
    }
}

/// Reads what is there, or waits until something is; 0 at the end. Given up, it has read nothing.
pub(super) async fn read_some(
    from: &mut (impl AsyncRead + Unpin),
    reading: &mut Reading,
    counters: &InputCounters,
) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut room = [const { MaybeUninit::uninit() }; READ_BYTES_MAX];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *from).poll_read(cx, &mut buffer))?;
        reading.feed(buffer.filled(), counters);
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}
