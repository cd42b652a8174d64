//! Faults as text, both ways.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::Operation;
use crate::fault::{Fault, FaultKind, ParseFaultError, Probability, Skew};
use crate::store::Stream;

/// How kinds are written; the order is that of the list in messages.
pub(crate) const FORMS: &[&str] = &[
    "down",
    "reset",
    "hang",
    "slow:DURATION",
    "rate:BYTES_PER_SEC",
    "portal",
    "empty",
    "error500",
    "truncated",
    "throttle:P",
    "partial:P",
    "denied",
    "expired-token",
    "skew:±DURATION",
    "not-found",
    "gap",
    "list-denied",
    "refuse:TEXT",
    "accept-then-reset",
];

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())?;
        match self {
            Self::Slow(delay) => write!(formatter, ":{}", ShortDuration(*delay)),
            Self::Rate(bytes) => write!(formatter, ":{bytes}"),
            Self::Throttle(probability) | Self::Partial(probability) => {
                write!(formatter, ":{}", probability.get())
            }
            Self::Skew(Skew::Ahead(by)) => write!(formatter, ":+{}", ShortDuration(*by)),
            Self::Skew(Skew::Behind(by)) => write!(formatter, ":-{}", ShortDuration(*by)),
            Self::Refuse(text) => write!(formatter, ":{}", escape(text)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(formatter)?;
        if let Some(shard) = &self.shard {
            write!(formatter, ",shard={}", escape(shard))?;
        }
        if let Some(op) = self.op {
            write!(formatter, ",op={op}")?;
        }
        if let Some(lasting) = self.lasting {
            write!(formatter, ",for={}", ShortDuration(lasting))?;
        }
        Ok(())
    }
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, ParseFaultError> {
        let mut parts = split_unescaped(text.trim()).into_iter();
        let (_, kind) = parts.next().unwrap_or_default();
        let mut fault = Self::from(parse_kind(&kind)?);
        for (separator, part) in parts {
            if separator == '@' {
                fault.set_option("for", &part)?;
            } else {
                let (key, value) = part.split_once('=').unwrap_or((part.as_str(), ""));
                fault.set_option(key, value)?;
            }
        }
        fault.check_filters()?;
        Ok(fault)
    }
}

impl Fault {
    fn set_option(&mut self, key: &str, value: &str) -> Result<(), ParseFaultError> {
        let kind = self.kind.name();
        let problem = |problem: String| ParseFaultError::Option { kind, problem };
        let again = match key {
            "shard" if Stream::shard_index(value).is_none() => {
                return Err(problem(format!("`{value}` names no shard; write shardId-000000000001 or 1")));
            }
            "shard" => self.shard.replace(value.to_owned()).is_some(),
            "op" => {
                let unknown = |error| problem(format!("{error}; there are {}", operation_list()));
                self.op.replace(value.parse().map_err(unknown)?).is_some()
            }
            "for" => {
                let lasting = parse_duration(value).map_err(problem)?;
                self.lasting.replace(lasting).is_some()
            }
            _ => return Err(problem(format!("`{key}` is no option"))),
        };
        if again { Err(problem(format!("`{key}` is given twice"))) } else { Ok(()) }
    }

    /// Some kinds act where there is no shard or operation to tell, or concern certain operations by their nature.
    fn check_filters(&self) -> Result<(), ParseFaultError> {
        let kind = self.kind.name();
        let problem = |problem: &str| Err(ParseFaultError::Option { kind, problem: problem.to_owned() });
        let (shard, op) = (self.shard.is_some(), self.op);
        match self.kind {
            FaultKind::Rate(_) | FaultKind::Skew(_) if shard || op.is_some() => {
                problem("it acts on every connection and takes no shard and no op")
            }
            FaultKind::Partial(_) if op.is_some_and(|op| op != Operation::PutRecords) => {
                problem("it concerns PutRecords only")
            }
            FaultKind::Refuse(_) if op.is_some_and(|op| !op.is_put()) => {
                problem("it concerns PutRecord and PutRecords only")
            }
            FaultKind::Gap if op.is_some_and(|op| !op.is_listing()) => {
                problem("it concerns ListShards and DescribeStream only")
            }
            FaultKind::ListDenied if shard || op.is_some_and(|op| !op.is_listing()) => {
                problem("it concerns ListShards, DescribeStream and DescribeStreamSummary only, and no shard")
            }
            FaultKind::NotFound if op == Some(Operation::AssumeRole) => problem("AssumeRole names no stream"),
            _ => Ok(()),
        }
    }
}

fn parse_kind(text: &str) -> Result<FaultKind, ParseFaultError> {
    let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
    let form = FORMS.iter().find(|form| form.split(':').next() == Some(name));
    let form = *form.ok_or_else(|| ParseFaultError::Kind { kind: name.to_owned() })?;
    let problem = |problem: String| ParseFaultError::Value { kind: name_of(form), problem };
    let value = match (form.contains(':'), value) {
        (true, Some(value)) if !value.is_empty() => value,
        (true, _) => return Err(problem(format!("it needs a value, write {form}"))),
        (false, None) => "",
        (false, Some(value)) => return Err(problem(format!("it takes no value, but got `{value}`"))),
    };
    Ok(match name {
        "down" => FaultKind::Down,
        "reset" => FaultKind::Reset,
        "hang" => FaultKind::Hang,
        "slow" => FaultKind::Slow(parse_duration(value).map_err(problem)?),
        "rate" => FaultKind::Rate(parse_rate(value).map_err(problem)?),
        "portal" => FaultKind::Portal,
        "empty" => FaultKind::Empty,
        "error500" => FaultKind::Error500,
        "truncated" => FaultKind::Truncated,
        "throttle" => FaultKind::Throttle(parse_probability(value).map_err(problem)?),
        "partial" => FaultKind::Partial(parse_probability(value).map_err(problem)?),
        "denied" => FaultKind::Denied,
        "expired-token" => FaultKind::ExpiredToken,
        "skew" => FaultKind::Skew(parse_skew(value).map_err(problem)?),
        "not-found" => FaultKind::NotFound,
        "gap" => FaultKind::Gap,
        "list-denied" => FaultKind::ListDenied,
        "refuse" => FaultKind::Refuse(value.to_owned()),
        "accept-then-reset" => FaultKind::AcceptThenReset,
        _ => unreachable!("every form has a kind"),
    })
}

fn name_of(form: &'static str) -> &'static str {
    form.split(':').next().unwrap_or(form)
}

fn parse_probability(text: &str) -> Result<Probability, String> {
    let number = text.parse().ok().and_then(Probability::new);
    number.ok_or_else(|| format!("`{text}` is no probability; write a number from 0 to 1, for example 0.4"))
}

fn parse_rate(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|bytes| *bytes > 0);
    number
        .ok_or_else(|| format!("`{text}` is no rate; write bytes per second, at least 1, for example 65536"))
}

fn parse_skew(text: &str) -> Result<Skew, String> {
    if let Some(behind) = text.strip_prefix('-') {
        return parse_duration(behind).map(Skew::Behind);
    }
    parse_duration(text.strip_prefix('+').unwrap_or(text)).map(Skew::Ahead)
}

/// A number and a unit; no unit is not allowed, so that nobody waits for milliseconds that were seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let problem =
        || format!("`{text}` is no duration; write a number and a unit (ms, s, m, h), for example 500ms");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(problem)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| problem())?;
    let factor_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(problem()),
    };
    number.checked_mul(factor_ms).map(Duration::from_millis).ok_or_else(problem)
}

/// A duration in the largest unit that is exact.
pub(crate) struct ShortDuration(pub(crate) Duration);

impl fmt::Display for ShortDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        let (factor, unit) =
            units.into_iter().find(|(factor, _)| ms > 0 && ms.is_multiple_of(*factor)).unwrap_or((1, "ms"));
        write!(formatter, "{}{unit}", ms / factor)
    }
}

fn operation_list() -> String {
    Operation::ALL.iter().map(|op| op.name()).collect::<Vec<_>>().join(", ")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ',' | '@' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Splits at commas and `@`s that have no backslash before them; gives each part with the separator before it.
fn split_unescaped(text: &str) -> Vec<(char, String)> {
    let mut parts = vec![(',', String::new())];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            ',' | '@' => {
                parts.push((c, String::new()));
                continue;
            }
            '\\' => chars.next().unwrap_or('\\'),
            _ => c,
        };
        if let Some((_, part)) = parts.last_mut() {
            part.push(plain);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        match (text.parse::<Fault>(), expected) {
            (Ok(fault), Ok(canonical)) => assert_eq!(fault.to_string(), canonical),
            (Err(error), Err(part)) => {
                let message = error.to_string();
                assert!(message.contains(part), "`{message}` lacks `{part}`");
            }
            (found, expected) => panic!("{text}: {found:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn what_is_understood() {
        for form in
            ["down", "hang", "slow:250ms", "rate:65536", "throttle:0.4", "skew:-7m", "refuse:a:b", "gap"]
        {
            check(form, Ok(form));
        }
        check("denied@10s", Ok("denied,for=10s"));
        check(
            " throttle:1,shard=shardId-000000000001,op=PutRecords,for=60s ",
            Ok("throttle:1,shard=shardId-000000000001,op=PutRecords,for=1m"),
        );
        check("skew:90s", Ok("skew:+90s"));
        check(r"refuse:a\,b\@c\\d,for=1500ms", Ok(r"refuse:a\,b\@c\\d,for=1500ms"));
        check("error500,op=ListShards", Ok("error500,op=ListShards"));
        check("slow:0s", Ok("slow:0ms"));
    }

    #[test]
    fn what_is_not() {
        check("", Err("no fault ``; there are: down, reset"));
        check("explode", Err("accept-then-reset"));
        check("down:1", Err("takes no value, but got `1`"));
        check("slow", Err("it needs a value, write slow:DURATION"));
        check("refuse:", Err("write refuse:TEXT"));
        check("slow:5", Err("write a number and a unit"));
        check("slow:5d", Err("(ms, s, m, h)"));
        check("slow:99999999999999999999s", Err("is no duration"));
        check("slow:18446744073709551615h", Err("is no duration"));
        for text in ["throttle:1.1", "throttle:-0.1", "partial:NaN", "throttle:x"] {
            check(text, Err("a number from 0 to 1"));
        }
        check("rate:0", Err("at least 1"));
        check("down,until=5s", Err("`until` is no option"));
        check("down,for=5s,for=6s", Err("`for` is given twice"));
        check("down@5s@6s", Err("given twice"));
        check("down,for=", Err("is no duration"));
        check("down,op=Put", Err("no operation `Put`; there are AssumeRole"));
        check("down,shard=", Err("write shardId-000000000001 or 1"));
        check("down,", Err("`` is no option"));
        check("rate:1,op=PutRecord", Err("takes no shard and no op"));
        check("partial:1,op=PutRecord", Err("PutRecords only"));
        check("gap,op=PutRecord", Err("ListShards and DescribeStream only"));
        check("list-denied,shard=x", Err("no shard"));
    }

    fn durations() -> impl Strategy<Value = Duration> {
        (0_u64..1 << 40).prop_map(Duration::from_millis)
    }

    fn kinds() -> impl Strategy<Value = FaultKind> {
        let probability = || (0.0..=1.0).prop_map(|value| Probability::new(value).unwrap());
        prop_oneof![
            Just(FaultKind::Down),
            Just(FaultKind::Reset),
            Just(FaultKind::Hang),
            durations().prop_map(FaultKind::Slow),
            (1..u64::MAX).prop_map(FaultKind::Rate),
            Just(FaultKind::Portal),
            Just(FaultKind::Empty),
            Just(FaultKind::Error500),
            Just(FaultKind::Truncated),
            probability().prop_map(FaultKind::Throttle),
            probability().prop_map(FaultKind::Partial),
            Just(FaultKind::Denied),
            Just(FaultKind::ExpiredToken),
            durations().prop_map(|by| FaultKind::Skew(Skew::Ahead(by))),
            durations().prop_map(|by| FaultKind::Skew(Skew::Behind(by))),
            Just(FaultKind::NotFound),
            Just(FaultKind::Gap),
            Just(FaultKind::ListDenied),
            "[^\\s\\p{C}]([^\\p{C}]{0,20}[^\\s\\p{C}])?".prop_map(FaultKind::Refuse),
            Just(FaultKind::AcceptThenReset),
        ]
    }

    proptest! {
        #[test]
        fn text_round_trips(
            kind in kinds(),
            shard in prop::option::of("([a-zA-Z0-9_.,@=\\\\]{0,9}-)?[0-9]{1,9}"),
            op in prop::option::of(prop::sample::select(Operation::ALL)),
            lasting in prop::option::of(durations()),
        ) {
            let fault = Fault { kind, shard, op, lasting };
            prop_assume!(fault.check_filters().is_ok());
            prop_assert_eq!(fault.to_string().parse::<Fault>(), Ok(fault));
        }
    }
}
