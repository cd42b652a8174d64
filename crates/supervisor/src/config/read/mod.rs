//! From the tree of a file to what it means.

use std::collections::BTreeMap;

use super::Config;
use super::checked::{Input, InputKind, Output};
use super::context::Context;
use super::secrets::{SecretSource, Secrets};
use super::section::Section;
use super::settings::{SECRET, TOP};
use super::tree::{Entry, Node, Position};
use super::units::Fault;
use super::words::nearest;

mod access;
mod admin;
mod input;
mod listen;
mod network;
mod output;
pub(super) mod processing;
mod queue;

use input::{input, warn_of_patterns_read_twice};
use output::output;
use processing::Pipelines;

/// Reads the whole file. What is wrong goes to the context; the result is good only if nothing went there.
pub(super) fn config(context: &Context<'_>, root: &Node) -> Option<Config> {
    let top = Section::open(context, &TOP, String::new(), Position::START, root)?;
    context.set_secrets(secrets(context, &top));
    let data_dir = top.path("data_dir").unwrap_or_default();
    let shutdown_timeout = top.period("shutdown_timeout");
    let pipelines = Pipelines::read(context, &top);
    let inputs: Vec<_> = top
        .by_id("inputs")
        .into_iter()
        .take_while(|_| !context.is_full())
        .filter_map(|(entry, path)| input(context, entry, path, &pipelines))
        .collect();
    let outputs: Vec<_> = top
        .by_id("outputs")
        .into_iter()
        .take_while(|_| !context.is_full())
        .filter_map(|(entry, path)| output(context, entry, path, &data_dir, &pipelines))
        .collect();

    let stdins = inputs.iter().filter(|input| input.kind == InputKind::Stdin);
    if let Some(second) = stdins.map(|input| &input.id).nth(1) {
        top.problem(
            "inputs",
            Fault::new(
                format!("has more than one input of type `stdin`, `{second}` among them"),
                "standard input can be read once: keep one",
            ),
        );
    }
    warn_of_patterns_read_twice(&top, &inputs);
    check_routes(&top, &inputs, &outputs);
    processing::warn_of_routes(&top, &inputs, &outputs);
    pipelines.warn_of_unused(&top, &inputs, &outputs);
    let tests = processing::tests(context, &top, &pipelines, &inputs, &outputs);
    check_adopted(&top, &outputs);
    let admin = admin::admin(&top, &inputs);
    listen::refuse_addresses_taken_twice(&top, &inputs);
    listen::warn_of_answers_too_late(&top, &inputs, &outputs);
    if !context.environment.secrets_elsewhere {
        context.secrets().missing_and_unused().into_iter().for_each(|fault| top.warning("secrets", fault));
    }
    if !outputs.is_empty() && outputs.iter().all(|output| !output.active) {
        top.problem("outputs", no_active_output(context));
    }
    Some(Config { data_dir, shutdown_timeout, admin, inputs, outputs, pipelines: pipelines.all, tests })
}

/// Whom an output names must be there, and an input that nobody takes is probably a mistake.
fn check_routes(top: &Section<'_>, inputs: &[Input], outputs: &[Output]) {
    let ids = || inputs.iter().map(|input| input.id.as_str());
    for output in outputs {
        for name in output.inputs.iter().flatten().filter(|name| ids().all(|id| id != name.as_str())) {
            let what = format!("gives `{}` the events of `{name}`, which is no input", output.id);
            let known = ids().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
            let remedy = match nearest(name, ids()) {
                Some(id) => format!("did you mean `{id}`?"),
                None => format!("the inputs are {known}"),
            };
            top.problem("outputs", Fault::new(what, remedy));
        }
    }
    if outputs.iter().all(|output| !output.active) {
        return;
    }
    for id in ids().filter(|id| !outputs.iter().any(|output| output.active && output.takes(id))) {
        let what = format!("has `{id}`, whose events no active output takes: it is not started");
        top.warning("inputs", Fault::new(what, "name it under `inputs` of an output, or remove it"));
    }
}

/// A queue is drained by one output only.
fn check_adopted(top: &Section<'_>, outputs: &[Output]) {
    let mut drained: BTreeMap<_, &str> =
        outputs.iter().map(|output| (output.queue_directory(), output.id.as_str())).collect();
    for output in outputs {
        for name in &output.adopt {
            if let Some(owner) = drained.insert(output.queue.path.join(name), &output.id) {
                let what = format!("has `{}` adopt the queue `{name}`, which `{owner}` drains", output.id);
                top.problem("outputs", Fault::new(what, "leave it to one of them"));
            }
        }
    }
}

/// The secrets that the file declares. What they hold is read where they are used.
fn secrets(context: &Context<'_>, top: &Section<'_>) -> Secrets {
    let declared = top.by_id("secrets").into_iter().take_while(|_| !context.is_full());
    Secrets::new(declared.filter_map(|(entry, path)| secret(context, entry, path)).collect::<Vec<_>>())
}

fn secret(context: &Context<'_>, entry: &Entry, path: String) -> Option<SecretSource> {
    let section = Section::open(context, &SECRET, path.clone(), entry.at, &entry.node)?;
    let (name, variables) = (&entry.key, &context.environment.variables);
    let places = ["file", "env", "credential"].map(|key| section.is_given(key));
    match places.into_iter().filter(|given| *given).count() {
        1 => {}
        count => {
            let what =
                if count == 0 { "says nowhere where it is kept" } else { "is kept in more than one place" };
            let remedy = "write one of `file: PATH`, `env: VARIABLE` and `credential: NAME`";
            context.problem(entry.at, &path, None, Fault::new(what, remedy));
            return None;
        }
    }
    let file = section.path("file").map(|path| SecretSource::file(name, path));
    file.or_else(|| section.text("env").map(|variable| SecretSource::variable(name, variable, variables)))
        .or_else(|| {
            section.text("credential").map(|credential| SecretSource::credential(name, credential, variables))
        })
}

fn no_active_output(context: &Context<'_>) -> Fault {
    let message = match context.environment.name.as_str() {
        "" => "has no active output: each belongs to an environment, and none is named".to_owned(),
        name => format!("has no active output in the environment `{name}`"),
    };
    Fault::new(
        message,
        "name the environment with --environment or MILLPOND_ENVIRONMENT, or remove `environment` from an output",
    )
}
