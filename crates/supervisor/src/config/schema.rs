//! The JSON Schema of the configuration, made from the declarations of the settings.

use serde_json::{Map, Value, json};

use super::names::ID_PATTERN;
use super::settings::{Default, Group, Kind, Setting, TOP};
use super::tree::{self, Node};
use super::values::range;

/// The schema of a whole configuration, in the dialect of 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut schema = group(&TOP);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("millpond");
    schema
}

fn group(group: &Group) -> Value {
    let mut properties = Map::new();
    for declared in group.settings {
        let schema = match declared.later {
            None => setting(group, declared),
            Some([]) => continue,
            Some(same) => json!({
                "enum": same.iter().map(|text| yaml(text)).collect::<Vec<_>>(),
                "description": "Only the value that says what this version does.",
            }),
        };
        properties.insert(declared.key.to_owned(), schema);
    }
    let required = group.available().filter(|setting| setting.default == Default::Required);
    let required: Vec<_> = required.map(|setting| setting.key).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn setting(group: &Group, setting: &Setting) -> Value {
    let mut schema = match group.of_type {
        Some(word) if setting.key == "type" => json!({ "const": word }),
        _ => kind(setting),
    };
    let range = range(setting).filter(|_| says_range(setting.kind));
    schema["description"] = match range {
        Some(range) => json!(format!("{} {range}.", setting.about)),
        None => json!(setting.about),
    };
    if let Default::Is(text) = setting.default {
        schema["default"] = yaml(text);
    }
    schema
}

/// Has it a range that its pattern does not say?
fn says_range(kind: Kind) -> bool {
    let size = matches!(kind, Kind::Size(..) | Kind::SizeOrNone(..));
    size || matches!(kind, Kind::Period(..) | Kind::PeriodOrNone(..) | Kind::WordOrPeriod(..))
}

/// A number and a unit of bytes.
const SIZE_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? *([kKMGT]?B|[KMGT]iB)$";
/// A number and a unit of time.
const PERIOD_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? *(ms|s|m|h|d)$";

fn kind(setting: &Setting) -> Value {
    let required = setting.default == Default::Required;
    match setting.kind {
        Kind::Text(_, None) => json!({ "type": "string" }),
        Kind::Text(_, Some(pattern)) => or_variable(json!({ "type": "string", "pattern": pattern })),
        Kind::Flag => or_variable(json!({ "type": "boolean" })),
        Kind::Integer(min, max) => or_variable(json!({ "type": "integer", "minimum": min, "maximum": max })),
        Kind::Size(..) => or_variable(json!({ "type": "string", "pattern": SIZE_PATTERN })),
        Kind::Period(..) => or_variable(json!({ "type": "string", "pattern": PERIOD_PATTERN })),
        Kind::SizeOrNone(..) => either(json!({ "const": 0 }), SIZE_PATTERN),
        Kind::PeriodOrNone(..) => either(json!({ "const": 0 }), PERIOD_PATTERN),
        Kind::WordOrPeriod(word, ..) => either(json!({ "const": word }), PERIOD_PATTERN),
        Kind::Word(words) => or_variable(json!({ "enum": words() })),
        Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::Texts | Kind::Patterns => {
            json!({ "type": "array", "items": { "type": "string" }, "minItems": u8::from(required) })
        }
        Kind::Program => json!({ "type": "string", "minLength": 1 }),
        Kind::Events => json!({ "type": "array", "items": { "type": ["object", "string"] } }),
        Kind::EventsOrByOutput => {
            let events = json!({ "type": "array", "items": { "type": "object" } });
            json!({ "anyOf": [events, { "type": "object", "additionalProperties": events }] })
        }
        Kind::Section(inner) => group(inner),
        Kind::Sections(groups) => json!({
            "type": "object",
            "minProperties": u8::from(required),
            "propertyNames": { "pattern": ID_PATTERN },
            "additionalProperties": { "oneOf": groups.iter().map(|inner| group(inner)).collect::<Vec<_>>() },
        }),
        Kind::WordOrSection(words, inner) => {
            let mut section = group(inner);
            section["minProperties"] = json!(1);
            section["maxProperties"] = json!(1);
            json!({ "anyOf": [{ "enum": words() }, variable(), section] })
        }
    }
}

/// This, or text that matches the pattern.
fn either(schema: Value, pattern: &str) -> Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": pattern }, variable()] })
}

/// A value of any type may come from a variable.
fn or_variable(schema: Value) -> Value {
    json!({ "anyOf": [schema, variable()] })
}

fn variable() -> Value {
    json!({ "type": "string", "pattern": r"\$\{.+\}" })
}

/// The JSON of a declared value.
fn yaml(text: &str) -> Value {
    let node = tree::parse(text).expect("a declared value is YAML");
    node.as_ref().map_or(Value::Null, json_of)
}

fn json_of(node: &Node) -> Value {
    match &*node.value {
        tree::Value::Scalar { text, plain: false } => json!(text),
        tree::Value::Scalar { text, plain: true } => match (text.parse::<u64>(), text.parse::<bool>()) {
            (Ok(number), _) => json!(number),
            (_, Ok(flag)) => json!(flag),
            _ => json!(text),
        },
        tree::Value::List(items) => items.iter().map(json_of).collect(),
        tree::Value::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), json_of(&entry.node)))
            .collect::<Map<_, _>>()
            .into(),
    }
}
