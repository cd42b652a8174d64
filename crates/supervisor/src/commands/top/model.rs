//! What is on the screen, and what comes of keys and answers. Pure: time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use super::history::History;
use crate::admin::Status;
use crate::admin::look::{Letters, QueueLook};
use crate::admin::status::OutputStatus;

/// Lines that a page up or down moves.
const PAGE: usize = 10;

/// A key, by what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Back,
    Previous,
    Next,
    PageUp,
    PageDown,
    Queue,
    Letters,
    Pause,
    Resume,
    Yes,
    Help,
}

/// What has happened.
#[derive(Debug)]
pub(super) enum Message {
    Key(Key),
    /// It is time to ask again.
    Tick,
    Status(Result<Status, String>),
    Queue(Result<QueueLook, String>, String),
    Letters(Result<Letters, String>, String),
    /// What came of an order.
    Ordered(Result<String, String>),
    Redraw,
    /// The process shall end.
    End,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    AskStatus,
    AskQueue(String),
    AskLetters(String),
    Order(Deed, String),
    Quit,
}

/// What a person can do to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Pause,
    Resume,
}

impl Deed {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
        }
    }
}

/// What the forwarder answers to an order.
#[derive(Debug, Deserialize)]
pub(super) struct Done {
    pub(super) output: String,
    pub(super) note: String,
}

/// What lies over the outputs.
#[derive(Debug)]
pub(super) enum Over {
    Nothing,
    Help,
    /// Is this meant?
    Confirm(Deed, String),
    Queue(String, Looked<QueueLook>),
    Letters(String, Looked<Letters>),
}

/// A look that may be on its way.
#[derive(Debug)]
pub(super) enum Looked<T> {
    Asking,
    Seen(Box<T>),
    Failed(String),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) url: String,
    /// The newest one that came.
    pub(super) status: Option<Status>,
    /// Why none comes now, and since when.
    pub(super) trouble: Option<(String, Duration)>,
    /// When it is.
    pub(super) now: Duration,
    /// By output.
    histories: HashMap<String, History>,
    selected: Option<String>,
    pub(super) over: Over,
    /// What came of the last order.
    pub(super) notice: Option<Result<String, String>>,
    /// Lines that are above the screen.
    pub(super) scroll: usize,
    is_asking: bool,
    is_ordering: bool,
    is_looking: bool,
}

impl Model {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            status: None,
            trouble: None,
            now: Duration::ZERO,
            histories: HashMap::new(),
            selected: None,
            over: Over::Nothing,
            notice: None,
            scroll: 0,
            is_asking: false,
            is_ordering: false,
            is_looking: false,
        }
    }

    /// The outputs, the one that is chosen, and what it did.
    pub(super) fn outputs(&self) -> &[OutputStatus] {
        self.status.as_ref().map_or(&[], |status| &status.outputs)
    }

    /// The place of the output that is chosen; the first one, if that is not there any more.
    pub(super) fn chosen(&self) -> usize {
        let is_it = |output: &OutputStatus| Some(&output.id) == self.selected.as_ref();
        self.outputs().iter().position(is_it).unwrap_or(0)
    }

    pub(super) fn history(&self, id: &str) -> Option<&History> {
        self.histories.get(id)
    }

    /// Something has happened.
    pub(super) fn update(&mut self, message: Message, now: Duration) -> Vec<Effect> {
        self.now = now;
        match message {
            Message::End => return vec![Effect::Quit],
            Message::Redraw => {}
            Message::Tick => {
                // One that takes long is not asked twice.
                if !std::mem::replace(&mut self.is_asking, true) {
                    return vec![Effect::AskStatus];
                }
            }
            Message::Status(answer) => self.answered(answer),
            Message::Queue(answer, id) => {
                self.is_looking = false;
                if let Over::Queue(shown, looked) = &mut self.over
                    && *shown == id
                {
                    *looked = Looked::of(answer);
                }
            }
            Message::Letters(answer, id) => {
                self.is_looking = false;
                if let Over::Letters(shown, looked) = &mut self.over
                    && *shown == id
                {
                    *looked = Looked::of(answer);
                }
            }
            Message::Ordered(done) => {
                self.is_ordering = false;
                self.notice = Some(done);
            }
            Message::Key(key) => return self.pressed(key).into_iter().collect(),
        }
        Vec::new()
    }

    fn answered(&mut self, answer: Result<Status, String>) {
        self.is_asking = false;
        match answer {
            Ok(status) => {
                self.trouble = None;
                for output in &status.outputs {
                    if let Some(running) = &output.running {
                        self.histories.entry(output.id.clone()).or_default().look(running, self.now);
                    }
                }
                self.histories.retain(|id, _| status.outputs.iter().any(|output| output.id == *id));
                self.status = Some(status);
            }
            Err(why) => {
                let since = self.trouble.take().map_or(self.now, |(_, since)| since);
                self.trouble = Some((why, since));
            }
        }
    }

    fn pressed(&mut self, key: Key) -> Option<Effect> {
        self.notice = None;
        match key {
            Key::Quit => return Some(Effect::Quit),
            Key::Back => self.show(Over::Nothing),
            Key::Help => self.show(Over::Help),
            Key::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            Key::PageDown => self.scroll = self.scroll.saturating_add(PAGE),
            Key::Previous | Key::Next => self.choose(key == Key::Next),
            Key::Yes => return self.confirmed(),
            Key::Queue | Key::Letters | Key::Pause | Key::Resume => {
                let id = self.outputs().get(self.chosen())?.id.clone();
                return self.about(key, id);
            }
        }
        None
    }

    /// Something about an output is wanted.
    fn about(&mut self, key: Key, id: String) -> Option<Effect> {
        match key {
            Key::Pause if !self.is_ordering => self.show(Over::Confirm(Deed::Pause, id)),
            Key::Resume if !self.is_ordering => self.show(Over::Confirm(Deed::Resume, id)),
            Key::Queue if !self.is_looking => {
                self.is_looking = true;
                self.show(Over::Queue(id.clone(), Looked::Asking));
                return Some(Effect::AskQueue(id));
            }
            Key::Letters if !self.is_looking => {
                self.is_looking = true;
                self.show(Over::Letters(id.clone(), Looked::Asking));
                return Some(Effect::AskLetters(id));
            }
            _ => {}
        }
        None
    }

    fn confirmed(&mut self) -> Option<Effect> {
        match std::mem::replace(&mut self.over, Over::Nothing) {
            Over::Confirm(deed, id) => {
                self.is_ordering = true;
                Some(Effect::Order(deed, id))
            }
            other => {
                self.over = other;
                None
            }
        }
    }

    fn show(&mut self, over: Over) {
        self.over = over;
        self.scroll = 0;
    }

    /// Chooses the next output or the one before; where something lies over them, moves in that.
    fn choose(&mut self, next: bool) {
        if !matches!(self.over, Over::Nothing) {
            self.scroll = if next { self.scroll.saturating_add(1) } else { self.scroll.saturating_sub(1) };
            return;
        }
        let (count, chosen) = (self.outputs().len(), self.chosen());
        if count > 0 {
            let chosen = if next { (chosen + 1) % count } else { (chosen + count - 1) % count };
            self.selected = self.outputs().get(chosen).map(|output| output.id.clone());
            self.scroll = 0;
        }
    }
}

impl<T> Looked<T> {
    fn of(answer: Result<T, String>) -> Self {
        answer.map_or_else(Self::Failed, |seen| Self::Seen(Box::new(seen)))
    }
}
