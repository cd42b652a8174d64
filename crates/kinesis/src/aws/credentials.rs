//! Where credentials come from, and what to say when there are none.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials as SdkKeys;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Providing;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use tokio::sync::Mutex;

use super::clock::Clock;
use super::http::Http;
use super::settings::{KeySource, Keys};
use super::{AssumeRole, Credentials, Settings};

/// Where each kind looks, for the sentence when nothing is found.
pub(super) fn looked_in(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Auto => "the environment (AWS_ACCESS_KEY_ID), ~/.aws/config and ~/.aws/credentials, web \
                              identity, the container's and the instance's metadata"
            .to_owned(),
        Credentials::Manual { .. } => "access_key and secret_key of the configuration, the environment \
                                       (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), and the instance's metadata"
            .to_owned(),
        Credentials::Source(source) => source.place(),
    }
}

/// A source of credentials. Asks nobody yet.
pub(super) async fn provider(
    settings: &Settings,
    http: &Http,
    clock: &Arc<Clock>,
) -> SharedCredentialsProvider {
    let base = base(settings, http).await;
    let provider = match &settings.assume_role {
        None => base,
        Some(role) => assume(role, settings, http, base).await,
    };
    SharedCredentialsProvider::new(Kept { provider, clock: Arc::clone(clock), last: Mutex::new(None) })
}

/// The credentials that a role, if there is one, is taken on with.
async fn base(settings: &Settings, http: &Http) -> SharedCredentialsProvider {
    let region = Region::new(settings.region.clone());
    let config =
        ProviderConfig::without_region().with_region(Some(region.clone())).with_http_client(http.clone());
    match &settings.credentials {
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
        Credentials::Source(source) => SharedCredentialsProvider::new(Asked(Arc::clone(source))),
    }
}

/// The keys from the configuration, each missing one from the environment; `None` if one is in
/// neither. A session token belongs to the keys that it was issued with, so the environment's is
/// taken only where a key came from there too.
fn given_keys(credentials: &Credentials) -> Option<SdkKeys> {
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
    Some(SdkKeys::new(access, secret, token, None, PROVIDER))
}

/// What keys that were given here say of where they come from.
const PROVIDER: &str = "millpond";

/// The role's credentials, got with those of `base`. STS has its own region and endpoint: what is
/// set for Kinesis does not reach it.
async fn assume(
    role: &AssumeRole,
    settings: &Settings,
    http: &Http,
    base: SharedCredentialsProvider,
) -> SharedCredentialsProvider {
    let mut builder = AssumeRoleProvider::builder(role.arn.clone())
        .configure(&sts_config(settings, http))
        .session_name("millpond")
        .session_length(role.duration);
    if let Some(id) = &role.external_id {
        builder = builder.external_id(id.clone());
    }
    SharedCredentialsProvider::new(builder.build_from_provider(base).await)
}

/// How STS is reached.
pub(super) fn sts_config(settings: &Settings, http: &Http) -> SdkConfig {
    let role = settings.assume_role.as_ref();
    let region = role.and_then(|role| role.sts_region.as_deref()).unwrap_or(&settings.region);
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(region.to_owned()))
        .http_client(http.clone())
        .sleep_impl(TokioSleep::new())
        .time_source(SystemTimeSource::new());
    match role.and_then(|role| role.sts_endpoint.clone()) {
        Some(endpoint) => config.set_endpoint_url(Some(endpoint)),
        None => config.set_use_fips(Some(settings.fips)).set_use_dual_stack(Some(settings.dual_stack)),
    };
    config.build()
}

/// Credentials that somebody else keeps.
#[derive(Debug)]
struct Asked(Arc<dyn KeySource>);

impl ProvideCredentials for Asked {
    fn provide_credentials<'a>(&'a self) -> Providing<'a>
    where
        Self: 'a,
    {
        let source = Arc::clone(&self.0);
        Providing::new(async move {
            let asked = tokio::task::spawn_blocking(move || source.keys()).await;
            let keys = asked.map_err(CredentialsError::unhandled)?;
            keys.map(sdk_keys).map_err(CredentialsError::invalid_configuration)
        })
    }
}

fn sdk_keys(keys: Keys) -> SdkKeys {
    let token = keys.session_token.map(|token| token.expose().to_owned());
    SdkKeys::new(keys.access_key, keys.secret_key.expose(), token, None, PROVIDER)
}

/// Keeps what a source gave last, for two reasons. Temporary credentials are asked for anew some time
/// before they run out, and if their source is out of reach then, those at hand still serve. And the
/// time at which they run out is the service's: by a clock that is an hour ahead they would never be
/// valid at all.
///
/// While those at hand are good, nobody waits long for others: a source that does not answer is given
/// [`PATIENCE`], and is then left alone for [`PAUSE`].
#[derive(Debug)]
struct Kept {
    provider: SharedCredentialsProvider,
    clock: Arc<Clock>,
    last: Mutex<Option<Last>>,
}

/// For other credentials while those at hand are good. Puts wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// For credentials while there are none: less than the SDK waits, which would not say what it waited for.
const LIMIT: Duration = super::CREDENTIALS_TIMEOUT.saturating_sub(Duration::from_secs(1));

/// Between two times that a source is asked for other credentials in vain.
const PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Last {
    /// As they were given: they run out by the service's clock.
    keys: SdkKeys,
    /// When they could not be renewed, which was said then.
    failed: Option<Instant>,
}

impl Kept {
    async fn give(&self) -> Result<SdkKeys, CredentialsError> {
        let mut last = self.last.lock().await;
        let mut keys = match last.as_mut().filter(|last| self.is_good(&last.keys)) {
            Some(at_hand) => self.renew(at_hand).await,
            None => {
                let asked = tokio::time::timeout(LIMIT, self.provider.provide_credentials()).await;
                let keys = asked.map_err(|_| CredentialsError::provider_timed_out(LIMIT))??;
                *last = Some(Last { keys: keys.clone(), failed: None });
                keys
            }
        };
        if let Some(expiry) = keys.expiry_mut() {
            *expiry = self.clock.here(*expiry);
        }
        Ok(keys)
    }

    /// Other credentials, if there are any to be had, else those at hand.
    async fn renew(&self, at_hand: &mut Last) -> SdkKeys {
        if at_hand.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
            return at_hand.keys.clone();
        }
        let why = match tokio::time::timeout(PATIENCE, self.provider.provide_credentials()).await {
            Ok(Ok(keys)) => {
                *at_hand = Last { keys, failed: None };
                return at_hand.keys.clone();
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("their source gave no answer within {PATIENCE:?}"),
        };
        if at_hand.failed.replace(Instant::now()).is_none() {
            tracing::warn!(error = %why, "the AWS credentials could not be renewed; those at hand serve until they run out");
        }
        at_hand.keys.clone()
    }

    fn is_good(&self, keys: &SdkKeys) -> bool {
        let margin = Duration::from_secs(1);
        keys.expiry().is_some_and(|expiry| self.clock.here(expiry) > SystemTime::now() + margin)
    }
}

impl ProvideCredentials for Kept {
    fn provide_credentials<'a>(&'a self) -> Providing<'a>
    where
        Self: 'a,
    {
        Providing::new(self.give())
    }
}
