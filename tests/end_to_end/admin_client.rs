//! Asks the admin address of a forwarder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::world::{PATIENCE, World};

/// One that listens on a port that the system has chosen.
pub(crate) const ADMIN: &str = "admin: { listen: \"127.0.0.1:0\" }";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {path}: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, "", "").await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    ask(address, "POST", path, "content-type: application/json\r\n", body).await
}

/// The values of all series, by their name and labels as they are written.
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub(crate) async fn scrape(address: SocketAddr) -> Self {
        let answer = get(address, "/metrics").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let series = answer.body.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        });
        Self(series.collect())
    }

    /// The value of a series; `name{labels}`, or `name` alone if it is the only one.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        if let Some(value) = self.0.get(series) {
            return Some(*value);
        }
        let of_name = |(name, _): &(&String, &f64)| name.split('{').next() == Some(series);
        let found: Vec<_> = self.0.iter().filter(of_name).collect();
        match found[..] {
            [] => None,
            [(_, value)] => Some(*value),
            _ => panic!("{series} has labels: {found:?}"),
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(series, value)| (series.as_str(), *value))
    }
}

impl World {
    /// Changes the configuration; its last section are the settings of the output `main`.
    pub(crate) fn configure(&self, change: impl FnOnce(String) -> String) {
        let config = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), change(config)).unwrap();
    }

    /// Starts the forwarder, whose configuration has an admin address, and finds that.
    pub(crate) async fn start_with_admin(&mut self) -> SocketAddr {
        self.start();
        self.hear("its admin address", |said| said.message == "admin address").await;
        let url = self.said.last().unwrap().fields["url"].as_str().unwrap().to_owned();
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        while get(address, "/readyz").await.status != 200 {
            self.live(Duration::from_millis(20), 0).await;
        }
        address
    }

    /// Scrapes, while the world goes on, until this is so.
    pub(crate) async fn metrics_when(
        &mut self,
        address: SocketAddr,
        what: &str,
        is_so: impl Fn(&Metrics) -> bool,
    ) -> Metrics {
        let until = Instant::now() + PATIENCE;
        loop {
            let metrics = Metrics::scrape(address).await;
            if is_so(&metrics) {
                return metrics;
            }
            if Instant::now() > until {
                let series: Vec<_> = metrics.all().filter(|(_, value)| *value != 0.0).collect();
                panic!("{what} never was: {series:#?}\n{:#?}", self.said);
            }
            self.live(Duration::from_millis(50), 0).await;
        }
    }
}
