use std::path::Path;

use super::*;
use crate::config::units::approximate;

fn args(config: &Path) -> CheckArgs {
    CheckArgs {
        config: config.to_owned(),
        environment: None,
        json: false,
        schema: false,
        iam_policy: false,
        online: false,
    }
}

/// Checks this text as a file in a directory of its own; `DIR` in the text and in what is told stands for it.
fn check_text(yaml: &str) -> (Outcome, String) {
    let directory = tempfile::tempdir().unwrap();
    let name = directory.path().to_str().unwrap();
    let path = directory.path().join("millpond.yaml");
    std::fs::create_dir(directory.path().join("log")).unwrap();
    std::fs::write(directory.path().join("file"), "x").unwrap();
    std::fs::write(&path, yaml.replace("DIR", name)).unwrap();
    let before = names(directory.path());
    let report = check(&args(&path)).unwrap();
    assert_eq!(names(directory.path()), before, "looking writes nothing");
    let mut told = report.to_string().replace(name, "DIR");
    let json = serde_json::to_value(&report).unwrap();
    let configuration = &json["configuration"];
    for directory in [&configuration["data_dir"], &configuration["outputs"][0]["queue"]["directory"]] {
        if let Some(free) = directory["free_bytes"].as_u64() {
            told = told.replace(&format!("{} free)", approximate(free)), "N free)");
        }
    }
    (report.outcome, told)
}

fn names(directory: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

const OUTPUT: &str = "{ type: kinesis, stream_name: logs, region: eu-west-1";

#[test]
fn a_good_configuration_is_explained() {
    let (outcome, told) = check_text(&format!(
        "inputs:\n  app: {{ type: file, include: [DIR/log/*.log], exclude: [\"*.gz\"], read_from: end }}\n  pipe: {{ type: stdin, codec: json }}\n\
         outputs:\n  main: {OUTPUT}, backpressure: queue, queue: {{ max_size: 4 MiB, min_free: 1 MiB, on_full: drop }} }}\n  \
         far: {OUTPUT}, environment: lab, compression: none, endpoint: \"http://127.0.0.1:1\" }}\n"
    ));
    let expected = "\
data    DIR/millpond-data (will be created, N free)
input   app: file DIR/log/*.log without **/*.gz, from the end, as text
input   pipe: stdin, as json
output  main: stream logs in eu-west-1, records of many events, gzip; while it cannot take events: queue
        queue DIR/millpond-data/queues/main (will be created, N free), when the output is unhealthy
        up to 4 MiB in files of 1 MiB, 1 MiB kept free; when full, new batches are dropped
output  far: inactive, it belongs to another environment; stream logs in eu-west-1 at http://127.0.0.1:1, records of many events, not compressed; while it cannot take events: inputs wait
DIR/millpond.yaml: the configuration is good: no problems, no warnings
";
    assert_eq!(told, expected);
    assert_eq!(outcome, Outcome::Good);
}

#[test]
fn the_policies_of_a_queue_are_explained() {
    let policies = |queue: &str| {
        let (_, told) = check_text(&format!(
            "inputs: {{ pipe: {{ type: stdin }} }}\n\
             outputs: {{ main: {OUTPUT}, compression: none, backpressure: queue, queue: {{ {queue} }} }} }}\n"
        ));
        let line =
            told.lines().find_map(|line| line.split_once("when full, ")).map(|(_, rest)| rest.to_owned());
        line.unwrap_or_else(|| panic!("{told}"))
    };
    assert_eq!(policies(""), "inputs wait");
    assert_eq!(
        policies(
            "on_full: drop_oldest, compression: gzip, max_age: 7d, retain: 36h, retain_size: 1 GiB, sync: 100ms"
        ),
        "the oldest batches are given up; packed on disk; batches older than 7d are given up; delivered ones are \
         kept for 36h, up to 1 GiB; synced within 100ms, which is what a power failure may cost"
    );
    assert_eq!(policies("retain: 1h"), "inputs wait; delivered ones are kept for 1h");
    assert_eq!(policies("retain_size: 64 MiB"), "inputs wait; delivered ones are kept up to 64 MiB");
    assert_eq!(policies("drain_rate: 500"), "inputs wait; drained at up to 500 events a second");
    assert_eq!(
        policies("drain_rate: 500, drain_bytes_per_sec: 2 MiB"),
        "inputs wait; drained at up to 500 events and 2 MiB a second"
    );
}

#[test]
fn a_directory_that_cannot_be_used_is_a_problem_of_the_machine() {
    let (outcome, told) = check_text(&format!(
        "data_dir: DIR/file/data\ninputs: {{ pipe: {{ type: stdin }} }}\noutputs: {{ main: {OUTPUT} }} }}\n"
    ));
    let expected = "\
DIR/millpond.yaml: data_dir: DIR/file/data: DIR/file is not a directory
    name another directory, or let this user (the one that millpond runs as) write there
data    DIR/file/data (cannot be used)
";
    assert!(told.starts_with(expected), "{told}");
    assert!(told.ends_with("it cannot work here: 1 problem, no warnings\n"), "{told}");
    assert_eq!(outcome, Outcome::MachineProblem);
}

#[test]
fn room_on_disk() {
    let queue = |queue: &str| {
        check_text(&format!(
            "inputs: {{ pipe: {{ type: stdin }} }}\noutputs: {{ main: {OUTPUT}, backpressure: queue, queue: {{ {queue} }} }} }}\n"
        ))
    };
    let (outcome, told) = queue("max_size: 1000 TiB");
    assert!(
        told.contains("so they will be full before `max_size`\n    make room there, or lower `max_size`\n"),
        "{told}"
    );
    assert_eq!(outcome, Outcome::Good);
    let (outcome, told) = queue("min_free: 1000 TiB");
    assert!(told.contains("nothing can be queued\n    make room there, or lower `min_free`\n"), "{told}");
    assert_eq!(outcome, Outcome::MachineProblem);
}

#[test]
fn an_input_directory_that_is_not_there_is_a_warning() {
    let (outcome, told) = check_text(&format!(
        "inputs: {{ app: {{ type: file, include: [DIR/none/*.log] }} }}\noutputs: {{ main: {OUTPUT} }} }}\n"
    ));
    let expected = "DIR/millpond.yaml: warning: inputs.app.include[0]: DIR/none/*.log: the directory DIR/none is not there\n";
    assert!(told.starts_with(expected), "{told}");
    assert_eq!(outcome, Outcome::Good);
}

#[test]
fn an_input_that_names_a_directory_is_a_warning() {
    let (outcome, told) = check_text(&format!(
        "inputs: {{ app: {{ type: file, include: [DIR/log] }} }}\noutputs: {{ main: {OUTPUT} }} }}\n"
    ));
    let expected = "DIR/millpond.yaml: warning: inputs.app.include[0]: DIR/log: is a directory: no file matches\n    \
                    write what its files are like: \"DIR/log/*\"\n";
    assert!(told.starts_with(expected), "{told}");
    assert_eq!(outcome, Outcome::Good);
}

#[test]
fn a_wrong_configuration() {
    let (outcome, told) = check_text("inputs: {}\n");
    assert!(
        told.ends_with("DIR/millpond.yaml: the configuration cannot be used: 2 problems, no warnings\n"),
        "{told}"
    );
    assert_eq!(outcome, Outcome::ConfigurationProblem);
}

#[test]
fn the_report_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("millpond.yaml");
    let yaml = format!(
        "inputs: {{ pipe: {{ type: stdin }} }}\noutputs: {{ main: {OUTPUT}, backpressure: queue, auth: {{ method: manual, secret_key: HUNTER2 }} }} }}\n"
    );
    std::fs::write(&path, yaml).unwrap();
    let json = serde_json::to_value(check(&args(&path)).unwrap()).unwrap();
    assert_eq!(json["outcome"], "good");
    assert_eq!(json["configuration"]["outputs"][0]["queue"]["max_size_bytes"], 5_u64 << 30);
    assert_eq!(json["configuration"]["inputs"][0]["type"], "stdin");
    assert!(!json.to_string().contains("HUNTER2"), "{json}");
}

#[test]
fn the_admin_address_is_explained() {
    let told_of = |admin: &str| {
        let (outcome, told) = check_text(&format!(
            "admin: {{ {admin} }}\ninputs: {{ pipe: {{ type: stdin }} }}\noutputs: {{ main: {OUTPUT} }} }}\n"
        ));
        let line = told.lines().find(|line| line.starts_with("admin ")).map(str::to_owned);
        (outcome, line.unwrap_or_else(|| panic!("{told}")), told)
    };
    let (outcome, line, _) = told_of("");
    assert_eq!(outcome, Outcome::Good);
    assert_eq!(line, "admin   http://127.0.0.1:9650, open to all users of this machine");
    let (outcome, line, told) =
        told_of("listen: \"0.0.0.0:9650\", token: HUNTER2, tls: { cert_file: DIR/no, key_file: DIR/no }");
    assert_eq!(outcome, Outcome::MachineProblem);
    assert_eq!(line, "admin   https://0.0.0.0:9650, asks for the token");
    assert!(told.contains("admin.tls.cert_file: DIR/no: cannot be read"), "{told}");
    assert!(!told.contains("HUNTER2"), "{told}");
}

#[test]
fn pipelines_and_routes_are_explained() {
    let (outcome, told) = check_text(&format!(
        "pipelines: {{ tidy: {{ source: . }} }}\ninputs:\n  app: {{ type: stdin, pipeline: tidy }}\n\
         outputs:\n  main: {OUTPUT}, where: '.a ==\n 1', final: true, pipeline: tidy }}\n  rest: {OUTPUT} }}\n"
    ));
    assert_eq!(outcome, Outcome::Good);
    for words in [
        "input   app: stdin, as text, through tidy\n",
        "output  main: stream logs in eu-west-1, events of which .a == 1, through tidy, to no output below it, records",
        "output  rest: stream logs in eu-west-1, records",
    ] {
        assert!(told.contains(words), "{words:?} is not in\n{told}");
    }
}
