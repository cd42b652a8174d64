//! What there is once.

use super::*;
use crate::metrics::read::seconds;
use crate::registry::Stage;

pub(super) static FAMILIES: &[Family] = &[
    family(
        "millpond_build_info",
        Gauge,
        "1",
        &["version", "environment"],
        "Always 1: the version that runs, and the name of the environment that it was given.",
        Read::ProcessBy(|moment| {
            let labels = vec![env!("CARGO_PKG_VERSION").to_owned(), moment.registry.environment().to_owned()];
            vec![(labels, 1.into())]
        }),
    ),
    family(
        "millpond_start_time_seconds",
        Gauge,
        "seconds since the Unix epoch",
        &[],
        "When the process started.",
        Read::Process(|moment| seconds(moment.registry.started_ms())),
    ),
    family(
        "millpond_ready",
        Gauge,
        "0 or 1",
        &[],
        "1 while every input takes events, as /readyz says.",
        Read::Process(|moment| {
            (moment.stage == Stage::Running && moment.inputs.iter().all(|input| input.stage.is_ready()))
                .into()
        }),
    ),
    family(
        "millpond_config_reloads_total",
        Counter,
        "reloads",
        &["result"],
        "Times that the configuration was read again: it was taken (success), or refused for its problems while the old one goes on (refused).",
        Read::ProcessBy(|moment| {
            let reloads = moment.registry.reloads();
            vec![
                (vec!["success".to_owned()], reloads.succeeded.get().into()),
                (vec!["refused".to_owned()], reloads.refused.get().into()),
            ]
        }),
    ),
    family(
        "millpond_config_last_reload_successful",
        Gauge,
        "0 or 1",
        &[],
        "0 while the file holds a configuration that was refused, so that an older one runs.",
        Read::Process(|moment| (!moment.registry.reloads().is_refused()).into()),
    ),
    family(
        "millpond_config_last_reload_success_timestamp_seconds",
        Gauge,
        "seconds since the Unix epoch",
        &[],
        "When the configuration that runs was taken: at the last reload that succeeded, or at the start.",
        Read::Process(|moment| seconds(moment.registry.reloads().taken_ms())),
    ),
    family(
        "millpond_log_held_back_lines_total",
        Counter,
        "lines",
        &[],
        "Warnings and errors of the log that were held back since they repeat themselves. The log says how many of each kind at the end of each period.",
        Read::ProcessBy(|moment| {
            moment.registry.lines_held_back().into_iter().map(|lines| (Vec::new(), lines.into())).collect()
        }),
    ),
];
