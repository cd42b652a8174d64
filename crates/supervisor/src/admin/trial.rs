//! Sends a few events through the whole way of an output, and says what became of them.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::control::{find, gone};
use crate::chunk::{Chunk, Codec, Fate, Fates, Form, Framing, Receipt};
use crate::clock;
use crate::output_state::{Condition, OutputState};
use crate::registry::{Registry, RunningOutput};

/// What a request may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    /// How many events, 1 to 100.
    events: u32,
    /// How long the answer may take, in seconds, 1 to 60.
    wait_secs: u32,
}

impl Default for Asked {
    fn default() -> Self {
        Self { events: 3, wait_secs: 10 }
    }
}

/// What became of the events.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    output: &'a str,
    /// Stands in each of them as `millpond_test_id`.
    id: &'a str,
    events: u32,
    /// `delivered`, `queued`, `dropped`, `mixed`, `unsettled`, `waiting` or `not_taken`.
    result: &'static str,
    /// In words.
    meaning: String,
    /// How long it took, in seconds.
    secs: f64,
    /// The state of the output then.
    state: &'static str,
    /// Events that went to the dead letters meanwhile, these or others.
    dead_letters_meanwhile: u64,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Went {
    /// All are settled, or some were let go of (`false`).
    Settled(bool, Fates),
    /// They are on their way.
    OnTheirWay,
    /// The output took none.
    NotTaken,
}

/// Longest wait for room in the output: its inputs can end only when nobody waits to give it more.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) async fn run(registry: &Registry, id: &str, body: &[u8]) -> Answer {
    let asked = match read(body) {
        Ok(asked) => asked,
        Err(error) => {
            let remedy = "send nothing, or {\"events\": 3, \"wait_secs\": 10} with 1 to 100 events and 1 to 60 seconds";
            return answer::problem(StatusCode::BAD_REQUEST, error, remedy);
        }
    };
    let output = match find(registry, id) {
        Ok(output) => output,
        Err(answer) => return answer,
    };
    let Ok(running) = &output.running else { return gone(id) };
    let test_id = format!("{:016x}", fastrand::u64(..));
    tracing::info!(output = id, events = asked.events, test_id, "test events are sent");
    let (begun, dead_before) = (Instant::now(), running.counters.dead_letters.get());
    let until = begun + Duration::from_secs(asked.wait_secs.into());
    let Some(went) = send(registry, running, chunk(&test_id, asked.events), until).await else {
        return gone(id);
    };
    let state = running.state.now();
    let (result, meaning) = explain(went, &state);
    answer::json(
        StatusCode::OK,
        &Outcome {
            output: id,
            id: &test_id,
            events: asked.events,
            result,
            meaning,
            secs: begun.elapsed().as_secs_f64(),
            state: state.condition.as_str(),
            dead_letters_meanwhile: running.counters.dead_letters.get() - dead_before,
        },
    )
}

fn read(body: &[u8]) -> Result<Asked, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Asked::default());
    }
    let asked: Asked =
        serde_json::from_slice(body).map_err(|error| format!("the body cannot be used: {error}"))?;
    if !(1..=100).contains(&asked.events) || !(1..=60).contains(&asked.wait_secs) {
        return Err("the body asks for too few or too many".to_owned());
    }
    Ok(asked)
}

/// The events as an input would give them; the receipt is put in when they are sent.
fn chunk(test_id: &str, events: u32) -> impl FnOnce(Receipt) -> Chunk {
    let now_ms = clock::unix_ms();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let event = |number: u32| {
        let event = json!({
            "_raw": format!("millpond test event {number} of {events}"),
            "_time": now_ms as f64 / 1000.0,
            "host": host,
            "source": "millpond test",
            "millpond_test": true,
            "millpond_test_id": test_id,
        });
        event.to_string() + "\n"
    };
    let data = Bytes::from((1..=events).map(event).collect::<String>());
    move |receipt| Chunk {
        input: "millpond test".into(),
        source: "millpond test".into(),
        host: None,
        codec: Codec::Json,
        read_at_ms: now_ms,
        data,
        framing: Framing::Lines,
        form: Form::default(),
        receipt,
    }
}

/// Hands the events on like an input, and waits for their fate; nothing if the output has ended. Whatever happens to
/// whoever asked, the output sees the end of its inputs.
async fn send(
    registry: &Registry,
    running: &RunningOutput,
    chunk: impl FnOnce(Receipt) -> Chunk,
    until: Instant,
) -> Option<Went> {
    let (tell, told) = oneshot::channel();
    {
        let chunks = running.chunks.upgrade()?;
        let room_until = until.min(Instant::now() + ROOM_WAIT_MAX);
        let room = tokio::select! {
            room = tokio::time::timeout_at(room_until, chunks.reserve()) => room,
            () = registry.stopping() => return None,
        };
        let Ok(room) = room else { return Some(Went::NotTaken) };
        let receipt = Receipt::with_fates(|settled, fates| {
            // Whoever asked may have had his answer.
            tell.send((settled, fates)).ok();
        });
        room.ok()?.send(chunk(receipt));
    }
    match tokio::time::timeout_at(until, told).await {
        Ok(told) => told.ok().map(|(settled, fates)| Went::Settled(settled, fates)),
        Err(_) => Some(Went::OnTheirWay),
    }
}

/// The result in one word, and in a sentence.
fn explain(went: Went, state: &OutputState) -> (&'static str, String) {
    let because = || {
        let failed = state.last_failure.as_ref().filter(|_| state.condition != Condition::Healthy);
        match (state.condition, failed, &state.queue_full) {
            (Condition::Paused, ..) => "it is paused: POST …/resume".to_owned(),
            (_, _, Some(full)) => format!("the queue takes no batches: {full}"),
            (condition, Some(failure), None) => format!("it is {}: {}", condition.as_str(), failure.reason),
            (condition, None, None) => format!("it is {} and has more to do", condition.as_str()),
        }
    };
    match went {
        Went::Settled(true, fates) => {
            let each = [Fate::Delivered, Fate::Queued, Fate::Dropped].map(|fate| fates.has(fate));
            match each {
                [true, false, false] => ("delivered", "the service has accepted them".to_owned()),
                [false, true, false] => {
                    ("queued", "they are in the queue on disk, and are sent in their turn".to_owned())
                }
                [false, false, true] => {
                    ("dropped", format!("a policy has dropped them, and they are counted; {}", because()))
                }
                _ => ("mixed", "some had another fate than others; the counters say which".to_owned()),
            }
        }
        Went::Settled(false, _) => ("unsettled", "the output is stopping and has let go of them".to_owned()),
        Went::OnTheirWay => ("waiting", format!("they are on their way and stay there; {}", because())),
        Went::NotTaken => {
            ("not_taken", format!("the output had no room for them, so they were not sent; {}", because()))
        }
    }
}
