//! How a command ends that could not do what it was asked for.

use std::io;
use std::process::ExitCode;

/// Why a command could not do what it was asked for. Each is one sentence or more for a person: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the configuration is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It failed, or found a problem: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub fn usage(words: impl Into<String>) -> Self {
        Self::Usage(words.into())
    }

    /// It failed.
    pub fn failed(words: impl Into<String>) -> Self {
        Self::Failed(words.into())
    }

    /// What was found could not be printed.
    #[must_use]
    pub fn printing(error: &io::Error) -> Self {
        Self::failed(format!("what was found cannot be printed: {error}"))
    }

    fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

/// Says why a command failed, if it has, and gives its exit code.
#[must_use]
pub fn end(ended: Result<ExitCode, Failure>) -> ExitCode {
    ended.unwrap_or_else(|failure| {
        eprintln!("millpond: {failure}");
        failure.code()
    })
}
