//! Reads an output.

use std::path::Path;

use crate::config::checked::{Backpressure, Format, Output, PartitionKey};
use crate::config::context::Context;
use crate::config::names;
use crate::config::section::Section;
use crate::config::settings::KINESIS;
use crate::config::tree::Entry;
use crate::config::units::Fault;
use crate::config::words::{Compression, OutputType, RandomKey, SignatureVersion};

use super::access;
use super::processing::{self, Pipelines};
use super::queue::{self, Around};

/// Reads an output. What is wrong goes to the context; the result is good only if nothing went there.
pub(super) fn output(
    context: &Context<'_>,
    entry: &Entry,
    path: String,
    data_dir: &Path,
    pipelines: &Pipelines,
) -> Option<Output> {
    let section = Section::open(context, &KINESIS, path, entry.at, &entry.node)?;
    section.word::<OutputType>("type");
    section.word::<SignatureVersion>("signature_version");
    let environment = section.text("environment").unwrap_or_default();
    let backpressure = section.word("backpressure").unwrap_or_default();
    let format = format(&section);
    let active = environment.is_empty() || environment == context.environment.name;
    let put_records_batching = put_records_batching(&section, format);
    let (region, endpoint) = address(&section);
    let max_record_size = section.size("max_record_size");
    let flush_period = section.period("flush_period");
    let queue = section.section("queue");
    if backpressure != Backpressure::Queue && section.is_given("queue") {
        section.warning(
            "queue",
            Fault::new(
                "is not used: events go to the queue only with `backpressure: queue`",
                "set that, or remove it",
            ),
        );
    }
    Some(Output {
        id: entry.key.clone(),
        description: section.text("description").unwrap_or_default(),
        tags: section.texts("tags", |text, _| Ok(text.to_owned())),
        active,
        inputs: section.is_given("inputs").then(|| section.texts("inputs", |text, _| Ok(text.to_owned()))),
        route: processing::route(&section, &entry.key, pipelines),
        adopt: section.texts("adopt", |text, _| names::check_id(text).map(|()| text.to_owned())),
        stream_name: section.text("stream_name").unwrap_or_default(),
        auth: access::auth(context, &section.section("auth"), active),
        assume_role: access::assume_role(context, &section.section("assume_role"), &region),
        network: access::network(&section),
        region,
        endpoint,
        backpressure,
        queue: queue::queue(&queue, Around { data_dir, format, max_record_size, flush_period }),
        concurrency: number(section.integer("concurrency")),
        max_record_size: usize::try_from(max_record_size).unwrap_or(usize::MAX),
        flush_period,
        format,
        compression_level: u8::try_from(section.integer("compression_level")).unwrap_or(u8::MAX),
        records_per_flush: usize::try_from(section.integer("records_per_flush")).unwrap_or(usize::MAX),
        put_records_batching,
        use_list_shards: section.flag("use_list_shards"),
        partition_key: partition_key(&section),
        oversize: section.word("oversize").unwrap_or_default(),
        dead_letters_bytes_max: queue::dead_letters(&section.section("dead_letters"), max_record_size),
    })
}

/// A number whose declared range fits.
fn number(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The record format that `compression` and `send_batched` choose, with a warning for what has no effect in it.
fn format(section: &Section<'_>) -> Format {
    let compression = section.word("compression").unwrap_or(Compression::Gzip);
    let send_batched = section.flag("send_batched");
    let format = match (compression, send_batched) {
        (Compression::Gzip, _) => Format::Gzip,
        (Compression::None, true) => Format::Ndjson,
        (Compression::None, false) => Format::Event,
    };
    match format {
        Format::Gzip if !send_batched => unused(section, "send_batched", "`compression: none`"),
        Format::Gzip => {}
        Format::Ndjson | Format::Event => unused(section, "compression_level", "`compression: gzip`"),
    }
    if format != Format::Event {
        unused(section, "records_per_flush", "`compression: none` and `send_batched: false`");
    }
    format
}

/// Whether records share requests; those of one event always do.
fn put_records_batching(section: &Section<'_>, format: Format) -> bool {
    const KEY: &str = "put_records_batching";
    let wanted = section.flag(KEY);
    if wanted && format == Format::Event {
        unused(section, KEY, "`compression: gzip` or `send_batched: true`");
    }
    wanted && format != Format::Event
}

/// Warns of a setting that is given and has no effect.
fn unused(section: &Section<'_>, key: &str, only_with: &str) {
    if section.is_given(key) {
        let what = format!("has no effect: it works only with {only_with}");
        section.warning(key, Fault::new(what, "set that, or remove it"));
    }
}

fn address(section: &Section<'_>) -> (String, Option<String>) {
    let region = section.text("region").unwrap_or_default();
    let endpoint = section.text("endpoint");
    let doubt = names::doubt_region(&region).filter(|_| !region.is_empty() && !section.is_given("endpoint"));
    if let Some(fault) = doubt {
        section.warning("region", fault);
    }
    (region, endpoint)
}

fn partition_key(section: &Section<'_>) -> PartitionKey {
    const KEY: &str = "partition_key";
    if !section.is_section(KEY) {
        section.word::<RandomKey>(KEY);
        return PartitionKey::Random;
    }
    let choice = section.section(KEY);
    match (choice.text("fixed"), choice.text("field")) {
        (Some(key), None) => PartitionKey::Fixed(key),
        (None, Some(field)) => PartitionKey::Field(field),
        _ if choice.is_given("fixed") != choice.is_given("field") => PartitionKey::Random,
        _ => {
            let remedy = "write `random`, `{fixed: KEY}` or `{field: NAME}`";
            section.problem(KEY, Fault::new("must hold either `fixed` or `field`", remedy));
            PartitionKey::Random
        }
    }
}
