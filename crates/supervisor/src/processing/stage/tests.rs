use super::*;
use crate::chunk::{Form, Receipt};
use crate::processing::system_fields::Facts;
use crate::processing::{Pipeline, Program, Role, SystemFields};

fn chunk(codec: Codec, lines: &str) -> Chunk {
    Chunk {
        input: "app".into(),
        source: "s".into(),
        host: None,
        codec,
        read_at_ms: 1_500,
        data: Bytes::copy_from_slice(lines.as_bytes()),
        framing: Framing::Lines,
        form: Form::default(),
        receipt: Receipt::new(|_| {}),
    }
}

fn program(source: &str, role: Role) -> Program {
    Program::compile(source, role).unwrap_or_else(|all| panic!("{source}: {all:?}")).program
}

fn shaping(name: &str, source: &str, on_error: OnError) -> Shaping {
    let program = program(source, Role::Pipeline);
    Shaping::new(&Arc::new(Pipeline { name: name.into(), program, file: None, on_error }))
}

fn route(output: &str) -> Route {
    Route::plain(output)
}

fn to(output: &str, condition: &str) -> Route {
    Route { condition: Some(program(condition, Role::Condition)), ..route(output) }
}

fn plan<const N: usize>(shaping: Option<Shaping>, routes: [Route; N]) -> Plan {
    Plan { shaping, routes: routes.into_iter().map(Arc::new).collect() }
}

fn run(plan: &Plan, chunk: &Chunk) -> Outcome {
    let mut stage = Stage::new(plan, chunk, "edge");
    while stage.take(1) {}
    stage.finish()
}

/// What each output gets, as text.
fn made(outcome: &Outcome) -> Vec<String> {
    let text = |made: &Made| match made {
        Made::Nothing => "nothing".to_owned(),
        Made::All => "all".to_owned(),
        Made::Events { data, rejected } => {
            let rejected =
                rejected.iter().map(|event| format!("! {}\n", String::from_utf8_lossy(&event.event)));
            String::from_utf8(data.clone()).unwrap() + &rejected.collect::<String>()
        }
    };
    outcome.made.iter().map(text).collect()
}

#[track_caller]
fn check(plan: &Plan, codec: Codec, lines: &str, expected: &[&str]) -> Outcome {
    let outcome = run(plan, &chunk(codec, lines));
    assert_eq!(made(&outcome), expected);
    outcome
}

#[test]
fn a_plan_without_programs_looks_at_nothing() {
    assert!(!plan(None, [route("a"), route("b")]).looks_at_events());
    assert!(!plan(None, [route("a"), Route { is_final: true, ..route("b") }]).looks_at_events());
    assert!(plan(None, [Route { is_final: true, ..route("a") }, route("b")]).looks_at_events());
    assert!(plan(None, [to("a", "true")]).looks_at_events());
    assert!(plan(Some(shaping("p", ".", OnError::Pass)), [route("a")]).looks_at_events());
}

#[test]
fn lines_are_events_to_a_program() {
    let plan = plan(Some(shaping("p", ".n = parse_int!(._raw)\ndel(.source)", OnError::Pass)), [route("a")]);
    let expected = "{\"_raw\":\"12\",\"_time\":1.5,\"host\":\"edge\",\"n\":12}\n";
    check(&plan, Codec::Text, "12\n", &[expected]);
}

#[test]
fn what_a_program_does_not_change_stays_as_it_was_written() {
    let plan = plan(Some(shaping("p", "if .a == 2 { abort }", OnError::Pass)), [route("a")]);
    let lines = "{ \"b\" : 1.10, \"a\":1, \"n\":18446744073709551616 }\n{\"a\":2}\nno json\n";
    let kept = "{ \"b\" : 1.10, \"a\":1, \"n\":18446744073709551616 }\n\
                {\"_raw\":\"no json\",\"_time\":1.500,\"host\":\"edge\",\"source\":\"s\"}\n";
    let outcome = check(&plan, Codec::Json, lines, &[kept]);
    assert_eq!(outcome.gone, Gone { filtered: 1, ..Gone::default() });
    assert_eq!(plan.routes[0].counters.not_objects.get(), 1);
}

#[test]
fn routes_are_asked_in_order_until_a_final_one_takes_the_event() {
    let errors = Route { is_final: true, ..to("errors", ".level == \"error\"") };
    let with_copy = plan(None, [to("odd", ".n == 1 || .n == 3"), errors.clone(), route("rest")]);
    let lines = "{\"n\":1}\n{\"n\":2,\"level\":\"error\"}\n{\"n\":3,\"level\":\"error\"}\n";
    let expected = [
        "{\"n\":1}\n{\"n\":3,\"level\":\"error\"}\n",
        "{\"n\":2,\"level\":\"error\"}\n{\"n\":3,\"level\":\"error\"}\n",
        "{\"n\":1}\n",
    ];
    check(&with_copy, Codec::Json, lines, &expected);
    let without_rest = plan(None, [route("all"), errors]);
    check(&without_rest, Codec::Json, lines, &["all", expected[1]]);
    let nobody = check(&plan(None, [to("a", "false")]), Codec::Json, lines, &["nothing"]);
    assert_eq!(nobody.gone.unrouted, 3);
}

#[test]
fn a_condition_that_fails_does_not_hold() {
    let plan = plan(None, [to("a", "contains!(.m, \"x\")"), route("b")]);
    let outcome = check(&plan, Codec::Json, "{\"m\":1}\n{\"m\":\"x\"}\n", &["{\"m\":\"x\"}\n", "all"]);
    assert_eq!(plan.routes[0].counters.route_failures.get(), 1);
    assert_eq!((&*outcome.failures[0].what, outcome.failures[0].events), ("`where` of a", 1));
}

#[test]
fn a_pipeline_of_an_output_is_for_that_output_alone() {
    let shaped = Route { shaping: Some(shaping("p", ".b = 1", OnError::Pass)), ..route("a") };
    let input = shaping("q", ".c = 2", OnError::Pass);
    check(
        &plan(Some(input), [shaped, route("b")]),
        Codec::Json,
        "{}\n",
        &["{\"b\":1,\"c\":2}\n", "{\"c\":2}\n"],
    );
}

#[test]
fn several_events_of_one_go_their_ways_one_by_one() {
    let split = shaping("p", ". = array!(.items)", OnError::DeadLetter);
    let with = plan(Some(split.clone()), [to("a", ".x == 1"), route("b")]);
    let lines = "{\"items\":[{\"x\":1},{\"x\":2}]}\n{\"items\":[]}\n{\"items\":[1]}\n";
    let outcome =
        check(&with, Codec::Json, lines, &["{\"x\":1}\n", "{\"x\":1}\n{\"x\":2}\n! {\"items\":[1]}\n"]);
    assert_eq!(outcome.gone, Gone { filtered: 1, ..Gone::default() });
    let counts = &split.counters;
    let counts = [&counts.received, &counts.made, &counts.filtered, &counts.failed].map(|count| count.get());
    assert_eq!(counts, [3, 2, 1, 1]);
}

#[test]
fn an_event_that_a_program_fails_on_is_as_it_came() {
    // It has changed something before it fails.
    let source = "del(.a)\n.n = parse_int!(.n)";
    let lines = "{\"a\":1,\"n\":\"x\"}\n{\"a\":1,\"n\":\"7\"}\n";
    let good = "{\"n\":7}\n";
    let of_output = |on_error| Route { shaping: Some(shaping("p", source, on_error)), ..route("a") };
    let as_it_came = "{\"a\":1,\"n\":\"x\"}\n";
    for (on_error, expected) in [
        (OnError::Pass, format!("{as_it_came}{good}")),
        (OnError::Drop, good.to_owned()),
        (OnError::DeadLetter, format!("{good}! {as_it_came}")),
    ] {
        let in_input = plan(Some(shaping("p", source, on_error)), [route("a")]);
        check(&in_input, Codec::Json, lines, &[&expected]);
        let in_output = plan(None, [of_output(on_error)]);
        let outcome = check(&in_output, Codec::Json, lines, &[&expected]);
        assert_eq!(outcome.failures.len(), 1);
        // Behind another one: what that one made is what came.
        let behind = plan(Some(shaping("q", ".q = 1", OnError::Pass)), [of_output(on_error)]);
        let expected = expected.replace("\"n\":7", "\"n\":7,\"q\":1").replace("\"x\"", "\"x\",\"q\":1");
        check(&behind, Codec::Json, lines, &[&expected]);
    }
}

#[test]
fn dropped_events_are_counted_at_the_output() {
    let shaped = |source, on_error| Route { shaping: Some(shaping("p", source, on_error)), ..route("a") };
    let plan = plan(None, [shaped("abort", OnError::Pass), shaped(". = 1", OnError::Drop)]);
    check(&plan, Codec::Json, "{}\n{}\n", &["nothing", "nothing"]);
    let counts = |index: usize| {
        let counters = &plan.routes[index].counters;
        [&counters.events, &counters.filtered, &counters.pipeline_failed].map(|count| count.get())
    };
    assert_eq!((counts(0), counts(1)), ([2, 2, 0], [2, 0, 2]));
}

#[test]
fn system_fields_come_last_and_internal_fields_never() {
    let (chosen, _) = SystemFields::choose(&["cribl_pipe".to_owned(), "cribl_wp".to_owned()]);
    let facts = Facts { pipelines: &["p"], host: "h", input: ("file", "app"), output: "a", route: "a" };
    let tail = Some(Arc::new(Tail::new(&chosen, &facts)));
    let with = |source: &str| {
        let shaping = Some(shaping("p", source, OnError::Pass));
        plan(None, [Route { shaping, tail: tail.clone(), ..route("a") }])
    };
    let lines = "{\"a\":1,\"__x\":2}\n{\"cribl_wp\":\"mine\"}\n{ }\n";
    let added = ",\"cribl_pipe\":\"p\",\"cribl_wp\":\"w0\"}\n";
    let expected = format!(
        "{{\"a\":1{added}{{\"cribl_wp\":\"mine\",\"cribl_pipe\":\"p\"}}\n{{ {}",
        added.trim_start_matches(',')
    );
    check(&with("."), Codec::Json, lines, &[&expected]);
    let expected = expected.replace("{ \"cribl_pipe", "{\"cribl_pipe");
    check(&with(".__y = 1"), Codec::Json, lines, &[&expected]);
    let text = format!("{{\"_raw\":\"x\",\"_time\":1.500,\"host\":\"edge\",\"source\":\"s\"{added}");
    check(&with("."), Codec::Text, "x\n", &[&text]);
}

/// What VRL cannot hold: it is nested too deeply, or a number is too large.
#[test]
fn an_object_that_no_program_can_hold_is_text_to_it_and_stays_as_it_was_written() {
    let deep = format!("{{\"a\":{}{}}}\n", "[".repeat(200), "]".repeat(200));
    for line in [&*deep, "{\"a\":1e999}\n"] {
        check(&plan(Some(shaping("p", ".", OnError::Pass)), [route("a")]), Codec::Json, line, &[line]);
        let raw = plan(Some(shaping("p", ". = { \"raw\": ._raw }", OnError::Pass)), [route("a")]);
        let expected = format!("{{\"raw\":{}}}\n", serde_json::to_string(line.trim_end()).unwrap());
        check(&raw, Codec::Json, line, &[&expected]);
    }
}

#[test]
fn a_program_sees_valid_text_only() {
    let broken = Chunk { data: Bytes::from_static(b"\xff\n"), ..chunk(Codec::Text, "") };
    let plan = plan(Some(shaping("p", ".n = strlen!(._raw)", OnError::Pass)), [route("a")]);
    let expected = "{\"_raw\":\"\u{fffd}\",\"_time\":1.5,\"host\":\"edge\",\"n\":1,\"source\":\"s\"}\n";
    assert_eq!(made(&run(&plan, &broken)), [expected]);
}
