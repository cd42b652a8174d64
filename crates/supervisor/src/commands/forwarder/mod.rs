//! A forwarder that runs, asked through its admin address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millpond_kinesis::aws::Secret;
use rustls::ClientConfig;
use url::{Host, Url};

use super::failure::Failure;
use super::place::ConfigArgs;
use crate::config::checked::Admin;

mod request;
mod trust;

pub use request::{Answer, AskError, Method};

/// What works although nobody answers.
pub const WITHOUT: &str = "`millpond queue stat` looks into a queue without it";

/// Which forwarder is asked: the one that runs with a configuration, or one at a URL.
#[derive(Debug, Clone, clap::Args)]
pub struct ForwarderArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The admin address of a forwarder anywhere, instead of the one in the configuration
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    url: Option<Url>,
    /// A file with the token for --url; without it, MILLPOND_ADMIN_TOKEN in the environment is the token
    #[arg(long, value_name = "FILE", requires = "url")]
    token_file: Option<PathBuf>,
    /// Authorities that are trusted besides the system's, for --url with https
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
}

/// A forwarder, and how it is asked.
#[derive(Debug, Clone)]
pub struct Forwarder {
    /// Its admin address.
    pub url: String,
    /// `HOST:PORT` as they stand in a request.
    authority: String,
    host: String,
    port: u16,
    token: Option<Secret>,
    tls: Option<Arc<ClientConfig>>,
}

impl ForwarderArgs {
    /// The forwarder that is meant.
    ///
    /// # Errors
    /// The configuration is wrong or has no admin address, or the command line is wrong.
    pub fn find(&self) -> Result<Forwarder, Failure> {
        match &self.url {
            Some(url) => self.at(url),
            None => {
                let config = self.config.load()?;
                let file = &self.config.config;
                let admin = config.admin.as_ref().ok_or_else(|| no_admin(file))?;
                of(admin, file)
            }
        }
    }

    fn at(&self, url: &Url) -> Result<Forwarder, Failure> {
        let wrong = || {
            Failure::usage(format!(
                "--url {url} is no admin address; it looks like http://127.0.0.1:9650 or https://edge.example:9650"
            ))
        };
        let plain = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        let (Some(host), Some(port), true) = (url.host(), url.port_or_known_default(), plain) else {
            return Err(wrong());
        };
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(Arc::new(trust::authorities(self.ca_file.as_deref()).map_err(Failure::usage)?)),
            _ => return Err(wrong()),
        };
        let token = match &self.token_file {
            None => std::env::var("MILLPOND_ADMIN_TOKEN").ok(),
            Some(file) => {
                let cannot = |error| Failure::usage(format!("--token-file {}: {error}", file.display()));
                Some(std::fs::read_to_string(file).map_err(cannot)?.trim().to_owned())
            }
        };
        let token = token.filter(|token| !token.is_empty()).map(Secret::new);
        let dialled = match host {
            Host::Ipv6(address) => address.to_string(),
            ref other => other.to_string(),
        };
        Ok(Forwarder::new(&format!("{host}:{port}"), dialled, port, token, tls))
    }
}

/// The forwarder that runs with this configuration.
fn of(admin: &Admin, file: &Path) -> Result<Forwarder, Failure> {
    if admin.listen.port() == 0 {
        return Err(Failure::usage(format!(
            "{}: admin.listen leaves the port to the system; the log of the forwarder says which it is: give that with --url",
            file.display()
        )));
    }
    let address = reachable(admin.listen);
    let tls = admin.tls.as_ref().map(|files| trust::certificate(&files.cert_file)).transpose();
    let tls = tls.map_err(Failure::usage)?.map(Arc::new);
    let host = address.ip().to_string();
    Ok(Forwarder::new(&address.to_string(), host, address.port(), admin.token.clone(), tls))
}

/// Who listens on all addresses is reached at the loopback address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn no_admin(file: &Path) -> Failure {
    Failure::usage(format!(
        "{} has no `admin`, so a forwarder that runs with it cannot be asked; add admin: {{ listen: \"127.0.0.1:9650\" }} \
         (it is taken at the next start); {WITHOUT}",
        file.display()
    ))
}

impl Forwarder {
    fn new(
        authority: &str,
        host: String,
        port: u16,
        token: Option<Secret>,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{authority}");
        Self { url, authority: authority.to_owned(), host, port, token, tls }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        forwarder: ForwarderArgs,
    }

    /// The forwarder that these arguments mean.
    pub(super) fn find(args: &[&str]) -> Result<Forwarder, String> {
        let command =
            Command::try_parse_from(["test"].iter().chain(args)).map_err(|error| error.to_string())?;
        command.forwarder.find().map_err(|failure| failure.to_string())
    }

    fn at(url: &str) -> Result<Forwarder, String> {
        find(&["--url", url])
    }

    #[test]
    fn urls() {
        let good = |url: &str, authority: &str, host: &str, port: u16| {
            let found = at(url).unwrap();
            assert_eq!((&*found.authority, &*found.host, found.port), (authority, host, port), "{url}");
        };
        good("http://127.0.0.1:9650", "127.0.0.1:9650", "127.0.0.1", 9650);
        good("http://[::1]:9650/", "[::1]:9650", "::1", 9650);
        good("http://edge", "edge:80", "edge", 80);
        for bad in
            ["127.0.0.1:9650", "ftp://edge:1", "http://edge:1/api/v1/status", "http://x@edge:1", "edge"]
        {
            assert!(at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whoever_listens_everywhere_is_reached_here() {
        let check = |listen: &str, address: &str| {
            assert_eq!(reachable(listen.parse().unwrap()), address.parse().unwrap(), "{listen}");
        };
        check("0.0.0.0:9650", "127.0.0.1:9650");
        check("[::]:9650", "[::1]:9650");
        check("10.1.2.3:9650", "10.1.2.3:9650");
    }
}
