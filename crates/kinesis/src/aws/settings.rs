//! How to reach the service.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself: for signing only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// An access key and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// `AKIA…`.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret,
    /// For temporary credentials.
    pub session_token: Option<Secret>,
}

/// Gives keys whenever they are asked for: at the start, and again each time the service refuses those
/// it gave before, so that keys which are replaced need no restart.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// The keys as they are now. Called on a thread that may block; `Err` is a sentence without secrets.
    fn keys(&self) -> Result<Keys, String>;
    /// Where the keys are, for sentences: `the secret "kinesis" (/run/secrets/kinesis)`.
    fn place(&self) -> String;
}

/// Where credentials come from.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// The default chain of the SDK: environment, profile files, web identity, ECS, IMDSv2.
    #[default]
    Auto,
    /// Given. Parts that are missing come from the environment, then, if the keys are still
    /// missing, from instance metadata.
    Manual {
        /// `AKIA…`.
        access_key: Option<String>,
        /// Its secret.
        secret_key: Option<Secret>,
        /// For temporary credentials.
        session_token: Option<Secret>,
    },
    /// Kept by somebody else, who is asked.
    Source(Arc<dyn KeySource>),
}

/// A role to take on with the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRole {
    /// `arn:aws:iam::…:role/…`.
    pub arn: String,
    /// What the role's owner asks for.
    pub external_id: Option<String>,
    /// 900 s to 43,200 s.
    pub duration: Duration,
    /// Region of STS; the stream's region if `None`.
    pub sts_region: Option<String>,
    /// URL of STS. The endpoint of Kinesis never changes it.
    pub sts_endpoint: Option<String>,
}

/// Which proxy the calls go through. Instance metadata is never asked through one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`; lower case wins.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// This URL, `http://[user:password@]host:port`, but for the hosts in `no_proxy`.
    Url {
        /// The proxy. May hold a password.
        url: Secret,
        /// Comma-separated hosts, as in `NO_PROXY`.
        no_proxy: Option<String>,
    },
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TCP connection and its TLS handshake.
    pub connect: Duration,
    /// For one request with an empty body.
    pub attempt: Duration,
    /// The slowest link that is still waited for. A request gets more time the larger its body is,
    /// by how fast the link has been, and never reckons with less than this.
    pub bytes_per_second_min: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(15),
            bytes_per_second_min: 1024,
        }
    }
}

/// How to reach the service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `us-east-1`; goes into the signature even with an endpoint.
    pub region: String,
    /// URL instead of the region's own. Never redirects STS or instance metadata.
    pub endpoint: Option<String>,
    /// Where credentials come from.
    pub credentials: Credentials,
    /// A role to take on with them.
    pub assume_role: Option<AssumeRole>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Keep connections for the next call.
    pub reuse_connections: bool,
    /// Check the certificate of Kinesis. STS' is always checked.
    pub reject_unauthorized: bool,
    /// PEM file of authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Which proxy to use.
    pub proxy: Proxy,
    /// The endpoints that are validated to FIPS 140, of STS too. Not with an `endpoint`.
    pub fips: bool,
    /// The endpoints that have IPv6 addresses as well, of STS too. Not with an `endpoint`.
    pub dual_stack: bool,
    /// The endpoint of the account where the credentials name one. Its host, `<account>.data-kinesis.…`,
    /// is on few allow-lists of firewalls.
    pub account_id_endpoints: bool,
}

impl Settings {
    /// Defaults for a region.
    pub fn new(region: String) -> Settings {
        Settings {
            region,
            endpoint: None,
            credentials: Credentials::Auto,
            assume_role: None,
            timeouts: Timeouts::default(),
            reuse_connections: true,
            reject_unauthorized: true,
            ca_file: None,
            proxy: Proxy::Environment,
            fips: false,
            dual_stack: false,
            account_id_endpoints: false,
        }
    }
}

impl Settings {
    /// What can be seen to be wrong without asking anybody. `Err` is a sentence.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.region.trim().is_empty() {
            return Err("the region is missing: set region, such as us-east-1".to_owned());
        }
        if self.endpoint.is_some() && (self.fips || self.dual_stack) {
            return Err(
                "fips and dual_stack choose an endpoint of AWS: not with an endpoint of your own".to_owned()
            );
        }
        let mut urls = vec![("endpoint", &self.endpoint)];
        if let Some(role) = &self.assume_role {
            urls.push(("assume_role.sts_endpoint", &role.sts_endpoint));
        }
        for (name, url) in urls {
            let Some(url) = url else { continue };
            let parsed: Result<http::Uri, _> = url.parse();
            let usable = parsed.is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("http" | "https"))
                    && uri.host().is_some_and(|host| !host.is_empty())
            });
            if !usable {
                return Err(format!("{name} {url:?} is no http:// or https:// URL with a host"));
            }
        }
        Ok(())
    }
}
