//! Takes a chunk apart and makes the events that each output gets of it. Pure: whoever has it made sends what comes out.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use vrl::value::{ObjectMap, Value};

use super::json::{self, INTERNAL, Look, push_text};
use super::program::{Ran, Runner, key};
use super::system_fields::Fields;
use super::{OnError, Plan, Route, Shaping, Tail};
use crate::chunk::{Chunk, Codec, Framing, Messages, Rejected};
use crate::codec::{EventWriter, valid};

/// What one output gets of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub enum Made {
    /// Nothing.
    Nothing,
    /// All of it, as it is.
    All,
    /// These events, a line each, and these for its dead letters.
    Events {
        /// The events.
        data: Vec<u8>,
        /// Those that a pipeline has failed on.
        rejected: Vec<Rejected>,
    },
}

/// What became of the events of a chunk that nobody got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gone {
    /// The input's pipeline has aborted on them.
    pub filtered: u64,
    /// The input's pipeline has failed on them, and drops those.
    pub pipeline_failed: u64,
    /// No route has taken them.
    pub unrouted: u64,
}

/// Events on which something has failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What has failed: `pipeline NAME`, or `where` of an output.
    pub what: String,
    /// What happened to the events, in words.
    pub then: &'static str,
    /// How many there were.
    pub events: u64,
    /// Why, for the last of them.
    pub why: String,
}

/// All that came of a chunk.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What each output gets, in the order of the routes.
    pub made: Vec<Made>,
    /// What nobody gets.
    pub gone: Gone,
    /// What has failed.
    pub failures: Vec<Failure>,
}

/// One chunk in the making.
#[derive(Debug)]
pub struct Stage<'a> {
    plan: &'a Plan,
    messages: Messages<'a>,
    reader: Reader<'a>,
    runner: Runner,
    outs: Vec<Out>,
    gone: Gone,
    failures: Vec<Failure>,
}

/// What is made for one output.
#[derive(Debug)]
struct Out {
    writer: EventWriter,
    /// It gets the chunk as it is.
    all: bool,
    data: Vec<u8>,
    rejected: Vec<Rejected>,
}

/// A message, as valid text.
#[derive(Debug)]
struct Message<'a> {
    text: Cow<'a, [u8]>,
    /// What is in it, where it is a JSON object and is meant to be one.
    look: Option<Look>,
    was_valid: bool,
}

/// An event between its message and an output. It has an origin as long as nothing has changed it, and fields as soon as
/// somebody has asked for them; one of the two at least.
#[derive(Debug, Clone)]
struct Event<'m> {
    origin: Option<&'m Message<'m>>,
    fields: Option<ObjectMap>,
}

/// What a pipeline makes of an event, its `on_error` applied.
enum Shaped<'m> {
    One(Event<'m>),
    Several(Vec<ObjectMap>),
    Filtered,
    Dropped,
    Rejected(Event<'m>, String),
}

impl<'a> Stage<'a> {
    /// Begins with a chunk of messages as they were read on the machine named `host`.
    #[must_use]
    pub fn new(plan: &'a Plan, chunk: &'a Chunk, host: &str) -> Self {
        let mut open = plan.shaping.is_none();
        let outs = plan.routes.iter().map(|route| {
            let all = open && route.condition.is_none() && route.shaping.is_none();
            open &= !route.is_final;
            let writer = EventWriter::with_tail(chunk, host, route.tail.clone());
            Out { writer, all, data: Vec::new(), rejected: Vec::new() }
        });
        Self {
            plan,
            messages: chunk.messages(),
            reader: Reader::new(chunk, host),
            runner: Runner::default(),
            outs: outs.collect(),
            gone: Gone::default(),
            failures: Vec::new(),
        }
    }

    /// All that comes of a chunk, at once.
    #[must_use]
    pub fn whole(plan: &Plan, chunk: &Chunk, host: &str) -> Outcome {
        let mut stage = Stage::new(plan, chunk, host);
        while stage.take(usize::MAX) {}
        stage.finish()
    }

    /// Takes up to `count` more messages; `false` when there were fewer.
    pub fn take(&mut self, count: usize) -> bool {
        for _ in 0..count {
            let Some(message) = self.messages.next() else { return false };
            let message = self.reader.message(message);
            self.take_message(&message);
        }
        true
    }

    /// What has come of the messages that were taken.
    #[must_use]
    pub fn finish(self) -> Outcome {
        let made = self.outs.into_iter().map(|out| match out {
            Out { all: true, .. } => Made::All,
            Out { data, rejected, .. } if data.is_empty() && rejected.is_empty() => Made::Nothing,
            Out { data, rejected, .. } => Made::Events { data, rejected },
        });
        Outcome { made: made.collect(), gone: self.gone, failures: self.failures }
    }

    fn take_message(&mut self, message: &Message<'_>) {
        let event = Event { origin: Some(message), fields: None };
        let plan = self.plan;
        let Some(shaping) = &plan.shaping else { return self.route(event, None) };
        match self.shape(shaping, event) {
            Shaped::One(event) => self.route(event, None),
            Shaped::Several(events) => {
                events.into_iter().for_each(|fields| self.route(Event::made(fields), None));
            }
            Shaped::Filtered => self.gone.filtered += 1,
            Shaped::Dropped => self.gone.pipeline_failed += 1,
            Shaped::Rejected(event, why) => self.route(event, Some((shaping, &why))),
        }
    }

    /// Gives the event to the outputs whose routes take it. `rejected`: it is for their dead letters, for this reason.
    fn route(&mut self, mut event: Event<'_>, rejected: Option<(&Shaping, &str)>) {
        let plan = self.plan;
        let mut taken = false;
        for (index, route) in plan.routes.iter().enumerate() {
            if !self.holds(route, &mut event) {
                continue;
            }
            taken = true;
            if let Some((shaping, why)) = rejected {
                self.reject(index, &event, shaping, why.to_owned());
            } else if !self.outs[index].all {
                self.give(index, route, &event);
            }
            if route.is_final {
                break;
            }
        }
        self.gone.unrouted += u64::from(!taken);
    }

    fn holds(&mut self, route: &Route, event: &mut Event<'_>) -> bool {
        let Some(condition) = &route.condition else { return true };
        let (fields, held) = self.runner.holds(condition, event.take_fields(&self.reader));
        event.fields = Some(fields);
        held.unwrap_or_else(|why| {
            route.counters.route_failures.add(1);
            self.fail(format!("`where` of {}", route.output), "it counts as not holding", why);
            false
        })
    }

    fn give(&mut self, index: usize, route: &Route, event: &Event<'_>) {
        let Some(shaping) = &route.shaping else { return self.put(index, route, event) };
        match self.shape(shaping, event.clone()) {
            Shaped::One(event) => self.put(index, route, &event),
            Shaped::Several(events) => {
                events.into_iter().for_each(|fields| self.put(index, route, &Event::made(fields)));
            }
            Shaped::Filtered => {
                route.counters.events.add(1);
                route.counters.filtered.add(1);
            }
            Shaped::Dropped => {
                route.counters.events.add(1);
                route.counters.pipeline_failed.add(1);
            }
            Shaped::Rejected(event, why) => self.reject(index, &event, shaping, why),
        }
    }

    fn put(&mut self, index: usize, route: &Route, event: &Event<'_>) {
        if let Some(message) = event.origin {
            route.counters.not_utf8.add(u64::from(!message.was_valid));
            route
                .counters
                .not_objects
                .add(u64::from(self.reader.codec == Codec::Json && message.look.is_none()));
        }
        let out = &mut self.outs[index];
        write(event, &out.writer, &mut out.data);
        out.data.push(b'\n');
    }

    fn reject(&mut self, index: usize, event: &Event<'_>, shaping: &Shaping, why: String) {
        let out = &mut self.outs[index];
        let mut bytes = Vec::new();
        write(event, &out.writer, &mut bytes);
        out.rejected.push(Rejected {
            pipeline: Arc::clone(&shaping.pipeline.name),
            why,
            event: bytes.into(),
        });
    }

    fn shape<'m>(&mut self, shaping: &Shaping, mut event: Event<'m>) -> Shaped<'m> {
        let Shaping { pipeline, counters } = shaping;
        counters.received.add(1);
        // What came of another pipeline cannot be read again.
        let before = if event.origin.is_none() { event.fields.clone() } else { None };
        let made = match self.runner.shape(&pipeline.program, event.take_fields(&self.reader)) {
            Ran::Unchanged(fields) => Shaped::One(Event { fields: Some(fields), ..event }),
            Ran::Changed(fields) => Shaped::One(Event::made(fields)),
            Ran::Several(events) if events.is_empty() => Shaped::Filtered,
            Ran::Several(events) => Shaped::Several(events),
            Ran::Aborted => Shaped::Filtered,
            Ran::Failed(why) => {
                counters.failed.add(1);
                let event = Event { fields: before, ..event };
                let what = format!("pipeline {}", pipeline.name);
                match pipeline.on_error {
                    OnError::Pass => {
                        self.fail(what, "they go on as they came", why);
                        Shaped::One(event)
                    }
                    OnError::Drop => {
                        self.fail(what, "they are dropped", why);
                        Shaped::Dropped
                    }
                    OnError::DeadLetter => {
                        self.fail(what, "they go to the dead letters", why.clone());
                        Shaped::Rejected(event, why)
                    }
                }
            }
        };
        match &made {
            Shaped::One(_) => counters.made.add(1),
            Shaped::Several(events) => counters.made.add(events.len() as u64),
            Shaped::Filtered => counters.filtered.add(1),
            Shaped::Dropped | Shaped::Rejected(..) => {}
        }
        made
    }

    fn fail(&mut self, what: String, then: &'static str, why: String) {
        match self.failures.iter_mut().find(|failure| failure.what == what) {
            Some(failure) => {
                failure.events += 1;
                failure.why = why;
            }
            None => self.failures.push(Failure { what, then, events: 1, why }),
        }
    }
}

impl Event<'_> {
    fn made(fields: ObjectMap) -> Self {
        Self { origin: None, fields: Some(fields) }
    }

    /// The fields, for somebody who gives them back or puts others in their place.
    fn take_fields(&mut self, reader: &Reader<'_>) -> ObjectMap {
        let read = || self.origin.map(|message| reader.fields(message));
        self.fields.take().or_else(read).expect("an event has an origin or fields")
    }
}

fn write(event: &Event<'_>, writer: &EventWriter, out: &mut Vec<u8>) {
    match (event.origin, &event.fields) {
        (Some(message), _) => match message.look {
            Some(look) => writer.write_object(&message.text, look, out),
            None => writer.write_text(&message.text, out),
        },
        (None, Some(fields)) => write_fields(fields, writer.tail(), out),
        (None, None) => unreachable!("an event has an origin or fields"),
    }
}

/// Appends an event as JSON, without its internal fields, and with what `tail` has and it has not.
fn write_fields(fields: &ObjectMap, tail: Option<&Tail>, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut is_first = true;
    let mut present = Fields::default();
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(INTERNAL)) {
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        push_text(name, out);
        out.push(b':');
        write_value(value, out);
        present = present.and(Fields::named(name));
    }
    if let Some(tail) = tail {
        tail.push(present, is_first, out);
    }
    out.push(b'}');
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => push_text(text, out),
            Err(_) => push_text(&String::from_utf8_lossy(bytes), out),
        },
        Value::String(text) => push_text(text, out),
        // A Vec takes what is written to it, and every key is text.
        other => serde_json::to_writer(out, other).expect("a value of VRL is JSON"),
    }
}

/// Turns messages into events that programs can look at.
#[derive(Debug)]
struct Reader<'a> {
    data: &'a Bytes,
    codec: Codec,
    all_valid: bool,
    time: Value,
    host: Value,
    source: Value,
}

impl<'a> Reader<'a> {
    fn new(chunk: &'a Chunk, host: &str) -> Self {
        // Times are far within what a float holds exactly to the millisecond.
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
        let seconds = chunk.read_at_ms as f64 / 1000.0;
        Self {
            data: &chunk.data,
            codec: chunk.codec,
            all_valid: chunk.framing == Framing::Lines && std::str::from_utf8(&chunk.data).is_ok(),
            time: Value::from_f64_or_zero(seconds),
            host: Value::from(chunk.host.as_deref().unwrap_or(host)),
            source: Value::from(&*chunk.source),
        }
    }

    fn message(&self, message: &'a [u8]) -> Message<'a> {
        let text = if self.all_valid { Cow::Borrowed(message) } else { valid(message) };
        let was_valid = matches!(text, Cow::Borrowed(_));
        let look = if self.codec == Codec::Json { json::look(&text) } else { None };
        Message { text, look, was_valid }
    }

    fn fields(&self, message: &Message<'_>) -> ObjectMap {
        if message.look.is_some()
            && let Ok(Value::Object(fields)) = serde_json::from_slice(&message.text)
        {
            return fields;
        }
        let raw = match &message.text {
            Cow::Borrowed(text) => self.data.slice_ref(text),
            Cow::Owned(text) => Bytes::copy_from_slice(text),
        };
        [
            (key("_raw"), Value::from(raw)),
            (key("_time"), self.time.clone()),
            (key("host"), self.host.clone()),
            (key("source"), self.source.clone()),
        ]
        .into()
    }
}

#[cfg(test)]
mod tests;
