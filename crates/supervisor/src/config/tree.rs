//! The YAML of a file as a tree in which every node knows its place.
//!
//! The parser gives events with positions; the tree is built here without recursion and with bounds. An alias shares
//! the node that it names instead of copying it, and counts as deep as that node, so a file of a given size yields
//! a tree of that size however its aliases are nested.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

/// Longest configuration that is read, in bytes.
pub(super) const FILE_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting, aliases followed; the deepest setting there is lies at five.
const DEPTH_MAX: u32 = 32;

/// A place in the file, counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Position {
    /// The first character of the file.
    pub(super) const START: Self = Self { line: 1, column: 1 };

    fn of(marker: granit_parser::Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Position,
    /// A scalar or an alias as it stands in the file.
    pub(super) written: Option<Rc<str>>,
    pub(super) value: Rc<Value>,
    depth: u32,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Value {
    /// Text, with what its notation says.
    Scalar {
        text: String,
        /// Not in quotes and no block: what may be a number, `true` or nothing.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file; a key that stands there twice is there twice.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) node: Node,
}

/// The file is no YAML, or YAML beyond what a configuration may use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: Position,
    pub(super) message: String,
    pub(super) remedy: String,
}

impl SyntaxError {
    fn new(at: Position, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at, message: message.into(), remedy: remedy.into() }
    }

    fn of(error: &ScanError) -> Self {
        let remedy = match error.kind() {
            ErrorKind::MappingValueNotAllowed | ErrorKind::MappingKeyNotAllowed => {
                "a value with `: ` in it needs quotes; a key must be in line with its neighbours"
            }
            ErrorKind::TabInIndentation | ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed => {
                "indent with spaces; YAML allows no tabs there"
            }
            ErrorKind::UnclosedQuotedScalar => "close the quotes",
            ErrorKind::UnknownQuotedScalarEscape => {
                "in double quotes `\\` begins an escape: write `\\\\`, or use single quotes"
            }
            ErrorKind::UnexpectedCharacter { .. } => "put a value that begins with this character in quotes",
            ErrorKind::UnknownAnchor => {
                "define the anchor above with `&`, or put the value in quotes if it begins with `*`"
            }
            _ => "correct the YAML here or just above; a `[`, `{` or quote may have been left open",
        };
        Self::new(Position::of(*error.marker()), format!("is not valid YAML: {}", error.info()), remedy)
    }
}

/// A collection that is not closed yet.
struct Open {
    at: Position,
    anchor: usize,
    depth: u32,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Position)> },
}

struct Builder<'a> {
    source: &'a str,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    documents: u32,
}

/// Parses the text of a configuration; nothing when it holds no value at all.
pub(super) fn parse(source: &str) -> Result<Option<Node>, SyntaxError> {
    let options = granit_parser::options! {
        flow_nesting_limit: 64,
        block_nesting_limit: 64,
    };
    let mut builder = Builder { source, open: Vec::new(), anchors: HashMap::new(), root: None, documents: 0 };
    for event in Parser::new_from_str_with_options(source, options) {
        let (event, span) = event.map_err(|error| SyntaxError::of(&error))?;
        builder.take(event, span)?;
    }
    Ok(builder.root)
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let at = Position::of(span.start);
        if let Some(tag) = event.tag() {
            return Err(SyntaxError::new(
                at,
                format!("has the tag `{}`, which means nothing in a configuration", tag.original()),
                "remove the tag",
            ));
        }
        match event {
            Event::DocumentStart(..) => self.start_document(at),
            Event::Scalar(text, style, anchor, _) => {
                let written = span.slice(self.source);
                let plain = style == ScalarStyle::Plain;
                // The parser calls a value that is not there `~`.
                let not_there = plain && written.is_some_and(str::is_empty);
                let text = if not_there { String::new() } else { text.into_owned() };
                let value = Value::Scalar { text, plain };
                let written = written.map(Rc::from);
                self.put(Node { at, written, value: Rc::new(value), depth: 0 }, anchor)
            }
            Event::Alias(anchor) => {
                let Some(named) = self.anchors.get(&anchor) else {
                    return Err(SyntaxError::new(
                        at,
                        "is an alias of what it stands in",
                        "write the value out",
                    ));
                };
                let written = span.slice(self.source).map(Rc::from);
                let (value, depth) = (Rc::clone(&named.value), named.depth);
                self.put(Node { at, written, value, depth }, 0)
            }
            Event::SequenceStart(_, anchor, _) => self.open(at, anchor, OpenKind::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                self.open(at, anchor, OpenKind::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, at: Position) -> Result<(), SyntaxError> {
        self.documents += 1;
        if self.documents > 1 {
            return Err(SyntaxError::new(
                at,
                "begins a second YAML document",
                "remove the `---` and what follows it",
            ));
        }
        Ok(())
    }

    fn open(&mut self, at: Position, anchor: usize, kind: OpenKind) -> Result<(), SyntaxError> {
        if let Some(Open { kind: OpenKind::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(key_is_no_text(at));
        }
        self.open.push(Open { at, anchor, depth: 0, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), SyntaxError> {
        let Some(Open { at, anchor, depth, kind }) = self.open.pop() else {
            return Ok(());
        };
        let value = match kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map { entries, .. } => Value::Map(entries),
        };
        self.put(Node { at, written: None, value: Rc::new(value), depth: depth + 1 }, anchor)
    }

    /// Puts a finished node where it belongs: a key, a value, an item or the root.
    fn put(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        if node.depth > DEPTH_MAX {
            return Err(SyntaxError::new(
                node.at,
                format!("is nested more than {DEPTH_MAX} deep"),
                "no setting lies that deep; write it flatter",
            ));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.depth = parent.depth.max(node.depth);
        match &mut parent.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, key } => match key.take() {
                Some((key, at)) => entries.push(Entry { key, at, node }),
                None => match &*node.value {
                    Value::Scalar { text, .. } => *key = Some((text.clone(), node.at)),
                    Value::List(_) | Value::Map(_) => return Err(key_is_no_text(node.at)),
                },
            },
        }
        Ok(())
    }
}

fn key_is_no_text(at: Position) -> SyntaxError {
    SyntaxError::new(
        at,
        "is a list or a section where a key must stand",
        "write `key: value`; put a value that begins with `[`, `{` or `?` in quotes",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tree on one line, every node with its place.
    fn show(node: &Node) -> String {
        let place = format!("{}:{}", node.at.line, node.at.column);
        match &*node.value {
            Value::Scalar { text, plain } => {
                format!("{place} {}{text:?}", if *plain { "" } else { "quoted " })
            }
            Value::List(items) => {
                format!("{place} [{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
            }
            Value::Map(entries) => {
                let show = |entry: &Entry| {
                    format!("{}:{} {} = {}", entry.at.line, entry.at.column, entry.key, show(&entry.node))
                };
                format!("{place} {{{}}}", entries.iter().map(show).collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[track_caller]
    fn check(source: &str, expected: &str) {
        let read = match parse(source) {
            Ok(root) => root.as_ref().map_or_else(|| "nothing".to_owned(), show),
            Err(error) => {
                format!("{}:{} {}; {}", error.at.line, error.at.column, error.message, error.remedy)
            }
        };
        assert_eq!(read, expected, "{source}");
    }

    #[test]
    fn every_node_has_its_place() {
        check(
            "a: 1\nb: [x, \"é\", 'z']\n",
            "1:1 {1:1 a = 1:4 \"1\", 2:1 b = 2:4 [2:5 \"x\", 2:8 quoted \"é\", 2:13 quoted \"z\"]}",
        );
        check("a:\n  b: c\n", "1:1 {1:1 a = 2:3 {2:3 b = 2:6 \"c\"}}");
        check("a: 1\na: 2\n", "1:1 {1:1 a = 1:4 \"1\", 2:1 a = 2:4 \"2\"}");
        check("\u{feff}a: 1\r\nb: 2\r\n", "1:1 {1:1 a = 1:4 \"1\", 2:1 b = 2:4 \"2\"}");
        check("a: &x [1]\nb: *x\n", "1:1 {1:1 a = 1:7 [1:8 \"1\"], 2:1 b = 2:4 [1:8 \"1\"]}");
        check("- a\n- b\n", "1:1 [1:3 \"a\", 2:3 \"b\"]");
    }

    #[test]
    fn nothing_in_it() {
        check("", "nothing");
        check("# only a comment\n\n", "nothing");
        check("---\n...\n", "1:4 \"\"");
    }

    #[test]
    fn errors_have_a_place_and_a_remedy() {
        let yaml = "is not valid YAML: ";
        let key = "a value with `: ` in it needs quotes; a key must be in line with its neighbours";
        check("a: b: c\n", &format!("1:5 {yaml}mapping values are not allowed in this context; {key}"));
        check("a: 1\n b: 2\n", &format!("2:3 {yaml}mapping values are not allowed in this context; {key}"));
        check(
            "a: !secret b\n",
            "1:12 has the tag `!secret`, which means nothing in a configuration; remove the tag",
        );
        check("a: 1\n---\nb: 2\n", "2:1 begins a second YAML document; remove the `---` and what follows it");
        check("a: &x [*x]\n", "1:8 is an alias of what it stands in; write the value out");
        let key = "is a list or a section where a key must stand; \
                   write `key: value`; put a value that begins with `[`, `{` or `?` in quotes";
        check("? [a]\n: b\n", &format!("1:3 {key}"));
        check("a: &x [1]\n*x : b\n", &format!("2:1 {key}"));
    }

    #[test]
    fn depth_is_bounded_through_aliases_too() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(32)).is_ok());
        assert!(parse(&nested(33)).unwrap_err().message.contains("nested more than 32 deep"));
        assert!(parse(&nested(100_000)).is_err());
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for link in 1..1000 {
            chain += &format!("a{link}: &a{link} [*a{}]\n", link - 1);
        }
        assert!(parse(&chain).unwrap_err().message.contains("nested more than 32 deep"));
    }

    #[test]
    fn a_bomb_of_aliases_costs_no_more_than_its_text() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for link in 1..20 {
            let aliases = vec![format!("*a{}", link - 1); 9].join(", ");
            bomb += &format!("a{link}: &a{link} [{aliases}]\n");
        }
        assert!(parse(&bomb).unwrap().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_text_panics(text in r"([ -~\n\t]|[\[\]{}:,&*!|>'%@#?-]|- |: |\n  |---|é|\u{feff}){0,60}") {
            if let Err(error) = parse(&text) {
                prop_assert!(error.at >= Position::START && !error.message.is_empty());
            }
        }
    }
}
