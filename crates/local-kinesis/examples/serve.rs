//! Serves a stream until Ctrl-C: `cargo run --example serve -- ADDR NAME:SHARDS [FAULT …]`.
//! The environment variables `COUNT_ONLY` and `WRITE_EVENTS` stand for the options of these names.

use millpond_local_kinesis::{Keep, Options, start};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    let stream = args.next().unwrap_or_else(|| "logs:4".to_owned()).parse()?;
    let faults = args.map(|fault| fault.parse()).collect::<Result<_, _>>()?;
    let keep = if std::env::var_os("COUNT_ONLY").is_some() { Keep::CountOnly } else { Keep::All };
    let write_events = std::env::var_os("WRITE_EVENTS").map(Into::into);
    let options = Options { listen, streams: vec![stream], keep, faults, write_events, ..Options::default() };
    let server = start(options).await?;
    println!("{}", server.endpoint());
    tokio::signal::ctrl_c().await?;
    let counts = server.shutdown().await?;
    println!("{} records, {} events, {} bytes", counts.records, counts.events, counts.bytes);
    Ok(())
}
