//! Names that are more than any text: ids, streams, regions, endpoints, partition keys, patterns.

use std::path::{Component, Path, PathBuf};

use super::units::Fault;
use super::words::nearest;

/// Longest id of an input or output; it is part of file names.
pub(super) const ID_CHARS_MAX: usize = 64;

/// What an id looks like, as a regular expression for the schema.
pub(super) const ID_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$";

/// An id names a directory and a label of metrics: letters, digits, `_`, `-` and `.`, not beginning with `-` or `.`.
pub(super) fn check_id(id: &str) -> Result<(), Fault> {
    const REMEDY: &str = "use letters, digits, `_`, `-` and `.`, beginning with a letter, digit or `_`: \
                          the id names a directory";
    if id.is_empty() {
        return Err(Fault::new("is an empty id", REMEDY));
    }
    if let Some(bad) = id.chars().find(|c| !c.is_ascii_alphanumeric() && !"_-.".contains(*c)) {
        return Err(Fault::new(format!("is no id: it contains {bad:?}"), REMEDY));
    }
    if id.starts_with(['-', '.']) {
        return Err(Fault::new("is no id: it begins with `-` or `.`", REMEDY));
    }
    if id.len() > ID_CHARS_MAX {
        return Err(Fault::new("is too long for an id", format!("use at most {ID_CHARS_MAX} characters")));
    }
    Ok(())
}

/// Any text at all.
pub(super) fn any(_text: &str) -> Result<(), Fault> {
    Ok(())
}

/// Text with something in it.
pub(super) fn not_empty(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("is empty", "give it a value, or remove the key"));
    }
    Ok(())
}

/// A regular expression that matches something but not everything.
pub(super) fn check_regex(text: &str) -> Result<(), Fault> {
    not_empty(text)?;
    match regex::bytes::Regex::new(text) {
        Ok(_) => Ok(()),
        Err(error) => {
            // The last line says what is wrong, those before show where.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(Fault::new(
                format!("is no regular expression: {reason}"),
                "write one as in RE2 or Go, which has neither look-around nor back-references; in YAML it stands best in single quotes",
            ))
        }
    }
}

/// The name of a unit of systemd, or a pattern of them.
pub(super) fn check_unit(unit: &str) -> Result<(), Fault> {
    not_empty(unit)?;
    if unit.starts_with('-') || unit.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err(Fault::new(
            "is no name of a unit",
            "write one as `systemctl list-units` shows it, such as `nginx.service`",
        ));
    }
    Ok(())
}

/// What a stream's name looks like, as a regular expression for the schema.
pub(super) const STREAM_PATTERN: &str = "^[A-Za-z0-9_.-]{1,128}$";

//= https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html (read 2026-08)
//# Length Constraints: Minimum length of 1. Maximum length of 128. Pattern: [a-zA-Z0-9_.-]+
/// The name of a stream; an ARN is answered with the name inside it.
pub(super) fn check_stream(name: &str) -> Result<(), Fault> {
    not_empty(name)?;
    if name.starts_with("arn:") {
        let remedy = match name.split_once("stream/") {
            Some((_, inside)) if check_stream(inside).is_ok() => {
                let region = name.split(':').nth(3).filter(|region| !region.is_empty());
                let region = region.map(|region| format!(" (and `region: {region}`)")).unwrap_or_default();
                format!("write the name inside it: `stream_name: {inside}`{region}")
            }
            _ => "write the stream's name alone".to_owned(),
        };
        return Err(Fault::new("is an ARN, not a name", remedy));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !name.chars().all(good) || name.len() > 128 {
        return Err(Fault::new(
            "is no name of a Kinesis stream",
            "a name has 1 to 128 letters, digits, `_`, `.` and `-`",
        ));
    }
    Ok(())
}

/// Regions that AWS has announced; others may come, so an unknown one is only doubtful.
const REGIONS: [&str; 43] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "us-isof-east-1",
    "us-west-1",
    "us-west-2",
];

/// Whether AWS has announced a region of this name.
pub(super) fn is_region(region: &str) -> bool {
    REGIONS.contains(&region)
}

/// Why a region is doubtful, if it is.
pub(super) fn doubt_region(region: &str) -> Option<Fault> {
    if is_region(region) {
        return None;
    }
    let meant =
        nearest(region, REGIONS).map(|region| format!("did you mean `{region}`? ")).unwrap_or_default();
    Some(Fault::new(
        "is no AWS region that this version knows",
        format!("{meant}it is used as it is; with an `endpoint` of your own any text will do"),
    ))
}

/// An http or https URL of a server.
pub(super) fn check_endpoint(text: &str) -> Result<(), Fault> {
    const REMEDY: &str =
        "write a URL such as \"https://kinesis.eu-west-1.amazonaws.com\" or \"http://127.0.0.1:4567\"";
    let url = url::Url::parse(text).map_err(|error| Fault::new(format!("is no URL ({error})"), REMEDY))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(Fault::new("is no http or https URL", REMEDY));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::new("carries a user or password", "credentials belong under `auth`"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new("has a query or fragment", "write the address of the server alone"));
    }
    Ok(())
}

/// The URL of a proxy, or `none`. What is wrong is said without the text, which may hold a password.
pub(super) fn check_proxy(text: &str) -> Result<(), Fault> {
    const REMEDY: &str = "write a URL such as \"http://proxy.example:3128\" or \"http://user:password@proxy.example:3128\", or `none`";
    if text == "none" {
        return Ok(());
    }
    let url = url::Url::parse(text).map_err(|error| Fault::new(format!("is no URL ({error})"), REMEDY))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(Fault::new("is no http or https URL", REMEDY));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(Fault::new("has more than a host and a port", REMEDY));
    }
    Ok(())
}

//= https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html (read 2026-11)
//# ExternalId: Minimum length of 2. Maximum length of 1224. Pattern: [\w+=,.@:\/-]*
/// An external id.
pub(super) fn check_external_id(id: &str) -> Result<(), Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
    if !(2..=1224).contains(&id.len()) || !id.chars().all(good) {
        return Err(Fault::new("is no external id", "it has 2 to 1224 letters, digits and `_+=,.@:/-`"));
    }
    Ok(())
}

/// The ARN of a role.
pub(super) fn check_role(arn: &str) -> Result<(), Fault> {
    const REMEDY: &str = "write it as \"arn:aws:iam::111122223333:role/NAME\"";
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, resource]
            if partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && resource
                    .strip_prefix("role/")
                    .is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace)) =>
        {
            Ok(())
        }
        ["arn", _, "sts", ..] => Err(Fault::new("is the ARN of a session, not of a role", REMEDY)),
        _ => Err(Fault::new("is no ARN of a role", REMEDY)),
    }
}

/// The account of a role, from its ARN.
pub(crate) fn account_of(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// The name of an environment variable.
pub(super) fn check_variable(name: &str) -> Result<(), Fault> {
    if super::variables::is_name(name) {
        return Ok(());
    }
    let remedy = "write its name alone, without `$`: letters, digits and `_`";
    Err(Fault::new("is no name of an environment variable", remedy))
}

/// The name of a credential of systemd: a file's name.
pub(super) fn check_credential(name: &str) -> Result<(), Fault> {
    if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
        return Err(Fault::new(
            "is no name of a credential",
            "write the name that stands in `LoadCredential=NAME:…`",
        ));
    }
    Ok(())
}

/// A partition key as Kinesis takes it: 1 to 256 UTF-16 units.
pub(super) fn check_partition_key(key: &str) -> Result<(), Fault> {
    let units = key.encode_utf16().count();
    if !(1..=millpond_kinesis::limits::PARTITION_KEY_UNITS_MAX).contains(&units) {
        return Err(Fault::new(
            format!("is no partition key: it has {units} characters"),
            "Kinesis takes keys of 1 to 256 characters",
        ));
    }
    Ok(())
}

/// A pattern of files, made absolute: relative to `directory`, whose own special characters stand for themselves.
pub(super) fn absolute_pattern(pattern: &str, directory: &Path) -> Result<String, Fault> {
    not_empty(pattern)?;
    check_pattern(pattern)?;
    if pattern.ends_with('/') {
        let remedy = format!("write what its files are like: \"{pattern}*\"");
        return Err(Fault::new("names a directory, not files", remedy));
    }
    if pattern.starts_with('/') {
        return Ok(pattern.to_owned());
    }
    let Some(directory) = directory.to_str() else {
        return Err(Fault::new(
            "is relative to a directory whose name is not UTF-8",
            "write the pattern with its whole path, from `/`",
        ));
    };
    let mut pattern = pattern;
    while let Some(rest) = pattern.strip_prefix("./") {
        pattern = rest.trim_start_matches('/');
    }
    Ok(format!("{}/{pattern}", globset::escape(directory.trim_end_matches('/'))))
}

/// A pattern of files to leave out. One without a `/` means files of that name in any directory.
pub(super) fn exclude_pattern(pattern: &str, directory: &Path) -> Result<String, Fault> {
    if pattern.contains('/') {
        return absolute_pattern(pattern, directory);
    }
    not_empty(pattern)?;
    check_pattern(pattern)?;
    Ok(format!("**/{pattern}"))
}

fn check_pattern(pattern: &str) -> Result<(), Fault> {
    let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|_| ()).map_err(|error| {
        Fault::new(
            format!("is no valid pattern: {}", error.kind()),
            "in a pattern `*`, `?`, `[…]`, `{a,b}` and `**` are special; put `\\` before one that means itself",
        )
    })
}

/// `path` from `directory`, without `.` components.
pub(super) fn absolute_path(path: &str, directory: &Path) -> PathBuf {
    directory.join(path).components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: Result<impl std::fmt::Debug, Fault>, expected: &str) {
        assert_eq!(result.map_or_else(|fault| fault.to_string(), |good| format!("{good:?}")), expected);
    }

    #[test]
    fn ids() {
        for good in ["a", "app-1", "web.log", "_x", &"x".repeat(64)] {
            check(check_id(good), "()");
        }
        let rule = "use letters, digits, `_`, `-` and `.`, beginning with a letter, digit or `_`: the id names a directory";
        check(check_id(""), &format!("is an empty id; {rule}"));
        check(check_id("a/b"), &format!("is no id: it contains '/'; {rule}"));
        check(check_id("a\0"), &format!("is no id: it contains '\\0'; {rule}"));
        check(check_id("größe"), &format!("is no id: it contains 'ö'; {rule}"));
        check(check_id(".."), &format!("is no id: it begins with `-` or `.`; {rule}"));
        check(check_id(&"x".repeat(65)), "is too long for an id; use at most 64 characters");
    }

    #[test]
    fn streams() {
        check(check_stream("logs-7_a.b"), "()");
        let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/logs";
        check(
            check_stream(arn),
            "is an ARN, not a name; write the name inside it: `stream_name: logs` (and `region: eu-west-1`)",
        );
        check(check_stream("arn:aws:s3:::bucket"), "is an ARN, not a name; write the stream's name alone");
        let rule = "is no name of a Kinesis stream; a name has 1 to 128 letters, digits, `_`, `.` and `-`";
        check(check_stream("my logs"), rule);
        check(check_stream(&"x".repeat(129)), rule);
        check(check_stream(" "), "is empty; give it a value, or remove the key");
    }

    #[test]
    fn regions() {
        assert_eq!(doubt_region("eu-central-1"), None);
        let doubt = doubt_region("us-esat-1").unwrap();
        assert!(doubt.remedy.starts_with("did you mean `us-east-1`? "), "{doubt}");
        assert!(doubt_region("moon").unwrap().remedy.starts_with("it is used"));
    }

    #[test]
    fn endpoints() {
        for good in
            ["http://127.0.0.1:4567", "https://[::1]:8443/", "https://kinesis.eu-west-1.amazonaws.com"]
        {
            check(check_endpoint(good), "()");
        }
        let remedy =
            "write a URL such as \"https://kinesis.eu-west-1.amazonaws.com\" or \"http://127.0.0.1:4567\"";
        check(
            check_endpoint("127.0.0.1:4567"),
            &format!("is no URL (relative URL without a base); {remedy}"),
        );
        check(check_endpoint("localhost:4567"), &format!("is no http or https URL; {remedy}"));
        check(check_endpoint("http://x:99999"), &format!("is no URL (invalid port number); {remedy}"));
        check(
            check_endpoint("https://me:pw@x"),
            "carries a user or password; credentials belong under `auth`",
        );
        check(
            check_endpoint("https://x/?a=b"),
            "has a query or fragment; write the address of the server alone",
        );
    }

    #[test]
    fn partition_keys() {
        check(check_partition_key("site-7"), "()");
        check(check_partition_key(&"x".repeat(256)), "()");
        let too_long =
            "is no partition key: it has 258 characters; Kinesis takes keys of 1 to 256 characters";
        check(check_partition_key(&"😀".repeat(129)), too_long);
    }

    #[test]
    fn patterns() {
        let directory = Path::new("/etc/mill[1]");
        check(absolute_pattern("/var/log/*.log", directory), "\"/var/log/*.log\"");
        check(absolute_pattern("./logs/*.log", directory), "\"/etc/mill[[]1[]]/logs/*.log\"");
        check(exclude_pattern("*.gz", directory), "\"**/*.gz\"");
        check(exclude_pattern("/var/log/old/*", directory), "\"/var/log/old/*\"");
        let bad = exclude_pattern("a[b", directory).unwrap_err();
        assert!(bad.message.starts_with("is no valid pattern: unclosed character class"), "{bad}");
        assert!(absolute_pattern("/a/{b", directory).is_err());
        let directory_named = "names a directory, not files; write what its files are like: \"/var/log/*\"";
        check(absolute_pattern("/var/log/", directory), directory_named);
        assert!(absolute_pattern(" ", directory).is_err());
    }

    #[test]
    fn paths() {
        let directory = Path::new("/etc/millpond");
        assert_eq!(absolute_path("./data", directory), Path::new("/etc/millpond/data"));
        assert_eq!(absolute_path("/var/lib/./x", directory), Path::new("/var/lib/x"));
        assert_eq!(absolute_path("../x", directory), Path::new("/etc/millpond/../x"));
    }
}
