//! What it costs while nothing comes.

use std::time::Duration;

use millpond_local_kinesis::Keep;

use crate::forwarder::{Forwarder, endpoint, fresh};
use crate::table::Goal;
use crate::{Bench, line};

/// What a start or a burst leaves behind has settled by then.
const SETTLE: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_secs(30);

/// Looks at a forwarder that has nothing to do, and at one that has just had a lot to do.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let server = endpoint(Keep::CountOnly).await?;
    let (quiet, busy) = (fresh(&bench.directory, "idle")?, fresh(&bench.directory, "idle-later")?);
    let settings = "backpressure: queue\nqueue: { mode: always, min_free: \"16 MiB\" }";
    let few = quiet.join("app.log");
    std::fs::write(&few, "one\n")?;
    let mut idle = Forwarder::start(&quiet, &few.display().to_string(), &server.endpoint(), settings)?;
    idle.until_arrived(&server, 1).await?;
    let server = endpoint(Keep::CountOnly).await?;
    let all = bench.corpus.path.display().to_string();
    let mut loaded = Forwarder::start(&busy, &all, &server.endpoint(), settings)?;
    loaded.until_arrived(&server, bench.corpus.lines).await?;
    tokio::time::sleep(SETTLE).await;
    for (what, forwarder) in [("idle since its start", &idle), ("idle after the corpus", &loaded)] {
        let (cpu, wake_ups) = (forwarder.cpu()?, forwarder.wake_ups()?);
        tokio::time::sleep(WATCH).await;
        let (cpu, wake_ups) = (forwarder.cpu()? - cpu, forwarder.wake_ups()? - wake_ups);
        let seconds = WATCH.as_secs_f64();
        let figures = format!(
            "{:.2} ms of cpu/s, {:.1} wake-ups/s",
            cpu.as_secs_f64() * 1e3 / seconds,
            wake_ups as f64 / seconds
        );
        line(what, &figures, None);
        let resident = forwarder.resident()?.0 as f64 / 1e6;
        line(
            "  resident",
            &format!("{resident:.1} MB"),
            Some(Goal::at_most(resident, 15.0).with_unit(" MB")),
        );
    }
    Ok(())
}
