//! The functions that programs may call: those of VRL's standard library that work with logs needs.
//!
//! Left out on purpose: what asks the network (an event must not wait for it), what decompresses (a small event could fill
//! the memory), and formats that logs do not have. What is not listed here is not in the binary.

use vrl::compiler::Function;
use vrl::stdlib;

macro_rules! functions {
    ($($name:ident),* $(,)?) => {
        vec![$(Box::new(stdlib::$name) as Box<dyn Function>),*]
    };
}

/// All of them.
#[must_use]
pub(super) fn all() -> Vec<Box<dyn Function>> {
    let mut all = parsers();
    all.extend(values());
    all.extend(texts());
    all.extend(types());
    all
}

/// Functions of VRL that programs for other tools may call, and why they are not here.
const LEFT_OUT: [(&str, &[&str]); 4] = [
    ("an event must not wait for the network", &["dns_lookup", "http_request", "reverse_dns"]),
    (
        "what decompresses can make any memory too small",
        &["decode_gzip", "decode_lz4", "decode_snappy", "decode_zlib", "decode_zstd"],
    ),
    (
        "batches are compressed anyway",
        &["encode_gzip", "encode_lz4", "encode_snappy", "encode_zlib", "encode_zstd"],
    ),
    (
        "it would make the program larger for something that logs seldom need",
        &[
            "community_id",
            "crc",
            "decode_charset",
            "decode_mime_q",
            "decode_punycode",
            "decrypt",
            "decrypt_ip",
            "encode_charset",
            "encode_proto",
            "encode_punycode",
            "encrypt",
            "encrypt_ip",
            "get_hostname",
            "get_timezone_name",
            "haversine",
            "match_datadog_query",
            "parse_aws_cloudwatch_log_subscription_message",
            "parse_cbor",
            "parse_etld",
            "parse_groks",
            "parse_influxdb",
            "parse_proto",
            "parse_ruby_hash",
            "parse_user_agent",
            "random_bytes",
            "seahash",
            "sha3",
            "shannon_entropy",
            "tag_types_externally",
            "uuid_from_friendly_id",
            "validate_json_schema",
        ],
    ),
];

/// Why a function of VRL is not here, if there is one of this name.
pub(super) fn why_left_out(name: &str) -> Option<&'static str> {
    LEFT_OUT.iter().find(|(_, names)| names.contains(&name)).map(|(why, _)| *why)
}

/// From text to values.
fn parsers() -> Vec<Box<dyn Function>> {
    functions![
        ParseApacheLog,
        ParseAwsAlbLog,
        ParseAwsVpcFlowLog,
        ParseBytes,
        ParseCef,
        ParseCommonLog,
        ParseCsv,
        ParseDuration,
        ParseFloat,
        ParseGlog,
        ParseGrok,
        ParseInt,
        ParseJson,
        ParseKeyValue,
        ParseKlog,
        ParseLinuxAuthorization,
        ParseLogFmt,
        ParseNginxLog,
        ParseQueryString,
        ParseRegex,
        ParseRegexAll,
        ParseSyslog,
        ParseTimestamp,
        ParseTokens,
        ParseUrl,
        ParseXml,
        ParseYaml,
        ToSyslogFacility,
        ToSyslogFacilityCode,
        ToSyslogLevel,
        ToSyslogSeverity,
    ]
}

/// Arrays, objects, numbers, times, chance.
fn values() -> Vec<Box<dyn Function>> {
    functions![
        Abs,
        Append,
        Array,
        Ceil,
        Chunks,
        Compact,
        Del,
        Exists,
        Filter,
        Find,
        Flatten,
        Floor,
        ForEach,
        FormatInt,
        FormatNumber,
        FormatTimestamp,
        FromEntries,
        FromUnixTimestamp,
        Get,
        GetEnvVar,
        Includes,
        Join,
        Keys,
        Length,
        Log,
        MapKeys,
        MapValues,
        MatchArray,
        Merge,
        Mod,
        Now,
        Object,
        ObjectFromArray,
        Pop,
        Push,
        RandomBool,
        RandomFloat,
        RandomInt,
        Remove,
        Round,
        Set,
        Slice,
        Tally,
        TallyValue,
        ToEntries,
        ToUnixTimestamp,
        Unflatten,
        Unique,
        Unnest,
        UuidV4,
        UuidV7,
        Values,
        Zip,
    ]
}

/// Text, addresses, digests.
fn texts() -> Vec<Box<dyn Function>> {
    functions![
        BaseName,
        Camelcase,
        Contains,
        ContainsAll,
        DecodeBase16,
        DecodeBase64,
        DecodePercent,
        DirName,
        Downcase,
        EncodeBase16,
        EncodeBase64,
        EncodeCsv,
        EncodeJson,
        EncodeKeyValue,
        EncodeLogfmt,
        EncodePercent,
        EndsWith,
        Hmac,
        IpAton,
        IpCidrContains,
        IpNtoa,
        IpNtop,
        IpPton,
        IpSubnet,
        IpToIpv6,
        Ipv6ToIpV4,
        Kebabcase,
        Match,
        MatchAny,
        Md5,
        Pascalcase,
        Redact,
        Replace,
        ReplaceWith,
        ScreamingSnakecase,
        Sha1,
        Sha2,
        Sieve,
        Snakecase,
        Split,
        SplitPath,
        StartsWith,
        StripAnsiEscapeCodes,
        StripWhitespace,
        Strlen,
        Truncate,
        Upcase,
        Xxhash,
    ]
}

/// What a value is, and what it can be taken for.
fn types() -> Vec<Box<dyn Function>> {
    functions![
        Assert,
        AssertEq,
        Boolean,
        Float,
        Integer,
        IsArray,
        IsBoolean,
        IsEmpty,
        IsFloat,
        IsInteger,
        IsIpv4,
        IsIpv6,
        IsJson,
        IsNull,
        IsNullish,
        IsObject,
        IsRegex,
        IsString,
        IsTimestamp,
        String,
        Timestamp,
        ToBool,
        ToFloat,
        ToInt,
        ToRegex,
        ToString,
        TypeDef,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// With `MILLPOND_WRITE_DOCS` set the page is written instead of compared.
    #[test]
    fn docs_pipelines_has_the_functions() {
        const BEGIN: &str = "<!-- functions -->\n";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pipelines.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let from = page.find(BEGIN).expect("the page has a place for them") + BEGIN.len();
        let to = from + page[from..].find("<!-- /functions -->").expect("the place has an end");
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|function| function.identifier()).collect();
        assert_eq!(names.len(), all.len(), "each is there once");
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        let mut text = format!("The functions there are: {}.\n\nNot there:\n\n", names.join(", "));
        for (why, names) in LEFT_OUT {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            text += &format!("- {}: {why}.\n", names.join(", "));
        }
        let fresh = format!("{}{text}{}", &page[..from], &page[to..]);
        if std::env::var_os("MILLPOND_WRITE_DOCS").is_some() {
            std::fs::write(path, fresh).unwrap();
            return;
        }
        assert!(
            page == fresh,
            "docs/pipelines.md is out of step: MILLPOND_WRITE_DOCS=1 cargo test -p millpond docs"
        );
    }

    #[test]
    fn nothing_is_both_there_and_left_out() {
        let all = all();
        for name in LEFT_OUT.iter().flat_map(|(_, names)| *names) {
            assert!(all.iter().all(|function| function.identifier() != *name), "{name}");
        }
        assert!(why_left_out("dns_lookup").is_some() && why_left_out("now").is_none());
    }
}
