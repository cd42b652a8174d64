//! Inputs.

use std::collections::BTreeMap;

use super::processing::Pipelines;
use super::{listen, network};
use crate::chunk::Codec;
use crate::config::checked::{FileInput, Input, InputKind, JournaldInput, MultilineSettings};
use crate::config::context::Context;
use crate::config::names;
use crate::config::section::Section;
use crate::config::settings::{FILE, Group, INPUTS};
use crate::config::tree::{Entry, Node, Value};
use crate::config::units::Fault;
use crate::config::words::{InputType, nearest, words_of};

pub(super) fn warn_of_patterns_read_twice(top: &Section<'_>, inputs: &[Input]) {
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

pub(super) fn input(
    context: &Context<'_>,
    entry: &Entry,
    path: String,
    pipelines: &Pipelines,
) -> Option<Input> {
    let group = input_group(context, &entry.node);
    let section = Section::open(context, group, path, entry.at, &entry.node)?;
    // Some inputs make JSON of what they read themselves.
    let codec = if group.find("codec").is_some() { section.word("codec") } else { Some(Codec::Json) };
    let codec = codec.unwrap_or_default();
    let max_line = usize::try_from(section.size("max_line")).unwrap_or(usize::MAX);
    // What the group reads is checked even where the type itself is missing or no word.
    let kind = match group.name {
        "file" => file(&section),
        "http" => InputKind::Http(listen::http(&section)?),
        "tcp" => InputKind::Tcp(network::tcp(&section)?),
        "udp" => InputKind::Udp(network::udp(&section)?),
        "syslog" => InputKind::Syslog(network::syslog(&section)?),
        "unix" => InputKind::Unix(network::unix(&section)?),
        "journald" => InputKind::Journald(journald(&section)),
        "stdin" => InputKind::Stdin,
        name => unreachable!("inputs of type {name} are declared and not read"),
    };
    section.word::<InputType>("type")?;
    let pipeline = pipelines.named(&section, "pipeline");
    Some(Input { id: entry.key.clone(), codec, max_line, pipeline, kind })
}

fn file(section: &Section<'_>) -> InputKind {
    InputKind::File(FileInput {
        include: section.texts("include", names::absolute_pattern),
        exclude: section.texts("exclude", names::exclude_pattern),
        read_from: section.word("read_from").unwrap_or_default(),
        rescan: section.period("rescan"),
        multiline: multiline(section),
    })
}

fn journald(section: &Section<'_>) -> JournaldInput {
    JournaldInput {
        units: section.texts("units", |unit, _| names::check_unit(unit).map(|()| unit.to_owned())),
        directory: section.path("directory"),
        read_from: section.word("read_from").unwrap_or_default(),
    }
}

fn multiline(section: &Section<'_>) -> Option<MultilineSettings> {
    let multiline = section.is_given("multiline").then(|| section.section("multiline"))?;
    // What is no section is reported when it is opened.
    if !section.is_section("multiline") {
        return None;
    }
    let (start, timeout) = (multiline.text("start"), multiline.period("timeout"));
    Some(MultilineSettings { start: start?, timeout })
}

/// The settings that an input has, by its type. One without a type, or with a type that is no word, is read as what it
/// resembles, so that the rest of it is checked too.
fn input_group(context: &Context<'_>, node: &Node) -> &'static Group {
    let Value::Map(entries) = &*node.value else {
        return &FILE;
    };
    let Some(entry) = entries.iter().find(|entry| entry.key == "type") else {
        let has_all = |group: &&&Group| entries.iter().all(|entry| group.find(&entry.key).is_some());
        return INPUTS.iter().rfind(has_all).map_or(&FILE, |group| *group);
    };
    let Value::Scalar { text, .. } = &*entry.node.value else {
        return &FILE;
    };
    let filled = context.fill(text).map_or_else(|_| text.clone(), |filled| filled.text);
    let meant = nearest(&filled, words_of::<InputType>());
    INPUTS.iter().find(|group| group.of_type == meant).map_or(&FILE, |group| *group)
}
