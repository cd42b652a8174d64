//! Single values: from the text of a scalar to what it means, within the declared range.

use std::borrow::Cow;

use super::settings::{Default, Kind, SIZE_MAX, Setting};
use super::tree::{self, Value};
use super::units::{Fault, Period, Size};

/// The text of a scalar and what its notation says.
#[derive(Debug)]
pub(super) struct Scalar<'a> {
    pub(super) text: Cow<'a, str>,
    /// Without quotes: what may be a number, `true` or nothing.
    pub(super) plain: bool,
    /// Made from a variable, which may stand in quotes whatever its type.
    pub(super) from_variable: bool,
}

impl Scalar<'_> {
    /// YAML's word for nothing.
    pub(super) fn is_null(&self) -> bool {
        self.plain && !self.from_variable && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }

    /// What YAML takes it for where that is not text.
    fn foreign_type(&self) -> Option<&'static str> {
        if !self.plain || self.from_variable {
            return None;
        }
        let text = &*self.text;
        let number = text.trim_start_matches(['-', '+']);
        let is_number = number.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && (number.parse::<f64>().is_ok() || is_radix_number(number));
        if is_number || matches!(number, ".inf" | ".nan" | ".Inf" | ".NaN") {
            return Some("a number");
        }
        let truth = ["true", "True", "TRUE", "false", "False", "FALSE"];
        truth.contains(&text).then_some("true or false")
    }
}

fn is_radix_number(text: &str) -> bool {
    let digits = |prefix, radix| {
        text.strip_prefix(prefix).is_some_and(|digits| u64::from_str_radix(digits, radix).is_ok())
    };
    digits("0x", 16) || digits("0o", 8)
}

/// Text that YAML takes for text, and that passes the check of its setting.
pub(super) fn text(setting: &Setting, scalar: &Scalar<'_>) -> Result<String, Fault> {
    if let Some(found) = scalar.foreign_type() {
        let remedy = if setting.secret {
            "put it in quotes".to_owned()
        } else {
            format!("put it in quotes: \"{}\"", scalar.text)
        };
        return Err(Fault::new(format!("is {found} to YAML, not text"), remedy));
    }
    if let Kind::Text(check, _) = setting.kind {
        check(&scalar.text)?;
    }
    Ok(scalar.text.clone().into_owned())
}

/// `true` or `false`.
pub(super) fn flag(scalar: &Scalar<'_>) -> Result<bool, Fault> {
    let value = match scalar.text.to_ascii_lowercase().as_str() {
        "true" => true,
        "false" => false,
        "yes" | "on" | "1" => return Err(Fault::new("is neither true nor false", "write `true`")),
        "no" | "off" | "0" => return Err(Fault::new("is neither true nor false", "write `false`")),
        _ => return Err(Fault::new("is neither true nor false", "write `true` or `false`")),
    };
    if !scalar.plain && !scalar.from_variable {
        return Err(Fault::new("is text, neither true nor false", format!("write `{value}` without quotes")));
    }
    Ok(value)
}

/// A whole number within its range.
pub(super) fn integer(setting: &Setting, scalar: &Scalar<'_>) -> Result<u64, Fault> {
    let Kind::Integer(min, max) = setting.kind else {
        panic!("{} is not declared as a number", setting.key);
    };
    let remedy = format!("write a whole number from {min} to {max}");
    let digits = scalar.text.strip_prefix('-').unwrap_or(&scalar.text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::new("is not a whole number", remedy));
    }
    if !scalar.plain && !scalar.from_variable {
        return Err(Fault::new("is text, not a number", format!("{remedy}, without quotes")));
    }
    let value = scalar.text.parse::<u64>().ok().filter(|value| (min..=max).contains(value));
    value.ok_or_else(|| Fault::new("is out of range", remedy))
}

/// A size within its range; 0 where it stands for none.
pub(super) fn size(setting: &Setting, scalar: &Scalar<'_>) -> Result<Size, Fault> {
    match setting.kind {
        Kind::Size(min, max) => in_range(scalar.text.parse()?, Size(min), Size(max), ""),
        Kind::SizeOrNone(..) if scalar.text == "0" => Ok(Size(0)),
        Kind::SizeOrNone(min, max) => match scalar.text.parse()? {
            Size(0) => Ok(Size(0)),
            size => in_range(size, Size(min), Size(max), OR_NONE),
        },
        _ => panic!("{} is not declared as a size", setting.key),
    }
}

/// A period within its range; 0 where it stands for none.
pub(super) fn period(setting: &Setting, scalar: &Scalar<'_>) -> Result<Period, Fault> {
    match setting.kind {
        Kind::Period(min, max) => in_range(scalar.text.parse()?, of_ms(min), of_ms(max), ""),
        Kind::PeriodOrNone(..) if scalar.text == "0" => Ok(of_ms(0)),
        Kind::PeriodOrNone(min, max) => {
            let period: Period = scalar.text.parse()?;
            if period == of_ms(0) { Ok(period) } else { in_range(period, of_ms(min), of_ms(max), OR_NONE) }
        }
        _ => panic!("{} is not declared as a duration", setting.key),
    }
}

/// A period within its range, or nothing for the word.
pub(super) fn word_or_period(setting: &Setting, scalar: &Scalar<'_>) -> Result<Option<Period>, Fault> {
    let Kind::WordOrPeriod(word, min, max) = setting.kind else {
        panic!("{} is not declared as a word or a duration", setting.key);
    };
    if scalar.text == word {
        return Ok(None);
    }
    let or_word = format!(", or write `{word}`");
    if !scalar.text.starts_with(|char: char| char.is_ascii_digit()) {
        let remedy = format!("write `{word}`, or a duration such as {}", example(setting));
        return Err(Fault::new(format!("is neither `{word}` nor a duration"), remedy));
    }
    let period = if scalar.text == "0" { of_ms(0) } else { scalar.text.parse()? };
    in_range(period, of_ms(min), of_ms(max), &or_word).map(Some)
}

/// What is said where a value may also be 0.
const OR_NONE: &str = "; 0 means none";

fn of_ms(milliseconds: u64) -> Period {
    Period(std::time::Duration::from_millis(milliseconds))
}

fn in_range<T: PartialOrd + std::fmt::Display>(value: T, min: T, max: T, hint: &str) -> Result<T, Fault> {
    if value < min {
        return Err(Fault::new("is too small", format!("the least is \"{min}\"{hint}")));
    }
    if value > max {
        return Err(Fault::new("is too large", format!("the most is \"{max}\"")));
    }
    Ok(value)
}

/// A key without a value.
pub(super) fn no_value(setting: &Setting) -> Fault {
    Fault::new("has no value", format!("write `{}: {}`, or remove it", setting.key, example(setting)))
}

/// What a setting holds, with its article.
pub(super) fn noun(setting: &Setting) -> &'static str {
    match setting.kind {
        Kind::Text(..) => "text",
        Kind::Flag => "true or false",
        Kind::Integer(..) => "a whole number",
        Kind::Size(..) | Kind::SizeOrNone(..) => "a size",
        Kind::Period(..) | Kind::PeriodOrNone(..) => "a duration",
        Kind::WordOrPeriod(..) => "a word or a duration",
        Kind::Word(_) | Kind::WordOrSection(..) => "a word",
        Kind::Path => "a path",
        Kind::Texts | Kind::Patterns => "text",
        Kind::Program => "a program",
        Kind::Events | Kind::EventsOrByOutput => "a list of events",
        Kind::Section(_) | Kind::Sections(_) => "a section",
    }
}

/// The texts of a list that is declared as a default.
pub(super) fn declared_texts(setting: &Setting) -> Vec<String> {
    let Default::Is(written) = setting.default else { return Vec::new() };
    let node = tree::parse(written).expect("a declared default is YAML");
    match node.as_ref().map(|node| &*node.value) {
        Some(Value::List(items)) => items
            .iter()
            .filter_map(|item| match &*item.value {
                Value::Scalar { text, .. } => Some(text.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Something that could be written for a setting.
pub(super) fn example(setting: &Setting) -> Cow<'static, str> {
    if let Some(example) = setting.example {
        return example.into();
    }
    match setting.kind {
        Kind::Text(..) => "text".into(),
        Kind::Flag => "true".into(),
        Kind::Integer(min, _) => min.to_string().into(),
        Kind::Size(..) | Kind::SizeOrNone(..) => "\"16 MiB\"".into(),
        Kind::Period(..) | Kind::PeriodOrNone(..) => "\"10s\"".into(),
        Kind::WordOrPeriod(..) => "\"100ms\"".into(),
        Kind::Word(words) | Kind::WordOrSection(words, _) => {
            words().first().copied().unwrap_or_default().into()
        }
        Kind::Path => "/var/lib/millpond".into(),
        Kind::Texts => "[one, two]".into(),
        Kind::Patterns => "[\"/var/log/app/*.log\"]".into(),
        Kind::Program => ".a = 1".into(),
        Kind::Events | Kind::EventsOrByOutput => "[{ level: info }]".into(),
        Kind::Section(_) | Kind::Sections(_) => "{}".into(),
    }
}

/// What a setting takes, as people are told.
pub(super) fn range(setting: &Setting) -> Option<String> {
    match setting.kind {
        Kind::Integer(min, max) => Some(format!("{min} – {max}")),
        Kind::Size(0, SIZE_MAX) => None,
        Kind::Size(min, SIZE_MAX) => Some(format!("{} or more", Size(min))),
        Kind::Size(min, max) => Some(format!("{} – {}", Size(min), Size(max))),
        Kind::Period(min, max) => Some(format!("{} – {}", of_ms(min), of_ms(max))),
        Kind::SizeOrNone(min, SIZE_MAX) => Some(format!("0, or {} or more", Size(min))),
        Kind::SizeOrNone(min, max) => Some(format!("0, or {} – {}", Size(min), Size(max))),
        Kind::PeriodOrNone(min, max) => Some(format!("0, or {} – {}", of_ms(min), of_ms(max))),
        Kind::WordOrPeriod(word, min, max) => Some(format!("`{word}`, or {} – {}", of_ms(min), of_ms(max))),
        Kind::Flag => Some("`true` · `false`".to_owned()),
        Kind::Word(words) => {
            Some(words().iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" · "))
        }
        Kind::Texts | Kind::Patterns | Kind::Events => Some("a list".to_owned()),
        Kind::EventsOrByOutput => Some("a list, or lists by output".to_owned()),
        Kind::Program => Some("VRL".to_owned()),
        Kind::Section(_) | Kind::Sections(_) => Some("a section".to_owned()),
        Kind::Text(..) | Kind::Path | Kind::WordOrSection(..) => None,
    }
}
