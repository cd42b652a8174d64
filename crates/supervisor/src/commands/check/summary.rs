//! What a configuration means, in a few lines or as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::machine::Room;
use crate::chunk::Codec;
use crate::config::checked::{
    Admin, Backpressure, Config, Format, Input, InputKind, OnFull, Output, QueueMode, ReadFrom,
};
use crate::config::units::{Period, Size, approximate};
use crate::processing::Pipeline;

/// What a configuration means.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    data_dir: Directory,
    /// Only if there is one.
    admin: Option<AdminSummary>,
    inputs: Vec<InputSummary>,
    outputs: Vec<OutputSummary>,
}

#[derive(Debug, Serialize)]
struct Directory {
    path: PathBuf,
    exists: bool,
    /// Not known if the directory cannot be used.
    free_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct AdminSummary {
    listen: String,
    token: bool,
    tls: bool,
}

#[derive(Debug, Serialize)]
struct InputSummary {
    id: String,
    r#type: &'static str,
    /// Only with inputs that listen.
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    codec: &'static str,
    include: Vec<String>,
    exclude: Vec<String>,
    from_end: bool,
    /// The pipeline that its events go through first.
    pipeline: Option<String>,
}

#[derive(Debug, Serialize)]
struct OutputSummary {
    id: String,
    active: bool,
    stream_name: String,
    region: String,
    endpoint: Option<String>,
    /// The events that it takes, as a condition in VRL; nothing: all.
    r#where: Option<String>,
    /// What it takes goes to no output below it.
    r#final: bool,
    /// The pipeline that they go through.
    pipeline: Option<String>,
    /// What is added to them.
    system_fields: Vec<&'static str>,
    records: &'static str,
    backpressure: &'static str,
    /// Only with `backpressure: queue`.
    queue: Option<QueueSummary>,
}

#[derive(Debug, Serialize)]
struct QueueSummary {
    directory: Directory,
    mode: &'static str,
    backpressure_ms: Option<u128>,
    max_size_bytes: u64,
    max_segment_size_bytes: u64,
    min_free_bytes: u64,
    on_full: &'static str,
    strict_ordering: bool,
    /// Events per second; nothing: as many as go.
    drain_rate: Option<u64>,
    drain_bytes_per_sec: Option<u64>,
    compression: &'static str,
    max_age_ms: Option<u128>,
    retain_ms: Option<u128>,
    retain_size_bytes: Option<u64>,
    /// Nothing: a batch is durable before it counts as acknowledged.
    sync_ms: Option<u128>,
}

impl Summary {
    pub(super) fn new(config: &Config, rooms: &BTreeMap<PathBuf, Room>) -> Self {
        Self {
            data_dir: Directory::new(config.data_dir.clone(), rooms.get(&config.data_dir)),
            admin: config.admin.as_ref().map(AdminSummary::new),
            inputs: config.inputs.iter().map(InputSummary::new).collect(),
            outputs: config.outputs.iter().map(|output| OutputSummary::new(output, rooms)).collect(),
        }
    }
}

impl Directory {
    fn new(path: PathBuf, room: Option<&Room>) -> Self {
        Self {
            path,
            exists: room.is_some_and(|room| room.exists),
            free_bytes: room.map(|room| room.free_bytes),
        }
    }
}

impl AdminSummary {
    fn new(admin: &Admin) -> Self {
        let (token, tls) = (admin.token.is_some(), admin.tls.is_some());
        Self { listen: admin.listen.to_string(), token, tls }
    }
}

impl InputSummary {
    fn new(input: &Input) -> Self {
        let (include, exclude, from_end) = match &input.kind {
            InputKind::File(file) => {
                (file.include.clone(), file.exclude.clone(), file.read_from == ReadFrom::End)
            }
            _ => (Vec::new(), Vec::new(), false),
        };
        let codec = match input.codec {
            Codec::Text => "text",
            Codec::Json => "json",
        };
        let (r#type, listen) = (input.kind.name(), input.kind.tcp_address());
        Self {
            id: input.id.clone(),
            r#type,
            listen,
            codec,
            include,
            exclude,
            from_end,
            pipeline: name_of(input.pipeline.as_ref()),
        }
    }
}

fn name_of(pipeline: Option<&Arc<Pipeline>>) -> Option<String> {
    pipeline.map(|pipeline| pipeline.name.to_string())
}

impl OutputSummary {
    fn new(output: &Output, rooms: &BTreeMap<PathBuf, Room>) -> Self {
        let records = match output.format {
            Format::Gzip => "gzip",
            Format::Ndjson => "ndjson",
            Format::Event => "event",
        };
        Self {
            id: output.id.clone(),
            active: output.active,
            stream_name: output.stream_name.clone(),
            region: output.region.clone(),
            endpoint: output.endpoint.clone(),
            r#where: output.route.condition.as_ref().map(|condition| condition.source().trim().to_owned()),
            r#final: output.route.is_final,
            pipeline: name_of(output.route.pipeline.as_ref()),
            system_fields: output.route.system_fields.names().collect(),
            records,
            backpressure: output.backpressure.as_str(),
            queue: (output.backpressure == Backpressure::Queue).then(|| QueueSummary::new(output, rooms)),
        }
    }
}

impl QueueSummary {
    fn new(output: &Output, rooms: &BTreeMap<PathBuf, Room>) -> Self {
        let queue = &output.queue;
        let (mode, backpressure_ms) = match queue.mode {
            QueueMode::Error => ("error", None),
            QueueMode::Backpressure { after } => ("backpressure", Some(after.as_millis())),
            QueueMode::Always => ("always", None),
        };
        let on_full = match queue.on_full {
            OnFull::Block => "block",
            OnFull::Drop => "drop",
            OnFull::DropOldest => "drop_oldest",
        };
        Self {
            directory: Directory::new(queue.path.join(&output.id), rooms.get(&queue.path)),
            mode,
            backpressure_ms,
            max_size_bytes: queue.size_bytes_max,
            max_segment_size_bytes: queue.segment_bytes_max,
            min_free_bytes: queue.free_bytes_min,
            on_full,
            strict_ordering: queue.strict_ordering,
            drain_rate: limit(queue.drain.events_per_sec),
            drain_bytes_per_sec: limit(queue.drain.bytes_per_sec),
            compression: if queue.pack.is_some() { "gzip" } else { "none" },
            max_age_ms: queue.max_age.map(|period| period.as_millis()),
            retain_ms: queue.retain.map(|period| period.as_millis()),
            retain_size_bytes: queue.retain_bytes_max,
            sync_ms: queue.sync_every.map(|period| period.as_millis()),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data    {}", self.data_dir)?;
        if let Some(admin) = &self.admin {
            writeln!(f, "admin   {admin}")?;
        }
        for input in &self.inputs {
            writeln!(f, "input   {input}")?;
        }
        for output in &self.outputs {
            writeln!(f, "output  {output}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match (self.exists, self.free_bytes) {
            (_, None) => f.write_str(" (cannot be used)"),
            (true, Some(free)) => write!(f, " ({} free)", approximate(free)),
            (false, Some(free)) => write!(f, " (will be created, {} free)", approximate(free)),
        }
    }
}

impl fmt::Display for AdminSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let who = if self.token { "asks for the token" } else { "open to all users of this machine" };
        write!(f, "{scheme}://{}, {who}", self.listen)
    }
}

impl fmt::Display for InputSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.r#type)?;
        if let Some(listen) = self.listen {
            write!(f, " on {listen}")?;
        }
        if !self.include.is_empty() {
            write!(f, " {}", self.include.join(", "))?;
        }
        if !self.exclude.is_empty() {
            write!(f, " without {}", self.exclude.join(", "))?;
        }
        if self.from_end {
            f.write_str(", from the end")?;
        }
        write!(f, ", as {}", self.codec)?;
        match &self.pipeline {
            Some(pipeline) => write!(f, ", through {pipeline}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for OutputSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.id)?;
        if !self.active {
            f.write_str("inactive, it belongs to another environment; ")?;
        }
        write!(f, "stream {} in {}", self.stream_name, self.region)?;
        if let Some(endpoint) = &self.endpoint {
            write!(f, " at {endpoint}")?;
        }
        if let Some(condition) = &self.r#where {
            let condition = condition.split_whitespace().collect::<Vec<_>>().join(" ");
            write!(f, ", events of which {condition}")?;
        }
        if let Some(pipeline) = &self.pipeline {
            write!(f, ", through {pipeline}")?;
        }
        if self.r#final {
            f.write_str(", to no output below it")?;
        }
        let records = match self.records {
            "gzip" => "records of many events, gzip",
            "ndjson" => "records of many events, not compressed",
            _ => "a record for each event",
        };
        write!(f, ", {records}; while it cannot take events: ")?;
        match &self.queue {
            None if self.backpressure == "drop" => f.write_str("they are dropped"),
            None => f.write_str("inputs wait"),
            Some(queue) => write!(f, "queue\n        {queue}"),
        }
    }
}

impl fmt::Display for QueueSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = match (self.mode, self.backpressure_ms) {
            ("always", _) => "for every batch".to_owned(),
            (_, Some(after)) => {
                format!("when the output is unhealthy or has pushed back for {}", period(after))
            }
            _ => "when the output is unhealthy".to_owned(),
        };
        let then = match self.on_full {
            "block" => "inputs wait",
            "drop" => "new batches are dropped",
            _ => "the oldest batches are given up",
        };
        write!(
            f,
            "queue {}, {used}\n        up to {} in files of {}, {} kept free; when full, {then}",
            self.directory,
            Size(self.max_size_bytes),
            Size(self.max_segment_size_bytes),
            Size(self.min_free_bytes),
        )?;
        if !self.strict_ordering {
            f.write_str("; new events pass what is queued")?;
        }
        let limits = [
            self.drain_rate.map(|events| format!("{events} events")),
            self.drain_bytes_per_sec.map(|bytes| Size(bytes).to_string()),
        ];
        let limits: Vec<String> = limits.into_iter().flatten().collect();
        if !limits.is_empty() {
            write!(f, "; drained at up to {} a second", limits.join(" and "))?;
        }
        if self.compression == "gzip" {
            f.write_str("; packed on disk")?;
        }
        if let Some(age) = self.max_age_ms {
            write!(f, "; batches older than {} are given up", period(age))?;
        }
        match (self.retain_ms, self.retain_size_bytes) {
            (None, None) => {}
            (Some(time), None) => write!(f, "; delivered ones are kept for {}", period(time))?,
            (None, Some(size)) => write!(f, "; delivered ones are kept up to {}", Size(size))?,
            (Some(time), Some(size)) => {
                write!(f, "; delivered ones are kept for {}, up to {}", period(time), Size(size))?;
            }
        }
        if let Some(interval) = self.sync_ms {
            let interval = period(interval);
            write!(f, "; synced within {interval}, which is what a power failure may cost")?;
        }
        Ok(())
    }
}

/// 0 is no limit.
fn limit(per_sec: u64) -> Option<u64> {
    Some(per_sec).filter(|per_sec| *per_sec > 0)
}

fn period(milliseconds: u128) -> Period {
    Period(std::time::Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX)))
}
