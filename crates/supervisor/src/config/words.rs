//! The words that a setting takes, each bound to what it means.

use super::checked::{Backpressure, DatagramFraming, OnFull, Oversize, ReadFrom, StreamFraming};
use super::units::Fault;
use crate::chunk::Codec;
use crate::processing::OnError;

/// Something that is written as one of a few words.
pub(super) trait Words: Copy + 'static {
    /// The words and what they mean, the default first where there is one.
    const WORDS: &'static [(&'static str, Self)];

    /// Why a word that somebody may well try is not taken.
    fn refuse(_word: &str) -> Option<Fault> {
        None
    }
}

/// The words alone, for what does not care about their meaning.
pub(super) fn words_of<T: Words>() -> Vec<&'static str> {
    T::WORDS.iter().map(|&(word, _)| word).collect()
}

/// The meaning of a word, or which words there are.
pub(super) fn read_word<T: Words>(text: &str) -> Result<T, Fault> {
    if let Some(&(_, meaning)) = T::WORDS.iter().find(|&&(word, _)| word == text) {
        return Ok(meaning);
    }
    if let Some(fault) = T::refuse(text) {
        return Err(fault);
    }
    let words = words_of::<T>();
    let list = one_of(&words);
    let remedy = match nearest(text, words) {
        Some(word) if words_of::<T>().len() > 1 => format!("did you mean `{word}`? {list}"),
        _ => list,
    };
    Err(Fault::new("is not a word known here", remedy))
}

/// `write a, b or c`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => format!("write {last}"),
        Some((last, others)) => format!("write {} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The candidate that was probably meant, if one is close enough.
pub(crate) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const CHARS_MAX: usize = 64;
    if text.len() > CHARS_MAX {
        return None;
    }
    let simplify = |text: &str| text.replace(['-', '_', ' '], "").to_lowercase();
    let text = simplify(text);
    let distances = candidates.into_iter().filter_map(|candidate| {
        let distance = strsim::damerau_levenshtein(&text, &simplify(candidate));
        (distance <= 1.max(text.chars().count() / 3)).then_some((distance, candidate))
    });
    distances.min_by_key(|&(distance, _)| distance).map(|(_, candidate)| candidate)
}

/// What a later version brings.
pub(super) fn not_yet(remedy: impl Into<String>) -> Fault {
    Fault::new("is not available in this version yet", remedy)
}

impl Words for Codec {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Words for ReadFrom {
    const WORDS: &'static [(&'static str, Self)] = &[("beginning", Self::Beginning), ("end", Self::End)];
}

impl Words for Backpressure {
    const WORDS: &'static [(&'static str, Self)] =
        &[("block", Self::Block), ("drop", Self::Drop), ("queue", Self::Queue)];
}

impl Words for OnFull {
    const WORDS: &'static [(&'static str, Self)] =
        &[("block", Self::Block), ("drop", Self::Drop), ("drop_oldest", Self::DropOldest)];
}

impl Words for OnError {
    const WORDS: &'static [(&'static str, Self)] =
        &[("pass", Self::Pass), ("dead_letter", Self::DeadLetter), ("drop", Self::Drop)];
}

impl Words for Oversize {
    const WORDS: &'static [(&'static str, Self)] =
        &[("dead_letter", Self::DeadLetter), ("truncate", Self::Truncate), ("drop", Self::Drop)];
}

/// The `type` of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputType {
    File,
    Http,
    Tcp,
    Udp,
    Syslog,
    Unix,
    Journald,
    Stdin,
}

impl Words for InputType {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("file", Self::File),
        ("http", Self::Http),
        ("tcp", Self::Tcp),
        ("udp", Self::Udp),
        ("syslog", Self::Syslog),
        ("unix", Self::Unix),
        ("journald", Self::Journald),
        ("stdin", Self::Stdin),
    ];
}

impl Words for StreamFraming {
    const WORDS: &'static [(&'static str, Self)] =
        &[("lines", Self::Lines), ("octet_counted", Self::OctetCounted), ("auto", Self::Auto)];
}

impl Words for DatagramFraming {
    const WORDS: &'static [(&'static str, Self)] = &[("message", Self::Message), ("lines", Self::Lines)];
}

/// `transport` of syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Transport {
    #[default]
    Udp,
    Tcp,
}

impl Words for Transport {
    const WORDS: &'static [(&'static str, Self)] = &[("udp", Self::Udp), ("tcp", Self::Tcp)];

    fn refuse(word: &str) -> Option<Fault> {
        (word == "tls")
            .then(|| Fault::new("is not a word known here", "write `tcp`, and a section `tls` beside it"))
    }
}

/// `socket` of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum SocketKind {
    #[default]
    Stream,
    Datagram,
}

impl Words for SocketKind {
    const WORDS: &'static [(&'static str, Self)] = &[("stream", Self::Stream), ("datagram", Self::Datagram)];
}

/// The `type` of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputType {
    Kinesis,
}

impl Words for OutputType {
    const WORDS: &'static [(&'static str, Self)] = &[("kinesis", Self::Kinesis)];
}

/// `auth.method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthMethod {
    Auto,
    Manual,
    Secret,
}

impl Words for AuthMethod {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("manual", Self::Manual), ("secret", Self::Secret)];
}

/// `compression` of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    None,
}

impl Words for Compression {
    const WORDS: &'static [(&'static str, Self)] = &[("gzip", Self::Gzip), ("none", Self::None)];
}

/// `queue.compression`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Gzip,
}

impl Words for Packing {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("gzip", Self::Gzip)];
}

/// `signature_version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureVersion {
    V4,
}

impl Words for SignatureVersion {
    const WORDS: &'static [(&'static str, Self)] = &[("v4", Self::V4)];

    fn refuse(word: &str) -> Option<Fault> {
        (word == "v2").then(|| {
            Fault::new(
                "has been retired by AWS: no request signed so is accepted",
                "write `v4`, or remove it",
            )
        })
    }
}

/// `queue.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Error,
    Backpressure,
    Always,
}

impl Words for Mode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("error", Self::Error), ("backpressure", Self::Backpressure), ("always", Self::Always)];
}

/// The one word of `partition_key`; otherwise it is a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RandomKey {
    Random,
}

impl Words for RandomKey {
    const WORDS: &'static [(&'static str, Self)] = &[("random", Self::Random)];

    fn refuse(word: &str) -> Option<Fault> {
        let (kind, key) = word.split_once(':')?;
        matches!(kind, "fixed" | "field").then(|| {
            Fault::new(
                "is text, not a section",
                format!("write it without quotes around the whole: {{{kind}: \"{}\"}}", key.trim()),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: Words + std::fmt::Debug>(text: &str, expected: &str) {
        let read = read_word::<T>(text).map_or_else(|fault| fault.to_string(), |word| format!("{word:?}"));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn words() {
        check::<Codec>("json", "Json");
        check::<Codec>("jsn", "is not a word known here; did you mean `json`? write `text` or `json`");
        check::<Backpressure>("wait", "is not a word known here; write `block`, `drop` or `queue`");
        check::<Oversize>(
            "dead-letter",
            "is not a word known here; did you mean `dead_letter`? write `dead_letter`, `truncate` or `drop`",
        );
        check::<OnFull>(
            "drop-oldest",
            "is not a word known here; did you mean `drop_oldest`? write `block`, `drop` or `drop_oldest`",
        );
        check::<InputType>(
            "kafka",
            "is not a word known here; write `file`, `http`, `tcp`, `udp`, `syslog`, `unix`, `journald` or `stdin`",
        );
        check::<Transport>("tls", "is not a word known here; write `tcp`, and a section `tls` beside it");
        check::<OutputType>("sqs", "is not a word known here; write `kinesis`");
        check::<SignatureVersion>(
            "v2",
            "has been retired by AWS: no request signed so is accepted; write `v4`, or remove it",
        );
        check::<RandomKey>(
            "fixed: site-7",
            "is text, not a section; write it without quotes around the whole: {fixed: \"site-7\"}",
        );
    }

    #[test]
    fn the_nearest_of_a_few() {
        let keys = ["flush_period", "max_record_size", "region"];
        assert_eq!(nearest("flushPeriodSec", keys), Some("flush_period"));
        assert_eq!(nearest("regoin", keys), Some("region"));
        assert_eq!(nearest("max-record-size", keys), Some("max_record_size"));
        assert_eq!(nearest("retries", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
