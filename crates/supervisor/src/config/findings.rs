//! What is wrong or doubtful in a configuration: place, key, value, and what would be right.

use std::fmt;

use serde::Serialize;

/// One thing that was found in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
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
    /// `file:line:column: key: value: what is wrong`, then what to do about it on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(": ")?;
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

impl fmt::Display for Problems {
    /// Every problem and then every warning, one below the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        for warning in &self.warnings {
            write!(f, "\nwarning: {warning}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
