//! Reads the settings of one destination as Cribl means them. What is read is ticked off, so that in the end whatever
//! nobody asked for can be reported.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::notes::Notes;
use super::quantity;
use crate::config::tree::{Entry, Node, Position, Value};
use crate::config::units::Fault;

/// What becomes of a value that cannot be read.
const LEFT_OUT: &str = "it is left out; see what it does in Cribl";

/// The settings of one destination.
pub(super) struct Destination<'a> {
    notes: &'a Notes<'a>,
    /// The id of the destination.
    pub(super) id: &'a str,
    path: String,
    at: Position,
    entries: HashMap<&'a str, &'a Entry>,
    asked: RefCell<HashSet<String>>,
}

/// A text that Cribl may compute.
pub(super) enum Text<'a> {
    /// It is not there, or empty.
    Absent,
    /// It is always this.
    Constant(String),
    /// It is a JavaScript expression, or bound to one of Cribl's variables, by this entry.
    Computed(&'a Entry),
}

impl<'a> Destination<'a> {
    /// Opens what stands under an id. Keys that are there twice are reported; nothing if it is no section.
    pub(super) fn open(notes: &'a Notes<'a>, path: String, entry: &'a Entry) -> Option<Self> {
        let Value::Map(list) = &*entry.node.value else {
            let fault = Fault::new(
                "is no destination: it holds no settings",
                "if it is one, take it from Cribl's outputs.yml again",
            );
            notes.add(entry.at, &path, None, fault);
            return None;
        };
        let mut entries: HashMap<&str, &Entry> = HashMap::with_capacity(list.len().min(64));
        for entry in list.iter().take_while(|_| !notes.is_full()) {
            if let Some(first) = entries.get(entry.key.as_str()) {
                let fault = Fault::new(
                    format!("is there twice; the first, on line {}, is used", first.at.line),
                    "see which of them Cribl uses",
                );
                notes.add(entry.at, &format!("{path}.{}", entry.key), None, fault);
            } else {
                entries.insert(&entry.key, entry);
            }
        }
        Some(Self { notes, id: &entry.key, path, at: entry.at, entries, asked: RefCell::default() })
    }

    /// The entry of a key, unless its value is YAML's nothing or an empty text.
    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.entries.get(key).copied().filter(|entry| !is_nothing(&entry.node))
    }

    /// Adds a note on a key, or on the destination where the key is not there.
    pub(super) fn note(&self, key: &str, fault: Fault) {
        match self.entries.get(key) {
            Some(entry) => self.note_on(entry, fault),
            None => self.notes.add(self.at, &format!("{}.{key}", self.path), None, fault),
        }
    }

    /// Adds a note on an entry.
    pub(super) fn note_on(&self, entry: &Entry, fault: Fault) {
        let shown = entry.node.written.as_deref().filter(|written| !is_secret(&entry.key, written));
        let at = if shown.is_some() { entry.node.at } else { entry.at };
        self.notes.add(at, &format!("{}.{}", self.path, entry.key), shown, fault);
    }

    /// Adds a note on the destination as a whole.
    pub(super) fn note_on_itself(&self, fault: Fault) {
        self.notes.add(self.at, &self.path, None, fault);
    }

    /// Whether a key is there with a value.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Leaves keys alone that mean nothing for what is translated. Each call says why it may.
    pub(super) fn ignore(&self, keys: &[&str]) {
        self.asked.borrow_mut().extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// A scalar as it is; one that is no scalar is reported.
    pub(super) fn plain_text(&self, key: &str) -> Option<&'a str> {
        let entry = self.entry(key)?;
        let Value::Scalar { text, .. } = &*entry.node.value else {
            let found = if matches!(*entry.node.value, Value::List(_)) { "a list" } else { "a section" };
            let fault = Fault::new(format!("is {found} where one value must stand"), LEFT_OUT);
            self.note(key, fault);
            return None;
        };
        Some(text)
    }

    /// A text in which Cribl takes expressions.
    pub(super) fn text(&self, key: &str) -> Text<'a> {
        let text = self.plain_text(key);
        // `__template_KEY` binds the key to one of Cribl's variables, which then wins over the text beside it.
        if let Some(template) = self.entry(&format!("__template_{key}")) {
            return Text::Computed(template);
        }
        let Some((text, entry)) = text.zip(self.entry(key)) else {
            return Text::Absent;
        };
        match constant(text) {
            Some("") => Text::Absent,
            Some(constant) => Text::Constant(constant.to_owned()),
            None => Text::Computed(entry),
        }
    }

    /// `true` or `false`; anything else is reported.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.plain_text(key)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => {
                self.note(key, Fault::new("is neither true nor false", LEFT_OUT));
                None
            }
        }
    }

    /// One of a few words; another one is reported, together with what stands for it then.
    pub(super) fn word(&self, key: &str, words: &[&'static str], instead: &str) -> Option<&'static str> {
        let text = self.plain_text(key)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            self.note(
                key,
                Fault::new("is no value known here", format!("`{instead}` is used; see that it fits")),
            );
        }
        found
    }

    /// A number; what is none is reported. Its text is kept, since it may have decimals.
    pub(super) fn number(&self, key: &str) -> Option<&'a str> {
        let text = self.plain_text(key)?;
        if quantity::is_number(text) {
            return Some(text);
        }
        self.note(key, Fault::new("is not a number", LEFT_OUT));
        None
    }

    /// A whole number, brought into the range where it lies outside, which is reported.
    pub(super) fn whole(&self, key: &str, (min, max): (u64, u64)) -> Option<u64> {
        let number = self.number(key)?;
        let fitting = quantity::whole(number).clamp(min, max);
        if !quantity::is_exactly(number, fitting) {
            self.clamped(key, &fitting.to_string(), &format!("{min} to {max}"));
        }
        Some(fitting)
    }

    /// Reports a value that was brought into the range of values there are.
    pub(super) fn clamped(&self, key: &str, used: &str, range: &str) {
        let fault =
            Fault::new(format!("is outside of what millpond takes: {range}"), format!("{used} is used"));
        self.note(key, fault);
    }

    /// A size in Cribl's units; what is none is reported.
    pub(super) fn size(&self, key: &str) -> Option<u64> {
        let text = self.plain_text(key)?;
        let size = quantity::size(text);
        if size.is_none() {
            self.note(key, Fault::new("is not a size", LEFT_OUT));
        }
        size
    }

    /// A list of texts; what is none is reported.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let entry = self.entry(key)?;
        let scalar = |node: &Node| match &*node.value {
            Value::Scalar { text, .. } => Some(text.clone()),
            Value::List(_) | Value::Map(_) => None,
        };
        let texts = match &*entry.node.value {
            Value::List(items) => items.iter().map(scalar).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        if texts.is_none() {
            self.note(key, Fault::new("is no list of texts", LEFT_OUT));
        }
        texts
    }

    /// Reports an entry that is not an empty section.
    pub(super) fn expect_empty(&self, key: &str) {
        let empty = |entry: &&Entry| matches!(&*entry.node.value, Value::Map(entries) if entries.is_empty());
        if self.entry(key).is_some_and(|entry| !empty(&entry)) {
            self.note(key, Fault::new("has no counterpart", LEFT_OUT));
        }
    }

    /// Reports the keys that nobody asked for, in the order of the file.
    pub(super) fn report_unknown(&self) {
        let asked = self.asked.borrow();
        let unknown = self.entries.values().filter(|entry| !asked.contains(&entry.key));
        let mut unknown: Vec<_> = unknown.collect();
        unknown.sort_by_key(|entry| entry.at);
        for entry in unknown.into_iter().take_while(|_| !self.notes.is_full()) {
            let fault = if entry.key == "<<" {
                Fault::new(
                    "is a merge key, which is not followed",
                    "write the settings out, and import again",
                )
            } else {
                Fault::new("is not known as a setting of a Kinesis destination", LEFT_OUT)
            };
            self.note_on(entry, fault);
        }
    }
}

/// YAML's nothing, and text with nothing in it, which Cribl treats alike.
fn is_nothing(node: &Node) -> bool {
    match &*node.value {
        Value::Scalar { text, plain } => {
            text.trim().is_empty() || (*plain && matches!(text.as_str(), "~" | "null" | "Null" | "NULL"))
        }
        Value::List(_) | Value::Map(_) => false,
    }
}

/// Whether a value is not to be shown: by its key, or as one that Cribl has encrypted (`#42:…`).
fn is_secret(key: &str, written: &str) -> bool {
    const WORDS: [&str; 8] =
        ["apikey", "secretkey", "token", "password", "passphrase", "privkey", "credential", "textsecret"];
    let key = key.to_lowercase();
    let encrypted = written.trim_start_matches(['"', '\'']).starts_with('#');
    encrypted || WORDS.iter().any(|word| key.contains(word)) || written.contains("-----BEGIN")
}

/// What an expression always gives; nothing if that is not known without running it. Text that is no expression at all
/// stands for itself.
fn constant(text: &str) -> Option<&str> {
    /// What expressions begin with that are not in quotes.
    const NAMES: [&str; 5] = ["C.", "__e.", "process.", "env.", "Math."];
    let text = text.trim();
    let Some(quote) = text.chars().next().filter(|first| "'\"`".contains(*first)) else {
        let computed = text.contains("${") || NAMES.iter().any(|name| text.starts_with(name));
        return (!computed).then_some(text);
    };
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let computed = inner.contains([quote, '\\']) || (quote == '`' && inner.contains("${"));
    (!computed).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_unwrapped_and_expressions_are_not() {
        for (text, expected) in [
            ("logs", Some("logs")),
            ("'logs'", Some("logs")),
            ("\"logs\"", Some("logs")),
            ("`logs`", Some("logs")),
            (" `logs` ", Some("logs")),
            ("''", Some("")),
            ("'it$elf'", Some("it$elf")),
            ("'${not}'", Some("${not}")),
            ("`${C.vars.x}`", None),
            ("`logs-${C.env.SITE}`", None),
            ("logs-${x}", None),
            ("'a' + 'b'", None),
            ("'a' + b", None),
            ("'a\\'b'", None),
            ("'", None),
            ("C.vars.stream", None),
            ("C.Secret('x', 'text').value", None),
            ("CLOUD", Some("CLOUD")),
        ] {
            assert_eq!(constant(text), expected, "{text}");
        }
    }

    #[test]
    fn values_that_may_be_secrets_are_not_shown() {
        for (key, written) in [
            ("awsSecretKey", "HUNTER2"),
            ("__template_awsApiKey", "x"),
            ("authToken", "x"),
            ("streamName", "'#42:HUNTER2'"),
            ("note", "-----BEGIN RSA PRIVATE KEY-----"),
        ] {
            assert!(is_secret(key, written), "{key}");
        }
        assert!(!is_secret("awsSecret", "stored") && !is_secret("streamName", "logs"));
    }
}
