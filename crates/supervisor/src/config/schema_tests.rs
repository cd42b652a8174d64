//! The schema, the declarations and the reader agree on keys, defaults and ranges.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::settings::{Default, FILE, GROUPS, Group, KINESIS, Kind, SIZE_MAX, Setting};
use super::units::{Period, Size};
use super::{Config, Environment, Problems, parse, schema};

/// A configuration with this group in it, and with this line in the group.
fn with(group: &Group, line: Option<String>) -> String {
    let input = match group.name {
        "stdin" => "type: stdin",
        "http" => "type: http\n    listen: \"127.0.0.1:0\"",
        "tcp" => "type: tcp\n    listen: \"127.0.0.1:0\"",
        "udp" => "type: udp\n    listen: \"127.0.0.1:0\"",
        // Some settings are for one transport, some for the other.
        "syslog" if line.as_deref().is_some_and(is_of_connections) => {
            "type: syslog\n    listen: \"127.0.0.1:0\"\n    transport: tcp"
        }
        "syslog" => "type: syslog\n    listen: \"127.0.0.1:0\"",
        "journald" => "type: journald",
        "unix" => "type: unix\n    path: /x",
        "multiline" => "type: file\n    include: [\"/x\"]\n    multiline:\n      start: x",
        "tls" => "type: http\n    listen: \"127.0.0.1:0\"\n    tls:\n      cert_file: x\n      key_file: x",
        _ => "type: file\n    include: [\"/x\"]",
    };
    let output = "type: kinesis\n    stream_name: logs\n    region: eu-west-1";
    let [mut top, mut of_input, mut of_output] = [const { String::new() }; 3];
    match (group.name, line) {
        ("admin", None) => top = "admin: {}".to_owned(),
        ("pipeline" | "test", line) => {
            let line = line.unwrap_or_default();
            let [of_pipeline, of_test] = if group.name == "test" { ["", &*line] } else { [&*line, ""] };
            top = format!(
                "pipelines:\n  p:\n    source: .\n    {of_pipeline}\n\
                 tests:\n  t:\n    pipeline: p\n    given: []\n    expect: []\n    {of_test}"
            );
        }
        (_, None) => {}
        ("top", Some(line)) => top = line,
        ("admin", Some(line)) => top = format!("admin:\n  {line}"),
        ("secret", Some(line)) => top = format!("secrets:\n  kinesis:\n    {line}"),
        ("file" | "http" | "tcp" | "udp" | "syslog" | "unix" | "journald" | "stdin", Some(line)) => {
            of_input = format!("\n    {line}")
        }
        ("tls" | "multiline", Some(line)) => of_input = format!("\n      {line}"),
        ("kinesis", Some(line)) => of_output = format!("\n    {line}"),
        (section, Some(line)) => of_output = format!("\n    {section}:\n      {line}"),
    }
    format!("inputs:\n  app:\n    {input}{of_input}\noutputs:\n  main:\n    {output}{of_output}\n{top}\n")
}

/// Whether a line holds a setting of syslog that is only for connections.
fn is_of_connections(line: &str) -> bool {
    ["framing", "max_connections", "idle_timeout"].iter().any(|key| line.contains(key))
}

fn read(yaml: &str) -> Result<Config, Problems> {
    parse(yaml, "millpond.yaml", Path::new("/etc"), &Environment::default()).map(|(config, _)| config)
}

#[track_caller]
fn check(group: &Group, setting: &Setting, value: &str, good: bool) {
    let result = read(&with(group, Some(format!("{}: {value}", setting.key))));
    assert_eq!(result.is_ok(), good, "{}.{}: {value}: {result:?}", group.name, setting.key);
}

#[test]
fn a_default_that_is_written_changes_nothing() {
    let mut checked = 0;
    for group in GROUPS {
        for setting in group.available() {
            let Default::Is(default) = setting.default else {
                continue;
            };
            let written = read(&with(group, Some(format!("{}: {default}", setting.key))));
            // As a comment it still tells for which transport it is.
            let unwritten = (group.name == "syslog").then(|| format!("# {}", setting.key));
            assert_eq!(
                written.as_ref().ok(),
                read(&with(group, unwritten)).as_ref().ok(),
                "{}.{}",
                group.name,
                setting.key
            );
            assert!(written.is_ok(), "{}.{}: {written:?}", group.name, setting.key);
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked}");
}

#[test]
fn ranges_are_what_is_declared() {
    let mut checked = 0;
    for group in GROUPS {
        for setting in group.available() {
            let (low, min, max, high) = match setting.kind {
                Kind::Integer(min, max) => (
                    min.checked_sub(1).map(|n| n.to_string()),
                    min.to_string(),
                    max.to_string(),
                    (max + 1).to_string(),
                ),
                Kind::Size(min, max) | Kind::SizeOrNone(min, max) => {
                    let size = |bytes| Size(bytes).to_string();
                    // Where 0 is none, it is never too small.
                    let is_none = |low: &u64| *low == 0 && matches!(setting.kind, Kind::SizeOrNone(..));
                    (
                        min.checked_sub(1).filter(|low| !is_none(low)).map(size),
                        size(min),
                        size(max),
                        size(max + 1),
                    )
                }
                Kind::Period(min, max) | Kind::PeriodOrNone(min, max) | Kind::WordOrPeriod(_, min, max) => {
                    let period = |milliseconds| Period(Duration::from_millis(milliseconds)).to_string();
                    (min.checked_sub(1).map(period), period(min), period(max), period(max + 1))
                }
                _ => continue,
            };
            check(group, setting, &min, true);
            check(group, setting, &max, true);
            check(group, setting, &high, false);
            if let Some(low) = low {
                check(group, setting, &low, false);
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 42);
    assert_eq!(Size(SIZE_MAX).to_string(), "1048576 TiB");
}

/// The properties of a group somewhere in the schema.
fn properties(group: &Group) -> Value {
    let schema = schema();
    let input = |name: &str| {
        let all = schema["properties"]["inputs"]["additionalProperties"]["oneOf"].as_array();
        let mut all = all.into_iter().flatten().map(|input| &input["properties"]);
        all.find(|properties| properties["type"]["const"] == name).cloned().unwrap_or_default()
    };
    let output = &schema["properties"]["outputs"]["additionalProperties"]["oneOf"][0]["properties"];
    match group.name {
        "top" => schema["properties"].clone(),
        "admin" => schema["properties"]["admin"]["properties"].clone(),
        name @ ("file" | "http" | "tcp" | "udp" | "syslog" | "unix" | "journald" | "stdin") => input(name),
        "tls" => input("http")["tls"]["properties"].clone(),
        "multiline" => input("file")["multiline"]["properties"].clone(),
        "kinesis" => output.clone(),
        name @ ("secret" | "pipeline" | "test") => {
            schema["properties"][format!("{name}s")]["additionalProperties"]["oneOf"][0]["properties"].clone()
        }
        "partition_key" => output["partition_key"]["anyOf"][2]["properties"].clone(),
        name => output[name]["properties"].clone(),
    }
}

#[test]
fn the_schema_has_the_keys_that_the_reader_takes() {
    for group in GROUPS {
        let properties = properties(group);
        let properties = properties.as_object().unwrap_or_else(|| panic!("{} is in the schema", group.name));
        for setting in group.settings {
            let in_schema = properties.contains_key(setting.key);
            match setting.later {
                None => assert!(in_schema, "{}.{}", group.name, setting.key),
                Some([]) => {
                    assert!(!in_schema, "{}.{}", group.name, setting.key);
                    check(group, setting, "x", false);
                }
                Some(same) => {
                    assert_eq!(properties[setting.key]["enum"].as_array().map(Vec::len), Some(same.len()));
                    same.iter().for_each(|value| check(group, setting, value, true));
                    check(group, setting, "x", false);
                }
            }
        }
        assert!(properties.keys().all(|key| group.find(key).is_some()), "{}", group.name);
    }
}

#[test]
fn the_schema_says_ranges_and_defaults() {
    let concurrency = &properties(&KINESIS)["concurrency"];
    assert_eq!(concurrency["default"], 5);
    assert_eq!(
        concurrency["anyOf"][0],
        serde_json::json!({ "type": "integer", "minimum": 1, "maximum": 32 })
    );
    let max_line = &properties(&FILE)["max_line"];
    assert_eq!(max_line["default"], "1 MiB");
    assert!(max_line["description"].as_str().unwrap().ends_with("16 B – 64 MiB."), "{max_line}");
    assert_eq!(properties(&KINESIS)["system_fields"]["default"], serde_json::json!(["cribl_pipe"]));
    assert_eq!(properties(&FILE)["type"]["const"], "file");
}
