//! Reads a configuration again and finds out, before anything is touched, whether it can take the place of the one that
//! runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Source;
use super::watch::can_be_read_again;
use crate::config::checked::{Config, Input, InputKind, Output};
use crate::config::{self, Problems};
use crate::output::{OutputError, Prepared};

/// Why a configuration does not take the place of the one that runs.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It is bad in itself.
    #[error("\n{0}")]
    Bad(Problems),
    /// An output of it cannot be made.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// There is no other one where it came from.
    #[error(
        "{0} is a pipe or the like and was read at the start: restart millpond with the new configuration"
    )]
    ReadOnce(String),
    /// It changes what cannot change while the process runs.
    #[error("{0}: restart millpond for that, or change it back")]
    NeedsRestart(&'static str),
}

/// Outputs that are new or changed, by id, ready to start.
pub(super) type PreparedOutputs = BTreeMap<String, Prepared>;

/// Reads the configuration anew. What comes back can be applied as a whole.
pub(super) async fn load(running: &Config, source: &Source) -> Result<(Config, PreparedOutputs), Refused> {
    if !can_be_read_again(&source.path) {
        return Err(Refused::ReadOnce(source.path.display().to_string()));
    }
    let (config, warnings) = config::load(&source.path, &source.environment).map_err(Refused::Bad)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if let Some(what) = needs_restart(running, &config) {
        return Err(Refused::NeedsRestart(what));
    }
    let before = wanted_outputs(running);
    let mut prepared = PreparedOutputs::new();
    for output in wanted_outputs(&config) {
        let same = before.iter().any(|old| old.id == output.id && old.runs_like(&output));
        if !same {
            prepared.insert(output.id.clone(), Prepared::new(output).await?);
        }
    }
    Ok((config, prepared))
}

/// What differs and cannot change while the process runs.
fn needs_restart(running: &Config, new: &Config) -> Option<&'static str> {
    let stdin = |config: &Config| -> Option<Input> {
        config.inputs.iter().find(|input| input.kind == InputKind::Stdin).cloned()
    };
    if running.data_dir != new.data_dir {
        return Some("`data_dir` is another one");
    }
    let same_stdin = match (stdin(running), stdin(new)) {
        (Some(old), Some(new)) => old.runs_like(&new),
        (old, new) => old.is_none() && new.is_none(),
    };
    if !same_stdin {
        return Some("the input that reads standard input is another one");
    }
    None
}

/// The outputs that a configuration wants to run: the active ones, and those that drain what former ones left.
pub(super) fn wanted_outputs(config: &Config) -> Vec<Arc<Output>> {
    let mut wanted = Vec::new();
    for output in config.outputs.iter().filter(|output| output.active) {
        wanted.push(Arc::new(output.clone()));
        let left = output.adopt.iter().map(|id| output.adopting(id));
        wanted.extend(left.filter(|left| left.queue_directory().is_dir()).map(Arc::new));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    fn config(top: &str, inputs: &str) -> Config {
        let text = format!(
            "{top}\ninputs: {{ {inputs} }}\noutputs:\n  main: {{ type: kinesis, stream_name: s, region: eu-west-1 }}\n"
        );
        config::parse(&text, "t", Path::new("/"), &Environment::default()).unwrap().0
    }

    #[test]
    fn where_data_lives_and_what_reads_standard_input_cannot_change() {
        let before = config("", "a: { type: stdin }");
        let check = |top, inputs, expected: Option<&str>| {
            assert_eq!(needs_restart(&before, &config(top, inputs)), expected);
        };
        check("", "a: { type: stdin }", None);
        check("shutdown_timeout: 3s", "a: { type: stdin }, b: { type: file, include: [/x] }", None);
        check("data_dir: /other", "a: { type: stdin }", Some("`data_dir` is another one"));
        let other = Some("the input that reads standard input is another one");
        check("", "a: { type: stdin, codec: json }", other);
        check("", "b: { type: stdin }", other);
        check("", "b: { type: file, include: [/x] }", other);
    }
}
