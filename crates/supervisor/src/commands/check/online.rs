//! `millpond check --online`: what the service itself says of an output. Nothing is stored there.

mod judge;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_kinesis::aws::{AwsClient, Found, Identity, StreamSummary, TryPut};
use millpond_kinesis::output::Api;
use millpond_kinesis::{Failure, Output as KinesisOutput, OutputOptions, Verification};
use serde::Serialize;

use super::iam;
use crate::client_settings;
use crate::config::checked::{Config, Output};

/// What was found out about an output.
#[derive(Debug, Serialize)]
pub(super) struct OutputReport {
    output: String,
    stream_name: String,
    /// The endpoint, or the region.
    place: String,
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    verdict: Verdict,
    /// `credentials`, `identity`, `connection`, `tls`, `stream`, `shards`, `put` or `clock`.
    what: &'static str,
    message: String,
    /// What to do about it; nothing where all is well.
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// All is well.
    Ok,
    /// It works, but this is probably not meant.
    Warning,
    /// It cannot work.
    Problem,
    /// Something before it has to work first.
    Skipped,
}

impl OutputReport {
    /// How many checks ended so.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

/// What the service said. What was not asked, because it could not be answered, is `None`.
struct Answers {
    credentials: Result<Found, Failure>,
    identity: Option<Result<Identity, Failure>>,
    stream: Option<Result<StreamSummary, Failure>>,
    /// How long that took.
    took: Duration,
    shards: Option<Verification>,
    put: Option<TryPut>,
    /// Milliseconds that the service's clock is ahead.
    clock_ahead_ms: Option<i64>,
    proxy: Option<String>,
    tls: bool,
}

/// Asks the service about every active output, one after the other.
pub(super) fn look(config: &Config) -> std::io::Result<Vec<OutputReport>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async {
        let mut reports = Vec::new();
        for output in config.outputs.iter().filter(|output| output.active) {
            reports.push(look_at(output).await);
        }
        reports
    }))
}

async fn look_at(output: &Output) -> OutputReport {
    let checks = match AwsClient::connect(client_settings::of(output)).await {
        Ok(client) => judge::checks(output, &ask(output, client).await),
        Err(failure) => vec![judge::unusable(&failure)],
    };
    OutputReport {
        output: output.id.clone(),
        stream_name: output.stream_name.clone(),
        place: output.endpoint.clone().unwrap_or_else(|| output.region.clone()),
        checks,
    }
}

async fn ask(output: &Output, client: AwsClient) -> Answers {
    let mut answers = Answers {
        credentials: client.find_credentials().await,
        identity: None,
        stream: None,
        took: Duration::ZERO,
        shards: None,
        put: None,
        clock_ahead_ms: None,
        proxy: client.proxy(),
        tls: client.uses_tls(),
    };
    if answers.credentials.is_ok() {
        answers.identity = Some(client.identity().await);
        let begin = Instant::now();
        let stream = client.describe(&output.stream_name).await;
        answers.took = begin.elapsed();
        let reached = !stream.as_ref().is_err_and(judge::is_about_the_way);
        answers.stream = Some(stream);
        if reached {
            let options =
                OutputOptions { use_list_shards: output.use_list_shards, ..OutputOptions::default() };
            let shards = KinesisOutput::new(Arc::new(client.clone()), output.stream_name.clone(), options);
            answers.shards = Some(shards.verify().await);
            let api = if iam::puts_several(output) { Api::PutRecords } else { Api::PutRecord };
            answers.put = Some(client.try_put(&output.stream_name, api).await);
        }
        answers.clock_ahead_ms = client.clock_ahead_ms();
    }
    answers
}

impl fmt::Display for OutputReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "online  {}: stream {} at {}", self.output, self.stream_name, self.place)?;
        self.checks.iter().try_for_each(|check| write!(f, "{check}"))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
            Verdict::Skipped => "skipped",
        };
        writeln!(f, "        {verdict:<8} {:<12} {}", self.what, self.message)?;
        match &self.remedy {
            Some(remedy) => writeln!(f, "{:29} {remedy}", ""),
            None => Ok(()),
        }
    }
}
