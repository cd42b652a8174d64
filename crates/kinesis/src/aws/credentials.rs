//! Where credentials come from, and what to say when there are none.

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials as Keys;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;

use super::http::Http;
use super::{AssumeRole, Credentials, Settings};

/// Where each kind looks, for the sentence when nothing is found.
pub(super) fn looked_in(credentials: &Credentials) -> &'static str {
    match credentials {
        Credentials::Auto => {
            "the environment (AWS_ACCESS_KEY_ID), ~/.aws/config and ~/.aws/credentials, web identity, \
             the container's and the instance's metadata"
        }
        Credentials::Manual { .. } => {
            "access_key and secret_key of the configuration, the environment (AWS_ACCESS_KEY_ID, \
             AWS_SECRET_ACCESS_KEY), and the instance's metadata"
        }
    }
}

/// A source of credentials. Asks nobody yet.
pub(super) async fn provider(settings: &Settings, http: &Http) -> SharedCredentialsProvider {
    let region = Region::new(settings.region.clone());
    let config =
        ProviderConfig::without_region().with_region(Some(region.clone())).with_http_client(http.clone());
    let base = match &settings.credentials {
        Credentials::Auto => {
            let chain = DefaultCredentialsChain::builder().region(region).configure(config).build().await;
            SharedCredentialsProvider::new(chain)
        }
        Credentials::Manual { .. } => match given_keys(&settings.credentials) {
            Some(keys) => SharedCredentialsProvider::new(keys),
            None => {
                let imds = ImdsCredentialsProvider::builder().configure(&config).build();
                let chain = CredentialsProviderChain::first_try("Ec2InstanceMetadata", imds);
                SharedCredentialsProvider::new(chain)
            }
        },
    };
    match &settings.assume_role {
        None => base,
        Some(role) => assume(role, &settings.region, http, base).await,
    }
}

/// The keys from the configuration, each missing one from the environment; `None` if one is in
/// neither. A session token belongs to the keys that it was issued with, so the environment's is
/// taken only where a key came from there too.
fn given_keys(credentials: &Credentials) -> Option<Keys> {
    let Credentials::Manual { access_key, secret_key, session_token } = credentials else {
        return None;
    };
    let filled = |text: Option<&str>| text.map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let variable = |name: &str| filled(std::env::var(name).ok().as_deref());
    let given_access = filled(access_key.as_deref());
    let given_secret = filled(secret_key.as_ref().map(|secret| secret.expose()));
    let all_given = given_access.is_some() && given_secret.is_some();
    let access = given_access.or_else(|| variable("AWS_ACCESS_KEY_ID"))?;
    let secret = given_secret.or_else(|| variable("AWS_SECRET_ACCESS_KEY"))?;
    let token = filled(session_token.as_ref().map(|token| token.expose()))
        .or_else(|| if all_given { None } else { variable("AWS_SESSION_TOKEN") });
    Some(Keys::new(access, secret, token, None, "millpond"))
}

/// The role's credentials, got with those of `base`. STS has its own region and endpoint: what is
/// set for Kinesis does not reach it.
async fn assume(
    role: &AssumeRole,
    region: &str,
    http: &Http,
    base: SharedCredentialsProvider,
) -> SharedCredentialsProvider {
    let region = role.sts_region.as_deref().unwrap_or(region).to_owned();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region))
        .http_client(http.clone())
        .sleep_impl(TokioSleep::new())
        .time_source(SystemTimeSource::new());
    config.set_endpoint_url(role.sts_endpoint.clone());
    let mut builder = AssumeRoleProvider::builder(role.arn.clone())
        .configure(&config.build())
        .session_name("millpond")
        .session_length(role.duration);
    if let Some(id) = &role.external_id {
        builder = builder.external_id(id.clone());
    }
    SharedCredentialsProvider::new(builder.build_from_provider(base).await)
}
