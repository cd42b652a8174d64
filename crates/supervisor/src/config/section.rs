//! Reads a section of the file against its declaration, and collects what is wrong with it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::context::Context;
use super::read::processing;
use super::settings::{Default, Group, Kind, Setting};
use super::tree::{Entry, Node, Position, Value};
use super::units::{Fault, Period, Size};
use super::values::{self, Scalar};
use super::words::{Words, nearest, not_yet, read_word};
use super::{names, settings};
use crate::processing::complaint::Surroundings;
use crate::processing::{Program, Role};

/// A section of the file, checked against the declaration of its settings as far as keys go.
pub(super) struct Section<'a> {
    context: &'a Context<'a>,
    group: &'static Group,
    path: String,
    /// Where the section's own key stands; what is missing is reported there.
    at: Position,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// A section that is not written at all.
    pub(super) fn absent(
        context: &'a Context<'a>,
        group: &'static Group,
        path: String,
        at: Position,
    ) -> Self {
        Self { context, group, path, at, entries: &[] }
    }

    /// Opens the section that `node` holds, and reports keys that are unknown, not available yet, or there twice.
    /// Nothing if `node` is no section, which is reported.
    pub(super) fn open(
        context: &'a Context<'a>,
        group: &'static Group,
        path: String,
        at: Position,
        node: &'a Node,
    ) -> Option<Self> {
        let entries = entries_of(context, &path, node)?;
        let section = Self { context, group, path, at, entries };
        for entry in entries.iter().take_while(|_| !context.is_full()) {
            section.check_key(entry);
        }
        Some(section)
    }

    fn check_key(&self, entry: &Entry) {
        let path = self.path_of(&entry.key);
        match self.group.find(&entry.key) {
            None => self.context.problem(entry.at, &path, None, self.unknown(&entry.key)),
            Some(Setting { later: Some(same), .. }) if !self.says(entry, same) => {
                let remedy = match same.first() {
                    Some(value) => format!(
                        "remove it, or write `{}: {value}`, which is what this version does",
                        entry.key
                    ),
                    None => "remove it".to_owned(),
                };
                self.context.problem(entry.at, &path, None, not_yet(remedy));
            }
            Some(_) => {}
        }
    }

    /// Whether the value of a setting that is not available yet is one of those that ask for nothing.
    fn says(&self, entry: &Entry, same: &[&str]) -> bool {
        match &*entry.node.value {
            Value::Scalar { text, .. } => {
                self.context.fill(text).is_ok_and(|filled| same.contains(&filled.text.as_str()))
            }
            Value::List(items) => items.is_empty() && same.contains(&"[]"),
            Value::Map(entries) => match entries.as_slice() {
                [Entry { key, node, .. }] => {
                    let written = node.written.as_deref().unwrap_or_default();
                    same.contains(&format!("{{{key}: {written}}}").as_str())
                }
                _ => false,
            },
        }
    }

    /// What to say of a key that is not declared: a spelling that is close, or the section where it belongs.
    fn unknown(&self, key: &str) -> Fault {
        let keys = || self.group.available().map(|setting| setting.key);
        let place = if self.path.is_empty() {
            "at the top of the file".to_owned()
        } else {
            format!("under `{}`", self.path)
        };
        let elsewhere = || {
            settings::GROUPS.iter().find(|group| group.find(key).is_some_and(|found| found.later.is_none()))
        };
        let remedy = if key == "<<" {
            "merge keys are not supported: write the settings out".to_owned()
        } else if let Some(key) = nearest(key, keys()) {
            format!("did you mean `{key}`?")
        } else if let Some(group) = elsewhere() {
            let section = if group.place.is_empty() {
                "at the top of the file".to_owned()
            } else {
                let of_type = group.of_type.map(|word| format!(" of `type: {word}`")).unwrap_or_default();
                format!("under `{}`{of_type}", group.place)
            };
            format!("it belongs {section}")
        } else {
            format!(
                "the settings there are {}",
                keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
            )
        };
        Fault::new(format!("is no setting {place}"), remedy)
    }

    /// The path of a key.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn setting(&self, key: &str) -> &'static Setting {
        self.group
            .find(key)
            .filter(|setting| setting.later.is_none())
            .expect("the reader asks for declared settings only")
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether the key stands in the file.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Place and text of a value, for what is found out about it after it was read.
    fn place(&self, key: &str) -> (Position, Option<&str>) {
        let Some(entry) = self.entry(key) else {
            return (self.at, None);
        };
        let secret = self.group.find(key).is_some_and(|setting| setting.secret);
        (entry.node.at, entry.node.written.as_deref().filter(|_| !secret))
    }

    /// Reports a problem with the value of a key.
    pub(super) fn problem(&self, key: &str, fault: Fault) {
        let (at, value) = self.place(key);
        self.context.problem(at, &self.path_of(key), value, fault);
    }

    /// Reports a problem with the section as a whole.
    pub(super) fn problem_of_itself(&self, fault: Fault) {
        self.context.problem(self.at, &self.path, None, fault);
    }

    /// Reports something doubtful about the value of a key.
    pub(super) fn warning(&self, key: &str, fault: Fault) {
        let (at, value) = self.place(key);
        self.context.warning(at, &self.path_of(key), value, fault);
    }

    /// Reads one value: the one that is given, else the default. A bad or missing one is reported.
    fn read<T>(&self, key: &str, parse: impl Fn(&Setting, &Scalar<'_>) -> Result<T, Fault>) -> Option<T> {
        let setting = self.setting(key);
        if let Some(entry) = self.entry(key) {
            let read = self.scalar(&self.path_of(key), setting, &entry.node, |scalar| parse(setting, scalar));
            if read.is_some() {
                return read;
            }
        } else if setting.default == Default::Required {
            self.missing(setting);
        }
        match setting.default {
            Default::Is(text) => {
                let default = Scalar {
                    text: Cow::Borrowed(text.trim_matches('"')),
                    plain: !text.starts_with('"'),
                    from_variable: false,
                };
                Some(parse(setting, &default).expect("a declared default is a good value"))
            }
            Default::Required | Default::Nothing | Default::Shown(_) => None,
        }
    }

    fn missing(&self, setting: &Setting) {
        let example = values::example(setting);
        let fault = Fault::new("is required and not there", format!("add `{}: {example}`", setting.key));
        self.context.problem(self.at, &self.path_of(setting.key), None, fault);
    }

    /// Reads a scalar with its variables filled in; what is wrong with it is reported under `path`.
    fn scalar<T>(
        &self,
        path: &str,
        setting: &Setting,
        node: &Node,
        parse: impl Fn(&Scalar<'_>) -> Result<T, Fault>,
    ) -> Option<T> {
        let written = node.written.as_deref().filter(|_| !setting.secret);
        let problem = |fault| self.context.problem(node.at, path, written, fault);
        let Value::Scalar { text, plain } = &*node.value else {
            let found = if matches!(*node.value, Value::List(_)) { "a list" } else { "a section" };
            let remedy = match setting.kind {
                Kind::Texts | Kind::Patterns => "write one text for each item".to_owned(),
                _ => format!("write `{}`", values::example(setting)),
            };
            problem(Fault::new(format!("is {found}, not {}", values::noun(setting)), remedy));
            return None;
        };
        let filled = match self.context.fill(text) {
            Ok(filled) if filled.from_secret && !setting.secret => {
                let remedy = "secrets may stand only for keys and tokens, `external_id` and `proxy`: take this from a \
                              variable, as ${NAME}";
                problem(Fault::new("takes a secret, and this setting is shown", remedy));
                return None;
            }
            Ok(filled) => filled,
            Err(faults) => {
                faults.into_iter().for_each(problem);
                return None;
            }
        };
        let scalar =
            Scalar { text: Cow::Owned(filled.text), plain: *plain, from_variable: filled.from_variable };
        let result = if scalar.is_null() { Err(values::no_value(setting)) } else { parse(&scalar) };
        result.map_err(problem).ok()
    }

    /// Text; nothing when it is not given and has no default.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.read(key, values::text)
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.read(key, |_, scalar| values::flag(scalar)).unwrap_or_default()
    }

    pub(super) fn integer(&self, key: &str) -> u64 {
        self.read(key, values::integer).unwrap_or_default()
    }

    pub(super) fn size(&self, key: &str) -> u64 {
        self.read(key, values::size).map_or(0, |Size(bytes)| bytes)
    }

    pub(super) fn period(&self, key: &str) -> Duration {
        self.read(key, values::period).map_or(Duration::ZERO, |Period(period)| period)
    }

    /// A period that is given instead of the word.
    pub(super) fn period_instead(&self, key: &str) -> Option<Duration> {
        self.read(key, values::word_or_period).flatten().map(|Period(period)| period)
    }

    /// The meaning of a word; nothing when it is required and missing or bad.
    pub(super) fn word<T: Words>(&self, key: &str) -> Option<T> {
        self.read(key, |_, scalar| read_word(&scalar.text))
    }

    /// An absolute path; nothing when it is not given and has no fixed default.
    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.read(key, |setting, scalar| {
            let text = values::text(setting, scalar)?;
            names::not_empty(&text)?;
            Ok(names::absolute_path(&text, self.context.directory))
        })
    }

    /// A list of text, each item passed through `parse`.
    pub(super) fn texts<T>(&self, key: &str, parse: impl Fn(&str, &Path) -> Result<T, Fault>) -> Vec<T> {
        let setting = self.setting(key);
        let Some(entry) = self.entry(key) else {
            if setting.default == Default::Required {
                self.missing(setting);
            }
            let declared = values::declared_texts(setting);
            let good =
                |text| parse(text, self.context.directory).expect("a declared default is a good value");
            return declared.iter().map(|text| good(text)).collect();
        };
        let path = self.path_of(key);
        let Value::List(items) = &*entry.node.value else {
            let written = entry.node.written.as_deref();
            let fault = match (&*entry.node.value, written) {
                (Value::Scalar { text, .. }, _) if !text.is_empty() => {
                    Fault::new("is not a list", format!("write `[\"{text}\"]`"))
                }
                _ => Fault::new("is not a list", format!("write `{}`", values::example(setting))),
            };
            self.context.problem(entry.node.at, &path, written, fault);
            return Vec::new();
        };
        if items.is_empty() && setting.default == Default::Required {
            self.problem(
                key,
                Fault::new("is an empty list", format!("write at least one: `{}`", values::example(setting))),
            );
        }
        let item = |(index, node): (usize, &Node)| {
            self.scalar(&format!("{path}[{index}]"), setting, node, |scalar| {
                parse(&values::text(setting, scalar)?, self.context.directory)
            })
        };
        items.iter().enumerate().filter_map(item).collect()
    }

    /// What a key holds, if it is there.
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The items of a list; one that is missing and required, and what is no list, is reported.
    pub(super) fn list(&self, key: &str) -> Option<&'a [Node]> {
        let setting = self.setting(key);
        let Some(node) = self.node(key) else {
            if setting.default == Default::Required {
                self.missing(setting);
            }
            return None;
        };
        if let Value::List(items) = &*node.value {
            return Some(items);
        }
        self.problem(key, Fault::new("is not a list", format!("write `{}`", values::example(setting))));
        None
    }

    /// A program, compiled. It is taken as it stands in the file: `${…}` means nothing in it.
    pub(super) fn program(&self, key: &str, role: Role) -> Option<Program> {
        let setting = self.setting(key);
        let node = self.node(key)?;
        let Value::Scalar { text, .. } = &*node.value else {
            let remedy = format!("write `{key}: |` and the program below it, further to the right");
            self.problem(key, Fault::new(format!("is not {}", values::noun(setting)), remedy));
            return None;
        };
        let path = self.path_of(key);
        let name = format!("{path} ({})", self.context.file);
        let around = match processing::lines_of(self.context.source, node.at, text) {
            Some(lines) => Surroundings::within(self.context.file, self.context.source, text, lines),
            None => Surroundings::itself(&name, text),
        };
        processing::compile(self.context, &path, role, text, &around, (self.context.file, node.at))
    }

    /// A section within this one; without any of its keys if it is not there or no section.
    pub(super) fn section(&self, key: &str) -> Section<'a> {
        let (Kind::Section(group) | Kind::WordOrSection(_, group)) = self.setting(key).kind else {
            panic!("{key} is not declared as a section");
        };
        let path = self.path_of(key);
        let at = self.entry(key).map_or(self.at, |entry| entry.at);
        let opened = self
            .entry(key)
            .and_then(|entry| Section::open(self.context, group, path.clone(), at, &entry.node));
        opened.unwrap_or_else(|| Section::absent(self.context, group, path, at))
    }

    /// Whether the value of a key is a section.
    pub(super) fn is_section(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| matches!(*entry.node.value, Value::Map(_)))
    }

    /// The sections by id under a key. Those with a bad id are reported and left out.
    pub(super) fn by_id(&self, key: &str) -> Vec<(&'a Entry, String)> {
        let setting = self.setting(key);
        let required = setting.default == Default::Required;
        let Some(entry) = self.entry(key) else {
            if required {
                self.missing(setting);
            }
            return Vec::new();
        };
        let path = self.path_of(key);
        let Some(entries) = entries_of(self.context, &path, &entry.node) else {
            return Vec::new();
        };
        if entries.is_empty() && required {
            self.problem(
                key,
                Fault::new("is empty", format!("add one: `{key}: {}`", values::example(setting))),
            );
        }
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        // One that is there twice was reported; only the first of them is read.
        for entry in entries.iter().filter(|entry| seen.insert(entry.key.as_str())) {
            if self.context.is_full() {
                break;
            }
            let path = format!("{path}.{}", entry.key);
            match names::check_id(&entry.key) {
                Ok(()) => found.push((entry, path)),
                Err(fault) => self.context.problem(entry.at, &path, None, fault),
            }
        }
        found
    }
}

/// The entries of a section, of which a key that is there twice is reported. What is no section is reported too.
fn entries_of<'a>(context: &Context<'_>, path: &str, node: &'a Node) -> Option<&'a [Entry]> {
    let found = match &*node.value {
        Value::Map(entries) => {
            report_twice(context, path, entries);
            return Some(entries);
        }
        _ if path.is_empty() => {
            let remedy = "docs/configuration.md shows the least that it must hold";
            context.problem(node.at, path, None, Fault::new("holds no `key: value` lines", remedy));
            return None;
        }
        Value::List(_) => "is a list, not a section",
        Value::Scalar { text, plain: true } if text.is_empty() => "is an empty section",
        Value::Scalar { .. } => "is a value, not a section",
    };
    let remedy = "write `key: value` lines below it, further to the right, or remove it";
    context.problem(node.at, path, None, Fault::new(found, remedy));
    None
}

fn report_twice(context: &Context<'_>, path: &str, entries: &[Entry]) {
    let mut lines = HashMap::new();
    for entry in entries {
        let first = *lines.entry(entry.key.as_str()).or_insert(entry.at);
        if first != entry.at {
            let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            let fault =
                Fault::new(format!("is there twice, first on line {}", first.line), "keep one of them");
            context.problem(entry.at, &path, None, fault);
        }
    }
}
