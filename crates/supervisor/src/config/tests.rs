use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use millpond_kinesis::aws::{KeySource, Secret};
use proptest::prelude::*;

use super::checked::*;
use super::*;
use crate::processing::SystemFields;

/// Variables and name of the environment in all of these tests.
fn environment() -> Environment {
    let pairs =
        [("REGION", "eu-west-1"), ("EMPTY", ""), ("SECRET", "HUNTER2"), ("PUTS", "7"), ("BAD", "x: [\n")];
    let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Environment { name: "edge".to_owned(), variables, ..Environment::default() }
}

fn parse_here(yaml: &str) -> Result<(Config, Vec<Warning>), Problems> {
    parse(yaml, "millpond.yaml", Path::new("/etc/millpond"), &environment())
}

/// What a person is told about a configuration.
fn told(yaml: &str) -> String {
    match parse_here(yaml) {
        Ok((_, warnings)) => warnings.iter().fold("good\n".to_owned(), |mut text, warning| {
            writeln!(text, "{warning}").unwrap();
            text
        }),
        Err(problems) => format!("{problems}\n"),
    }
}

/// A configuration with these lines in its only output.
fn with_output(lines: &str) -> String {
    let base = "inputs: { app: { type: stdin } }\noutputs:\n  main:\n    type: kinesis\n    stream_name: logs\n    region: eu-west-1\n";
    lines.lines().fold(base.to_owned(), |text, line| text + "    " + line + "\n")
}

fn output(lines: &str) -> Output {
    let yaml = with_output(lines);
    let (config, _) = parse_here(&yaml).unwrap_or_else(|problems| panic!("{yaml}\n{problems}"));
    config.outputs.into_iter().next().unwrap()
}

/// Each file of `fixtures/config` yields exactly what stands in the `.expected` beside it.
#[test]
fn fixtures() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/config");
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    names.sort();
    assert!(names.len() >= 10, "the fixtures are there");
    let mut different = String::new();
    for path in names {
        let expected = std::fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
        let told = told(&std::fs::read_to_string(&path).unwrap());
        if told != expected {
            writeln!(different, "=== {}\n{told}", path.file_name().unwrap().display()).unwrap();
        }
        assert!(!told.contains("HUNTER2"), "{}: a secret is shown:\n{told}", path.display());
    }
    assert!(different.is_empty(), "not as expected:\n{different}");
}

/// The route of an output that says nothing of it.
fn route(name: &str) -> Route {
    let (system_fields, _) = SystemFields::choose(&["cribl_pipe".to_owned()]);
    Route { name: name.to_owned(), system_fields, ..Route::default() }
}

#[test]
fn the_least_that_a_file_must_hold() {
    let (config, warnings) = parse_here(&with_output("")).unwrap();
    assert_eq!(warnings, []);
    let expected = Config {
        data_dir: "/etc/millpond/millpond-data".into(),
        shutdown_timeout: Duration::from_secs(10),
        admin: None,
        inputs: vec![Input {
            id: "app".into(),
            codec: Default::default(),
            max_line: 1 << 20,
            pipeline: None,
            kind: InputKind::Stdin,
        }],
        outputs: vec![Output {
            id: "main".into(),
            description: String::new(),
            tags: vec![],
            active: true,
            inputs: None,
            route: route("main"),
            adopt: Vec::new(),
            stream_name: "logs".into(),
            region: "eu-west-1".into(),
            endpoint: None,
            auth: Auth::Auto,
            assume_role: None,
            network: Network {
                reuse_connections: true,
                reject_unauthorized: true,
                ca_file: None,
                proxy: Proxy::Environment,
                fips: false,
                dual_stack: false,
                account_id_endpoints: false,
            },
            backpressure: Backpressure::Block,
            queue: QueueOptions {
                mode: QueueMode::Error,
                path: "/etc/millpond/millpond-data/queues".into(),
                segment_bytes_max: 16 << 20,
                size_bytes_max: 5 << 30,
                free_bytes_min: 256 << 20,
                on_full: OnFull::Block,
                strict_ordering: true,
                drain: Default::default(),
                pack: None,
                max_age: None,
                retain: None,
                retain_bytes_max: None,
                sync_every: None,
            },
            concurrency: 5,
            max_record_size: 1 << 20,
            flush_period: Duration::from_secs(1),
            format: Format::Gzip,
            compression_level: millpond_kinesis::COMPRESSION_LEVEL_DEFAULT,
            records_per_flush: 500,
            put_records_batching: false,
            use_list_shards: true,
            partition_key: PartitionKey::Random,
            oversize: Oversize::DeadLetter,
            dead_letters_bytes_max: 256 << 20,
        }],
        pipelines: Vec::new(),
        tests: Vec::new(),
    };
    assert_eq!(config, expected);
}

#[test]
fn a_file_input() {
    let yaml = with_output("").replace(
        "app: { type: stdin }",
        "app: { type: file, include: [\"/var/log/*.log\", ./x.log], exclude: [\"*.gz\"], read_from: end, rescan: 5s, codec: json, max_line: 64 KiB, multiline: { start: ^x, timeout: 2s } }",
    );
    let (config, _) = parse_here(&yaml).unwrap();
    let expected = Input {
        id: "app".into(),
        codec: crate::chunk::Codec::Json,
        max_line: 64 << 10,
        pipeline: None,
        kind: InputKind::File(FileInput {
            include: vec!["/var/log/*.log".into(), "/etc/millpond/x.log".into()],
            exclude: vec!["**/*.gz".into()],
            read_from: ReadFrom::End,
            rescan: Duration::from_secs(5),
            multiline: Some(MultilineSettings { start: "^x".into(), timeout: Duration::from_secs(2) }),
        }),
    };
    assert_eq!(config.inputs, [expected]);
}

#[test]
fn record_formats() {
    for (lines, format) in [
        ("", Format::Gzip),
        ("compression: gzip", Format::Gzip),
        ("compression: none", Format::Ndjson),
        ("{compression: none, send_batched: true}", Format::Ndjson),
        ("{compression: none, send_batched: false}", Format::Event),
        ("send_batched: false", Format::Gzip),
    ] {
        let lines = lines.trim_matches(['{', '}']).replace(", ", "\n");
        assert_eq!(output(&lines).format, format, "{lines}");
    }
}

#[test]
fn partition_keys() {
    for (lines, expected) in [
        ("", PartitionKey::Random),
        ("partition_key: random", PartitionKey::Random),
        ("partition_key: { fixed: site-7 }", PartitionKey::Fixed("site-7".into())),
        ("partition_key:\n  field: host", PartitionKey::Field("host".into())),
    ] {
        assert_eq!(output(lines).partition_key, expected, "{lines}");
    }
}

#[test]
fn segments_of_a_small_queue() {
    for (lines, segment) in [
        ("", 16 << 20),
        ("queue: { max_size: 64 MiB }", 16 << 20),
        ("queue: { max_size: 40 MiB }", 10 << 20),
        ("queue: { max_size: 4 MiB }", 1 << 20),
        ("queue: { max_size: 8 MiB, max_segment_size: 1 MiB }", 1 << 20),
    ] {
        assert_eq!(output(lines).queue.segment_bytes_max, segment, "{lines}");
    }
}

#[test]
fn queue_modes() {
    for (mode, expected) in [
        ("error", QueueMode::Error),
        ("backpressure", QueueMode::Backpressure { after: Duration::from_secs(30) }),
        ("backpressure, backpressure_secs: 5", QueueMode::Backpressure { after: Duration::from_secs(5) }),
        ("always", QueueMode::Always),
    ] {
        assert_eq!(output(&format!("queue: {{ mode: {mode} }}")).queue.mode, expected, "{mode}");
    }
}

#[test]
fn queue_policies() {
    let check = |lines: &str, expected: QueueOptions| {
        assert_eq!(output(&format!("compression: none\nqueue: {{ {lines} }}")).queue, expected, "{lines}");
    };
    let default = || output("").queue;
    let period = |ms| Some(Duration::from_millis(ms));
    check("", default());
    check("max_age: 0, retain: 0s, retain_size: 0 B, sync: commit, compression: none", default());
    check("compression: gzip", QueueOptions { pack: Some(3), ..default() });
    check("max_age: 2d", QueueOptions { max_age: period(172_800_000), ..default() });
    check("retain: \"1s\"", QueueOptions { retain: period(1_000), ..default() });
    check("retain_size: 1 GiB", QueueOptions { retain_bytes_max: Some(1 << 30), ..default() });
    check("sync: 100ms", QueueOptions { sync_every: period(100), ..default() });
    check("on_full: drop_oldest", QueueOptions { on_full: OnFull::DropOldest, ..default() });
    assert_eq!(output("queue: { compression: gzip }").queue.pack, None, "records are gzip already");
}

#[test]
fn environments() {
    for (lines, active) in [("", true), ("environment: \"\"", true), ("environment: edge", true)] {
        assert_eq!(output(lines).active, active, "{lines}");
    }
    let problems = parse_here(&with_output("environment: lab")).unwrap_err();
    assert!(problems.to_string().contains("has no active output in the environment `edge`"), "{problems}");
}

#[test]
fn variables_have_any_type_and_are_never_structure() {
    let read = output(
        "concurrency: ${PUTS}\nuse_list_shards: \"${FLAG:-false}\"\ndescription: ${BAD}\nflush_period: \"${P:-2s}\"",
    );
    assert_eq!(read.concurrency, 7);
    assert!(!read.use_list_shards);
    assert_eq!(read.description, "x: [\n");
    assert_eq!(read.flush_period, Duration::from_secs(2));
}

#[test]
fn credentials_are_read_and_never_shown() {
    let lines = "auth: { method: manual, access_key: AKIA, secret_key: \"${SECRET}\", session_token: \"${EMPTY:-}\" }";
    let read = output(lines).auth;
    assert_eq!(
        read,
        Auth::Manual {
            access_key: Some("AKIA".into()),
            secret_key: Some("HUNTER2".into()),
            session_token: None
        }
    );
    assert!(!format!("{read:?}").contains("HUNTER2"));
}

#[test]
fn a_role_and_where_it_is_taken_on() {
    const ARN: &str = "arn:aws:iam::111122223333:role/edge";
    let check = |lines: &str, variables: &[(&str, &str)], region: &str, endpoint: Option<&str>| {
        let yaml = with_output(&format!("assume_role: {{ enabled: true, arn: \"{ARN}\"{lines} }}"));
        let mut environment = environment();
        environment.variables.extend(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let (config, _) = parse(&yaml, "millpond.yaml", Path::new("/"), &environment).unwrap();
        let role = config.outputs[0].assume_role.clone().unwrap();
        assert_eq!((role.sts.region.as_str(), role.sts.endpoint.as_deref()), (region, endpoint), "{lines}");
        role
    };
    let ours = ("MILLPOND_AWS_STS_REGION", "us-west-2");
    let theirs = ("CRIBL_AWS_STS_REGION", "sa-east-1");
    let global = Some("https://sts.amazonaws.com");
    let role = check("", &[], "eu-west-1", None);
    assert_eq!((role.arn.as_str(), role.duration), (ARN, Duration::from_secs(3600)));
    check(", sts_region: eu-central-1", &[ours], "eu-central-1", None);
    check("", &[ours, theirs], "us-west-2", None);
    check("", &[theirs], "sa-east-1", None);
    check("", &[("MILLPOND_AWS_STS_REGION", ""), theirs], "sa-east-1", None);
    check("", &[("MILLPOND_AWS_STS_REGION", "mars-1")], "us-east-1", global);
    check(", sts_region: mars-1", &[], "us-east-1", global);
    check(", sts_region: mars-1, sts_endpoint: \"http://[::1]:1\"", &[], "mars-1", Some("http://[::1]:1"));
    let role = check(", external_id: \"${SECRET}\", duration_secs: 900", &[], "eu-west-1", None);
    assert_eq!(role.external_id.as_ref().map(Secret::expose), Some("HUNTER2"));
    assert!(!format!("{role:?}").contains("HUNTER2"));
    assert_eq!(output("assume_role: { enabled: false }").assume_role, None);
}

#[test]
fn the_way_to_the_service() {
    let default = || output("").network;
    let check = |lines: &str, expected: Network| assert_eq!(output(lines).network, expected, "{lines}");
    check("proxy: none", Network { proxy: Proxy::None, ..default() });
    let url = Secret::new("http://me:HUNTER2@proxy:3128".to_owned());
    check("proxy: \"http://me:${SECRET}@proxy:3128\"", Network { proxy: Proxy::Url(url), ..default() });
    check("ca_file: ca.pem", Network { ca_file: Some("/etc/millpond/ca.pem".into()), ..default() });
    check("reject_unauthorized: false", Network { reject_unauthorized: false, ..default() });
    check("reuse_connections: false", Network { reuse_connections: false, ..default() });
    check(
        "fips: true\ndual_stack: true\naccount_id_endpoints: true",
        Network { fips: true, dual_stack: true, account_id_endpoints: true, ..default() },
    );
}

#[test]
fn credentials_in_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.yaml");
    let yaml = "secrets: { kinesis: { file: keys.json } }\n".to_owned()
        + &with_output("auth: { method: secret, secret: kinesis }");
    std::fs::write(&path, &yaml).unwrap();
    let missing = load(&path, &environment()).unwrap_err().to_string();
    assert!(missing.contains("keys.json cannot be read"), "{missing}");
    std::fs::write(directory.path().join("keys.json"), r#"{"access_key":"AKIA","secret_key":"HUNTER2"}"#)
        .unwrap();
    let (config, _) = load(&path, &environment()).unwrap();
    let Auth::Secret(source) = &config.outputs[0].auth else { panic!("{config:?}") };
    assert_eq!(KeySource::keys(source).unwrap().secret_key.expose(), "HUNTER2");
    assert!(!format!("{config:?}").contains("HUNTER2"));

    // What belongs to another environment need not be here.
    std::fs::remove_file(directory.path().join("keys.json")).unwrap();
    let other =
        yaml.replace("  main:", "  here: { type: kinesis, stream_name: s, region: eu-west-1 }\n  main:");
    std::fs::write(&path, other + "    environment: elsewhere\n").unwrap();
    assert_eq!(load(&path, &environment()).unwrap().1, []);
}

#[test]
fn a_file_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let check = |name: &str, content: Option<&[u8]>, expected: &str| {
        let path = directory.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let problems = load(&path, &Environment::default()).unwrap_err().to_string();
        assert_eq!(problems, format!("{}: {expected}", path.display()));
    };
    check(
        "none.yaml",
        None,
        "there is no such file\n    name the configuration with --config FILE, or begin with this one:\n\n      \
         inputs:\n        app:\n          type: file\n          include: [\"/var/log/app/*.log\"]\n      \
         outputs:\n        main:\n          type: kinesis\n          stream_name: logs\n          region: eu-west-1\n\n    \
         Every setting is in docs/configuration.md.",
    );
    check("latin1.yaml", Some(b"a: 1\nb: \xe9\n"), "is not UTF-8 on line 2\n    save it as UTF-8");
    check(
        "long.yaml",
        Some(&vec![b'#'; tree::FILE_BYTES_MAX + 1]),
        "is too long for a configuration\n    is this the right file? a configuration has at most 1 MiB",
    );
    check(
        "empty.yaml",
        Some(b"# nothing\n"),
        "is empty\n    docs/configuration.md shows the least that it must hold",
    );
    let error = load(directory.path(), &Environment::default()).unwrap_err().to_string();
    assert!(error.contains("cannot be read: "), "{error}");
}

#[test]
fn relative_paths_start_from_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m.yaml");
    std::fs::write(&path, with_output("queue: { path: spool }")).unwrap();
    let (config, _) = load(&path, &environment()).unwrap();
    assert_eq!(config.data_dir, directory.path().join("millpond-data"));
    assert_eq!(config.outputs[0].queue.path, directory.path().join("spool"));
}

#[test]
fn a_flood_of_problems_is_cut_and_says_so() {
    let yaml: String = (0..100_000).map(|key| format!("key{key}: 1\n")).collect();
    let problems = parse_here(&yaml).unwrap_err().problems;
    assert_eq!(problems.len(), 200);
    let last = problems.last().unwrap().to_string();
    assert_eq!(
        last,
        "millpond.yaml: and there is more that is not shown\n    see to what is shown, and check again"
    );
}

#[test]
fn findings_as_json() {
    let problems = parse_here(&with_output("concurrency: 99")).unwrap_err();
    let json = serde_json::to_value(&problems).unwrap();
    let expected = serde_json::json!({
        "problems": [{
            "severity": "problem",
            "file": "millpond.yaml", "line": 7, "column": 18, "key": "outputs.main.concurrency", "value": "99",
            "message": "is out of range", "remedy": "write a whole number from 1 to 32",
        }],
        "warnings": [],
    });
    assert_eq!(json, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_text_panics(text in r"([ -~\n]|[\[\]{}:,&*!|>'%@#?-]|- |: |\n  |inputs|outputs|type|file|queue|\$\{|é){0,60}") {
        prop_assert!(!told(&text).is_empty());
    }

    #[test]
    fn no_value_panics_or_is_lost(value in r#"([ -~]|[0-9]|MiB|ms|"|'|\$\{|é){0,20}"#, index in 0_usize..40) {
        let keys: Vec<_> = settings::KINESIS.settings.iter().map(|setting| setting.key).collect();
        let yaml = with_output(&format!("{}: {value}", keys[index % keys.len()]));
        prop_assert!(!told(&yaml).is_empty());
    }
}
