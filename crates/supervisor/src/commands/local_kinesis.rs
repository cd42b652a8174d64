//! `millpond local-kinesis`: the embedded endpoint, for trials and tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use millpond_local_kinesis::{Fault, Keep, Options, RoleLifetime, StreamSpec, start};
use tokio::signal::unix::{SignalKind, signal};

use crate::logging::{self, LogArgs};

/// Arguments of `millpond local-kinesis`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
While it runs, http://ADDR/_local/ switches and tells:
  curl -X POST   http://ADDR/_local/faults -d 'throttle:0.4,for=10s'
  curl           http://ADDR/_local/faults
  curl -X DELETE http://ADDR/_local/faults
  curl           http://ADDR/_local/counts
  curl           http://ADDR/_local/events

Faults: down reset hang slow:DURATION rate:BYTES_PER_SEC portal empty error500 truncated throttle:P partial:P
  denied expired-token skew:DURATION not-found gap list-denied refuse:TEXT accept-then-reset
  each with ,shard=ID ,op=OPERATION ,for=DURATION

Examples:
    $ millpond local-kinesis --stream logs:4
    $ millpond local-kinesis --stream logs:4 --fault down,for=30s")]
pub struct LocalKinesisArgs {
    /// Where to listen. Loopback only: this endpoint checks no signature.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4567")]
    pub listen: SocketAddr,
    /// A second address for /_local/ that stays reachable while the fault `down` is on.
    #[arg(long, value_name = "ADDR")]
    pub control_listen: Option<SocketAddr>,
    /// A stream that exists from the beginning; may be repeated.
    #[arg(long = "stream", value_name = "NAME:SHARDS[:RECORD_KIB]", required = true)]
    pub streams: Vec<StreamSpec>,
    /// A fault that is on from the beginning; may be repeated.
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<Fault>,
    /// Count what comes in and forget it, so that memory stays flat.
    #[arg(long)]
    pub count_only: bool,
    /// Append every accepted event to this file, one JSON line each.
    #[arg(long, value_name = "FILE")]
    pub write_events: Option<PathBuf>,
    /// Refuse what exceeds a shard's 1 MiB or 1,000 records a second, as the service does.
    #[arg(long)]
    pub enforce_throughput: bool,
    /// Credentials of AssumeRole run out after this time, however long they were asked for. With `,unstated` they say
    /// that they last as long as was asked for all the same, like those of a session that is revoked.
    #[arg(long, value_name = "DURATION[,unstated]")]
    pub role_lifetime: Option<RoleLifetime>,
}

/// Serves until SIGTERM or SIGINT, then says what came in.
#[must_use]
pub fn run(args: &LocalKinesisArgs, log: &LogArgs) -> ExitCode {
    let held_back = match logging::init(log) {
        Ok(held_back) => held_back,
        Err(error) => {
            logging::complain(&format!("millpond: {error}"));
            return ExitCode::from(2);
        }
    };
    if !args.listen.ip().is_loopback() {
        eprintln!(
            "millpond: --listen {} is not a loopback address; use 127.0.0.1:PORT or [::1]:PORT",
            args.listen
        );
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let served = match runtime {
        Ok(runtime) => {
            runtime.spawn(held_back.clone().say_in_time());
            runtime.block_on(serve(args))
        }
        Err(error) => Err(error.into()),
    };
    held_back.say_all();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millpond: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &LocalKinesisArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let options = Options {
        listen: args.listen,
        control_listen: args.control_listen,
        streams: args.streams.clone(),
        faults: args.faults.clone(),
        keep: if args.count_only { Keep::CountOnly } else { Keep::All },
        write_events: args.write_events.clone(),
        enforce_throughput: args.enforce_throughput,
        role_lifetime: args.role_lifetime,
        ..Options::default()
    };
    let server = start(options).await?;
    // Standard output carries this one line, so that scripts can wait for it and read the port.
    println!("listening on {}", server.endpoint());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let counts = server.shutdown().await?;
    println!("{} records, {} events, {} bytes accepted", counts.records, counts.events, counts.bytes);
    Ok(())
}
