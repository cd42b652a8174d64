//! Pausing and resuming an output.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use super::answer::{self, Answer};
use crate::driver::Control;
use crate::output_state::Condition;
use crate::registry::{OutputEntry, Registry, RunningOutput};

/// How long an output may take to hear what is asked of it. It does so between two things that it does.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
struct Done<'a> {
    output: &'a str,
    state: &'static str,
    note: &'static str,
}

/// The output of this name, if it runs.
#[expect(clippy::result_large_err, reason = "an answer is made once a request, and goes out at once")]
pub(super) fn find(registry: &Registry, id: &str) -> Result<Arc<OutputEntry>, Answer> {
    let listed = registry.listed();
    match listed.outputs.iter().find(|output| &*output.id == id) {
        None => {
            let ids: Vec<_> = listed.outputs.iter().map(|output| &*output.id).collect();
            let remedy = format!("the outputs are: {}", ids.join(", "));
            Err(answer::problem(StatusCode::NOT_FOUND, format!("there is no output `{id}`"), remedy))
        }
        Some(output) => match &output.running {
            Ok(_) => Ok(Arc::clone(output)),
            Err(why) => {
                let error = format!("the output `{id}` is not active: {why}");
                let remedy = "start millpond with its environment (--environment, MILLPOND_ENVIRONMENT)";
                Err(answer::problem(StatusCode::CONFLICT, error, remedy))
            }
        },
    }
}

/// Pauses the output, or resumes it, and answers when it has heard of it.
pub(super) async fn pause(registry: &Registry, id: &str, pause: bool) -> Answer {
    let output = match find(registry, id) {
        Ok(output) => output,
        Err(answer) => return answer,
    };
    let Ok(running) = &output.running else { return gone(id) };
    let control = if pause { Control::Pause } else { Control::Resume };
    match tokio::time::timeout(PATIENCE, tell(running, control)).await {
        Ok(Some(condition)) => {
            tracing::info!(
                output = id,
                state = condition.as_str(),
                "{}",
                if pause { PAUSED } else { RESUMED }
            );
            let note = if pause { PAUSED } else { RESUMED };
            answer::json(StatusCode::OK, &Done { output: id, state: condition.as_str(), note })
        }
        Ok(None) => gone(id),
        Err(_) => answer::problem(
            StatusCode::GATEWAY_TIMEOUT,
            format!("the output `{id}` has not answered within {} s", PATIENCE.as_secs()),
            "look at /api/v1/status: it may still do it",
        ),
    }
}

const PAUSED: &str =
    "paused by the admin address; nothing of this outlives the process: after a restart it runs again";
const RESUMED: &str = "resumed by the admin address: the shards are verified, then it goes on";

/// Gives the order and waits until it shows; nothing if the output has ended.
async fn tell(running: &RunningOutput, control: Control) -> Option<Condition> {
    let mut state = running.state.clone();
    running.control.send(control).await.ok()?;
    loop {
        let condition = state.now().condition;
        if (condition == Condition::Paused) == (control == Control::Pause) {
            return Some(condition);
        }
        if !state.changed().await {
            return None;
        }
    }
}

pub(super) fn gone(id: &str) -> Answer {
    answer::problem(
        StatusCode::CONFLICT,
        format!("the output `{id}` is stopping"),
        "ask again when it runs; /api/v1/status says what does",
    )
}
