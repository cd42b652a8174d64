//! Reads who an output is, and how it reaches the service.

use std::time::Duration;

use millpond_kinesis::aws::Secret;

use crate::config::checked::{AssumeRole, Auth, Network, Proxy, Sts};
use crate::config::context::Context;
use crate::config::names;
use crate::config::section::Section;
use crate::config::units::Fault;
use crate::config::words::AuthMethod;

/// Variables that name the region of STS where the file does not, the first that is set.
const STS_REGION_VARIABLES: [&str; 2] = ["MILLPOND_AWS_STS_REGION", "CRIBL_AWS_STS_REGION"];

/// The endpoint of STS that is in no region, and the region that its requests are signed for.
const STS_GLOBAL: (&str, &str) = ("https://sts.amazonaws.com", "us-east-1");

/// Where credentials come from. A secret is looked at only for an output that is `active`: what belongs to another
/// environment need not be here.
pub(super) fn auth(context: &Context<'_>, section: &Section<'_>, active: bool) -> Auth {
    const KEYS: [&str; 3] = ["access_key", "secret_key", "session_token"];
    // An empty value is one that is missing: `${AWS_SESSION_TOKEN:-}`.
    let [access_key, secret_key, session_token] =
        KEYS.map(|key| section.text(key).filter(|text| !text.is_empty()));
    let name = section.text("secret");
    let method = section.word("method").unwrap_or(AuthMethod::Auto);
    if method != AuthMethod::Manual {
        warn_unused(section, &KEYS, "`method: manual`");
    }
    if method != AuthMethod::Secret {
        warn_unused(section, &["secret"], "`method: secret`");
    }
    match method {
        AuthMethod::Auto => Auth::Auto,
        AuthMethod::Manual => Auth::Manual { access_key, secret_key, session_token },
        AuthMethod::Secret => from_secret(context, section, name, active),
    }
}

fn from_secret(context: &Context<'_>, section: &Section<'_>, name: Option<String>, active: bool) -> Auth {
    let Some(name) = name else {
        if !section.is_given("secret") {
            section.problem("secret", Fault::new("is required with `method: secret`", "add `secret: NAME`"));
        }
        return Auth::Auto;
    };
    match context.secrets().source(&name) {
        Ok(source) => {
            if active
                && !context.environment.secrets_elsewhere
                && let Err(fault) = source.read_keys()
            {
                section.problem("secret", fault);
            }
            Auth::Secret(source.clone())
        }
        Err(fault) => {
            section.problem("secret", fault);
            Auth::Auto
        }
    }
}

fn warn_unused(section: &Section<'_>, keys: &[&str], only_with: &str) {
    for key in keys.iter().filter(|key| section.is_given(key)) {
        let message = format!("is not used: it works only with {only_with}");
        section.warning(key, Fault::new(message, "set that, or remove it"));
    }
}

/// The role to take on. `region` is that of the output.
pub(super) fn assume_role(context: &Context<'_>, section: &Section<'_>, region: &str) -> Option<AssumeRole> {
    let enabled = section.flag("enabled");
    let arn = section.text("arn");
    let external_id = section.text("external_id").map(Secret::new);
    let duration = Duration::from_secs(section.integer("duration_secs"));
    let (sts_region, endpoint) = (section.text("sts_region"), section.text("sts_endpoint"));
    if !enabled {
        let keys = ["arn", "external_id", "duration_secs", "sts_region", "sts_endpoint"];
        warn_unused(section, &keys, "`enabled: true`");
        return None;
    }
    if arn.is_none() && !section.is_given("arn") {
        let remedy = "add `arn: arn:aws:iam::111122223333:role/NAME`, or write `enabled: false`";
        section.problem("arn", Fault::new("is required, since the role is enabled", remedy));
    }
    let sts = sts(context, section, sts_region, endpoint, region);
    Some(AssumeRole { arn: arn?, external_id, duration, sts })
}

fn sts(
    context: &Context<'_>,
    section: &Section<'_>,
    given: Option<String>,
    endpoint: Option<String>,
    of_output: &str,
) -> Sts {
    let of_variable = || {
        let variables = &context.environment.variables;
        let set = |name: &&&str| variables.get(**name).is_some_and(|region| !region.trim().is_empty());
        let name = STS_REGION_VARIABLES.iter().find(set)?;
        Some((variables[*name].clone(), format!("{name} says `{}`, which", variables[*name])))
    };
    let (region, whose) = given
        .map(|region| (region.clone(), format!("`sts_region: {region}`")))
        .or_else(of_variable)
        .unwrap_or_else(|| (of_output.to_owned(), format!("the output's region `{of_output}`")));
    if endpoint.is_some() || names::is_region(&region) || region.is_empty() {
        return Sts { region, endpoint };
    }
    let (url, signed_for) = STS_GLOBAL;
    let fault = Fault::new(
        format!(
            "{whose} is no AWS region that this version knows: STS is asked at its global endpoint, {url}"
        ),
        "set `sts_region` to the region of an STS endpoint, or `sts_endpoint` to its URL",
    );
    section.warning("sts_region", fault);
    Sts { region: signed_for.to_owned(), endpoint: Some(url.to_owned()) }
}

/// How the service is reached.
pub(super) fn network(section: &Section<'_>) -> Network {
    let network = Network {
        reuse_connections: section.flag("reuse_connections"),
        reject_unauthorized: section.flag("reject_unauthorized"),
        ca_file: section.path("ca_file"),
        proxy: match section.text("proxy").as_deref() {
            None => Proxy::Environment,
            Some("none") => Proxy::None,
            Some(url) => Proxy::Url(Secret::new(url.to_owned())),
        },
        fips: section.flag("fips"),
        dual_stack: section.flag("dual_stack"),
        account_id_endpoints: section.flag("account_id_endpoints"),
    };
    if !network.reject_unauthorized {
        let fault = Fault::new(
            "accepts any certificate: whoever is between here and the service can read and change what is sent",
            "name your own authority in `ca_file` instead, and remove this",
        );
        section.warning("reject_unauthorized", fault);
    }
    for key in ["fips", "dual_stack", "account_id_endpoints"] {
        if section.is_given("endpoint") && section.is_given(key) && section.flag(key) {
            let fault =
                Fault::new("chooses an endpoint of AWS, and there is an `endpoint`", "remove one of the two");
            section.problem(key, fault);
        }
    }
    network
}
