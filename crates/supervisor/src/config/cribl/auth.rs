//! Credentials of a destination. Keys are never copied: the configuration refers to where they must be put.

use super::read::{Destination, Text};
use super::settings::Settings;
use super::surroundings::Surroundings;
use super::write::Yaml;
use crate::config::names;
use crate::config::units::Fault;

/// Seconds for which a role may be assumed.
const DURATION_SECS: (u64, u64) = (900, 43_200);

/// The section `auth`.
pub(super) fn auth(from: &Destination<'_>, around: &Surroundings) -> Option<Yaml> {
    let method = from.word("awsAuthenticationMethod", &["auto", "manual", "secret"], "auto");
    let mut to = Settings::default();
    to.put("method", method.map(Yaml::word));
    if method == Some("manual") {
        to.put("access_key", access_key(from, around));
        to.put("secret_key", secret_key(from, around));
    } else {
        unused(from, &["awsApiKey", "awsSecretKey"], "awsAuthenticationMethod: manual");
    }
    if method == Some("secret") {
        to.put("secret", Yaml::text(secret(from, around)));
    } else {
        unused(from, &["awsSecret"], "awsAuthenticationMethod: secret");
    }
    (!to.0.is_empty()).then_some(Yaml::Section(to.0))
}

/// Reports keys that Cribl does not use without the setting.
fn unused(from: &Destination<'_>, keys: &[&str], without: &str) {
    for key in keys {
        for key in [(*key).to_owned(), format!("__template_{key}")] {
            if from.is_given(&key) {
                from.note(&key, Fault::new(format!("is not used without `{without}`"), "it is left out"));
            }
        }
    }
}

fn access_key(from: &Destination<'_>, around: &Surroundings) -> Option<Yaml> {
    let entry = match from.text("awsApiKey") {
        // Without it both take it from the environment.
        Text::Absent => return None,
        // The id of a key is no secret; one that Cribl encrypted is of no use.
        Text::Constant(key) if key.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            return Some(Yaml::text(key));
        }
        Text::Computed(entry) => Some(entry),
        Text::Constant(_) => None,
    };
    let variable = around.key_variable(from, "AWS_ACCESS_KEY_ID");
    let fault = Fault::new(
        "is computed or encrypted by Cribl",
        format!("set the environment variable {variable} to the key's id"),
    );
    match entry {
        Some(entry) => from.note_on(entry, fault),
        None => from.note("awsApiKey", fault),
    }
    Some(Yaml::Variable(variable))
}

fn secret_key(from: &Destination<'_>, around: &Surroundings) -> Option<Yaml> {
    let entry = match from.text("awsSecretKey") {
        Text::Absent => return None,
        Text::Computed(entry) => Some(entry),
        Text::Constant(_) => None,
    };
    let variable = around.key_variable(from, "AWS_SECRET_ACCESS_KEY");
    let fault = Fault::new(
        "is a secret, and is not copied",
        format!("set the environment variable {variable} to the secret key"),
    );
    match entry {
        Some(entry) => from.note_on(entry, fault),
        None => from.note("awsSecretKey", fault),
    }
    Some(Yaml::Variable(variable))
}

/// The name of the secret that the configuration has to hold.
fn secret(from: &Destination<'_>, around: &Surroundings) -> String {
    const WHAT: &str = r#"{"access_key": "…", "secret_key": "…"}"#;
    let given = from.plain_text("awsSecret");
    // The name becomes that of a file.
    let name = given.filter(|name| names::check_id(name).is_ok()).unwrap_or(from.id);
    around.secret(name);
    let put = format!("put {WHAT} into /etc/millpond/secrets/{name}, which the section `secrets` names");
    let fault = match given {
        Some(given) if given == name => Fault::new("is kept by Cribl, and is not in this file", put),
        Some(_) => Fault::new("is no name of a secret here", format!("it is called {name}: {put}")),
        None => Fault::new("is not there, though the method asks for it", put),
    };
    from.note("awsSecret", fault);
    name.to_owned()
}

/// The section `assume_role`, where a role is assumed.
pub(super) fn assume_role(from: &Destination<'_>, around: &Surroundings) -> Option<Yaml> {
    if from.flag("enableAssumeRole") != Some(true) {
        // Cribl writes the duration wherever it writes its defaults; without a role it says nothing.
        from.ignore(&["durationSeconds"]);
        unused(from, &["assumeRoleArn", "assumeRoleExternalId"], "enableAssumeRole: true");
        return None;
    }
    let mut to = Settings::default();
    to.put("enabled", Yaml::word(true));
    let arn = ("assumeRoleArn", from.text("assumeRoleArn"));
    to.put("arn", around.text_or_variable(from, arn, "ASSUME_ROLE_ARN", names::check_role));
    let id = ("assumeRoleExternalId", from.text("assumeRoleExternalId"));
    if !matches!(id.1, Text::Absent) {
        to.put(
            "external_id",
            around.text_or_variable(from, id, "ASSUME_ROLE_EXTERNAL_ID", names::check_external_id),
        );
    }
    to.put("duration_secs", duration(from).map(Yaml::word));
    Some(Yaml::Section(to.0))
}

/// A role has a longest session of its own, which a value brought into the range might exceed: it is left out instead.
fn duration(from: &Destination<'_>) -> Option<u64> {
    let number = from.number("durationSeconds")?;
    let seconds = super::quantity::whole(number);
    let (min, max) = DURATION_SECS;
    if (min..=max).contains(&seconds) && super::quantity::is_exactly(number, seconds) {
        return Some(seconds);
    }
    let fault =
        Fault::new(format!("is no whole number from {min} to {max}"), "it is left out, which means 3600");
    from.note("durationSeconds", fault);
    None
}
