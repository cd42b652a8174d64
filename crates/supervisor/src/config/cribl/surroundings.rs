//! What outputs have in common: the environment variables and the secrets that the translation refers to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::read::{Destination, Text};
use super::write::Yaml;
use crate::config::units::Fault;

/// What outputs have in common.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    few_keys: bool,
    variables: RefCell<BTreeMap<String, String>>,
    secrets: RefCell<BTreeSet<String>>,
}

impl Surroundings {
    /// `few_keys`: one destination at most has keys of its own, which then go by AWS's own names.
    pub(super) fn new(few_keys: bool) -> Self {
        Self { few_keys, ..Self::default() }
    }

    /// A variable for a key of a destination.
    pub(super) fn key_variable(&self, from: &Destination<'_>, name: &str) -> String {
        if self.few_keys { self.variable(name) } else { self.variable_of(from, name) }
    }

    /// An environment variable for a value that is not carried over, with a name that no other value has.
    fn variable(&self, name: &str) -> String {
        let example = match name {
            _ if name.starts_with("ENDPOINT") => "http://127.0.0.1:4567",
            _ if name.starts_with("ASSUME_ROLE_ARN") => "arn:aws:iam::123456789012:role/example",
            _ => "us-east-1",
        };
        let mut variables = self.variables.borrow_mut();
        let numbered = (2_u64..).map(|number| format!("{name}_{number}"));
        let free =
            std::iter::once(name.to_owned()).chain(numbered).find(|name| !variables.contains_key(name));
        let free = free.expect("there are more numbers than outputs");
        variables.insert(free.clone(), example.to_owned());
        free
    }

    /// The name of a variable of one output.
    fn variable_of(&self, from: &Destination<'_>, what: &str) -> String {
        let id =
            from.id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
        self.variable(&format!("{what}_{}", id.collect::<String>()))
    }

    /// Adds a secret that the configuration has to hold.
    pub(super) fn secret(&self, name: &str) {
        self.secrets.borrow_mut().insert(name.to_owned());
    }

    /// The variables, each with a value for which the configuration is good.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        self.variables.borrow().clone()
    }

    /// The secrets, as settings of the section `secrets`.
    pub(super) fn secrets(&self) -> Vec<(String, Yaml)> {
        let file =
            |name: &String| vec![("file".to_owned(), Yaml::text(format!("/etc/millpond/secrets/{name}")))];
        self.secrets.borrow().iter().map(|name| (name.clone(), Yaml::Section(file(name)))).collect()
    }

    /// A text that an output cannot do without. Where Cribl computes it, or it is not good, a variable takes its place:
    /// millpond then says that it is not set, instead of sending events to a place that is not meant.
    pub(super) fn text_or_variable(
        &self,
        from: &Destination<'_>,
        (key, text): (&str, Text<'_>),
        what: &str,
        check: impl Fn(&str) -> Result<(), Fault>,
    ) -> Yaml {
        let wrong = match &text {
            Text::Constant(text) => match check(text) {
                Ok(()) => return Yaml::text(text.clone()),
                Err(fault) => fault.message,
            },
            Text::Computed(_) => COMPUTED.to_owned(),
            Text::Absent if from.is_given(key) => "holds nothing that can be used".to_owned(),
            Text::Absent => "is not there".to_owned(),
        };
        let variable = self.variable_of(from, what);
        let fault = Fault::new(
            wrong,
            format!("set the environment variable {variable}, or write the value in its place"),
        );
        match text {
            Text::Computed(entry) => from.note_on(entry, fault),
            Text::Constant(_) | Text::Absent => from.note(key, fault),
        }
        Yaml::Variable(variable)
    }
}

/// What is said of a value that Cribl computes.
pub(super) const COMPUTED: &str = "is computed by Cribl, and is not carried over";
