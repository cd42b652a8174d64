//! One request, one answer.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Forwarder, WITHOUT};

/// Longest wait for a connection, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an answer: the forwarder gives a slow disk 20 s.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Looks.
    Get,
    /// Does something.
    Post,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// As it came.
    pub body: Bytes,
}

/// Why there is no answer that could be used. Each says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection.
    #[error("nobody answers at {url}: {source}; does the forwarder run, with this address? {WITHOUT}")]
    Nobody {
        /// Where.
        url: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// TLS did not come about.
    #[error("{url}: {source}; {remedy}")]
    Tls {
        /// Where.
        url: String,
        /// What is wrong.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A connection, and no answer in time.
    #[error(
        "{url} has not answered within {} s; is it a forwarder's admin address, and is that machine overloaded? {WITHOUT}",
        after.as_secs()
    )]
    Late {
        /// Where.
        url: String,
        /// How long it had.
        after: Duration,
    },
    /// Something else speaks there, or it ended in the middle.
    #[error("{url} gives no answer that can be read: {reason}; is it a forwarder's admin address? {WITHOUT}")]
    Unreadable {
        /// Where.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// It says no.
    #[error("{url}: {error}; {remedy}")]
    Refused {
        /// Where.
        url: String,
        /// What it said.
        error: String,
        /// What to do.
        remedy: String,
    },
}

/// What a forwarder says when it says no.
#[derive(Debug, Deserialize)]
struct Problem {
    error: String,
    remedy: String,
}

impl Answer {
    /// What it says.
    ///
    /// # Errors
    /// It says something else.
    pub fn read<'a, T: Deserialize<'a>>(&'a self, forwarder: &Forwarder) -> Result<T, AskError> {
        serde_json::from_slice(&self.body).map_err(|error| unreadable(forwarder, &error))
    }
}

fn unreadable(forwarder: &Forwarder, error: &dyn std::fmt::Display) -> AskError {
    AskError::Unreadable { url: forwarder.url.clone(), reason: error.to_string() }
}

impl Forwarder {
    /// Asks for `path`, and waits for the answer.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, method: Method, path: &str) -> Result<Answer, AskError> {
        let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect((&*self.host, self.port)));
        let nobody = |source| AskError::Nobody { url: self.url.clone(), source };
        let timed_out =
            || nobody(io::Error::new(io::ErrorKind::TimedOut, "no connection came about within 5 s"));
        let stream = connected.await.map_err(|_| timed_out())?.map_err(nobody)?;
        let asked = async {
            match &self.tls {
                None => self.exchange(stream, method, path).await,
                Some(config) => {
                    let name =
                        ServerName::try_from(self.host.clone()).map_err(|error| unreadable(self, &error))?;
                    let stream = TlsConnector::from(config.clone()).connect(name, stream).await;
                    self.exchange(stream.map_err(|source| self.no_tls(source))?, method, path).await
                }
            }
        };
        let late = |_| AskError::Late { url: self.url.clone(), after: ANSWER_MAX };
        tokio::time::timeout(ANSWER_MAX, asked).await.map_err(late)?
    }

    fn no_tls(&self, source: io::Error) -> AskError {
        let words = source.to_string();
        let remedy = if words.contains("certificate") {
            "the configuration's certificate is not the one that it shows, or no authority of this machine vouches for it \
             (--ca-file)"
        } else {
            "does it speak TLS? Else the URL begins with http://"
        };
        AskError::Tls { url: self.url.clone(), source, remedy }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        method: Method,
        path: &str,
    ) -> Result<Answer, AskError> {
        let failed = |error: hyper::Error| unreadable(self, &error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let request = self.request(method, path).map_err(|error| unreadable(self, &error))?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(failed)?;
            self.take(answer).await
        };
        // The connection has to be driven while the answer comes; it ends when that is here.
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(failed(error)),
            },
        }
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let request = Request::builder().uri(path).header(HOST, &self.authority);
        let request = match method {
            Method::Get => request.method("GET"),
            Method::Post => request.method("POST").header(CONTENT_TYPE, "application/json"),
        };
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {}", token.expose())),
            None => request,
        };
        request.body(Full::default())
    }

    async fn take(&self, answer: Response<Incoming>) -> Result<Answer, AskError> {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreadable(self, &error))?.to_bytes();
        if status.is_success() {
            return Ok(Answer { body });
        }
        match serde_json::from_slice(&body) {
            Ok(Problem { error, remedy }) => Err(AskError::Refused {
                url: self.url.clone(),
                error,
                remedy: self.with_token(status.as_u16(), remedy),
            }),
            Err(_) => Err(unreadable(self, &format_args!("it answers {status}"))),
        }
    }

    /// Whoever uses the commands sends no headers of his own.
    fn with_token(&self, status: u16, remedy: String) -> String {
        if status != 401 {
            return remedy;
        }
        match &self.token {
            None => "give the token with --url and --token-file, or MILLPOND_ADMIN_TOKEN".to_owned(),
            Some(_) => "the forwarder has been given another one than this".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
