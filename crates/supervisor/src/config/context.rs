//! What reading a file needs beside the file, and what it found.

use std::cell::{OnceCell, RefCell};
use std::path::Path;

use super::Environment;
use super::findings::{Finding, Severity};
use super::secrets::Secrets;
use super::tree::Position;
use super::units::Fault;
use super::variables::{self, Filled, Sources};
use crate::processing::program::Complaint;

/// Longest part of a value or key that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Longest message or remedy, in characters.
const MESSAGE_CHARS_MAX: usize = 600;

/// Most problems, and most warnings, that are reported. A file with more of them is no configuration.
const FINDINGS_MAX: usize = 200;

/// What reading a file needs beside the file, and what it found.
pub(super) struct Context<'a> {
    pub(super) file: &'a str,
    /// The text of the file.
    pub(super) source: &'a str,
    /// Absolute directory of the file, which relative paths start from.
    pub(super) directory: &'a Path,
    pub(super) environment: &'a Environment,
    /// Set as soon as the section that declares them is read; nothing in that section can take one.
    secrets: OnceCell<Secrets>,
    problems: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
}

impl<'a> Context<'a> {
    /// `file` is what findings call the file.
    pub(super) fn new(
        file: &'a str,
        source: &'a str,
        directory: &'a Path,
        environment: &'a Environment,
    ) -> Self {
        let (problems, warnings) = (RefCell::default(), RefCell::default());
        Self { file, source, directory, environment, secrets: OnceCell::new(), problems, warnings }
    }

    /// From now on `${secret:NAME}` stands for these.
    pub(super) fn set_secrets(&self, secrets: Secrets) {
        assert!(self.secrets.set(secrets).is_ok(), "the secrets are read once");
    }

    /// The secrets; none before they are set.
    pub(super) fn secrets(&self) -> &Secrets {
        self.secrets.get_or_init(Secrets::default)
    }

    /// A value with its variables and secrets filled in.
    pub(super) fn fill(&self, text: &str) -> Result<Filled, Vec<Fault>> {
        let none = Secrets::default();
        let secrets = self.secrets.get().unwrap_or(&none);
        variables::fill(text, Sources { variables: &self.environment.variables, secrets })
    }

    /// Reports a problem with the value, or without one with the key, at a place.
    pub(super) fn problem(&self, at: Position, key: &str, value: Option<&str>, fault: Fault) {
        self.problems.borrow_mut().push(finding(self.file, Severity::Problem, at, key, value, fault));
    }

    /// Reports something doubtful.
    pub(super) fn warning(&self, at: Position, key: &str, value: Option<&str>, fault: Fault) {
        self.warnings.borrow_mut().push(finding(self.file, Severity::Warning, at, key, value, fault));
    }

    /// Reports what VRL's compiler says of a program, at a place of the file that the program stands in.
    pub(super) fn complain(
        &self,
        complaint: &Complaint,
        is_problem: bool,
        key: &str,
        (file, at): (&str, Position),
        excerpt: String,
    ) {
        let severity = if is_problem { Severity::Problem } else { Severity::Warning };
        let said = if is_problem { "does not compile" } else { "is doubtful" };
        let fault = Fault::new(format!("{said}: {}", complaint.message()), "");
        let found = Finding { excerpt: Some(excerpt), ..finding(file, severity, at, key, None, fault) };
        let list = if is_problem { &self.problems } else { &self.warnings };
        list.borrow_mut().push(found);
    }

    /// Whether there are so many problems that it is no use to look for more.
    pub(super) fn is_full(&self) -> bool {
        self.problems.borrow().len() > FINDINGS_MAX
    }

    /// The problems and the warnings, in the order of the file.
    pub(super) fn into_findings(self) -> (Vec<Finding>, Vec<Finding>) {
        let file = self.file;
        let in_order = |found: RefCell<Vec<Finding>>| {
            let mut found = found.into_inner();
            found.sort_by_key(|finding| (finding.line, finding.column));
            cut(&mut found, file);
            found
        };
        (in_order(self.problems), in_order(self.warnings))
    }
}

/// A finding at a place of the file, fit to be shown.
pub(super) fn finding(
    file: &str,
    severity: Severity,
    at: Position,
    key: &str,
    value: Option<&str>,
    fault: Fault,
) -> Finding {
    Finding {
        severity,
        file: file.to_owned(),
        line: at.line,
        column: at.column,
        key: clean(key, SHOWN_CHARS_MAX),
        value: value.and_then(shown),
        message: clean(&fault.message, MESSAGE_CHARS_MAX),
        remedy: clean(&fault.remedy, MESSAGE_CHARS_MAX),
        excerpt: None,
    }
}

/// Leaves the first of too many findings, and a last one that says so.
fn cut(found: &mut Vec<Finding>, file: &str) {
    if found.len() <= FINDINGS_MAX {
        return;
    }
    found.truncate(FINDINGS_MAX);
    if let Some(last) = found.last_mut() {
        *last = Finding {
            severity: last.severity,
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            value: None,
            message: "and there is more that is not shown".to_owned(),
            remedy: "see to what is shown, and check again".to_owned(),
            excerpt: None,
        };
    }
}

/// A value as it is shown: its first line, not too long, and nothing that may be a URL with a password.
fn shown(value: &str) -> Option<String> {
    let line = value.lines().next().unwrap_or("");
    let start: String = line.chars().take(SHOWN_CHARS_MAX).collect();
    let whole = start.len() == value.trim_end().len();
    if start.contains("://") && (start.contains('@') || !whole) {
        return None;
    }
    let end = if whole { "" } else { "…" };
    let shown = clean(&start, SHOWN_CHARS_MAX) + end;
    (!shown.is_empty()).then_some(shown)
}

/// Text from a file, fit for a terminal: not too long, and without control characters.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).take(chars_max).collect();
    if clean.len() < text.len() && text.chars().nth(chars_max).is_some() {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_short_and_without_passwords() {
        assert_eq!(shown("\"5 GiB\"").as_deref(), Some("\"5 GiB\""));
        assert_eq!(shown("one\ntwo").as_deref(), Some("one…"));
        assert_eq!(shown("\u{1b}[31mred").as_deref(), Some("[31mred"));
        assert_eq!(shown(&"x".repeat(81)), Some("x".repeat(80) + "…"));
        assert_eq!(shown("http://host:80").as_deref(), Some("http://host:80"));
        assert_eq!(shown("http://me:HUNTER2@host"), None);
        assert_eq!(shown(&format!("http://me:HUNTER2{}@host", "x".repeat(80))), None);
        assert_eq!(shown(""), None);
    }
}
