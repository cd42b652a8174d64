//! `journalctl` as a child process, which follows the journal.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::entry;
use crate::config::checked::JournaldInput;

/// Complaints that are listened to after the end, and for how long.
const COMPLAINTS_MAX: usize = 16;
const COMPLAINTS_WAIT: Duration = Duration::from_millis(500);

/// What it writes to standard error, by lines.
pub(super) type Complaints = Lines<BufReader<ChildStderr>>;

/// A running `journalctl`. It is killed when this is dropped.
pub(super) struct Journalctl {
    child: Child,
    pub(super) entries: ChildStdout,
    pub(super) complaints: Complaints,
}

/// A `journalctl` with what all uses of it have in common.
fn journalctl(program: &Path, config: &JournaldInput) -> Command {
    let mut command = Command::new(program);
    // All of a field, however long it is.
    command.args(["--output=json", "--all", "--no-pager", "--quiet"]);
    command.args(config.units.iter().map(|unit| format!("--unit={unit}")));
    if let Some(directory) = &config.directory {
        command.arg("--directory").arg(directory);
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// The last entry of the journal as it is now; empty if there is none.
///
/// # Errors
/// When `journalctl` cannot be run, or fails.
pub(super) async fn last_cursor(program: &Path, config: &JournaldInput) -> io::Result<String> {
    let output = journalctl(program, config).arg("--lines=1").output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("it ended with {}: {said}", output.status)));
    }
    let last = output.stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
    let read = last.map(|line| entry::write(line, &mut Vec::new()));
    match read {
        None => Ok(String::new()),
        Some(Some(read)) => Ok(read.cursor),
        Some(None) => Err(io::Error::other("it shows no entries as this program knows them")),
    }
}

impl Journalctl {
    /// Follows the journal behind an entry; from its beginning if the cursor is empty.
    ///
    /// # Errors
    /// When `journalctl` cannot be run.
    pub(super) fn follow(program: &Path, config: &JournaldInput, after: &str) -> io::Result<Self> {
        let mut command = journalctl(program, config);
        command.args(["--follow", "--no-tail"]);
        if !after.is_empty() {
            command.arg(format!("--after-cursor={after}"));
        }
        let mut child = command.spawn()?;
        let missing = || io::Error::other("it has no output");
        let entries = child.stdout.take().ok_or_else(missing)?;
        let complaints = child.stderr.take().ok_or_else(missing)?;
        Ok(Self { child, entries, complaints: BufReader::new(complaints).lines() })
    }

    /// Ends it, and tells how it has ended, and of what it complained last.
    pub(super) async fn end(mut self) -> (String, Vec<String>) {
        // It may have ended by itself.
        if let Err(error) = self.child.start_kill() {
            tracing::debug!(%error, "journalctl has ended already");
        }
        let status = self.child.wait().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let mut complaints = Vec::new();
        let last = async {
            while let (Ok(Some(line)), 0..COMPLAINTS_MAX) =
                (self.complaints.next_line().await, complaints.len())
            {
                complaints.push(line);
            }
        };
        // Whoever has inherited the other end may keep it open.
        if tokio::time::timeout(COMPLAINTS_WAIT, last).await.is_err() {
            tracing::debug!("a process that journalctl has started is still there");
        }
        (status, complaints)
    }
}

/// The next complaint; never, once there are no more.
pub(super) async fn next_of(complaints: &mut Complaints) -> String {
    match complaints.next_line().await {
        Ok(Some(line)) => line,
        Ok(None) | Err(_) => std::future::pending().await,
    }
}
