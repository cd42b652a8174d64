//! A replay from its beginning to its summary.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millpond_kinesis::Output as KinesisOutput;
use millpond_kinesis::aws::AwsClient;
use millpond_queue::{Options, Queue, Retain};

use super::super::failure::Failure;
use super::ReplayArgs;
use super::pick::Picked;
use super::target::Found;
use crate::backlog::Source;
use crate::counters::OutputCounters;
use crate::dead_letters::{DeadLetters, Place};
use crate::ledger::{self, Book};
use crate::logging::{self, LogArgs, LogFormat};
use crate::output::queue_options;
use crate::replay::books::Consuming;
use crate::replay::course::Shared;
use crate::replay::named::{self, Cursor, Kept, Subject};
use crate::replay::run::{Ended, Target, send};
use crate::replay::screen::Screen;
use crate::replay::summary::{self, Heading, Outcome, Summary};
use crate::replay::walk::{Begun, Drain, Kind};
use crate::service::Signals;
use crate::terminal::print;

/// Threads that run tasks, and that compress nothing but read.
const WORKERS: usize = 2;
const BLOCKING_THREADS_MAX: usize = 4;

/// Where batches come from, where it is written that they are through, and what both say.
type Ends = (Box<dyn Source>, Box<dyn Book>, Shared);

/// What is to be done.
struct Job {
    picked: Picked,
    target: Found,
    heading: Heading,
    subject: Subject,
    name: String,
}

/// Sends what was picked, or counts it, and prints the summary.
pub(super) fn run(args: &ReplayArgs, picked: Picked, target: Found) -> Result<ExitCode, Failure> {
    let subject = subject(args, &picked, &target);
    let name = args.how.name.clone().unwrap_or_else(|| subject.name());
    let heading = Heading {
        name: (!args.how.consume).then(|| name.clone()),
        queue: picked.directory.clone(),
        stream: target.stream.clone(),
        region: target.region.clone(),
        endpoint: target.endpoint.clone(),
        dry_run: args.how.dry_run,
        left_to_owner: picked.left_to.is_some(),
        owner_pid: picked.left_to.flatten(),
    };
    if let Some(pid) = picked.left_to {
        eprintln!("replay: what is pending is left to {}", summary::owner(pid));
    }
    let job = Job { picked, target, heading, subject, name };
    let summary = if args.how.dry_run { job.count(args)? } else { job.send(args)? };
    let printed = print::to_stdout(|out| {
        if args.how.json {
            serde_json::to_writer(&mut *out, &summary)?;
            writeln!(out)
        } else {
            write!(out, "{summary}")
        }
    });
    printed.map_err(|error| Failure::printing(&error))?;
    let complete = summary.outcome == Outcome::Complete;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn subject(args: &ReplayArgs, picked: &Picked, target: &Found) -> Subject {
    let what = &args.what;
    Subject {
        queue_id: picked.chosen.standing.queue_id.map(|id| format!("{id:032x}")).unwrap_or_default(),
        source: match picked.chosen.kind {
            Kind::Batches if picked.salvage.is_some() => "quarantine".to_owned(),
            Kind::Batches => "batches".to_owned(),
            Kind::Letters => "dead_letters".to_owned(),
        },
        which: super::pick::which(what),
        from_seq: what.from_seq,
        to_seq: what.to_seq,
        since: what.since.as_ref().map(|when| when.text.clone()),
        until: what.until.as_ref().map(|when| when.text.clone()),
        segment: what.segment.clone(),
        stream: target.stream.clone(),
        region: target.region.clone(),
        endpoint: target.endpoint.clone(),
    }
}

impl Job {
    fn fresh(&self, args: &ReplayArgs) -> Kept {
        let since_ms = args.what.since.as_ref().map(|when| when.ms);
        let until_ms = args.what.until.as_ref().map(|when| when.ms);
        Kept::new(self.subject.clone(), since_ms, until_ms)
    }

    /// Counts what would be sent.
    fn count(mut self, args: &ReplayArgs) -> Result<Summary, Failure> {
        let began = Instant::now();
        let kept = match args.how.consume || args.how.again {
            true => None,
            false => look(&self.target, &self.name, &self.subject)?,
        };
        let kept = kept.unwrap_or_else(|| self.fresh(args));
        self.picked.set_times(kept.since_ms, kept.until_ms);
        let shared = Shared::new(kept.course);
        let mut walk = self.picked.walk(&shared)?;
        while walk.next_content().map_err(|error| Failure::failed(error.to_string()))?.is_some() {}
        let dead_letters = self.target.state.join(&self.name).join("dead-letters");
        let counters = OutputCounters::default();
        let progress = shared.lock();
        Ok(Summary::new(self.heading, &Ended::Through, &progress, &counters, dead_letters, began.elapsed()))
    }

    fn send(mut self, args: &ReplayArgs) -> Result<Summary, Failure> {
        let began = Instant::now();
        let counters: Arc<OutputCounters> = Arc::default();
        let refused = self.target.state.join(&self.name).join("dead-letters");
        let (source, book, shared): Ends = if args.how.consume {
            self.consume()?
        } else {
            let fresh = self.fresh(args);
            let cursor = Cursor::open(&self.target.state, &self.name, fresh, args.how.again)
                .map_err(|error| Failure::failed(error.to_string()))?;
            self.picked.set_times(cursor.kept.since_ms, cursor.kept.until_ms);
            let shared = Shared::new(cursor.kept.course.clone());
            let walk = self.picked.walk(&shared)?;
            (Box::new(walk), cursor.book(shared.clone(), Arc::clone(&counters)), shared)
        };
        let events_total = shared.lock().course.settled.events.max(self.picked.events());
        let begun = Begun::begin(source).map_err(|error| Failure::failed(error.to_string()))?;
        let (ledger, thread) = ledger::keep(book).map_err(|error| Failure::failed(error.to_string()))?;
        let ended = match begun {
            None => {
                drop(ledger);
                Ended::Through
            }
            Some(source) => {
                let place = Place {
                    directory: refused.clone(),
                    size_bytes_max: self.target.dead_letters_bytes_max,
                    free_bytes_min: self.target.free_bytes_min,
                };
                let dead_letters = DeadLetters::new(format!("replay {}", self.name), place);
                let target = self.target.clone();
                let (shared, counters) = (shared.clone(), Arc::clone(&counters));
                on_runtime(target, Box::new(source), ledger, &shared, counters, dead_letters, events_total)?
            }
        };
        let closed = thread.join();
        let ended = match (closed, ended) {
            (Err(error), Ended::Through | Ended::Interrupted) => {
                Ended::Failed(format!("how far it is cannot be written down: {error}"))
            }
            (_, ended) => ended,
        };
        let progress = shared.lock();
        Ok(Summary::new(self.heading, &ended, &progress, &counters, refused, began.elapsed()))
    }

    /// Opens the queue as its owner.
    fn consume(&mut self) -> Result<Ends, Failure> {
        let options = match &self.picked.owner {
            Some(owner) => queue_options(&owner.output().queue),
            // Nobody says that what is delivered may go.
            None => Options {
                retain: Retain { for_ms: Some(u64::MAX), bytes_max: None },
                free_bytes_min: 0,
                ..Options::default()
            },
        };
        let (queue, _) = Queue::open(self.picked.storage.clone(), options)
            .map_err(|error| Failure::failed(format!("{}: {error}", self.picked.directory.display())))?;
        let shared = Shared::default();
        let from = queue.acked().0.max(self.picked.chosen.range.from);
        let reader = queue.reader(millpond_queue::Sequence(from));
        let drain = Drain::new(reader, self.picked.chosen.clone(), shared.clone());
        Ok((Box::new(drain), Box::new(Consuming::new(queue, shared.clone())), shared))
    }
}

fn look(target: &Found, name: &str, subject: &Subject) -> Result<Option<Kept>, Failure> {
    named::look(&target.state, name, subject).map_err(|error| Failure::failed(error.to_string()))
}

fn on_runtime(
    target: Found,
    source: Box<dyn Source>,
    ledger: ledger::Ledger,
    shared: &Shared,
    counters: Arc<OutputCounters>,
    dead_letters: DeadLetters,
    events_total: u64,
) -> Result<Ended, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build();
    let failed = |error: std::io::Error| {
        Failure::failed(format!("the system gives no threads or no signals: {error}"))
    };
    let runtime = runtime.map_err(failed)?;
    // What a person has to know is on the screen; errors that nobody thought of are not lost.
    let errors = LogArgs { log_format: LogFormat::Text, log_level: "error".to_owned() };
    let held_back = logging::init(&errors).map_err(|error| Failure::failed(error.to_string()))?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::catch().map_err(failed)?;
        let client = AwsClient::connect(target.client)
            .await
            .map_err(|failure| Failure::usage(format!("the way to the stream: {}", failure.message)))?;
        let output = KinesisOutput::new(Arc::new(client), target.stream.clone(), target.options);
        let mut screen = Screen::new(events_total);
        let to = Target {
            id: "replay".into(),
            output,
            dead_letters: dead_letters.clone(),
            counters,
            concurrency: target.concurrency,
            limits: target.limits,
            stop_max: target.stop_max,
        };
        let ended = send(to, source, ledger, shared, &mut signals, &mut screen).await;
        screen.close();
        Ok(ended)
    });
    held_back.say_all();
    // A read that hangs in a broken disk does not keep the summary back.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Err(error) = dead_letters.close() {
        eprintln!("replay: the dead letters were not closed cleanly: {error}");
    }
    ended
}
