//! Writing accepted events to a file, decoded, one JSON line each, on a thread of its own.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::decode::decode;

/// What may wait for the thread, in KiB. Puts wait when it falls behind.
const WAITING_KIB_MAX: usize = 32 << 10;

/// Events could not be written to their file.
#[derive(Debug, Clone, thiserror::Error)]
#[error("events are not all in {path}: {message}; free the disk and start again")]
pub struct EventsError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub message: String,
}

/// Hands records to the thread that writes their events.
#[derive(Debug)]
pub(crate) struct Sink {
    /// None once closed. Its length is bounded by `room`.
    sender: Mutex<Option<Sender<Message>>>,
    room: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<Result<(), EventsError>>>>,
}

#[derive(Debug)]
enum Message {
    Records(Vec<Bytes>, OwnedSemaphorePermit),
    Flush(oneshot::Sender<Result<(), EventsError>>),
}

/// Room for the records of one request.
pub(crate) struct Reservation<'a> {
    sink: &'a Sink,
    permit: OwnedSemaphorePermit,
}

impl Reservation<'_> {
    /// Never waits.
    pub(crate) fn send(self, records: Vec<Bytes>) {
        self.sink.post(Message::Records(records, self.permit));
    }
}

impl Sink {
    /// Appends to the file; `malformed` counts the records that cannot be decoded.
    pub(crate) fn open(path: &Path, malformed: Arc<AtomicU64>) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let (sender, receiver) = channel();
        let writer = Writer {
            file: BufWriter::with_capacity(256 << 10, file),
            path: path.to_owned(),
            malformed,
            outcome: Ok(()),
        };
        let thread =
            std::thread::Builder::new().name("events".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            room: Arc::new(Semaphore::new(WAITING_KIB_MAX)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Waits for room for records that take up to this many bytes.
    pub(crate) async fn reserve(&self, bytes: usize) -> Reservation<'_> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(WAITING_KIB_MAX as u32);
        let permit = self.room.clone().acquire_many_owned(kib).await;
        Reservation { sink: self, permit: permit.expect("the semaphore is never closed") }
    }

    /// Waits until everything sent so far is in the file.
    pub(crate) async fn flush(&self) -> Result<(), EventsError> {
        let (done, outcome) = oneshot::channel();
        self.post(Message::Flush(done));
        // After closing there is nothing left to write, and `close` has told how that went.
        outcome.await.unwrap_or(Ok(()))
    }

    /// Writes what is left and ends the thread.
    pub(crate) async fn close(&self) -> Result<(), EventsError> {
        drop(lock(&self.sender).take());
        let Some(thread) = lock(&self.thread).take() else {
            return Ok(());
        };
        let join = tokio::task::spawn_blocking(move || thread.join());
        match join.await {
            Ok(Ok(outcome)) => outcome,
            _ => panic!("the thread that writes events panicked"),
        }
    }

    fn post(&self, message: Message) {
        if let Some(sender) = lock(&self.sender).as_ref() {
            sender.send(message).expect("the thread receives until the sender is gone");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's side.
struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
    malformed: Arc<AtomicU64>,
    /// The first error. Records are taken and dropped after it, so that nobody waits for a file that is broken.
    outcome: Result<(), EventsError>,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) -> Result<(), EventsError> {
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => break,
                // Nothing waits, so there is time to let readers of the file see what there is.
                Err(TryRecvError::Empty) => {
                    self.flush();
                    match messages.recv() {
                        Ok(message) => message,
                        Err(_) => break,
                    }
                }
            };
            match message {
                Message::Records(records, _room) => records.iter().for_each(|record| self.write(record)),
                Message::Flush(done) => {
                    self.flush();
                    // Nobody waits any more if the request was given up.
                    done.send(self.outcome.clone()).ok();
                }
            }
        }
        self.flush();
        self.outcome
    }

    fn write(&mut self, record: &[u8]) {
        if self.outcome.is_err() {
            return;
        }
        let (lines, malformed) = lines_of(record);
        if malformed {
            self.malformed.fetch_add(1, Ordering::Relaxed);
        }
        let written = self.file.write_all(&lines);
        self.note(written);
    }

    fn flush(&mut self) {
        if self.outcome.is_ok() {
            let flushed = self.file.flush();
            self.note(flushed);
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            let error = EventsError { path: self.path.clone(), message: error.to_string() };
            tracing::error!(%error, "writing events stops");
            self.outcome = Err(error);
        }
    }
}

#[derive(Serialize)]
struct MalformedLine {
    _malformed: String,
}

/// The record's events as lines, and whether it was malformed: then there is one line that says so.
pub(crate) fn lines_of(record: &[u8]) -> (Vec<u8>, bool) {
    let mut lines = Vec::with_capacity(record.len());
    match decode(record) {
        Ok(decoded) => {
            for event in decoded.events() {
                lines.extend_from_slice(&on_one_line(event));
                lines.push(b'\n');
            }
            (lines, false)
        }
        Err(error) => {
            tracing::warn!(%error, "a record was accepted that is malformed");
            let line = MalformedLine { _malformed: error.to_string() };
            lines = serde_json::to_vec(&line).expect("a struct of one text always serialises");
            lines.push(b'\n');
            (lines, true)
        }
    }
}

/// In valid JSON a newline can only stand between tokens, where a space does as well.
fn on_one_line(event: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', event).is_none() {
        return Cow::Borrowed(event);
    }
    Cow::Owned(event.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let batch = b"{\"format\":\"ndjson\",\"count\":2,\"size\":16}\n{\"a\":1}\n{\"a\":2}\n";
        assert_eq!(lines_of(batch), (b"{\"a\":1}\n{\"a\":2}\n".to_vec(), false));
        assert_eq!(lines_of(b"{\"a\":\r\n1}"), (b"{\"a\":  1}\n".to_vec(), false));
        let (line, malformed) = lines_of(b"nonsense");
        assert!(malformed);
        let line = String::from_utf8(line).unwrap();
        assert!(
            line.starts_with("{\"_malformed\":\"event 0 is no JSON object") && line.ends_with("}\n"),
            "{line}"
        );
    }

    #[tokio::test]
    async fn flush_means_that_it_is_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.ndjson");
        std::fs::write(&path, "{\"before\":1}\n").unwrap();
        let malformed = Arc::new(AtomicU64::new(0));
        let sink = Sink::open(&path, malformed.clone()).unwrap();
        for number in 0..100 {
            let record = Bytes::from(format!("{{\"n\":{number}}}"));
            sink.reserve(record.len()).await.send(vec![record, Bytes::from_static(b"?")]);
        }
        sink.flush().await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 201);
        assert!(text.starts_with("{\"before\":1}\n{\"n\":0}\n"));
        assert_eq!(malformed.load(Ordering::Relaxed), 100);
        sink.close().await.unwrap();
        sink.flush().await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_holds_nobody_up() {
        let Ok(sink) = Sink::open(Path::new("/dev/full"), Arc::default()) else {
            return; // Only Linux has this file.
        };
        for _ in 0..50 {
            let record = Bytes::from(format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20)));
            sink.reserve(record.len()).await.send(vec![record]);
        }
        assert!(sink.flush().await.unwrap_err().to_string().contains("/dev/full"));
        sink.close().await.unwrap_err();
    }
}
