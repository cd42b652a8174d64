//! What an input hands on: whole lines or other messages, with a receipt that travels with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use bytes::Bytes;
use memchr::memchr;

use crate::processing::Tail;

/// A run of whole messages from one source; each becomes one event.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// Id of the input in the configuration.
    pub input: Arc<str>,
    /// Where the lines come from, as it will stand in the event: a file's path, `stdin`.
    pub source: Arc<str>,
    /// The machine that they come from, where it is not this one: the address of a peer.
    pub host: Option<Arc<str>>,
    /// How a message becomes an event.
    pub codec: Codec,
    /// When they were read, in milliseconds since the Unix epoch.
    pub read_at_ms: i64,
    /// The messages, one behind the other.
    pub data: Bytes,
    /// Where one ends and the next begins.
    pub framing: Framing,
    /// What was done to them since they were read.
    pub form: Form,
    /// Tells the input when all of them are delivered or durable.
    pub receipt: Receipt,
}

/// Where a message of a chunk ends and the next one begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Framing {
    /// Each is a line, ended by `\n`; only the last one may lack it. A `\r` before the `\n` is not part of the line.
    #[default]
    Lines,
    /// Each ends before the offset of its number, in bytes from the beginning of the data, and the next begins there:
    /// messages that may hold line feeds.
    Ends(Arc<[u32]>),
}

/// What was done to the messages of a chunk since they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Nothing. Each is to become an event, with these system fields.
    AsRead(Option<Arc<Tail>>),
    /// Each is an event as it will be sent, on a line of its own; and these are for the dead letters.
    Events(Arc<[Rejected]>),
}

impl Default for Form {
    fn default() -> Self {
        Self::AsRead(None)
    }
}

/// An event that a pipeline has failed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// Why it has failed.
    pub why: String,
    /// The event as it came to the pipeline, as it would have been sent.
    pub event: Bytes,
}

impl Chunk {
    /// The messages, without line ends.
    pub fn messages(&self) -> Messages<'_> {
        match &self.framing {
            Framing::Lines => Messages::Lines(&self.data),
            Framing::Ends(ends) => Messages::Ends { data: &self.data, begin: 0, ends: ends.iter() },
        }
    }
}

/// The messages of a chunk, in order.
#[derive(Debug)]
pub enum Messages<'a> {
    /// What is left of the lines.
    Lines(&'a [u8]),
    /// Messages of known ends.
    Ends {
        /// All of them.
        data: &'a [u8],
        /// Where the next one begins.
        begin: usize,
        /// The ends of those that are left.
        ends: std::slice::Iter<'a, u32>,
    },
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Lines([]) => None,
            Self::Lines(rest) => {
                let (line, tail) = match memchr(b'\n', rest) {
                    Some(end) => (&rest[..end], &rest[end + 1..]),
                    None => (*rest, &[][..]),
                };
                *rest = tail;
                Some(line.strip_suffix(b"\r").unwrap_or(line))
            }
            Self::Ends { data, begin, ends } => {
                let end = *ends.next()? as usize;
                let message = &data[*begin..end];
                *begin = end;
                Some(message)
            }
        }
    }
}

/// How a message becomes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// It is wrapped: `{"_raw":…,"_time":…,"host":…,"source":…}`.
    #[default]
    Text,
    /// It is a JSON object and passes as it is; any other is wrapped as text and counted.
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

/// What became of events that are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The service has them, or has refused them for good and they are in the dead letters.
    Delivered,
    /// They are in the queue, as safe as the settings ask for.
    Queued,
    /// A policy has dropped them, and they are counted.
    Dropped,
}

/// What became of the events of a chunk, of which some may have had another fate than others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fates(u8);

impl Fates {
    /// Was this the fate of at least one event?
    #[must_use]
    pub fn has(self, fate: Fate) -> bool {
        self.0 & fate.bit() != 0
    }
}

impl Fate {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

type Notify = Box<dyn FnOnce(bool, Fates) + Send + Sync>;

struct Shared {
    all_settled: AtomicBool,
    fates: AtomicU8,
    notify: Option<Notify>,
}

impl Receipt {
    /// Makes the first share; `notify` is called exactly once, with whether all shares were settled.
    pub fn new(notify: impl FnOnce(bool) + Send + Sync + 'static) -> Self {
        Self::with_fates(|all_settled, _| notify(all_settled))
    }

    /// The same; `notify` also hears what became of those events of which that was said.
    pub fn with_fates(notify: impl FnOnce(bool, Fates) + Send + Sync + 'static) -> Self {
        let (all_settled, fates) = (AtomicBool::new(true), AtomicU8::new(0));
        let inner = Arc::new(Shared { all_settled, fates, notify: Some(Box::new(notify)) });
        Self { inner, settled: false }
    }

    /// Gives this share back: its events are delivered, durable, or dropped by a policy and counted.
    pub fn settle(mut self) {
        self.settled = true;
    }

    /// The same, for somebody who knows what became of its events.
    pub fn settle_as(self, fate: Fate) {
        self.inner.fates.fetch_or(fate.bit(), Ordering::Release);
        self.settle();
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
            notify(self.all_settled.load(Ordering::Acquire), Fates(self.fates.load(Ordering::Acquire)));
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("all_settled", &self.all_settled).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_receipt_tells_what_became_of_the_events_of_all_shares() {
        let heard = Arc::new(Mutex::new(None));
        let ear = Arc::clone(&heard);
        let receipt = Receipt::with_fates(move |settled, fates| {
            let fates = [Fate::Delivered, Fate::Queued, Fate::Dropped].map(|fate| fates.has(fate));
            *ear.lock().unwrap() = Some((settled, fates));
        });
        receipt.clone().settle_as(Fate::Dropped);
        receipt.clone().settle_as(Fate::Delivered);
        assert_eq!(*heard.lock().unwrap(), None);
        receipt.settle();
        assert_eq!(*heard.lock().unwrap(), Some((true, [true, false, true])));
    }

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

    fn messages(data: &'static str, framing: Framing) -> Vec<String> {
        let (receipt, _) = receipt();
        let data = Bytes::from_static(data.as_bytes());
        let chunk = Chunk { data, framing, ..chunk(receipt) };
        chunk.messages().map(|message| String::from_utf8(message.to_vec()).unwrap()).collect()
    }

    fn chunk(receipt: Receipt) -> Chunk {
        Chunk {
            input: "in".into(),
            source: "stdin".into(),
            host: None,
            codec: Codec::Text,
            read_at_ms: 0,
            data: Bytes::from_static(b"x\n"),
            framing: Framing::Lines,
            form: Form::default(),
            receipt,
        }
    }

    #[test]
    fn lines_end_with_either_kind_of_line_end() {
        let check = |data: &'static str, expected: &[&str]| {
            assert_eq!(messages(data, Framing::Lines), expected, "{data:?}");
        };
        check("", &[]);
        check("a\nb\r\n\nc", &["a", "b", "", "c"]);
        check("\r\r\n", &["\r"]);
    }

    #[test]
    fn messages_of_known_ends_may_hold_line_feeds_and_may_be_empty() {
        assert_eq!(messages("a\nbcd\n", Framing::Ends([3, 3, 6].into())), ["a\nb", "", "cd\n"]);
        assert_eq!(messages("", Framing::Ends([].into())), [""; 0]);
    }
}
