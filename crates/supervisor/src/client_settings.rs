//! What an output's configuration means for the client of the service.

use std::sync::Arc;

use millpond_kinesis::aws::{self, Credentials, Secret, Settings};

use crate::config::checked::{AssumeRole, Auth, Output, Proxy};

/// The settings of the client of an output.
#[must_use]
pub fn of(output: &Output) -> Settings {
    let network = &output.network;
    Settings {
        endpoint: output.endpoint.clone(),
        credentials: credentials(&output.auth),
        assume_role: output.assume_role.as_ref().map(role),
        reuse_connections: network.reuse_connections,
        reject_unauthorized: network.reject_unauthorized,
        ca_file: network.ca_file.clone(),
        proxy: proxy(&network.proxy),
        fips: network.fips,
        dual_stack: network.dual_stack,
        account_id_endpoints: network.account_id_endpoints,
        ..Settings::new(output.region.clone())
    }
}

fn credentials(auth: &Auth) -> Credentials {
    match auth {
        Auth::Auto => Credentials::Auto,
        Auth::Manual { access_key, secret_key, session_token } => Credentials::Manual {
            access_key: access_key.clone(),
            secret_key: secret_key.clone().map(Secret::new),
            session_token: session_token.clone().map(Secret::new),
        },
        Auth::Secret(source) => Credentials::Source(Arc::new(source.clone())),
    }
}

fn role(role: &AssumeRole) -> aws::AssumeRole {
    aws::AssumeRole {
        arn: role.arn.clone(),
        external_id: role.external_id.as_ref().map(|id| id.expose().to_owned()),
        duration: role.duration,
        sts_region: Some(role.sts.region.clone()),
        sts_endpoint: role.sts.endpoint.clone(),
    }
}

fn proxy(proxy: &Proxy) -> aws::Proxy {
    match proxy {
        Proxy::Environment => aws::Proxy::Environment,
        Proxy::None => aws::Proxy::Direct,
        Proxy::Url(url) => aws::Proxy::Url { url: url.clone(), no_proxy: no_proxy() },
    }
}

/// Hosts that are reached directly, by the environment: they hold for a proxy of the configuration too.
fn no_proxy() -> Option<String> {
    std::env::var("no_proxy").or_else(|_| std::env::var("NO_PROXY")).ok()
}
