//! What the service does, in one line for `systemctl status`.

use std::fmt::Write as _;

use tokio::task::JoinSet;

use crate::registry::{InputStage, Listed, OutputEntry};

/// How many inputs accept, and what each output does.
pub(super) fn in_words(listed: &Listed) -> String {
    let accepting = listed.inputs.iter().filter(|input| input.stage() == InputStage::Accepting).count();
    let mut line = format!("{accepting} of {} inputs accept; outputs: ", listed.inputs.len());
    for (number, output) in listed.outputs.iter().enumerate() {
        let separator = if number > 0 { ", " } else { "" };
        write!(line, "{separator}{} {}", output.id, condition(output)).expect("a String takes everything");
    }
    line
}

fn condition(output: &OutputEntry) -> &'static str {
    output.running.as_ref().map_or("inactive", |running| running.state.now().condition.as_str())
}

/// Tells the line whenever it is another than was `told`, until all outputs have ended.
pub(super) async fn follow(listed: &Listed, mut told: String, mut tell: impl FnMut(&str)) {
    let running = listed.outputs.iter().filter_map(|output| output.running.as_ref().ok());
    let mut changes: JoinSet<_> = running
        .map(|running| {
            let mut state = running.state.clone();
            async move { state.changed().await.then_some(state) }
        })
        .collect();
    loop {
        let line = in_words(listed);
        if line != told {
            tell(&line);
            told = line;
        }
        match changes.join_next().await {
            Some(Ok(Some(mut state))) => {
                changes.spawn(async move { state.changed().await.then_some(state) });
            }
            // One has ended.
            Some(_) => {}
            None => return,
        }
    }
}
