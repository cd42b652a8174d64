//! Gives what was read to the outputs, and waits for what became of it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};

use super::framing::Flaws;
use super::gather::Gathered;
use super::stopped;
use crate::chunk::{Chunk, Codec, Form, Receipt};
use crate::failure_log::FailureLog;
use crate::inputs::syslog::SyslogEvents;
use crate::inputs::{InputContext, InputCounters};
use crate::ways::{Closed, Fanout};

/// Bytes that wait to be handed on in all connections of an input, from which on none waits for more.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// What becomes of a message before it is handed on.
#[derive(Debug)]
pub(in crate::inputs) enum Shape {
    /// Nothing: the codec makes an event of it.
    AsItIs,
    /// It is a syslog message and becomes a JSON object here.
    Syslog(SyslogEvents),
}

impl Shape {
    /// How the source of events begins that come in this shape over this protocol: as the input's type.
    pub(in crate::inputs) fn scheme(&self, protocol: &'static str) -> &'static str {
        match self {
            Self::AsItIs => protocol,
            Self::Syslog(_) => "syslog",
        }
    }
}

/// The way of everything that an input reads; each of its connections has one.
#[derive(Debug, Clone)]
pub(in crate::inputs) struct Handover {
    out: Fanout,
    stop: watch::Receiver<bool>,
    pub(in crate::inputs) shared: Arc<Shared>,
}

/// What all connections of an input share.
#[derive(Debug)]
pub(in crate::inputs) struct Shared {
    pub(in crate::inputs) input: Arc<str>,
    source: Arc<str>,
    codec: Codec,
    shape: Shape,
    pub(in crate::inputs) counters: Arc<InputCounters>,
    pub(in crate::inputs) complaints: Complaints,
    receipts: Arc<Receipts>,
    /// Bytes that wait to be handed on in all connections.
    waiting: AtomicUsize,
}

/// What is on its way.
#[derive(Debug, Default)]
struct Receipts {
    in_flight: AtomicU64,
    /// Events that are neither delivered nor durable.
    lost: AtomicU64,
    came_back: Notify,
}

impl Handover {
    /// The way of an input whose events bear this source.
    pub(in crate::inputs) fn new(ctx: InputContext, source: &str, shape: Shape) -> Self {
        let codec = match shape {
            Shape::AsItIs => ctx.codec,
            Shape::Syslog(_) => Codec::Json,
        };
        let shared = Shared {
            input: ctx.input,
            source: source.into(),
            codec,
            shape,
            counters: ctx.counters,
            complaints: Complaints::new(),
            receipts: Arc::default(),
            waiting: AtomicUsize::new(0),
        };
        Self { out: ctx.out, stop: ctx.stop, shared: Arc::new(shared) }
    }

    /// Hands on what was gathered from a peer; waits while the outputs have no room. Must not be given up before it is
    /// done: some outputs might have what others have not.
    ///
    /// # Errors
    /// [`Closed`] when an output takes nothing any more.
    pub(in crate::inputs) async fn send(
        &self,
        gathered: &mut Gathered,
        host: Option<&Arc<str>>,
    ) -> Result<(), Closed> {
        if gathered.is_empty() {
            return Ok(());
        }
        // A reload may have taken the last output away, and may bring another.
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            room = self.out.room() => room?,
            () = stopped(&mut stop) => {}
        }
        let (events, (data, framing)) = (gathered.count(), gathered.take());
        let shared = &self.shared;
        shared.counters.events.add(events);
        shared.counters.bytes.add(data.len() as u64);
        let chunk = Chunk {
            input: Arc::clone(&shared.input),
            source: Arc::clone(&shared.source),
            host: host.map(Arc::clone),
            codec: shared.codec,
            read_at_ms: now_ms(),
            data,
            framing,
            form: Form::default(),
            receipt: shared.receipt(events),
        };
        self.out.send(chunk).await
    }

    /// Lets the outputs see the end, once every other copy of this is gone, and waits for what is on its way.
    pub(in crate::inputs) async fn finish(self) {
        let Self { out, shared, .. } = self;
        drop(out);
        shared.receipts.all_back().await;
        let lost = shared.receipts.lost.load(Ordering::Acquire);
        if lost > 0 {
            tracing::warn!(
                input = &*shared.input,
                events = lost,
                "{lost} events that were read are neither delivered nor durable, and cannot be read again"
            );
        }
    }
}

impl Shared {
    /// Gathers a message that came from `peer`.
    pub(in crate::inputs) fn add(&self, message: &[u8], peer: Option<&str>, into: &mut Gathered) {
        match &self.shape {
            Shape::AsItIs => into.push(message),
            Shape::Syslog(events) => {
                into.write(|out| {
                    let read = events.write(message, peer, &self.source, SystemTime::now(), out);
                    self.counters.unparsed.add(u64::from(!read.is_syslog));
                    self.counters.not_utf8.add(u64::from(!read.is_utf8));
                });
            }
        }
    }

    /// Whether messages name the host that they come from.
    pub(in crate::inputs) fn names_hosts(&self) -> bool {
        matches!(self.shape, Shape::Syslog(_))
    }

    /// Counts what was wrong with messages from `peer`, and says it now and then.
    pub(in crate::inputs) fn note_flaws(&self, flaws: Flaws, peer: Option<&str>) {
        if flaws == Flaws::default() {
            return;
        }
        self.counters.lines_cut.add(flaws.cut);
        self.counters.bytes_cut.add(flaws.cut_bytes);
        self.counters.incomplete.add(flaws.incomplete);
        if flaws.cut > 0
            && let Some(held_back) = self.complaints.may_say("cut")
        {
            tracing::warn!(
                input = &*self.input,
                peer,
                messages = flaws.cut,
                held_back,
                "messages are longer than max_line and were cut"
            );
        }
    }

    /// Bytes more (or less) wait in a connection; whether more than enough wait in all of them.
    pub(in crate::inputs) fn waits(&self, before: usize, now: usize) -> bool {
        let all = if now >= before {
            self.waiting.fetch_add(now - before, Ordering::Relaxed) + (now - before)
        } else {
            self.waiting.fetch_sub(before - now, Ordering::Relaxed) - (before - now)
        };
        all >= WAITING_BYTES_MAX
    }

    fn receipt(&self, events: u64) -> Receipt {
        let (receipts, counters) = (Arc::clone(&self.receipts), Arc::clone(&self.counters));
        let in_flight = receipts.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        counters.chunks_in_flight.set(in_flight);
        Receipt::new(move |ok| {
            if !ok {
                counters.events_lost.add(events);
                receipts.lost.fetch_add(events, Ordering::AcqRel);
            }
            let before = receipts.in_flight.fetch_sub(1, Ordering::AcqRel);
            counters.chunks_in_flight.set(before - 1);
            receipts.came_back.notify_one();
        })
    }
}

impl Receipts {
    async fn all_back(&self) {
        while self.in_flight.load(Ordering::Acquire) > 0 {
            self.came_back.notified().await;
        }
    }
}

/// What may be said of failures that senders can cause as often as they like.
#[derive(Debug)]
pub(in crate::inputs) struct Complaints {
    began: Instant,
    log: Mutex<FailureLog>,
}

impl Complaints {
    fn new() -> Self {
        Self { began: Instant::now(), log: Mutex::default() }
    }

    /// A failure of this kind happened. `Some(n)`: say it, and that `n` like it were held back.
    pub(in crate::inputs) fn may_say(&self, kind: &str) -> Option<u64> {
        // Nothing panics while it is held.
        self.log.lock().unwrap_or_else(PoisonError::into_inner).note(self.began.elapsed(), kind)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
