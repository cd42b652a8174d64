//! From the tree of a file to what it means.

use std::collections::BTreeMap;

use super::Config;
use super::checked::{FileInput, Input, InputKind};
use super::context::Context;
use super::names;
use super::secrets::{SecretSource, Secrets};
use super::section::Section;
use super::settings::{FILE, Group, SECRET, STDIN, TOP};
use super::tree::{Entry, Node, Position, Value};
use super::units::Fault;
use super::words::{INPUT_TYPES_LATER, InputType, nearest, read_word, words_of};

mod access;
mod output;
mod queue;

use output::output;

/// Reads the whole file. What is wrong goes to the context; the result is good only if nothing went there.
pub(super) fn config(context: &Context<'_>, root: &Node) -> Option<Config> {
    let top = Section::open(context, &TOP, String::new(), Position::START, root)?;
    context.set_secrets(secrets(context, &top));
    let data_dir = top.path("data_dir").unwrap_or_default();
    let shutdown_timeout = top.period("shutdown_timeout");
    let inputs: Vec<_> = top
        .by_id("inputs")
        .into_iter()
        .take_while(|_| !context.is_full())
        .filter_map(|(entry, path)| input(context, entry, path))
        .collect();
    let outputs: Vec<_> = top
        .by_id("outputs")
        .into_iter()
        .take_while(|_| !context.is_full())
        .filter_map(|(entry, path)| output(context, entry, path, &data_dir))
        .collect();

    let stdins = inputs.iter().filter(|input| input.kind == InputKind::Stdin);
    if let Some(second) = stdins.map(|input| &input.id).nth(1) {
        top.problem(
            "inputs",
            Fault::new(
                format!("has more than one input of type `stdin`, `{second}` among them"),
                "standard input can be read once: keep one",
            ),
        );
    }
    warn_of_patterns_read_twice(&top, &inputs);
    if !context.environment.secrets_elsewhere {
        context.secrets().missing_and_unused().into_iter().for_each(|fault| top.warning("secrets", fault));
    }
    if !outputs.is_empty() && outputs.iter().all(|output| !output.active) {
        top.problem("outputs", no_active_output(context));
    }
    Some(Config { data_dir, shutdown_timeout, inputs, outputs })
}

/// The secrets that the file declares. What they hold is read where they are used.
fn secrets(context: &Context<'_>, top: &Section<'_>) -> Secrets {
    let declared = top.by_id("secrets").into_iter().take_while(|_| !context.is_full());
    Secrets::new(declared.filter_map(|(entry, path)| secret(context, entry, path)).collect::<Vec<_>>())
}

fn secret(context: &Context<'_>, entry: &Entry, path: String) -> Option<SecretSource> {
    let section = Section::open(context, &SECRET, path.clone(), entry.at, &entry.node)?;
    let (name, variables) = (&entry.key, &context.environment.variables);
    let places = ["file", "env", "credential"].map(|key| section.is_given(key));
    match places.into_iter().filter(|given| *given).count() {
        1 => {}
        count => {
            let what =
                if count == 0 { "says nowhere where it is kept" } else { "is kept in more than one place" };
            let remedy = "write one of `file: PATH`, `env: VARIABLE` and `credential: NAME`";
            context.problem(entry.at, &path, None, Fault::new(what, remedy));
            return None;
        }
    }
    let file = section.path("file").map(|path| SecretSource::file(name, path));
    file.or_else(|| section.text("env").map(|variable| SecretSource::variable(name, variable, variables)))
        .or_else(|| {
            section.text("credential").map(|credential| SecretSource::credential(name, credential, variables))
        })
}

fn no_active_output(context: &Context<'_>) -> Fault {
    let message = match context.environment.name.as_str() {
        "" => "has no active output: each belongs to an environment, and none is named".to_owned(),
        name => format!("has no active output in the environment `{name}`"),
    };
    Fault::new(
        message,
        "name the environment with --environment or MILLPOND_ENVIRONMENT, or remove `environment` from an output",
    )
}

fn warn_of_patterns_read_twice(top: &Section<'_>, inputs: &[Input]) {
    let mut readers: BTreeMap<&str, &str> = BTreeMap::new();
    for input in inputs {
        let InputKind::File(file) = &input.kind else {
            continue;
        };
        for pattern in &file.include {
            let other = readers.insert(pattern, &input.id);
            if let Some(other) = other.filter(|other| *other != input.id) {
                let fault = Fault::new(
                    format!(
                        "reads `{pattern}` in `{other}` and in `{}`: its events are sent twice",
                        input.id
                    ),
                    "leave it to one of them",
                );
                top.warning("inputs", fault);
            }
        }
    }
}

fn input(context: &Context<'_>, entry: &Entry, path: String) -> Option<Input> {
    let group = input_group(context, &entry.node, &path)?;
    let section = Section::open(context, group, path, entry.at, &entry.node)?;
    let kind = section.word::<InputType>("type");
    let codec = section.word("codec").unwrap_or_default();
    let max_line = usize::try_from(section.size("max_line")).unwrap_or(usize::MAX);
    let kind = if std::ptr::eq(group, &FILE) {
        let file = InputKind::File(FileInput {
            include: section.texts("include", names::absolute_pattern),
            exclude: section.texts("exclude", names::exclude_pattern),
            read_from: section.word("read_from").unwrap_or_default(),
            rescan: section.period("rescan"),
        });
        kind.map(|_| file)
    } else {
        kind.map(|_| InputKind::Stdin)
    };
    Some(Input { id: entry.key.clone(), codec, max_line, kind: kind? })
}

/// The settings that an input has, by its type. One without a type, or with a type that is no word, is read as what it
/// resembles, so that the rest of it is checked too. An input of a later version is reported and read no further.
fn input_group(context: &Context<'_>, node: &Node, path: &str) -> Option<&'static Group> {
    let Value::Map(entries) = &*node.value else {
        return Some(&FILE);
    };
    let Some(entry) = entries.iter().find(|entry| entry.key == "type") else {
        let like_stdin = entries.iter().all(|entry| STDIN.find(&entry.key).is_some());
        return Some(if like_stdin { &STDIN } else { &FILE });
    };
    let Value::Scalar { text, .. } = &*entry.node.value else {
        return Some(&FILE);
    };
    let filled = context.fill(text).map_or_else(|_| text.clone(), |filled| filled.text);
    if INPUT_TYPES_LATER.contains(&filled.as_str()) {
        if let Err(fault) = read_word::<InputType>(&filled) {
            context.problem(entry.node.at, &format!("{path}.type"), entry.node.written.as_deref(), fault);
        }
        return None;
    }
    let stdin = nearest(&filled, words_of::<InputType>()) == Some("stdin");
    Some(if stdin { &STDIN } else { &FILE })
}
