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
        Assert, AssertEq, Boolean, Float, Integer, IsArray, IsBoolean, IsEmpty, IsFloat, IsInteger, IsIpv4,
        IsIpv6, IsJson, IsNull, IsNullish, IsObject, IsRegex, IsString, IsTimestamp, String, Timestamp,
        ToBool, ToFloat, ToInt, ToRegex, ToString, TypeDef,
    ]
}
