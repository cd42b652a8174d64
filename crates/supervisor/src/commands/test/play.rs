//! Plays one test: what goes in, what comes out, and where that is not what was expected.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::chunk::{Chunk, Codec, Form, Framing, Receipt};
use crate::codec::EventWriter;
use crate::config::checked::{Config, Expected, Given, Subject, Test};
use crate::processing::{Made, Plan, Program, Route, Shaping, Stage};

/// Host and source of lines in tests.
const TEST: &str = "test";

/// The only way out of a pipeline that is tested alone.
const ALONE: &str = "";

/// How a test ended.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Verdict {
    /// What is not as expected; nothing where the test has passed.
    pub(super) problems: Vec<Problem>,
    /// What failed on the way, which may be as expected.
    pub(super) failures: Vec<String>,
}

/// Something that is not as expected.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Problem {
    /// Where: an output, an event.
    at: String,
    /// What is wrong with it.
    what: String,
    /// Lines that were expected and lines that came, marked with `-` and `+`.
    #[serde(skip_serializing_if = "String::is_empty")]
    diff: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Problem { at, what, diff } in &self.problems {
            writeln!(f, "    {at}{}{what}", if at.is_empty() { "" } else { ": " })?;
            for line in diff.lines() {
                writeln!(f, "      {line}")?;
            }
        }
        for failure in &self.failures {
            writeln!(f, "    on the way: {failure}")?;
        }
        Ok(())
    }
}

/// What comes out, by output.
type Events = BTreeMap<String, Vec<Value>>;

/// Plays a test.
pub(super) fn play(config: &Config, test: &Test) -> Verdict {
    let (plan, codec) = subject(config, test);
    let mut verdict = Verdict::default();
    let mut came: Events = plan.routes.iter().map(|route| (route.output.to_string(), Vec::new())).collect();
    for given in &test.given {
        let chunk = chunk(given, codec);
        let outcome = Stage::whole(&plan, &chunk, TEST);
        for failure in outcome.failures {
            verdict.failures.push(format!("{} failed: {}", failure.what, failure.why));
        }
        for (route, made) in plan.routes.iter().zip(outcome.made) {
            let events = events(&chunk, route, made);
            came.entry(route.output.to_string()).or_default().extend(events);
        }
    }
    if let Some(expected) = &test.expect {
        compare(test, expected, &came, &mut verdict);
    }
    if let Some(condition) = &test.holds {
        must_hold(condition, &came, &mut verdict);
    }
    verdict
}

fn subject(config: &Config, test: &Test) -> (Plan, Codec) {
    match &test.subject {
        Subject::Pipeline(pipeline) => {
            let routes = vec![Arc::new(Route::plain(ALONE))];
            (Plan { shaping: Some(Shaping::new(pipeline)), routes }, Codec::Text)
        }
        Subject::Input(id) => {
            let input =
                config.inputs.iter().find(|input| input.id == *id).expect("it was found when it was read");
            let takers = config.outputs.iter().filter(|output| output.active && output.takes(id));
            let routes = takers.map(|output| Arc::new(Route::new(input, output, TEST))).collect();
            (Plan { shaping: input.pipeline.as_ref().map(Shaping::new), routes }, input.codec)
        }
    }
}

fn chunk(given: &Given, of_lines: Codec) -> Chunk {
    let (data, codec) = match given {
        Given::Line(line) => (line.clone(), of_lines),
        Given::Event(event) => (event.to_string(), Codec::Json),
    };
    let framing = Framing::Ends([u32::try_from(data.len()).unwrap_or(u32::MAX)].into());
    Chunk {
        input: TEST.into(),
        source: TEST.into(),
        host: None,
        codec,
        read_at_ms: 0,
        data: Bytes::from(data),
        framing,
        form: Form::default(),
        receipt: Receipt::new(|_| {}),
    }
}

fn events(chunk: &Chunk, route: &Route, made: Made) -> Vec<Value> {
    let mut data = Vec::new();
    match made {
        Made::Nothing => {}
        Made::Events { data: events, .. } => data = events,
        Made::All => {
            let writer = EventWriter::with_tail(chunk, TEST, route.tail.clone());
            for message in chunk.messages() {
                writer.write(message, &mut data);
                data.push(b'\n');
            }
        }
    }
    let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    // A number may be larger than what can be compared.
    let text = |line: &[u8]| Value::from(String::from_utf8_lossy(line));
    lines.map(|line| serde_json::from_slice(line).unwrap_or_else(|_| text(line))).collect()
}

fn compare(test: &Test, expected: &Expected, came: &Events, verdict: &mut Verdict) {
    let none = Vec::new();
    let by_output: Vec<(&str, &Vec<Value>)> = match expected {
        Expected::Events(events) => vec![(ALONE, events)],
        Expected::ByOutput(outputs) => {
            let unnamed = came.keys().filter(|output| !outputs.contains_key(*output));
            outputs
                .iter()
                .map(|(output, events)| (&**output, events))
                .chain(unnamed.map(|output| (&**output, &none)))
                .collect()
        }
    };
    for (output, expected) in by_output {
        let came = came.get(output).unwrap_or(&none);
        if expected.len() != came.len() {
            let what = format!("{} events were expected, {} came", expected.len(), came.len());
            verdict.problems.push(Problem { at: output.to_owned(), what, diff: String::new() });
        }
        let pairs = 0..expected.len().max(came.len());
        for (index, (expected, came)) in pairs.map(|index| (index, (expected.get(index), came.get(index)))) {
            let text =
                |event: Option<&Value>| event.map(|event| shown(event, &test.ignore)).unwrap_or_default();
            let (expected, came) = (text(expected), text(came));
            if expected != came {
                let event = format!("event {}", index + 1);
                let at = if output.is_empty() { event } else { format!("{output}, {event}") };
                let what = "not as expected (- expected, + came)".to_owned();
                verdict.problems.push(Problem { at, what, diff: diff(&expected, &came) });
            }
        }
    }
}

fn diff(expected: &str, came: &str) -> String {
    let lines = TextDiff::from_lines(expected, came);
    let mut text = String::new();
    for change in lines.iter_all_changes() {
        text.push_str(match change.tag() {
            ChangeTag::Delete => "- ",
            ChangeTag::Insert => "+ ",
            ChangeTag::Equal => "  ",
        });
        text.push_str(change.value());
    }
    text
}

/// An event as lines, without what is not compared, numbers that are equal written alike.
fn shown(event: &Value, ignore: &[String]) -> String {
    let mut event = event.clone();
    if let Value::Object(fields) = &mut event {
        fields.retain(|name, _| !ignore.contains(name));
    }
    plain(&mut event);
    let text = serde_json::to_string_pretty(&event).expect("a value is JSON");
    // The last field has no comma, so that a field behind it would make it another line.
    text.lines().map(|line| line.strip_suffix(',').unwrap_or(line).to_owned() + "\n").collect()
}

/// 1.0 is 1.
fn plain(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(fields) => fields.values_mut().for_each(plain),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|_| number.is_f64() && number.as_i64().is_none());
            // Beyond 2^53 a float is no whole number that anybody wrote.
            if let Some(whole) = whole.filter(|whole| whole.fract() == 0.0 && whole.abs() < 9e15) {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
                let whole = whole as i64;
                *value = Value::from(whole);
            }
        }
        _ => {}
    }
}

fn must_hold(condition: &Program, came: &Events, verdict: &mut Verdict) {
    for (output, events) in came {
        for (index, event) in events.iter().enumerate() {
            let text = event.to_string();
            let what = match condition.holds_for(text.as_bytes()) {
                Ok(true) => continue,
                Ok(false) => format!("`holds` is false for {text}"),
                Err(why) => format!("`holds` failed for {text}: {why}"),
            };
            let event = format!("event {}", index + 1);
            let at = if output.is_empty() { event } else { format!("{output}, {event}") };
            verdict.problems.push(Problem { at, what, diff: String::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Environment};

    const CONFIG: &str = r#"
inputs: { app: { type: stdin, codec: json, pipeline: tidy } }
outputs:
  errors: { type: kinesis, stream_name: s, region: eu-west-1, where: '.level == "error"', final: true }
  rest: { type: kinesis, stream_name: s, region: eu-west-1, system_fields: [] }
pipelines:
  tidy:
    source: |
      if .level == "debug" { abort }
      .n = to_int(.n) ?? 0
tests:
"#;

    #[track_caller]
    fn check(test: &str, expected: &str) {
        let text = format!("{CONFIG}  t: {test}\n");
        let config = config::parse(&text, "m.yaml", Path::new("/"), &Environment::default());
        let (config, _) = config.unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(play(&config, &config.tests[0]).to_string(), expected, "{test}");
    }

    #[test]
    fn what_is_as_expected_passes() {
        check("{ pipeline: tidy, given: [{ n: '1' }, { level: debug }], expect: [{ n: 1.0 }] }", "");
        check(
            "{ pipeline: tidy, given: [a line], expect: [{ _raw: a line, _time: 0, host: test, source: test, n: 0 }] }",
            "",
        );
        check(
            "{ pipeline: tidy, given: [a line], expect: [{ _raw: a line, n: 0 }], ignore: [_time, host, source] }",
            "",
        );
        check("{ pipeline: tidy, given: [{ n: 2 }], holds: .n == 2 }", "");
        check("{ input: app, given: ['{\"level\":\"debug\"}'], expect: {} }", "");
        check(
            "{ input: app, given: [{ level: error }, '{\"level\":\"info\"}'], \
             expect: { errors: [{ level: error, n: 0, cribl_pipe: tidy }], rest: [{ level: info, n: 0 }] } }",
            "",
        );
    }

    #[test]
    fn what_is_not_is_shown_line_by_line() {
        check(
            "{ pipeline: tidy, given: [{ n: 1, a: b }], expect: [{ n: 2, a: b }] }",
            "    event 1: not as expected (- expected, + came)\n        {\n          \"a\": \"b\"\n      -   \"n\": 2\n      +   \"n\": 1\n        }\n",
        );
        check(
            "{ input: app, given: [{ level: info }], expect: { errors: [{ level: info }] } }",
            "    errors: 1 events were expected, 0 came\n    errors, event 1: not as expected (- expected, + came)\n      - {\n      -   \"level\": \"info\"\n      - }\n    \
             rest: 0 events were expected, 1 came\n    rest, event 1: not as expected (- expected, + came)\n      + {\n      +   \"level\": \"info\"\n      +   \"n\": 0\n      + }\n",
        );
        check(
            "{ pipeline: tidy, given: [{ n: 1 }], holds: .n == 2 }",
            "    event 1: `holds` is false for {\"n\":1}\n",
        );
    }
}
