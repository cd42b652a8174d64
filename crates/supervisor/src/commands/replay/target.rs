//! Where a replay goes.

use std::path::PathBuf;
use std::time::Duration;

use millpond_kinesis::OutputOptions;
use millpond_kinesis::aws::Settings;
use millpond_queue::Options;

use super::super::failure::Failure;
use super::super::place::{self, Owner};
use super::ReplayArgs;
use crate::client_settings;
use crate::output::output_options;
use crate::rate::DrainLimits;

/// Batches in flight where neither an output nor the command line says it.
const CONCURRENCY: u32 = 5;
/// How long a stop waits for what flies where no configuration says it.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Where it goes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TargetArgs {
    /// An output of the configuration; without it, the one whose queue it is
    #[arg(long, value_name = "OUTPUT", conflicts_with = "stream")]
    to: Option<String>,
    /// Any stream, with the credentials that the AWS tools would find
    #[arg(long, value_name = "NAME", requires = "region")]
    stream: Option<String>,
    /// Its region
    #[arg(long, value_name = "REGION", requires = "stream")]
    region: Option<String>,
    /// Its endpoint, if it is not the region's own
    #[arg(long, value_name = "URL", requires = "stream")]
    endpoint: Option<String>,
}

/// A target that was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) stream: String,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) client: Settings,
    pub(super) options: OutputOptions,
    pub(super) concurrency: u32,
    pub(super) limits: DrainLimits,
    pub(super) free_bytes_min: u64,
    /// What the letters refused on the way may occupy.
    pub(super) dead_letters_bytes_max: u64,
    pub(super) stop_max: Duration,
    /// Where the cursors of replays are.
    pub(super) state: PathBuf,
}

/// The target that is meant. Talks to nobody.
pub(super) fn find(args: &ReplayArgs, owner: Option<&Owner>) -> Result<Found, Failure> {
    let mut found = match (&args.target.stream, &args.target.to) {
        (Some(stream), _) => any_stream(args, stream, owner)?,
        (None, Some(to)) => {
            let config = match owner {
                Some(owner) => owner.config.clone(),
                None => args.config.load()?,
            };
            output(args, &place::owner(config, Some(to))?)
        }
        (None, None) => match owner {
            Some(owner) => output(args, owner),
            None => {
                return Err(Failure::usage(
                    "say where it is to go: --to OUTPUT of the configuration, or --stream NAME --region REGION",
                ));
            }
        },
    };
    if let Some(concurrency) = args.how.concurrency {
        found.concurrency = concurrency;
    }
    if let Some(rate) = args.how.rate {
        found.limits.events_per_sec = rate;
    }
    if let Some(bytes) = args.how.bytes_per_sec {
        found.limits.bytes_per_sec = bytes.0;
    }
    Ok(found)
}

fn output(args: &ReplayArgs, owner: &Owner) -> Found {
    let output = owner.output();
    Found {
        stream: output.stream_name.clone(),
        region: output.region.clone(),
        endpoint: output.endpoint.clone(),
        client: client_settings::of(output),
        // Each batch has a call of its own, so that it is clear what flies.
        options: OutputOptions { shared_calls_max: None, ..output_options(output) },
        concurrency: output.concurrency,
        limits: output.queue.drain,
        free_bytes_min: output.queue.free_bytes_min,
        dead_letters_bytes_max: output.dead_letters_bytes_max,
        stop_max: owner.config.shutdown_timeout,
        state: args.how.state.clone().unwrap_or_else(|| owner.config.data_dir.join("replays")),
    }
}

fn any_stream(args: &ReplayArgs, stream: &str, owner: Option<&Owner>) -> Result<Found, Failure> {
    let region = args.target.region.clone().unwrap_or_default();
    let endpoint = args.target.endpoint.clone();
    let state = match (&args.how.state, owner) {
        (Some(state), _) => state.clone(),
        (None, Some(owner)) => owner.config.data_dir.join("replays"),
        (None, None) => home_state()?,
    };
    Ok(Found {
        stream: stream.to_owned(),
        region: region.clone(),
        endpoint: endpoint.clone(),
        client: Settings { endpoint, ..Settings::new(region) },
        options: OutputOptions::default(),
        concurrency: CONCURRENCY,
        limits: DrainLimits::default(),
        free_bytes_min: 0,
        dead_letters_bytes_max: Options::default().size_bytes_max,
        stop_max: STOP_MAX,
        state,
    })
}

/// Where programs keep what they must know the next time (the XDG base directories).
fn home_state() -> Result<PathBuf, Failure> {
    let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = directory("XDG_STATE_HOME").or_else(|| Some(directory("HOME")?.join(".local/state")));
    base.map(|base| base.join("millpond/replays")).ok_or_else(|| {
        Failure::usage(
            "there is no HOME to keep the cursor of the replay in; say with --state DIR where it shall be",
        )
    })
}
