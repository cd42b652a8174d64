//! `${VARIABLES}` and `${secret:NAMES}` in values. They are filled in after YAML is parsed, so that a value can never
//! become structure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::secrets::Secrets;
use super::units::Fault;

/// A value with its variables filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filled {
    /// The value.
    pub(super) text: String,
    /// Whether a variable or a secret was part of it.
    pub(super) from_variable: bool,
    /// Whether a secret was part of it.
    pub(super) from_secret: bool,
}

/// What `${…}` may stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) variables: &'a BTreeMap<String, String>,
    pub(super) secrets: &'a Secrets,
}

/// Most faults of one value that are reported.
const FAULTS_MAX: usize = 10;

/// Fills in `${NAME}`, `${NAME:-default}` and `${secret:NAME}`; `$$` stands for one `$`, and a `$` before anything else
/// for itself.
/// Its faults are reported together, so that every missing variable is known at once.
pub(super) fn fill(text: &str, sources: Sources<'_>) -> Result<Filled, Vec<Fault>> {
    let mut filled = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let (mut from_variable, mut from_secret) = (false, false);
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            from_variable = true;
            from_secret |= after.starts_with(SECRET);
            let Some((expression, after)) = after.split_once('}') else {
                faults.push(Fault::new(
                    "has a `${` without its `}`",
                    "close it, or write `$$` for a plain `$`",
                ));
                rest = "";
                break;
            };
            if faults.len() >= FAULTS_MAX {
                break;
            }
            match resolve(expression, sources) {
                Ok(value) => filled.push_str(&value),
                Err(fault) if faults.contains(&fault) => {}
                Err(fault) => faults.push(fault),
            }
            rest = after;
        } else {
            filled.push('$');
        }
    }
    filled.push_str(rest);
    if faults.is_empty() { Ok(Filled { text: filled, from_variable, from_secret }) } else { Err(faults) }
}

/// What the name of a secret stands behind.
const SECRET: &str = "secret:";

/// The value of what stands between `${` and `}`.
fn resolve<'a>(expression: &'a str, sources: Sources<'a>) -> Result<Cow<'a, str>, Fault> {
    if let Some(name) = expression.strip_prefix(SECRET) {
        return sources.secrets.value(name).map(Cow::Owned);
    }
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    if !is_name(name) {
        return Err(Fault::new(
            "has a `${…}` that is no variable",
            "write ${NAME} or ${NAME:-default} with letters, digits and `_` in the name, or `$$` for a plain `$`",
        ));
    }
    let value = sources.variables.get(name).map(String::as_str);
    let value = match default {
        Some(default) => Ok(value.filter(|value| !value.is_empty()).unwrap_or(default)),
        None => value.ok_or_else(|| {
            Fault::new(
                format!("needs the environment variable {name}, which is not set"),
                format!("set {name}, or give a default: ${{{name}:-…}}"),
            )
        }),
    };
    value.map(Cow::Borrowed)
}

/// Whether a variable may have this name.
pub(super) fn is_name(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables() -> BTreeMap<String, String> {
        let pairs = [("REGION", "eu-west-1"), ("EMPTY", ""), ("YAML", "x\ny: [z"), ("NESTED", "${REGION}")];
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn fill_here(text: &str) -> Result<Filled, Vec<Fault>> {
        fill(text, Sources { variables: &variables(), secrets: &Secrets::default() })
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = match fill_here(text) {
            Ok(filled) => filled.text,
            Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        };
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn values() {
        check("plain", "plain");
        check("${REGION}", "eu-west-1");
        check("a-${REGION}-b-${REGION}", "a-eu-west-1-b-eu-west-1");
        check("${NONE:-us-east-1}", "us-east-1");
        check("${EMPTY:-us-east-1}", "us-east-1");
        check("${NONE:-}", "");
        check("[${EMPTY}]", "[]");
        check("$$", "$");
        check("$${REGION}", "${REGION}");
        check("$$${REGION}", "$eu-west-1");
        check("$HOME costs 5$", "$HOME costs 5$");
        check("${YAML}", "x\ny: [z");
        check("${NESTED}", "${REGION}");
    }

    #[test]
    fn faults() {
        check(
            "${NONE}/${NADA}",
            "needs the environment variable NONE, which is not set; set NONE, or give a default: ${NONE:-…}\n\
             needs the environment variable NADA, which is not set; set NADA, or give a default: ${NADA:-…}",
        );
        check(
            "${NONE}${NONE}",
            "needs the environment variable NONE, which is not set; set NONE, or give a default: ${NONE:-…}",
        );
        check("${REGION", "has a `${` without its `}`; close it, or write `$$` for a plain `$`");
        check(
            "${secret:kinesis}",
            "names the secret `kinesis`, which is not under `secrets`; \
             add it at the top of the file: `secrets: { kinesis: { file: … } }`",
        );
        for expression in ["", "1A", "A B", "A:=b", "A:?b", "A-b"] {
            let remedy = "write ${NAME} or ${NAME:-default} with letters, digits and `_` in the name, \
                          or `$$` for a plain `$`";
            check(&format!("${{{expression}}}"), &format!("has a `${{…}}` that is no variable; {remedy}"));
        }
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_stays(text in "[^$]*") {
            prop_assert_eq!(fill_here(&text).map(|filled| filled.text), Ok(text));
        }

        #[test]
        fn nothing_panics(text in r"([$]|[{]|[}]|:-|secret:|[A-Z]|é){0,12}") {
            let filled = fill_here(&text);
            prop_assert!(filled.is_ok() || filled.is_err_and(|faults| !faults.is_empty()));
        }
    }
}
