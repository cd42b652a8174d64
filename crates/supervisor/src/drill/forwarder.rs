//! The forwarder, as a process that can be killed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// A stop takes no longer than this.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A running `millpond run`.
pub struct ForwarderProcess {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    state: String,
    stopping: bool,
}

/// A line of the forwarder's log, as far as the screen shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Said {
    /// `INFO`, `WARN` or `ERROR`.
    pub level: String,
    /// What it says.
    pub message: String,
    /// Why, where there is a reason.
    pub reason: Option<String>,
    /// The output's new state, where it changed.
    pub state: Option<String>,
    /// Everything else in the line.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, serde_json::Value>,
}

impl ForwarderProcess {
    /// Starts `program`, a `millpond`, with this configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path, config: &Path) -> anyhow::Result<Self> {
        Self::spawn(Command::new(program), config)
    }

    /// Starts `program` by a command that turns into what stands behind it, as `nice` and `strace -D` do: what is
    /// killed, stopped and measured is the forwarder itself.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_under(
        wrapper: &std::process::Command,
        program: &Path,
        config: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(wrapper.get_program());
        command.args(wrapper.get_args()).arg(program);
        Self::spawn(command, config)
    }

    fn spawn(mut command: Command, config: &Path) -> anyhow::Result<Self> {
        let program = command.as_std().get_program().to_owned();
        let mut child = command
            .args(["run", "--log-format", "json", "--log-level", "info", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let log = child.stderr.take().context("the forwarder has no standard error")?;
        Ok(Self { child, log: BufReader::new(log).lines(), state: "starting".to_owned(), stopping: false })
    }

    /// The next thing it says; `None` once it has been killed or stopped.
    ///
    /// # Errors
    /// When it ended by itself, or writes something that is no log.
    pub async fn next_line(&mut self) -> anyhow::Result<Option<Said>> {
        let Some(line) = self.log.next_line().await? else {
            if !self.stopping {
                let status = self.child.wait().await?;
                bail!("the forwarder ended by itself: {status}");
            }
            return Ok(None);
        };
        let said: Said = serde_json::from_str(&line)
            .with_context(|| format!("the forwarder wrote something that is no log line: {line}"))?;
        if let Some(state) = &said.state {
            self.state.clone_from(state);
        }
        Ok(Some(said))
    }

    /// The state that its output was in last.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Kills it as a crash would, and gives the most memory it ever had.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill_9(&mut self) -> anyhow::Result<u64> {
        let memory = self.peak_memory()?;
        self.stopping = true;
        self.child.kill().await.context("killing the forwarder")?;
        "dead".clone_into(&mut self.state);
        Ok(memory)
    }

    /// Asks it to stop, and waits until it has; gives the most memory it ever had, and what it said meanwhile.
    ///
    /// # Errors
    /// When it takes too long, or does not end cleanly.
    pub async fn stop(&mut self) -> anyhow::Result<(u64, Vec<Said>)> {
        let memory = self.peak_memory()?;
        self.stopping = true;
        self.signal(rustix::process::Signal::TERM)?;
        let ended = tokio::time::timeout(STOP_MAX, self.wait()).await;
        let (status, said) = ended.context("the forwarder did not stop within 30 s of SIGTERM")??;
        ensure!(status.success(), "the forwarder stopped with {status}, saying {said:#?}");
        Ok((memory, said))
    }

    /// Waits until it ends by itself, and gives what it says meanwhile.
    ///
    /// # Errors
    /// When it does not end cleanly.
    pub async fn ended(&mut self) -> anyhow::Result<Vec<Said>> {
        self.stopping = true;
        let (status, said) = self.wait().await?;
        ensure!(status.success(), "the forwarder stopped with {status}, saying {said:#?}");
        Ok(said)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        let pid = pid.context("the forwarder has ended already")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    async fn wait(&mut self) -> anyhow::Result<(std::process::ExitStatus, Vec<Said>)> {
        // What it says last has to be read, or it could wait for room in the pipe for ever.
        let mut last_words = Vec::new();
        while let Some(said) = self.next_line().await? {
            last_words.push(said);
        }
        Ok((self.child.wait().await?, last_words))
    }

    /// The largest resident set so far, in bytes.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        let pid = self.child.id().context("the forwarder has ended already")?;
        let path = format!("/proc/{pid}/status");
        let status = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib =
            line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse().ok());
        let kib: u64 = kib.with_context(|| format!("{path} has no VmHWM line"))?;
        Ok(kib * 1024)
    }
}
