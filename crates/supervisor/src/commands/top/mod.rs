//! `millpond top`: a running forwarder, live.
//!
//! The `model` decides what is on the screen and what is asked; `draw` draws it; here is what touches the world: the
//! terminal, the clock, the forwarder.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::failure::{self, Failure};
use super::forwarder::{AskError, Forwarder, ForwarderArgs, Method};
use super::status;
use crate::terminal::print::is_coloured;

mod draw;
mod history;
mod keys;
mod model;
mod panels;
#[cfg(test)]
mod tests;

use model::{Effect, Message, Model};

/// How often the forwarder is asked.
const REFRESH: Duration = Duration::from_secs(1);
/// Keys that wait to be handled; a person presses them one after the other.
const KEYS_MAX: usize = 32;

/// Arguments of `millpond top`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Keys: arrows or Tab choose an output, l (or Enter) looks into its queue, d at its dead letters, p pauses it, r resumes it,
? explains, q quits. It needs a terminal; `millpond status` does not.

Examples:
    $ millpond top
    $ millpond top --tag edge")]
pub struct TopArgs {
    #[command(flatten)]
    forwarder: ForwarderArgs,
    /// Only outputs with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

/// Runs it.
#[must_use]
pub fn run(args: &TopArgs) -> ExitCode {
    failure::end(answer(args))
}

fn answer(args: &TopArgs) -> Result<ExitCode, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Failure::usage("top needs a terminal; `millpond status` says the same without one"));
    }
    let forwarder = args.forwarder.find()?;
    let failed = |error: io::Error| Failure::failed(format!("the terminal cannot be used: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    // It is given back on every way out: a panic's hook does it, and so does this.
    let _restored = Restored;
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let path = status::path(args.tag.as_deref());
    let lived = runtime.block_on(live(&mut terminal, &forwarder, &path));
    // A question that is on its way is not waited for.
    runtime.shutdown_background();
    lived.map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows it until a person, or a signal, ends it.
async fn live(terminal: &mut DefaultTerminal, forwarder: &Forwarder, path: &str) -> io::Result<()> {
    let begun = Instant::now();
    let mut model = Model::new(&forwarder.url);
    let mut world = World::new(forwarder.clone(), path.to_owned())?;
    let coloured = is_coloured();
    loop {
        terminal.draw(|frame| draw::draw(&model, coloured, frame))?;
        let message = world.next().await?;
        for effect in model.update(message, begun.elapsed()) {
            if effect == Effect::Quit {
                return Ok(());
            }
            world.cause(effect);
        }
    }
}

/// Where messages come from, and effects go to. The model lets no more than a few questions be open at once.
struct World {
    forwarder: Forwarder,
    status_path: String,
    events: mpsc::Receiver<io::Result<Event>>,
    questions: JoinSet<Message>,
    ticks: tokio::time::Interval,
    ends: [Signal; 2],
}

impl World {
    fn new(forwarder: Forwarder, status_path: String) -> io::Result<Self> {
        let (heard, events) = mpsc::channel(KEYS_MAX);
        // It waits for a key as long as the process lives.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            loop {
                let event = event::read();
                let is_over = event.is_err();
                if heard.blocking_send(event).is_err() || is_over {
                    return;
                }
            }
        })?;
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let ends = [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?];
        Ok(Self { forwarder, status_path, events, questions: JoinSet::new(), ticks, ends })
    }

    async fn next(&mut self) -> io::Result<Message> {
        let [terminate, hangup] = &mut self.ends;
        loop {
            let message = tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => keys::read(&event?),
                    None => return Err(io::Error::other("it gives no more keys")),
                },
                Some(answer) = self.questions.join_next() => Some(answer.map_err(io::Error::other)?),
                _ = self.ticks.tick() => Some(Message::Tick),
                _ = terminate.recv() => Some(Message::End),
                _ = hangup.recv() => Some(Message::End),
            };
            if let Some(message) = message {
                return Ok(message);
            }
        }
    }

    fn cause(&mut self, effect: Effect) {
        let (forwarder, status_path) = (self.forwarder.clone(), self.status_path.clone());
        self.questions.spawn(async move {
            match effect {
                Effect::AskStatus => Message::Status(ask(&forwarder, Method::Get, &status_path).await),
                Effect::AskQueue(id) => {
                    let path = format!("/api/v1/outputs/{id}/queue");
                    Message::Queue(ask(&forwarder, Method::Get, &path).await, id)
                }
                Effect::AskLetters(id) => {
                    let path = format!("/api/v1/outputs/{id}/dead-letters?limit=50");
                    Message::Letters(ask(&forwarder, Method::Get, &path).await, id)
                }
                Effect::Order(deed, id) => {
                    let path = format!("/api/v1/outputs/{id}/{}", deed.as_str());
                    let done: Result<model::Done, String> = ask(&forwarder, Method::Post, &path).await;
                    Message::Ordered(done.map(|done| format!("{}: {}", done.output, done.note)))
                }
                // Whoever handles effects has ended before.
                Effect::Quit => Message::End,
            }
        });
    }
}

async fn ask<T: serde::de::DeserializeOwned>(
    forwarder: &Forwarder,
    method: Method,
    path: &str,
) -> Result<T, String> {
    let asked = async { forwarder.ask(method, path).await?.read(forwarder) };
    asked.await.map_err(|error: AskError| error.to_string())
}
