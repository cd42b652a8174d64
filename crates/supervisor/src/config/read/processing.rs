//! Reads pipelines, routes and their tests.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::config::checked::{Expected, Given, Input, Output, Route, Subject, Test};
use crate::config::context::Context;
use crate::config::section::Section;
use crate::config::settings::{PIPELINE, TEST};
use crate::config::tree::{Entry, Node, Position, Value};
use crate::config::units::Fault;
use crate::config::words::nearest;
use crate::processing::complaint::Surroundings;
use crate::processing::program::Compiled;
use crate::processing::system_fields::{NAMES, Useless};
use crate::processing::{OnError, Pipeline, Program, Role, SystemFields};

/// Longest program in a file of its own, in bytes: that of a whole configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The pipelines that the file declares.
pub(super) struct Pipelines {
    /// Those that are good, in the order of the file.
    pub(super) all: Vec<Arc<Pipeline>>,
    /// The names of all, those of bad ones included.
    declared: Vec<String>,
}

impl Pipelines {
    pub(super) fn read(context: &Context<'_>, top: &Section<'_>) -> Self {
        let mut pipelines = Self { all: Vec::new(), declared: Vec::new() };
        for (entry, path) in top.by_id("pipelines") {
            pipelines.declared.push(entry.key.clone());
            let Some(section) = Section::open(context, &PIPELINE, path, entry.at, &entry.node) else {
                continue;
            };
            let on_error = section.word::<OnError>("on_error").unwrap_or_default();
            let file = section.path("file");
            let program = match (section.is_given("source"), &file) {
                (true, None) => section.program("source", Role::Pipeline),
                (false, Some(file)) => program_of_file(context, &section, file),
                (given, _) if given || !section.is_given("file") => {
                    let what = if given { "has both `source` and `file`" } else { "has no program" };
                    let remedy = "write it under `source`, or name its `file`";
                    section.problem_of_itself(Fault::new(what, remedy));
                    None
                }
                _ => None,
            };
            if let Some(program) = program {
                let name = entry.key.as_str().into();
                pipelines.all.push(Arc::new(Pipeline { name, program, file, on_error }));
            }
        }
        pipelines
    }

    /// The pipeline that a setting names.
    pub(super) fn named(&self, section: &Section<'_>, key: &str) -> Option<Arc<Pipeline>> {
        let name = section.text(key)?;
        let found = self.all.iter().find(|pipeline| *pipeline.name == *name).cloned();
        // What is wrong with one that is declared was said there.
        if found.is_none() && !self.declared.contains(&name) {
            let declared = self.declared.iter().map(String::as_str);
            let remedy = match nearest(&name, declared.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.declared.is_empty() => {
                    format!("add it at the top of the file: `pipelines: {{ {name}: {{ source: … }} }}`")
                }
                None => {
                    let all = declared.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                    format!("the pipelines are {all}")
                }
            };
            section.problem(key, Fault::new("names a pipeline that is not under `pipelines`", remedy));
        }
        found
    }

    /// One that nobody uses is probably a mistake.
    pub(super) fn warn_of_unused(&self, top: &Section<'_>, inputs: &[Input], outputs: &[Output]) {
        let of_inputs = inputs.iter().filter_map(|input| input.pipeline.as_ref());
        let of_outputs = outputs.iter().filter_map(|output| output.route.pipeline.as_ref());
        let used: Vec<&str> = of_inputs.chain(of_outputs).map(|pipeline| &*pipeline.name).collect();
        for pipeline in self.all.iter().filter(|pipeline| !used.contains(&&*pipeline.name)) {
            let what = format!("has `{}`, which no input and no output uses", pipeline.name);
            top.warning(
                "pipelines",
                Fault::new(what, "name it as `pipeline` of an input or output, or remove it"),
            );
        }
    }
}

fn program_of_file(context: &Context<'_>, section: &Section<'_>, file: &Path) -> Option<Program> {
    let text = match read_program(file) {
        Ok(text) => text,
        Err(fault) => {
            section.problem("file", fault);
            return None;
        }
    };
    let name = file.display().to_string();
    let path = section.path_of("file");
    compile(
        context,
        &path,
        Role::Pipeline,
        &text,
        &Surroundings::itself(&name, &text),
        (&name, Position::START),
    )
}

fn read_program(file: &Path) -> Result<String, Fault> {
    // A pipe gives its text once, and whoever opens it without a writer waits for ever.
    if std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Fault::new(
            "is no file",
            "put the program into a file of its own, which can be read again",
        ));
    }
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| {
        let remedy = "see that the program is there and that this user may read it";
        Fault::new(format!("cannot be read: {error}"), remedy)
    })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Fault::new(
            "is too long for a program",
            "is this the right file? a program has at most 1 MiB",
        ));
    }
    String::from_utf8(bytes).map_err(|_| Fault::new("is not UTF-8", "save the program as UTF-8"))
}

/// Compiles a program. What its compiler says goes to the context, at the place where the program stands; where that is
/// not known, at `place`.
pub(in crate::config) fn compile(
    context: &Context<'_>,
    path: &str,
    role: Role,
    text: &str,
    around: &Surroundings<'_>,
    place: (&str, Position),
) -> Option<Program> {
    if text.trim().is_empty() {
        context.problem(place.1, path, None, Fault::new("holds no program", "write one, or remove it"));
        return None;
    }
    let (complaints, program) = match Program::compile(text, role) {
        Ok(Compiled { program, warnings }) => (warnings, Some(program)),
        Err(complaints) => (complaints, None),
    };
    for complaint in complaints {
        let at = around.range(&complaint.span()).start;
        let place = if around.name == place.0 {
            let (line, column) = around.line_and_column(at);
            (place.0, Position { line, column })
        } else {
            place
        };
        context.complain(&complaint, program.is_none(), path, place, complaint.excerpt(around));
    }
    program
}

/// The place of a program in the file of the configuration: where each of its lines begins. `at` is where its text begins.
/// Nothing if its notation has changed it on the way, as a folded text.
pub(in crate::config) fn lines_of(source: &str, at: Position, text: &str) -> Option<Vec<(usize, usize)>> {
    let begin = offset_of(source, at)?;
    let rest = source.get(begin..)?;
    if rest.starts_with(['"', '\'']) {
        return rest[1..].starts_with(text).then(|| vec![(0, begin + 1)]);
    }
    let indent = at.column - 1;
    let mut line_begin = offset_of(source, Position { column: 1, ..at })?;
    let mut in_text = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let of_source = source.get(line_begin..)?.split_inclusive('\n').next()?;
        let meant = line.trim_end_matches('\n');
        // A line with nothing on it need not be indented.
        let begin = line_begin + if meant.is_empty() { 0 } else { indent };
        if !source.get(begin..)?.starts_with(meant) {
            return None;
        }
        lines.push((in_text, begin));
        in_text += line.len();
        line_begin += of_source.len();
    }
    Some(lines)
}

fn offset_of(source: &str, at: Position) -> Option<usize> {
    let line = source.split_inclusive('\n').take(at.line - 1).map(str::len).sum::<usize>();
    let column = source.get(line..)?.char_indices().nth(at.column - 1)?.0;
    Some(line + column)
}

/// Which events an output takes, and what is done to them.
pub(super) fn route(section: &Section<'_>, id: &str, pipelines: &Pipelines) -> Route {
    Route {
        name: section.text("route").unwrap_or_else(|| id.to_owned()),
        condition: section.is_given("where").then(|| condition(section)),
        is_final: section.flag("final"),
        pipeline: pipelines.named(section, "pipeline"),
        system_fields: system_fields(section),
    }
}

/// The condition of a route. What is wrong with it is said; that it is no condition must not be said of others.
fn condition(section: &Section<'_>) -> Program {
    let any = || Program::compile("true", Role::Condition).expect("this is a condition").program;
    section.program("where", Role::Condition).unwrap_or_else(any)
}

fn system_fields(section: &Section<'_>) -> SystemFields {
    const KEY: &str = "system_fields";
    let patterns = section.texts(KEY, |text, _| Ok(text.to_owned()));
    let (chosen, useless) = SystemFields::choose(&patterns);
    for (index, why) in useless {
        let pattern = &patterns[index];
        match why {
            Useless::Unknown => {
                let all = NAMES.map(|name| format!("`{name}`")).join(", ");
                let remedy = match nearest(pattern.trim_start_matches('!'), NAMES) {
                    Some(name) => format!("did you mean `{name}`? there are {all}"),
                    None => format!("there are {all}"),
                };
                section
                    .problem(KEY, Fault::new(format!("has `{pattern}`, which is no system field"), remedy));
            }
            Useless::TooLate => {
                let what = format!("has `{pattern}`, which has no effect: what stands before it decides");
                section.warning(
                    KEY,
                    Fault::new(what, "the first that matches decides: put it first, or remove it"),
                );
            }
        }
    }
    chosen
}

/// An output that gets nothing, and events that no output gets, are probably mistakes.
pub(super) fn warn_of_routes(top: &Section<'_>, inputs: &[Input], outputs: &[Output]) {
    let active = || outputs.iter().filter(|output| output.active);
    for (index, output) in outputs.iter().enumerate().filter(|(_, output)| output.active) {
        let takes_all = |other: &&Output, input: &Input| {
            other.route.is_final && other.route.condition.is_none() && other.takes(&input.id)
        };
        let above = |input: &Input| {
            outputs[..index].iter().filter(|output| output.active).find(|other| takes_all(other, input))
        };
        let mut taken = inputs.iter().filter(|input| output.takes(&input.id)).peekable();
        if taken.peek().is_some()
            && let Some(other) = taken.map(above).reduce(|one, other| one.and(other)).flatten()
        {
            let what = format!(
                "has `{}`, which gets no events: `{}` above it is `final` and takes all",
                output.id, other.id
            );
            top.warning("outputs", Fault::new(what, "give the one above a `where`, or put it below"));
        }
    }
    for input in inputs {
        let mut takers = active().filter(|output| output.takes(&input.id)).peekable();
        if takers.peek().is_some() && takers.all(|output| output.route.condition.is_some()) {
            let what = format!("has `{}`, for whose events every output has a `where`", input.id);
            let remedy = "what none of them takes is dropped and counted as `unrouted`: \
                          let the last output take the rest, without `where`";
            top.warning("inputs", Fault::new(what, remedy));
        }
    }
}

/// The tests that the file declares.
pub(super) fn tests(
    context: &Context<'_>,
    top: &Section<'_>,
    pipelines: &Pipelines,
    inputs: &[Input],
    outputs: &[Output],
) -> Vec<Test> {
    let read = |(entry, path): (&Entry, String)| {
        let section = Section::open(context, &TEST, path, entry.at, &entry.node)?;
        test(&section, entry, pipelines, inputs, outputs)
    };
    top.by_id("tests").into_iter().take_while(|_| !context.is_full()).filter_map(read).collect()
}

fn test(
    section: &Section<'_>,
    entry: &Entry,
    pipelines: &Pipelines,
    inputs: &[Input],
    outputs: &[Output],
) -> Option<Test> {
    let subject = subject(section, pipelines, inputs);
    let given = section.list("given").unwrap_or_default().iter().map(given).collect();
    let expect = section.node("expect").and_then(|node| expected(section, node, outputs));
    let holds = section.is_given("holds").then(|| section.program("holds", Role::Condition)).flatten();
    let ignore = section.texts("ignore", |text, _| Ok(text.to_owned()));
    if !section.is_given("expect") && !section.is_given("holds") {
        let remedy = "write what comes out under `expect`, or a condition for it under `holds`";
        section.problem_of_itself(Fault::new("does not say what must come out", remedy));
    }
    Some(Test {
        name: entry.key.clone(),
        line: entry.at.line,
        subject: subject?,
        given,
        expect,
        holds,
        ignore,
    })
}

fn subject(section: &Section<'_>, pipelines: &Pipelines, inputs: &[Input]) -> Option<Subject> {
    match (section.is_given("pipeline"), section.is_given("input")) {
        (true, false) => pipelines.named(section, "pipeline").map(Subject::Pipeline),
        (false, true) => {
            let id = section.text("input")?;
            if inputs.iter().any(|input| input.id == id) {
                return Some(Subject::Input(id));
            }
            let remedy = match nearest(&id, inputs.iter().map(|input| input.id.as_str())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "name one of `inputs`".to_owned(),
            };
            section.problem("input", Fault::new("is no input", remedy));
            None
        }
        (both, _) => {
            let what = if both { "names both a pipeline and an input" } else { "says nowhere what it tests" };
            section.problem_of_itself(Fault::new(what, "write either `pipeline: NAME` or `input: ID`"));
            None
        }
    }
}

fn given(node: &Node) -> Given {
    match &*node.value {
        Value::Scalar { text, .. } => Given::Line(text.trim_end_matches('\n').to_owned()),
        _ => Given::Event(json(node)),
    }
}

fn expected(section: &Section<'_>, node: &Node, outputs: &[Output]) -> Option<Expected> {
    const KEY: &str = "expect";
    let events = |node: &Node| match &*node.value {
        Value::List(items) => Some(items.iter().map(json).collect::<Vec<_>>()),
        _ => None,
    };
    let by_output = section.is_given("input");
    let (fault, remedy) = match &*node.value {
        Value::List(_) if !by_output => return events(node).map(Expected::Events),
        Value::Map(entries) if by_output => {
            let strange = entries.iter().find(|entry| outputs.iter().all(|output| output.id != entry.key));
            if let Some(entry) = strange {
                let what = format!("names `{}`, which is no output", entry.key);
                section.problem(KEY, Fault::new(what, "name outputs by their ids"));
                return None;
            }
            let lists = entries.iter().map(|entry| Some((entry.key.clone(), events(&entry.node)?)));
            match lists.collect() {
                Some(lists) => return Some(Expected::ByOutput(lists)),
                None => ("has something else than lists of events", "write `OUTPUT: [ … ]`"),
            }
        }
        _ if by_output => ("does not say what each output gets", "write `expect: { OUTPUT: [ … ] }`"),
        _ => ("is no list of events", "write `expect: [ … ]`; `[]` where nothing must come out"),
    };
    section.problem(KEY, Fault::new(fault, remedy));
    None
}

/// A value of YAML as JSON has it.
fn json(node: &Node) -> Json {
    match &*node.value {
        Value::Scalar { text, plain: false } => Json::from(text.as_str()),
        Value::Scalar { text, plain: true } => match text.as_str() {
            "" | "~" | "null" => Json::Null,
            "true" => Json::from(true),
            "false" => Json::from(false),
            text => number(text).unwrap_or_else(|| Json::from(text)),
        },
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), json(&entry.node)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

fn number(text: &str) -> Option<Json> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse::<i64>().ok().map(Json::from).or_else(|| serde_json::from_str(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree;

    /// The place of the program that a file holds under `s`, by lines of the file.
    fn place(yaml: &str) -> Option<Vec<String>> {
        let root = tree::parse(yaml).unwrap().unwrap();
        let Value::Map(entries) = &*root.value else { panic!("it has keys") };
        let node = &entries.last().unwrap().node;
        let Value::Scalar { text, .. } = &*node.value else { panic!("it is text") };
        let lines = lines_of(yaml, node.at, text)?;
        let same = text.split_inclusive('\n').zip(&lines).all(|(line, (in_text, in_file))| {
            let line = line.trim_end_matches('\n');
            text[*in_text..].starts_with(line) && yaml[*in_file..].starts_with(line)
        });
        assert!(same && lines.len() == text.split_inclusive('\n').count(), "{yaml}");
        Some(lines.iter().map(|(_, at)| yaml[*at..].lines().next().unwrap_or_default().to_owned()).collect())
    }

    #[test]
    fn the_lines_of_a_program_are_found_in_the_file() {
        let check = |yaml: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect());
            assert_eq!(place(yaml), expected, "{yaml}");
        };
        check("s: .a == 1\n", Some(&[".a == 1"]));
        check("x: y\ns: '.a == \"b\"'\n", Some(&[".a == \"b\"'"]));
        check("s: '.a == ''b'''\n", None);
        check("s: |\n    a\n\n      b\n", Some(&["a", "", "  b"]));
        check("s: |-\r\n  a\r\n  b\r\n", Some(&["a", "b"]));
        check("x: y\ns: | # why\n  é\n  b", Some(&["é", "b"]));
        check("s: >\n  a\n  b\n", None);
        check("s: .a ==\n  1\n", None);
    }

    #[test]
    fn yaml_is_json() {
        let root =
            tree::parse("[1, -2, 1.5, 1e3, '1', x, true, ~, {a: [1.2.3]}, 99999999999999999999]").unwrap();
        let expected = serde_json::json!([1, -2, 1.5, 1e3, "1", "x", true, null, {"a": ["1.2.3"]}, 1e20]);
        assert_eq!(json(&root.unwrap()), expected);
    }
}
