//! The whole configuration around the outputs.

use super::outputs::Outputs;
use super::write;
use crate::config::context::clean;

/// Longest name of a file that is shown, in characters.
const FILE_CHARS_MAX: usize = 80;

/// The inputs are those of another file of Cribl; these hold their place.
const INPUTS: &str = "\
inputs:
  # EDIT THIS. Cribl keeps its sources in another file, inputs.yml, and they are not translated.
  edit_me:
    type: file
    include: [\"/var/log/edit-me/*.log\"]
";

/// A configuration with these outputs.
pub(super) fn document(file: &str, outputs: &Outputs) -> String {
    let mut text = format!(
        "\
# Made by `millpond import-cribl` from {}.
#
# Before it is used:
# - say in `inputs` where events come from;
# - see to what the import said about this file, and set the variables that it named;
# - run `millpond check`.
# What Cribl still holds in its own queues is not read by millpond: let it drain first.

",
        clean(file, FILE_CHARS_MAX).replace(['\u{2028}', '\u{2029}'], "")
    );
    text.push_str(INPUTS);
    let secrets = outputs.surroundings.secrets();
    if !secrets.is_empty() {
        text.push('\n');
        write::section("secrets", &secrets, 0, &mut text);
    }
    text.push_str("\noutputs:\n");
    text.push_str(&outputs.yaml);
    text
}
