//! Writes the translation as YAML.

use std::fmt::Write as _;

/// What stands for a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Yaml {
    /// A word or number of the configuration's own, written as it is.
    Word(String),
    /// Text from elsewhere: in quotes, and free of variables.
    Text(String),
    /// What an environment variable holds.
    Variable(String),
    /// A list, written on one line.
    List(Vec<Yaml>),
    /// A section.
    Section(Vec<(String, Yaml)>),
}

impl Yaml {
    /// A word or number of the configuration's own.
    pub(super) fn word(word: impl ToString) -> Self {
        Self::Word(word.to_string())
    }

    /// Text from elsewhere.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// A section under its key, at a depth, as lines.
pub(super) fn section(key: &str, settings: &[(String, Yaml)], depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let key = self::key(key);
    if settings.is_empty() {
        writeln!(out, "{indent}{key}: {{}}").expect("writing to a text never fails");
        return;
    }
    writeln!(out, "{indent}{key}:").expect("writing to a text never fails");
    for (inner, value) in settings {
        match value {
            Yaml::Section(settings) => section(inner, settings, depth + 1, out),
            value => {
                let (key, value) = (self::key(inner), inline(value));
                writeln!(out, "{indent}  {key}: {value}").expect("writing to a text never fails");
            }
        }
    }
}

fn inline(value: &Yaml) -> String {
    match value {
        Yaml::Word(word) => word.clone(),
        Yaml::Text(text) => quoted(text),
        Yaml::Variable(name) => format!("\"${{{name}}}\""),
        Yaml::List(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Yaml::Section(settings) => {
            let settings =
                settings.iter().map(|(key, value)| format!("{}: {}", self::key(key), inline(value)));
            format!("{{ {} }}", settings.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A key: in quotes where a reader of YAML might take it for something else than text.
fn key(key: &str) -> String {
    const RESERVED: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && !RESERVED.contains(&key.to_ascii_lowercase().as_str());
    if plain { key.to_owned() } else { escaped(key) }
}

/// A text as a value that means this text and nothing else: `$` is doubled, since `${…}` would be a variable.
fn quoted(text: &str) -> String {
    escaped(&text.replace('$', "$$"))
}

/// A text in double quotes. Characters that cannot be seen, and those that YAML takes for line ends, are written as
/// escapes.
fn escaped(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for char in text.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                write!(quoted, "\\x{:02x}", u32::from(char)).expect("writing to a text never fails");
            }
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(quoted, "\\u{:04x}", u32::from(char)).expect("writing to a text never fails");
            }
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::config::secrets::Secrets;
    use crate::config::tree::{self, Value};
    use crate::config::variables::{self, Sources};

    /// A text in which `$$` stands for `$`, and nothing for a variable.
    fn fill_nothing(text: &str) -> String {
        let sources = Sources { variables: &BTreeMap::new(), secrets: &Secrets::default() };
        variables::fill(text, sources).unwrap().text
    }

    /// The first setting of a section as the configuration reads it: key, and text with variables filled in.
    fn read_back(yaml: &str) -> (String, String) {
        let root = tree::parse(yaml).unwrap().unwrap();
        let Value::Map(sections) = &*root.value else { panic!("{yaml}") };
        let Value::Map(entries) = &*sections[0].node.value else { panic!("{yaml}") };
        let Value::Scalar { text, plain } = &*entries[0].node.value else { panic!("{yaml}") };
        assert!(!plain, "{yaml}");
        (entries[0].key.clone(), fill_nothing(text))
    }

    #[track_caller]
    fn check(key: &str, text: &str) {
        let mut yaml = String::new();
        section("a", &[(key.to_owned(), Yaml::text(text))], 0, &mut yaml);
        assert_eq!(read_back(&yaml), (key.to_owned(), text.to_owned()), "{yaml}");
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let all =
            "\"\\ '`\n\r\t\0\u{1b}\u{7f}\u{85}\u{a0}\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}😀 ${X} $$ $";
        for key in ["main", "true", "No", "1e3", "-x", "a: b", all] {
            for text in ["", " ", "true", "#x", "a: b", "${HOME}", all] {
                check(key, text);
            }
        }
    }

    #[test]
    fn sections() {
        let inner =
            vec![("max_size".to_owned(), Yaml::text("5 GiB")), ("on_full".to_owned(), Yaml::word("drop"))];
        let settings = [
            ("tags".to_owned(), Yaml::List(vec![Yaml::text("a"), Yaml::word(1)])),
            ("secret".to_owned(), Yaml::Variable("KEY".to_owned())),
            ("queue".to_owned(), Yaml::Section(inner)),
            ("auth".to_owned(), Yaml::Section(Vec::new())),
        ];
        let mut yaml = String::new();
        section("main", &settings, 1, &mut yaml);
        let expected = "  main:\n    tags: [\"a\", 1]\n    secret: \"${KEY}\"\n    queue:\n      max_size: \"5 GiB\"\n      \
                        on_full: drop\n    auth: {}\n";
        assert_eq!(yaml, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_text_survives(key in "\\PC{1,20}", text in any::<String>(), odd in r"([ -~\n\t]|[\x00-\x20]|\u{85}|\u{2028}|\u{feff}|\$\{A\}){0,30}") {
            check(&key, &text);
            check(&key, &odd);
        }
    }
}
