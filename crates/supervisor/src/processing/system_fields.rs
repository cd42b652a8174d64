//! Fields that say which way an event has taken. Their names are those that consumers of this format already know.

use std::io::Write as _;

use super::json::push_text;

/// Every system field, in the order in which they are written.
pub const NAMES: [&str; 6] =
    ["cribl_pipe", "cribl_host", "cribl_input", "cribl_output", "cribl_route", "cribl_wp"];

/// There is one process here that works on events.
const WORKER: &str = "w0";

/// Some of the system fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields(u8);

impl Fields {
    /// The field of this name; none where it is no system field.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(NAMES.iter().position(|field| *field == name).map_or(0, |bit| 1 << bit))
    }

    /// These and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Which system fields an output adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemFields {
    chosen: [bool; NAMES.len()],
}

/// A pattern that decides about no field: no field has such a name, or earlier patterns decide about all that have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Useless {
    /// No field has such a name.
    Unknown,
    /// Earlier patterns decide about all of them.
    TooLate,
}

impl SystemFields {
    /// The fields that a list of patterns chooses: `*` stands for any text, a leading `!` leaves out what it matches, and
    /// the first pattern that matches a field decides. With it, the patterns that decide nothing, by their index.
    #[must_use]
    pub fn choose(patterns: &[String]) -> (Self, Vec<(usize, Useless)>) {
        let mut deciding = vec![None; patterns.len()];
        let mut chosen = Self::default();
        for (field, name) in NAMES.iter().enumerate() {
            let mut matching = patterns.iter().enumerate().filter(|(_, pattern)| {
                matches(pattern.strip_prefix('!').unwrap_or(pattern).as_bytes(), name.as_bytes())
            });
            if let Some((index, pattern)) = matching.next() {
                deciding[index] = Some(true);
                chosen.chosen[field] = !pattern.starts_with('!');
            }
            for (index, _) in matching {
                deciding[index].get_or_insert(false);
            }
        }
        let useless = deciding.iter().enumerate().filter_map(|(index, decides)| match decides {
            Some(true) => None,
            Some(false) => Some((index, Useless::TooLate)),
            None => Some((index, Useless::Unknown)),
        });
        (chosen, useless.collect())
    }

    /// The names that are chosen.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().zip(self.chosen).filter_map(|(name, chosen)| chosen.then_some(name))
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        Some((first, rest)) => name.first() == Some(first) && matches(rest, &name[1..]),
    }
}

/// What the fields say of events that go one way.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Names of the pipelines that they go through, in this order.
    pub pipelines: &'a [&'a str],
    /// Name of this machine.
    pub host: &'a str,
    /// Type and id of the input.
    pub input: (&'a str, &'a str),
    /// Id of the output.
    pub output: &'a str,
    /// Name of the route.
    pub route: &'a str,
}

/// The system fields of one way, ready to be put at the end of events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tail {
    fields: Vec<(Fields, Vec<u8>)>,
}

impl Tail {
    /// The chosen fields with their values. One that has nothing to say is left out: `cribl_pipe` where there is no
    /// pipeline.
    #[must_use]
    pub fn new(chosen: &SystemFields, facts: &Facts<'_>) -> Self {
        let value = |name: &str| {
            let mut text = Vec::new();
            match name {
                "cribl_pipe" => match facts.pipelines {
                    [] => return None,
                    [one] => push_text(one, &mut text),
                    [first, rest @ ..] => {
                        text.push(b'[');
                        push_text(first, &mut text);
                        for name in rest {
                            text.push(b',');
                            push_text(name, &mut text);
                        }
                        text.push(b']');
                    }
                },
                "cribl_host" => push_text(facts.host, &mut text),
                "cribl_input" => push_text(&format!("{}:{}", facts.input.0, facts.input.1), &mut text),
                "cribl_output" => push_text(&format!("kinesis:{}", facts.output), &mut text),
                "cribl_route" => push_text(facts.route, &mut text),
                _ => push_text(WORKER, &mut text),
            }
            Some(text)
        };
        let member = |name: &'static str| {
            let mut member = Vec::new();
            // Writing to a Vec cannot fail.
            write!(member, "\"{name}\":").expect("a Vec takes what is written to it");
            member.append(&mut value(name)?);
            Some((Fields::named(name), member))
        };
        Self { fields: chosen.names().filter_map(member).collect() }
    }

    /// Is there nothing to add?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Appends the fields that are not `present`, as members of an object whose brace is still open. `is_first`: the
    /// object has no members yet.
    pub fn push(&self, present: Fields, mut is_first: bool, out: &mut Vec<u8>) {
        for (field, member) in &self.fields {
            if !present.has(*field) {
                if !is_first {
                    out.push(b',');
                }
                is_first = false;
                out.extend_from_slice(member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(patterns: &[&str]) -> (Vec<&'static str>, Vec<(usize, Useless)>) {
        let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let (fields, useless) = SystemFields::choose(&patterns);
        (fields.names().collect(), useless)
    }

    #[test]
    fn the_first_pattern_that_matches_a_field_decides() {
        let check = |patterns: &[&str], names: &[&str], useless: &[(usize, Useless)]| {
            assert_eq!(chosen(patterns), (names.to_vec(), useless.to_vec()), "{patterns:?}");
        };
        check(&[], &[], &[]);
        check(&["cribl_pipe"], &["cribl_pipe"], &[]);
        check(&["*"], &NAMES, &[]);
        check(&["!cribl_wp", "cribl_*"], &NAMES[..5], &[]);
        check(&["cribl_*", "!cribl_wp"], &NAMES, &[(1, Useless::TooLate)]);
        check(&["*put", "!*"], &["cribl_input", "cribl_output"], &[]);
        check(&["cribl_p*e", "cribl_x"], &["cribl_pipe"], &[(1, Useless::Unknown)]);
        check(&["!cribl_host"], &[], &[]);
    }

    #[test]
    fn what_a_field_says() {
        let (all, _) = SystemFields::choose(&["*".to_owned()]);
        let facts = Facts {
            pipelines: &[],
            host: "edge-\"7\"",
            input: ("file", "app"),
            output: "main",
            route: "errors",
        };
        let text = |facts: &Facts<'_>, present: &[&str], is_first| {
            let present = present.iter().map(|name| Fields::named(name)).fold(Fields::default(), Fields::and);
            let mut out = Vec::new();
            Tail::new(&all, facts).push(present, is_first, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            text(&facts, &[], false),
            r#","cribl_host":"edge-\"7\"","cribl_input":"file:app","cribl_output":"kinesis:main","cribl_route":"errors","cribl_wp":"w0""#
        );
        assert_eq!(text(&facts, &NAMES[2..5], true), r#""cribl_host":"edge-\"7\"","cribl_wp":"w0""#);
        let one = Facts { pipelines: &["tidy"], ..facts };
        assert_eq!(text(&one, &NAMES[1..], true), r#""cribl_pipe":"tidy""#);
        let two = Facts { pipelines: &["tidy", "cut"], ..facts };
        assert_eq!(text(&two, &NAMES[1..], false), r#","cribl_pipe":["tidy","cut"]"#);
    }
}
