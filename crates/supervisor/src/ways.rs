//! The ways from an input to the outputs that take its events. A reload may change them while chunks are on them.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::chunk::{Chunk, Form, Framing};
use crate::inputs::InputCounters;
use crate::processing::stage::{Failure, Outcome};
use crate::processing::{Made, Plan, Route, Shaping, Stage};

/// Messages that are looked at before others of the same thread have their turn: some milliseconds of work.
const MESSAGES_AT_ONCE: usize = 256;

/// The way to one output.
#[derive(Debug, Clone)]
pub struct Way {
    /// Which events go that way, and what is done to them on it.
    pub route: Arc<Route>,
    /// Where the output takes chunks.
    pub chunks: mpsc::Sender<Chunk>,
}

impl Way {
    /// The way that all events go as they are.
    #[must_use]
    pub fn plain(output: &str, chunks: mpsc::Sender<Chunk>) -> Self {
        Self { route: Arc::new(Route::plain(output)), chunks }
    }

    /// The output's name in the configuration.
    #[must_use]
    pub fn output(&self) -> &Arc<str> {
        &self.route.output
    }
}

/// The ways from one input, and what is done to its events before they part.
#[derive(Debug, Clone, Default)]
pub struct Ways {
    /// Shapes every event.
    pub shaping: Option<Shaping>,
    /// One for each output that takes events of the input, in the order in which they are asked.
    pub ways: Vec<Way>,
    /// What the input counts.
    pub counters: Arc<InputCounters>,
    /// Name of this machine.
    pub host: Arc<str>,
}

impl Ways {
    fn plan(&self) -> Plan {
        Plan {
            shaping: self.shaping.clone(),
            routes: self.ways.iter().map(|way| Arc::clone(&way.route)).collect(),
        }
    }

    /// Do they lead to the same places, and does the same happen on them?
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let same_end = |(one, other): (&Way, &Way)| one.chunks.same_channel(&other.chunks);
        self.plan().is_like(&other.plan()) && self.ways.iter().zip(&other.ways).all(same_end)
    }
}

/// The ways to all outputs that take the events of one input.
#[derive(Debug, Clone)]
pub struct Fanout {
    ways: watch::Receiver<Arc<Ways>>,
}

/// An output has stopped taking events although nobody has closed the way to it: the process is stopping.
#[derive(Debug, thiserror::Error)]
#[error("no output takes events any more")]
pub struct Closed;

impl Fanout {
    /// The given ways, and whatever stands in their place later. They stay as they are when the sender is gone.
    #[must_use]
    pub fn new(ways: watch::Receiver<Arc<Ways>>) -> Self {
        Self { ways }
    }

    /// Ways that never change, which all events go as they are.
    #[must_use]
    pub fn fixed(ways: impl Into<Vec<Way>>) -> Self {
        let ways = Ways { ways: ways.into(), ..Ways::default() };
        Self { ways: watch::channel(Arc::new(ways)).1 }
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
            if !now.ways.is_empty() {
                let all_have_room = async {
                    for way in &now.ways {
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

    /// Hands to every output what it gets of the chunk, waiting while one of them has no room. What each gets is settled
    /// before the first one has it: a change meanwhile is for the next chunk. An output that is taken away meanwhile gets
    /// nothing. If that leaves nobody, or if others have not got the same events, the receipt reports that the chunk is not
    /// settled: its input gives it once more, if it can.
    ///
    /// # Errors
    /// [`Closed`] when an output no longer takes events; the chunk's receipt then reports that it is not settled.
    pub async fn send(&self, chunk: Chunk) -> Result<(), Closed> {
        let mut ways = self.ways.clone();
        let now = Arc::clone(&ways.borrow());
        if now.ways.is_empty() {
            return Err(Closed);
        }
        let parts = part(&now, &chunk).await;
        // The way that no longer leads anywhere must not be held while this waits.
        drop(now);
        let (mut taken, mut missed) = (parts.is_empty(), false);
        for (output, part) in parts {
            match room_at(&mut ways, &output).await? {
                Some(room) => {
                    room.send(part);
                    taken = true;
                }
                // What was made for one output alone is nowhere else.
                None => missed |= matches!(part.form, Form::Events(_)),
            }
        }
        if taken && !missed {
            chunk.receipt.settle();
        }
        Ok(())
    }
}

/// What each output gets of a chunk; those that get nothing are left out.
async fn part(ways: &Ways, chunk: &Chunk) -> Vec<(Arc<str>, Chunk)> {
    let plan = ways.plan();
    let whole = |route: &Route| Chunk { form: Form::AsRead(route.tail.clone()), ..chunk.clone() };
    if !plan.looks_at_events() {
        return plan.routes.iter().map(|route| (Arc::clone(&route.output), whole(route))).collect();
    }
    let outcome = shape(&plan, chunk, &ways.host).await;
    count(&outcome, &ways.counters, chunk);
    let given = |(route, made): (&Arc<Route>, Made)| {
        let part = match made {
            Made::Nothing => return None,
            Made::All => whole(route),
            Made::Events { data, rejected } => Chunk {
                data: data.into(),
                framing: Framing::Lines,
                form: Form::Events(rejected.into()),
                ..chunk.clone()
            },
        };
        Some((Arc::clone(&route.output), part))
    };
    plan.routes.iter().zip(outcome.made).filter_map(given).collect()
}

/// Looks at every event. Others of the same thread have their turn in between.
async fn shape(plan: &Plan, chunk: &Chunk, host: &str) -> Outcome {
    let mut stage = Stage::new(plan, chunk, host);
    while stage.take(MESSAGES_AT_ONCE) {
        tokio::task::yield_now().await;
    }
    stage.finish()
}

fn count(outcome: &Outcome, counters: &InputCounters, chunk: &Chunk) {
    let Outcome { gone, failures, .. } = outcome;
    counters.filtered.add(gone.filtered);
    counters.pipeline_failed.add(gone.pipeline_failed);
    counters.unrouted.add(gone.unrouted);
    let input = &*chunk.input;
    for Failure { what, then, events, why } in failures {
        tracing::warn!(input, events, error = why, "{what} failed on events: {then}");
    }
    if gone.unrouted > 0 {
        let events = gone.unrouted;
        tracing::warn!(
            input,
            events,
            "no output takes these events (`where` of all holds for none): they are dropped"
        );
    }
}

/// Waits for room at an output, wherever the way to it leads meanwhile; nothing when there is no way to it any more.
/// The way that no longer leads there is let go of at once: its old end waits for that.
async fn room_at(
    ways: &mut watch::Receiver<Arc<Ways>>,
    output: &str,
) -> Result<Option<mpsc::OwnedPermit<Chunk>>, Closed> {
    loop {
        let way = ways.borrow_and_update().ways.iter().find(|way| **way.output() == *output).cloned();
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
    use crate::chunk::{Codec, Receipt};
    use crate::processing::{Program, Role};

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
            form: Form::default(),
            receipt: Receipt::new(move |ok| ear.lock().unwrap().push(ok)),
        };
        (chunk, heard)
    }

    fn way(output: &str) -> (Way, mpsc::Receiver<Chunk>) {
        let (chunks, incoming) = mpsc::channel(1);
        (Way::plain(output, chunks), incoming)
    }

    fn all<const N: usize>(ways: [Way; N]) -> Arc<Ways> {
        Arc::new(Ways { ways: ways.into(), ..Ways::default() })
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

    /// Ways of which each has a condition.
    fn ways_by<const N: usize>(ways: [(Way, &str); N]) -> Arc<Ways> {
        let with = |(way, condition): (Way, &str)| {
            let condition = Program::compile(condition, Role::Condition).unwrap().program;
            let route = Route { condition: Some(condition), ..Route::clone(&way.route) };
            Way { route: Arc::new(route), ..way }
        };
        Arc::new(Ways { ways: ways.map(with).into(), ..Ways::default() })
    }

    #[tokio::test]
    async fn each_output_gets_its_part_and_who_gets_nothing_has_no_share() {
        let ((a, mut to_a), (b, mut to_b)) = (way("a"), way("b"));
        let ways = ways_by([(a, "._raw == \"x\""), (b, "._raw == \"y\"")]);
        let fanout = Fanout::new(watch::channel(Arc::clone(&ways)).1);
        let (chunk, heard) = chunk("y\nz\ny\n");
        fanout.send(chunk).await.unwrap();
        assert!(to_a.try_recv().is_err() && heard.lock().unwrap().is_empty());
        assert_eq!(take(&mut to_b).iter().filter(|byte| **byte == b'\n').count(), 2);
        assert_eq!(*heard.lock().unwrap(), [true]);
        assert_eq!(ways.counters.unrouted.get(), 1);
    }

    #[tokio::test]
    async fn a_chunk_of_which_nobody_gets_anything_is_settled() {
        let (a, mut to_a) = way("a");
        let fanout = Fanout::new(watch::channel(ways_by([(a, "false")])).1);
        let (chunk, heard) = chunk("x\n");
        fanout.send(chunk).await.unwrap();
        assert!(to_a.try_recv().is_err());
        assert_eq!(*heard.lock().unwrap(), [true]);
    }

    #[tokio::test]
    async fn a_part_whose_output_is_taken_away_is_not_settled_although_others_have_theirs() {
        let ((a, _to_a), (b, mut to_b)) = (way("a"), way("b"));
        let (x, y) = ("._raw == \"x\"", "._raw == \"y\"");
        let (ways, follow) = watch::channel(ways_by([(a, x), (b.clone(), y)]));
        let fanout = Fanout::new(follow);
        fanout.send(chunk("x\n").0).await.unwrap();
        let (second, heard) = chunk("x\ny\n");
        let sending = fanout.send(second);
        tokio::pin!(sending);
        assert!(now_or_never(&mut sending).is_none(), "there is no room at a");
        ways.send_replace(ways_by([(b, y)]));
        sending.await.unwrap();
        take(&mut to_b);
        assert_eq!(*heard.lock().unwrap(), [false]);
    }

    #[tokio::test]
    async fn a_chunk_that_waits_keeps_what_it_was_made_into() {
        let (a, mut to_a) = way("a");
        let (ways, follow) = watch::channel(ways_by([(a.clone(), "true")]));
        let fanout = Fanout::new(follow);
        fanout.send(chunk("1\n").0).await.unwrap();
        let (second, _) = chunk("2\n");
        let sending = fanout.send(second);
        tokio::pin!(sending);
        assert!(now_or_never(&mut sending).is_none(), "there is no room");
        // From now on nothing would go there.
        ways.send_replace(ways_by([(a, "false")]));
        take(&mut to_a);
        sending.await.unwrap();
        assert!(String::from_utf8_lossy(&take(&mut to_a)).contains("\"_raw\":\"2\""));
    }

    #[tokio::test]
    async fn a_chunk_that_waits_follows_an_output_that_is_replaced_and_frees_the_old_one() {
        let ((old, mut to_old), (new, mut to_new), (b, mut to_b)) = (way("a"), way("a"), way("b"));
        let (ways, follow) = watch::channel(all([old, b.clone()]));
        let fanout = Fanout::new(follow);
        fanout.send(chunk("1\n").0).await.unwrap();
        take(&mut to_b);
        let (second, heard) = chunk("2\n");
        let mut sending = tokio::spawn({
            let fanout = fanout.clone();
            async move { fanout.send(second).await }
        });
        assert!(now_or_never(&mut sending).is_none(), "the old one is full");
        ways.send_replace(all([new, b]));
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
        let (ways, follow) = watch::channel(all([a]));
        let fanout = Fanout::new(follow);
        fanout.send(chunk("1\n").0).await.unwrap();
        let (second, heard) = chunk("2\n");
        let sending = fanout.send(second);
        tokio::pin!(sending);
        assert!(now_or_never(&mut sending).is_none());
        ways.send_replace(all([]));
        sending.await.unwrap();
        assert_eq!(*heard.lock().unwrap(), [false]);
    }

    #[tokio::test]
    async fn without_outputs_there_is_no_room_until_one_comes() {
        let (ways, follow) = watch::channel(all([]));
        let fanout = Fanout::new(follow);
        assert!(now_or_never(fanout.room()).is_none());
        let (a, _to_a) = way("a");
        ways.send_replace(all([a]));
        fanout.room().await.unwrap();
        ways.send_replace(all([]));
        drop(ways);
        assert!(fanout.room().await.is_err());
    }
}
