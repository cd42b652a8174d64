//! What is wrong or doubtful in a configuration: place, key, value, and what would be right.

use std::fmt;

use serde::Serialize;

use super::excerpt::excerpt;
use super::tree::{Position, SyntaxError};
use super::units::Fault;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Problem,
    /// It can, but this is probably not meant.
    Warning,
}

/// One thing that was found in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is a problem or a warning.
    pub severity: Severity,
    /// The file, as it was named to millpond.
    pub file: String,
    /// Line, counted from 1; 0 when the finding is about the file as a whole.
    pub line: usize,
    /// Column in characters, counted from 1; 0 when the finding is about the file as a whole.
    pub column: usize,
    /// Path of the key, such as `outputs.main.queue.max_size`; empty when it is about the file as a whole.
    pub key: String,
    /// The value as it is written in the file; never that of a secret.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// The line of the file with the place marked, for errors of YAML itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// Something in a configuration that is allowed but probably not meant.
pub type Warning = Finding;

impl fmt::Display for Finding {
    /// `file:line:column: key: value: what is wrong`, then what to do about it on a line of its own. A warning says
    /// that it is one after its place, as compilers do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if let Some(value) = &self.value {
            write!(f, "{value}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(excerpt) = &self.excerpt {
            for line in excerpt.lines() {
                write!(f, "\n  {line}")?;
            }
        }
        if !self.remedy.is_empty() {
            write!(f, "\n    {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Why a configuration cannot be used: at least one problem, and the warnings that were found beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The problems in the order of the file; at least one.
    pub problems: Vec<Finding>,
    /// The warnings in the order of the file.
    pub warnings: Vec<Warning>,
}

impl Problems {
    /// One problem with the file as a whole.
    pub(super) fn of_file(file: &str, fault: Fault) -> Self {
        Self::one(file, None, None, fault)
    }

    /// The file is no YAML from some place on.
    pub(super) fn of_syntax(file: &str, source: &str, error: SyntaxError) -> Self {
        let excerpt = excerpt(source, error.at);
        Self::one(file, Some(error.at), excerpt, Fault::new(error.message, error.remedy))
    }

    /// The file is no YAML from some place on, in a file whose lines are better not shown.
    pub(super) fn of_hidden_syntax(file: &str, error: SyntaxError) -> Self {
        Self::one(file, Some(error.at), None, Fault::new(error.message, error.remedy))
    }

    fn one(file: &str, at: Option<Position>, excerpt: Option<String>, fault: Fault) -> Self {
        let problem = Finding {
            severity: Severity::Problem,
            file: file.to_owned(),
            line: at.map_or(0, |at| at.line),
            column: at.map_or(0, |at| at.column),
            key: String::new(),
            value: None,
            message: fault.message,
            remedy: fault.remedy,
            excerpt,
        };
        Self { problems: vec![problem], warnings: Vec::new() }
    }
}

impl fmt::Display for Problems {
    /// Every problem and then every warning, one below the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n{warning}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
