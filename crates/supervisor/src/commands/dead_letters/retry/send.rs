//! One round of letters on its way.

use std::sync::Arc;
use std::time::Duration;

use millpond_kinesis::{Batch, Batcher, Class, Failure, Output as Stream, Pending};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::config::checked::Output;
use crate::dead_letters::letters::Letter;
use crate::output::batcher_options;

/// Attempts at a letter while the link or the service fails, and while the stream has no room.
const ATTEMPTS_MAX: u32 = 5;
const ATTEMPTS_THROTTLED_MAX: u32 = 20;
/// The wait after the first attempt; it doubles up to the second.
const WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What becomes of a letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The service has it.
    Accepted,
    /// The service will not have it.
    Refused {
        /// Why, in a word.
        code: String,
        /// And in the service's words.
        message: String,
    },
    /// It makes no record.
    Unfit(String),
    /// It may or may not have arrived, and the others would fare no better.
    Failed(String),
}

/// The way of letters to a stream.
pub(super) struct Sending {
    stream: Stream,
    settings: Arc<Output>,
    permits: Arc<Semaphore>,
}

impl Sending {
    pub(super) fn new(stream: Stream, settings: &Arc<Output>) -> Self {
        let permits = Arc::new(Semaphore::new(settings.concurrency as usize));
        Self { stream, settings: Arc::clone(settings), permits }
    }

    /// Sends them, as many at once as the output may, and says what has become of each.
    pub(super) async fn send_all(&self, round: Vec<Letter>) -> Vec<(Letter, Fate)> {
        let mut sending = JoinSet::new();
        for letter in round {
            let (stream, permits) = (self.stream.clone(), Arc::clone(&self.permits));
            let batch = batch_of(&letter, &self.settings);
            sending.spawn(async move {
                let fate = match (batch, permits.acquire().await) {
                    (Ok(batch), Ok(_permit)) => send(&stream, &batch).await,
                    (Err(why), _) => Fate::Unfit(why),
                    (_, Err(error)) => Fate::Failed(error.to_string()),
                };
                (letter, fate)
            });
        }
        sending.join_all().await
    }
}

/// The record that a letter was, or becomes.
pub(super) fn batch_of(letter: &Letter, settings: &Output) -> Result<Batch, String> {
    letter.record().map_or_else(|| record_of(&letter.body, settings), Ok)
}

/// An event that was too large for a record may fit into one of those that the output makes now.
fn record_of(event: &[u8], settings: &Output) -> Result<Batch, String> {
    let mut batcher = Batcher::new(batcher_options(settings));
    let push = batcher.push(Duration::ZERO, crate::clock::unix_ms(), |out| out.extend_from_slice(event));
    let push = push.map(|push| *push).unwrap_or_default();
    let sealed = push.full.or_else(|| batcher.seal());
    match (push.oversize, sealed) {
        (None, Some(sealed)) => Ok(sealed.encode(settings.compression_level)),
        _ => Err(format!(
            "it has {} bytes, which fit in no record of output {} (max_record_size)",
            event.len(),
            settings.id
        )),
    }
}

async fn send(stream: &Stream, batch: &Batch) -> Fate {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let report = stream.send(batch, &Pending::all(batch)).await;
        if let Some(rejected) = report.rejected.into_iter().next() {
            return Fate::Refused { code: rejected.code, message: rejected.message };
        }
        let Some(failure) = report.failure.filter(|_| !report.retry.is_empty()) else {
            return Fate::Accepted;
        };
        match wait_after(&failure, attempt) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Fate::Failed(failure.message),
        }
    }
}

/// How long to wait after this many attempts; nothing if there is to be no other. Pure.
fn wait_after(failure: &Failure, attempt: u32) -> Option<Duration> {
    let attempts_max = match failure.class {
        Class::Misconfigured => 1,
        Class::Throttled => ATTEMPTS_THROTTLED_MAX,
        _ => ATTEMPTS_MAX,
    };
    let (first, longest) = WAIT;
    let wait = first.saturating_mul(1 << (attempt - 1).min(16)).min(longest);
    (attempt < attempts_max).then(|| wait.max(failure.retry_after.unwrap_or_default().min(longest)))
}

#[cfg(test)]
mod tests {
    use millpond_kinesis::classify::{self, Context};

    use super::*;

    #[test]
    fn who_waits_how_long() {
        let context = Context { operation: "PutRecord", stream: "logs", place: "here" };
        let waits = |code| {
            let failure = classify::record_error(context, code, "");
            let waits = (1..).map_while(move |attempt| wait_after(&failure, attempt));
            waits.map(|wait| wait.as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(waits("InternalFailure"), [250, 500, 1_000, 2_000]);
        assert_eq!(waits("AccessDeniedException"), [] as [u128; 0]);
        let throttled = waits("ProvisionedThroughputExceededException");
        assert_eq!((throttled.len(), throttled[5], throttled[18]), (19, 5_000, 5_000));
    }
}
