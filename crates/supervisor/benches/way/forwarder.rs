//! The forwarder, as a process by the kernel's accounts.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use millpond_local_kinesis::{Keep, Options, Server, StreamSpec};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use tokio::time::Instant;

/// Nothing here takes longer on a machine that is not stuck.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether all has arrived.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What its configuration says besides the input and the stream.
pub(crate) struct Settings<'a> {
    /// Settings of the output, a line each.
    pub(crate) of_output: &'a str,
    /// What stands beside inputs and outputs.
    pub(crate) more: &'a str,
    /// The program.
    pub(crate) millpond: &'a Path,
}

impl<'a> From<&'a str> for Settings<'a> {
    fn from(of_output: &'a str) -> Self {
        Self { of_output, more: "", millpond: Path::new(env!("CARGO_BIN_EXE_millpond")) }
    }
}

/// A running `millpond run`.
pub(crate) struct Forwarder {
    child: Child,
    clock: ClockId,
    log: PathBuf,
    /// From its start until it said that it is ready.
    pub(crate) ready_after: Duration,
}

/// An endpoint with one stream, `logs`.
pub(crate) async fn endpoint(keep: Keep) -> anyhow::Result<Server> {
    let options = Options { streams: vec![StreamSpec::new("logs", 4)], keep, ..Options::default() };
    Ok(millpond_local_kinesis::start(options).await?)
}

/// A new directory below the bench's own.
pub(crate) fn fresh(root: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = root.join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

impl Forwarder {
    /// Starts one in `directory`, which reads the files of this pattern and sends to `endpoint`, and waits until it is
    /// ready.
    pub(crate) fn start<'a>(
        directory: &Path,
        files: &str,
        endpoint: &str,
        settings: impl Into<Settings<'a>>,
    ) -> anyhow::Result<Self> {
        let Settings { of_output, more, millpond } = settings.into();
        let settings: String = of_output.lines().map(|line| format!("    {}\n", line.trim())).collect();
        let config = format!(
            "data_dir: data\nadmin: {{ listen: \"127.0.0.1:0\" }}\n\
             inputs:\n  app: {{ type: file, include: [\"{files}\"] }}\n\
             outputs:\n  main:\n    type: kinesis\n    stream_name: logs\n    region: us-east-1\n    \
             endpoint: \"{endpoint}\"\n    auth: {{ method: manual, access_key: bench, secret_key: bench }}\n{settings}{more}"
        );
        std::fs::write(directory.join("millpond.yaml"), config)?;
        let log = directory.join("log");
        let notify = directory.join("notify");
        let socket = UnixDatagram::bind(&notify)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let start = std::time::Instant::now();
        let mut child = Command::new(millpond)
            .args(["run", "--config", "millpond.yaml"])
            .current_dir(directory)
            .env("NOTIFY_SOCKET", &notify)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        let mut message = [0; 4096];
        loop {
            match socket.recv(&mut message).map(|len| message.get(..len).unwrap_or_default()) {
                Ok(said) if said.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") => break,
                Ok(_) => {}
                Err(error) => {
                    child.kill()?;
                    bail!("the forwarder did not become ready ({error}): {}", std::fs::read_to_string(&log)?);
                }
            }
        }
        let ready_after = start.elapsed();
        let clock = clock_getcpuclockid(nix::unistd::Pid::from_raw(child.id().cast_signed()))?;
        Ok(Self { child, clock, log, ready_after })
    }

    /// What all its threads together have had of the processors since it was started.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        Ok(clock_gettime(self.clock)?.into())
    }

    /// Waits until so many events have arrived.
    pub(crate) async fn until_arrived(&mut self, server: &Server, events: u64) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let arrived = server.counts().events;
            if arrived >= events {
                // Nothing fails here, so nothing may come twice.
                ensure!(arrived == events, "{arrived} events arrived of {events}");
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the forwarder ended with {status}: {}", std::fs::read_to_string(&self.log)?);
            }
            ensure!(Instant::now() < until, "{arrived} of {events} events arrived in {PATIENCE:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Its resident set now and at its largest, in bytes.
    pub(crate) fn resident(&self) -> anyhow::Result<(u64, u64)> {
        let kib = |name| self.number("status", name);
        Ok((kib("VmRSS:")? * 1024, kib("VmHWM:")? * 1024))
    }

    /// Bytes that it has caused to be written to disks.
    pub(crate) fn disk_bytes(&self) -> anyhow::Result<u64> {
        self.number("io", "write_bytes:")
    }

    /// How often its threads have gone to sleep by themselves, and so were woken.
    pub(crate) fn wake_ups(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let name = thread?.file_name();
            let file = format!("task/{}/status", name.to_string_lossy());
            sum += self.number(&file, "voluntary_ctxt_switches:")?;
        }
        Ok(sum)
    }

    fn number(&self, file: &str, name: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()).and_then(|word| word.parse().ok());
        number.with_context(|| format!("{path} has no number {name}"))
    }
}

impl Drop for Forwarder {
    /// The figures are taken; what it does at its end is no part of them.
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            eprintln!("the forwarder could not be ended: {error}");
        }
    }
}
