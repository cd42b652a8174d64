//! A forwarder process, an embedded endpoint, a log file between them, and what became of each line.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millpond::drill::{ForwarderProcess, Proof, QueueGauge, Said};
use millpond_local_kinesis::{Fault, FaultId, Options, Server, StreamSpec, start};
use tokio::time::Instant;

/// Nothing here takes longer than this on a machine that is not stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// The forwarder's resident set never grows beyond this.
const RESIDENT_BYTES_MAX: u64 = 64 << 20;

const LINES: [&str; 2] =
    [include_str!("../../fixtures/logs/gateway.log"), include_str!("../../fixtures/logs/shop.log")];

/// One forwarder, one endpoint, one log file.
pub(crate) struct World {
    directory: tempfile::TempDir,
    pub(crate) server: Server,
    forwarder: Option<ForwarderProcess>,
    /// The next forwarder is started by this command, which turns into it.
    pub(crate) under: Option<Command>,
    log_file: File,
    lines: Vec<&'static str>,
    pub(crate) written: u64,
    /// What all forwarders of this world have said.
    pub(crate) said: Vec<Said>,
    pub(crate) gauge: QueueGauge,
    /// The most memory that a forwarder of this world has had, in bytes, as far as it has ended.
    pub(crate) peak_memory: u64,
}

impl World {
    /// A world whose output has these settings besides the stream and the endpoint; nothing runs but the endpoint.
    pub(crate) async fn new(shards: u32, settings: &str) -> Self {
        let options =
            Options { streams: vec![StreamSpec::new("logs", shards)], seed: Some(7), ..Options::default() };
        let server = start(options).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let settings: String = settings.lines().map(|line| format!("    {}\n", line.trim())).collect();
        let config = format!(
            "data_dir: data\ninputs:\n  app: {{ type: file, include: [\"*.log\"] }}\n\
             outputs:\n  main:\n    type: kinesis\n    stream_name: logs\n    region: us-east-1\n    \
             endpoint: \"{}\"\n    auth: {{ method: manual, access_key: test, secret_key: test }}\n{settings}",
            server.endpoint()
        );
        std::fs::write(directory.path().join("millpond.yaml"), config).unwrap();
        let log_file = File::create(directory.path().join("app.log")).unwrap();
        Self {
            gauge: QueueGauge::new(directory.path().join("data/queues/main")),
            server,
            forwarder: None,
            under: None,
            log_file,
            lines: LINES.iter().flat_map(|file| file.lines()).filter(|line| line.len() < 8192).collect(),
            written: 0,
            said: Vec::new(),
            peak_memory: 0,
            directory,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("millpond.yaml")
    }

    /// Changes the configuration, in one step as a careful editor does.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let config = std::fs::read_to_string(self.config()).unwrap();
        assert!(config.contains(from), "{from:?} is not in {config}");
        std::fs::write(self.path("millpond.yaml.new"), config.replace(from, to)).unwrap();
        std::fs::rename(self.path("millpond.yaml.new"), self.config()).unwrap();
    }

    /// Asks the forwarder to read its configuration again.
    pub(crate) fn hang_up(&self) {
        self.forwarder.as_ref().expect("a forwarder runs").signal(rustix::process::Signal::HUP).unwrap();
    }

    /// Appends numbered lines to the log file.
    pub(crate) fn write_lines(&mut self, count: u64) {
        let mut buffer = Vec::new();
        for number in self.written..self.written + count {
            let line = self.lines[number as usize % self.lines.len()];
            writeln!(buffer, "#{number} {line}").unwrap();
        }
        self.log_file.write_all(&buffer).unwrap();
        self.written += count;
    }

    pub(crate) fn start(&mut self) {
        assert!(self.forwarder.is_none());
        let (millpond, config) = (Path::new(env!("CARGO_BIN_EXE_millpond")), self.config());
        let started = match self.under.take() {
            None => ForwarderProcess::start(millpond, &config),
            Some(wrapper) => ForwarderProcess::start_under(&wrapper, millpond, &config),
        };
        self.forwarder = Some(started.unwrap());
    }

    pub(crate) async fn kill_9(&mut self) {
        let mut forwarder = self.forwarder.take().expect("a forwarder runs");
        self.peak_memory = self.peak_memory.max(forwarder.kill_9().await.unwrap());
        self.hear_out(&mut forwarder).await;
    }

    /// Stops the forwarder; it must end cleanly.
    pub(crate) async fn stop(&mut self) {
        let mut forwarder = self.forwarder.take().expect("a forwarder runs");
        let (memory, said) = forwarder.stop().await.unwrap();
        self.peak_memory = self.peak_memory.max(memory);
        self.said.extend(said);
    }

    /// Waits until the forwarder ends by itself; it must end cleanly.
    pub(crate) async fn ended(&mut self) {
        let mut forwarder = self.forwarder.take().expect("a forwarder runs");
        let said = tokio::time::timeout(PATIENCE, forwarder.ended()).await.expect("it ends").unwrap();
        self.said.extend(said);
    }

    async fn hear_out(&mut self, forwarder: &mut ForwarderProcess) {
        // The last line of a killed process may be cut off.
        while let Ok(Some(said)) = forwarder.next_line().await {
            self.said.push(said);
        }
    }

    pub(crate) fn fault(&self, text: &str) -> FaultId {
        self.server.faults().set(text.parse::<Fault>().unwrap())
    }

    pub(crate) fn clear(&self, fault: FaultId) {
        assert!(self.server.faults().clear(fault));
    }

    /// Lets time pass, listening to the forwarder and writing `rate` lines a second.
    pub(crate) async fn live(&mut self, duration: Duration, rate: u64) {
        const TICK: Duration = Duration::from_millis(50);
        let mut ticks = tokio::time::interval_at(Instant::now() + TICK, TICK);
        for _ in 0..duration.div_duration_f64(TICK) as u64 {
            self.write_lines(rate / 20);
            let next = ticks.tick();
            tokio::pin!(next);
            loop {
                let forwarder = self.forwarder.as_mut();
                let line = async {
                    match forwarder {
                        Some(forwarder) => forwarder.next_line().await.unwrap(),
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = &mut next => break,
                    said = line => self.said.push(said.expect("a running forwarder's log has no end")),
                }
            }
        }
    }

    /// Waits until the forwarder says something of which `wanted` is true.
    pub(crate) async fn hear(&mut self, what: &str, wanted: impl Fn(&Said) -> bool) {
        let until = Instant::now() + PATIENCE;
        let forwarder = self.forwarder.as_mut().expect("a forwarder runs");
        loop {
            let line = tokio::time::timeout_at(until, forwarder.next_line()).await;
            let said = line.unwrap_or_else(|_| panic!("never heard: {what}; but: {:#?}", self.said));
            let said = said.unwrap().unwrap();
            let found = wanted(&said);
            self.said.push(said);
            if found {
                return;
            }
        }
    }

    /// Waits until all that was written has arrived, and gives the proof.
    pub(crate) async fn arrived(&mut self) -> Proof {
        self.arrived_within(PATIENCE).await
    }

    pub(crate) async fn arrived_within(&mut self, patience: Duration) -> Proof {
        let until = Instant::now() + patience;
        loop {
            let late = Instant::now() >= until;
            if self.server.counts().events >= self.written || late {
                let proof = Proof::take(self.written, &self.server.records());
                if proof.missing == 0 || late {
                    return proof;
                }
            }
            self.live(Duration::from_millis(100), 0).await;
        }
    }

    /// Did the forwarder say a text that contains `words`, in a message or in its reason?
    pub(crate) fn has_said(&self, words: &str) -> bool {
        self.times_said(words) > 0
    }

    /// How often it did.
    pub(crate) fn times_said(&self, words: &str) -> usize {
        let contains = |text: &str| text.to_lowercase().contains(&words.to_lowercase());
        let says = |said: &&Said| contains(&said.message) || said.reason.as_deref().is_some_and(contains);
        self.said.iter().filter(says).count()
    }

    /// The last number that the forwarder gave under this name.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let number = |said: &Said| said.fields.get(name).and_then(serde_json::Value::as_u64);
        self.said.iter().rev().find_map(number).unwrap_or_else(|| panic!("no {name} in {:#?}", self.said))
    }

    /// The end: the forwarder stops, everything has arrived as it was written, memory stayed in its bounds.
    pub(crate) async fn finish(mut self, repeated_max: u64) -> Proof {
        let proof = self.arrived().await;
        if self.forwarder.is_some() {
            self.stop().await;
        }
        let proof = Proof::take(proof.written, &self.server.records());
        assert!(proof.holds(), "{proof:#?}\n{:#?}", self.said);
        assert!(proof.repeated <= repeated_max, "{proof:#?}\n{:#?}", self.said);
        assert!(self.peak_memory < RESIDENT_BYTES_MAX, "{} bytes resident", self.peak_memory);
        proof
    }
}
