//! Programs in VRL: compiled once, run for each event.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::ExternalEnv;
use vrl::compiler::{CompileConfig, ExpressionError, Function, SecretTarget, Target, TimeZone};
use vrl::diagnostic::{Diagnostic, DiagnosticList, Label};
use vrl::path::{OwnedTargetPath, PathPrefix};
use vrl::value::{KeyString, ObjectMap, Value};

use super::functions;

/// What a program may call.
static FUNCTIONS: LazyLock<Vec<Box<dyn Function>>> = LazyLock::new(functions::all);

/// A compiled program. A clone is the same program.
#[derive(Clone)]
pub struct Program {
    source: Arc<str>,
    compiled: Arc<vrl::compiler::Program>,
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It shapes events.
    Pipeline,
    /// It says `true` or `false` of an event, and changes nothing.
    Condition,
}

/// A program, and what its compiler finds doubtful in it.
#[derive(Debug)]
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Complaint>,
}

/// What VRL's compiler says of a program.
#[derive(Debug, Clone)]
pub struct Complaint(pub(super) Diagnostic);

/// How a run over an event ended.
#[derive(Debug, PartialEq)]
pub(super) enum Ran {
    /// The event is as it was.
    Unchanged(ObjectMap),
    /// This is the event now.
    Changed(ObjectMap),
    /// Several events have come of it; or none.
    Several(Vec<ObjectMap>),
    /// The program has aborted: the event is not wanted.
    Aborted,
    /// The program has failed, for this reason.
    Failed(String),
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn compile(source: &str, role: Role) -> Result<Compiled, Vec<Complaint>> {
        let mut config = CompileConfig::default();
        if role == Role::Condition {
            config.set_read_only();
        }
        let result =
            vrl::compiler::compile_with_external(source, &FUNCTIONS, &ExternalEnv::default(), config)
                .map_err(|list| complaints(list, source))?;
        let kind = result.program.final_type_info().result.kind().clone();
        if role == Role::Condition && !kind.is_boolean() {
            let whole = source.len() - source.trim_start().len()..source.trim_end().len();
            let diagnostic = Diagnostic::error(NOT_BOOLEAN, "the condition is neither true nor false")
                .with_primary(format!("this is {kind}"), (whole.start, whole.end));
            return Err(vec![Complaint(diagnostic)]);
        }
        let program = Self { source: source.into(), compiled: Arc::new(result.program) };
        Ok(Compiled { program, warnings: complaints(result.warnings, source) })
    }

    /// Why a run ended, with the line where VRL gives bytes.
    fn reason(&self, terminated: &Terminate) -> String {
        let said = terminated.to_string();
        let (Terminate::Error(ExpressionError::Error { labels, .. })
        | Terminate::Abort(ExpressionError::Error { labels, .. })) = terminated
        else {
            return said;
        };
        let Some(span) = labels.iter().find(|label| label.primary).map(|label| label.span) else {
            return said;
        };
        let line = self.source.get(..span.start()).unwrap_or_default().matches('\n').count() + 1;
        said.replace(&format!(" at ({}:{})", span.start(), span.end()), &format!(" on line {line}"))
    }

    /// Does a condition hold for an event, a JSON object?
    ///
    /// # Errors
    /// Why it fails, in words.
    pub fn holds_for(&self, event: &[u8]) -> Result<bool, String> {
        match serde_json::from_slice(event) {
            Ok(Value::Object(event)) => Runner::default().holds(self, event).1,
            _ => Err("it is no JSON object".to_owned()),
        }
    }

    /// The text that it was compiled from.
    #[must_use]
    pub fn source(&self) -> Arc<str> {
        Arc::clone(&self.source)
    }
}

/// A code of our own, beside those of VRL's compiler.
const NOT_BOOLEAN: usize = 0;

fn complaints(list: DiagnosticList, source: &str) -> Vec<Complaint> {
    list.into_iter().map(|diagnostic| Complaint(diagnostic).explained(source)).collect()
}

impl Complaint {
    /// Says of a function that VRL has and programs here have not that it is so, instead of one with a similar name.
    fn explained(mut self, source: &str) -> Self {
        let name = source.get(self.span()).unwrap_or_default();
        if let Some(why) = functions::why_left_out(name) {
            let span = self.span();
            self.0.message = format!("VRL's function {name} is not there");
            self.0.labels = vec![Label::primary(why, (span.start, span.end))];
        }
        self
    }

    /// What is wrong, in a few words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where in the program it is, in bytes.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        let labels = &self.0.labels;
        let primary = labels.iter().find(|label| label.primary).or(labels.first());
        primary.map_or(0..0, |label| label.span.range())
    }
}

impl PartialEq for Program {
    /// Programs of the same text are the same.
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Program").field(&self.source).finish()
    }
}

/// Runs programs, one event after the other.
#[derive(Debug, Default)]
pub(super) struct Runner {
    runtime: Runtime,
}

impl Runner {
    /// Runs a program that shapes events.
    pub(super) fn shape(&mut self, program: &Program, event: ObjectMap) -> Ran {
        let mut target = Subject::new(event);
        if let Err(ended) = self.run(program, &mut target) {
            return ended;
        }
        match target.event {
            Value::Object(event) if target.changed => Ran::Changed(event),
            Value::Object(event) => Ran::Unchanged(event),
            Value::Array(items) => several(items),
            other => Ran::Failed(format!("it left {} in the place of the event", other.kind_str())),
        }
    }

    /// Does the condition hold? `Err`: it failed, for this reason; the event is given back in any case.
    pub(super) fn holds(
        &mut self,
        condition: &Program,
        event: ObjectMap,
    ) -> (ObjectMap, Result<bool, String>) {
        let mut target = Subject::new(event);
        let held = match self.run(condition, &mut target) {
            Ok(Value::Boolean(held)) => Ok(held),
            Ok(other) => Err(format!("it is {}, neither true nor false", other.kind_str())),
            // Somebody wrote `abort` where `false` would do.
            Err(Ran::Failed(why)) => Err(why),
            Err(_) => Ok(false),
        };
        let Value::Object(event) = target.event else { unreachable!("a condition may not change its event") };
        (event, held)
    }

    fn run(&mut self, program: &Program, target: &mut Subject) -> Result<Value, Ran> {
        let runtime = &mut self.runtime;
        // A mistake in one function for one event must not end the input, which would read that event again and again.
        let result =
            catch_unwind(AssertUnwindSafe(|| runtime.resolve(target, &program.compiled, &TimeZone::Local)));
        self.runtime.clear();
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Terminate::Abort(ExpressionError::Abort { .. }))) => Err(Ran::Aborted),
            Ok(Err(terminated)) => Err(Ran::Failed(program.reason(&terminated))),
            Err(_) => {
                self.runtime = Runtime::default();
                Err(Ran::Failed("a function of VRL panicked".to_owned()))
            }
        }
    }
}

/// Each of them an event.
fn several(items: Vec<Value>) -> Ran {
    let mut events = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Value::Object(event) => events.push(event),
            other => {
                let what = other.kind_str();
                return Ran::Failed(format!("it left an array whose item {index} is {what}, not an event"));
            }
        }
    }
    Ran::Several(events)
}

/// The event that a program runs over.
#[derive(Debug)]
struct Subject {
    event: Value,
    /// What `%` means: there for a run, and nothing in it.
    metadata: Value,
    changed: bool,
}

impl Subject {
    fn new(event: ObjectMap) -> Self {
        Self { event: Value::Object(event), metadata: Value::Object(ObjectMap::new()), changed: false }
    }

    fn side(&mut self, path: &OwnedTargetPath) -> &mut Value {
        match path.prefix {
            PathPrefix::Event => &mut self.event,
            PathPrefix::Metadata => &mut self.metadata,
        }
    }
}

impl Target for Subject {
    fn target_insert(&mut self, path: &OwnedTargetPath, value: Value) -> Result<(), String> {
        self.changed |= path.prefix == PathPrefix::Event;
        self.side(path).insert(&path.path, value);
        Ok(())
    }

    fn target_get(&self, path: &OwnedTargetPath) -> Result<Option<&Value>, String> {
        Ok(match path.prefix {
            PathPrefix::Event => self.event.get(&path.path),
            PathPrefix::Metadata => self.metadata.get(&path.path),
        })
    }

    fn target_get_mut(&mut self, path: &OwnedTargetPath) -> Result<Option<&mut Value>, String> {
        self.changed |= path.prefix == PathPrefix::Event;
        Ok(self.side(path).get_mut(&path.path))
    }

    fn target_remove(&mut self, path: &OwnedTargetPath, compact: bool) -> Result<Option<Value>, String> {
        let removed = self.side(path).remove(&path.path, compact);
        self.changed |= path.prefix == PathPrefix::Event && removed.is_some();
        Ok(removed)
    }
}

/// Events have no secrets; the functions that would ask for one are not there.
impl SecretTarget for Subject {
    fn get_secret(&self, _key: &str) -> Option<&str> {
        None
    }

    fn insert_secret(&mut self, _key: &str, _value: &str) {}

    fn remove_secret(&mut self, _key: &str) {}
}

/// The key of a field.
pub(super) fn key(name: &str) -> KeyString {
    KeyString::from(name)
}

#[cfg(test)]
mod tests {
    use vrl::compiler::prelude::*;

    use super::{Program, Ran, Role, Runner, functions};
    use std::sync::Arc;

    fn event(json: &str) -> ObjectMap {
        match serde_json::from_str(json).unwrap() {
            Value::Object(event) => event,
            other => panic!("{other} is no object"),
        }
    }

    fn compile(source: &str) -> Program {
        Program::compile(source, Role::Pipeline).unwrap_or_else(|all| panic!("{source}: {all:?}")).program
    }

    #[track_caller]
    fn check(source: &str, given: &str, expected: &Ran) {
        assert_eq!(Runner::default().shape(&compile(source), event(given)), *expected, "{source}");
    }

    #[test]
    fn a_program_leaves_changes_splits_or_drops_an_event() {
        let given = r#"{"a":1,"b":[{"x":1},{"x":2}]}"#;
        check(".", given, &Ran::Unchanged(event(given)));
        check("del(.nothing)", given, &Ran::Unchanged(event(given)));
        check("c = .a\n%a = c\n.", given, &Ran::Unchanged(event(given)));
        check("if .a == 2 { abort }", given, &Ran::Unchanged(event(given)));
        check("if .a == 1 { abort }", given, &Ran::Aborted);
        check(".c = .a", r#"{"a":1}"#, &Ran::Changed(event(r#"{"a":1,"c":1}"#)));
        check("del(.a)", r#"{"a":1}"#, &Ran::Changed(event("{}")));
        let two = [r#"{"x":1}"#, r#"{"x":2}"#].map(event).to_vec();
        check(". = array!(.b)", given, &Ran::Several(two));
        check(". = []", given, &Ran::Several(Vec::new()));
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let failed = |why: &str| Ran::Failed(why.to_owned());
        let cannot = "function call error for \"parse_int\" on line 2: could not parse integer: invalid digit found in string";
        check(".m = 1\n.n = parse_int!(.a)", r#"{"a":"x"}"#, &failed(cannot));
        check(". = \"x\"", "{}", &failed("it left string in the place of the event"));
        check(". = [{}, 1]", "{}", &failed("it left an array whose item 1 is integer, not an event"));
    }

    #[test]
    fn what_one_run_sets_is_gone_in_the_next() {
        let mut runner = Runner::default();
        let program = compile("if exists(.a) { x = 1; .seen = x }\n%m = 1");
        runner.shape(&program, event(r#"{"a":1}"#));
        assert_eq!(runner.shape(&program, event("{}")), Ran::Unchanged(event("{}")));
        assert!(runner.runtime.is_empty());
    }

    #[test]
    fn a_condition_is_true_or_false_and_changes_nothing() {
        let condition = |source: &str| Program::compile(source, Role::Condition);
        let held = |source: &str, given: &str| {
            let program = condition(source).unwrap().program;
            let (back, held) = Runner::default().holds(&program, event(given));
            assert_eq!(back, event(given));
            held
        };
        assert_eq!(held(".a == 1", r#"{"a":1}"#), Ok(true));
        assert_eq!(held(".a == 1", "{}"), Ok(false));
        assert!(held("contains!(.a, \"x\")", r#"{"a":1}"#).unwrap_err().contains("contains"));
        assert_eq!(held("if .a == 1 { abort }\ntrue", r#"{"a":1}"#), Ok(false));
        let refused = |source: &str| condition(source).unwrap_err().remove(0);
        assert_eq!(refused(".a").message(), "the condition is neither true nor false");
        assert_eq!(refused(" 1 + 1 ").span(), 1..6);
        for change in [".a = 1\ntrue", "del(.a) == 1", "del(.)\ntrue", ". |= {}\ntrue", "%a = 1\ntrue"] {
            assert!(
                refused(change).message().contains("read-only"),
                "{change}: {}",
                refused(change).message()
            );
        }
    }

    #[test]
    fn what_is_not_there_is_said_with_its_place() {
        let refused = |source: &str| Program::compile(source, Role::Pipeline).unwrap_err().remove(0);
        assert_eq!(refused(".b = nothing_of_it()").message(), "call to undefined function");
        let left_out = refused(".a = 1\n.b = dns_lookup(\"x\")");
        assert_eq!(left_out.message(), "VRL's function dns_lookup is not there");
        assert_eq!(left_out.span(), 12..22);
        let warned = Program::compile("x = 1\n.", Role::Pipeline).unwrap().warnings;
        assert_eq!(warned.len(), 1);
    }

    /// A function with a mistake in it.
    #[derive(Debug, Clone)]
    struct Panics;

    impl Function for Panics {
        fn identifier(&self) -> &'static str {
            "panics"
        }

        fn usage(&self) -> &'static str {
            ""
        }

        fn category(&self) -> &'static str {
            ""
        }

        fn return_kind(&self) -> u16 {
            kind::NULL
        }

        fn examples(&self) -> &'static [Example] {
            &[]
        }

        fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, _: ArgumentList) -> Compiled {
            Ok(self.clone().as_expr())
        }
    }

    impl FunctionExpression for Panics {
        fn resolve(&self, _: &mut Context<'_>) -> Resolved {
            panic!("a mistake")
        }

        fn type_def(&self, _: &TypeState) -> TypeDef {
            TypeDef::null()
        }
    }

    #[test]
    fn a_panic_in_a_function_is_a_failure_and_the_next_event_goes_on() {
        let source = "x = 1\nif .a == 1 { panics() }\n.x = x";
        let mut functions: Vec<Box<dyn Function>> = functions::all();
        functions.push(Box::new(Panics));
        let compiled = vrl::compiler::compile(source, &functions).unwrap_or_else(|all| panic!("{all:?}"));
        let program = Program { source: source.into(), compiled: Arc::new(compiled.program) };
        let mut runner = Runner::default();
        let failed = Ran::Failed("a function of VRL panicked".to_owned());
        assert_eq!(runner.shape(&program, event(r#"{"a":1}"#)), failed);
        assert_eq!(runner.shape(&program, event(r#"{"a":2}"#)), Ran::Changed(event(r#"{"a":2,"x":1}"#)));
    }
}
