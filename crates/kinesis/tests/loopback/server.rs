//! A tiny HTTP server on loopback that answers with scripted bytes, and remembers what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A whole answer.
    Http { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// Nothing, ever.
    Hang,
    /// The connection is reset.
    Reset,
    /// The connection is closed without a byte.
    Close,
}

/// JSON with a status.
pub(crate) fn json(status: u16, body: &str) -> Answer {
    Answer::Http {
        status,
        headers: vec![("content-type", "application/x-amz-json-1.1".to_owned())],
        body: body.to_owned(),
    }
}

/// An error as Kinesis writes it.
pub(crate) fn error(status: u16, code: &str, words: &str) -> Answer {
    json(status, &format!("{{\"__type\":\"{code}\",\"message\":\"{words}\"}}"))
}

/// A page of HTML with a status.
pub(crate) fn html(status: u16) -> Answer {
    Answer::Http {
        status,
        headers: vec![("content-type", "text/html".to_owned())],
        body: "<!doctype html><html><body>Welcome to the hotel network</body></html>".to_owned(),
    }
}

/// A success of PutRecord.
pub(crate) fn stored() -> Answer {
    json(200, "{\"SequenceNumber\":\"4959\",\"ShardId\":\"shardId-000000000000\"}")
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `POST / HTTP/1.1`.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    requests: Vec<Request>,
}

pub(crate) struct Server {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers one request after the other with these. When none is left, with status 599.
    pub(crate) async fn start(answers: Vec<Answer>) -> Server {
        Server::start_with(answers, None).await
    }

    /// The same over TLS.
    pub(crate) async fn start_with(answers: Vec<Answer>, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { answers: answers.into(), requests: Vec::new() }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, connection, state, reset).await,
                        Some(tls) => {
                            // A client that does not trust us goes away.
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, connection, state, |_| ()).await;
                            }
                        }
                    }
                });
            }
        });
        Server { address, state, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }
}

fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    connection: usize,
    state: Arc<Mutex<State>>,
    reset: fn(&S),
) {
    while let Some(request) = read_request(&mut stream, connection).await {
        let answer = {
            let mut state = state.lock().unwrap();
            state.requests.push(request);
            state.answers.pop_front()
        };
        match answer.unwrap_or_else(|| json(599, "{}")) {
            Answer::Http { status, headers, body } => {
                let mut text = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                text.push_str("\r\n");
                text.push_str(&body);
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Answer::Raw(bytes) => {
                // The client may have gone; then there is nobody to disappoint.
                drop(stream.write_all(&bytes).await);
                return;
            }
            Answer::Hang => std::future::pending().await,
            Answer::Reset => {
                reset(&stream);
                return;
            }
            Answer::Close => return,
        }
    }
}

async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, connection: usize) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    while bytes.len() < head_end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request {
        line,
        headers,
        body: String::from_utf8_lossy(&bytes[head_end + 4..head_end + 4 + length]).into_owned(),
        connection,
    })
}
