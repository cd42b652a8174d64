//! Where a replay's batches come from: a walk over the frames on disk, or a queue's own reader.

use std::io;

use millpond_kinesis::Batch;
use millpond_queue::inspect::salvage::{self, Salvaged};
use millpond_queue::inspect::{self, Entry, Standing};
use millpond_queue::{Frame, Fs, ReadError, Reader, Sequence};

use super::course::{Progress, Shared};
use super::range::{Range, Which};
use crate::backlog::{Content, Source};
use crate::dead_letters::letters::{self, Letter};
use crate::ledger::Settled;

/// What the frames of a queue are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Batches of an output.
    Batches,
    /// Dead letters.
    Letters,
}

impl Kind {
    /// The batch in a frame.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn batch_of(self, frame: Frame) -> Result<Batch, String> {
        match self {
            Self::Batches => match Content::of(frame) {
                Content::Batch(batch) => Ok(batch),
                Content::Foreign { reason, .. } => Err(reason),
            },
            Self::Letters => match letters::decode(&frame) {
                letters::Found::Letter(letter) => record_of(&letter),
                letters::Found::Unreadable { reason, .. } => Err(reason),
            },
        }
    }
}

/// A letter that was a record is that record again.
fn record_of(letter: &Letter) -> Result<Batch, String> {
    let why = &letter.reason;
    letter.record().ok_or_else(|| {
        format!("a dead letter that is no record, but {} ({}: {})", why.format, why.code, why.message)
    })
}

/// Which batches a walk gives out.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// What the frames are.
    pub kind: Kind,
    /// Which are meant.
    pub range: Range,
    /// Where the queue's consumer stands.
    pub standing: Standing,
    /// The first sequence that should be there, if that is known: one that is not is missing.
    pub expected: Option<u64>,
    /// Whether sequences follow one another: one that is left out is missing then.
    pub contiguous: bool,
}

impl Chosen {
    /// The batch of a frame, if it is meant and not given out yet. What cannot be sent is noted.
    fn take(&self, progress: &mut Progress, frame: Frame) -> Option<(Sequence, Batch)> {
        let sequence = frame.sequence;
        let meant = self.range.holds(&self.standing, sequence) && self.range.holds_events_of(&frame.info);
        if !meant || !progress.course.wants(sequence.0) {
            progress.course.pass(sequence.0 + 1);
            return None;
        }
        match self.kind.batch_of(frame) {
            Ok(batch) => {
                progress.give(&Settled::of(sequence, &batch));
                Some((sequence, batch))
            }
            Err(reason) => {
                progress.course.lacking.foreign_batches += 1;
                progress.note(format!("{sequence} is not sent: {reason}"));
                progress.course.pass(sequence.0 + 1);
                None
            }
        }
    }

    /// How many of the sequences from `first` to `end` are meant, and were not settled by an earlier run. They are passed.
    fn lose(&self, progress: &mut Progress, first: u64, end: u64) -> u64 {
        let end = end.min(self.range.end);
        let news = self.range.count(&self.standing, first.max(progress.course.reached()), end);
        news + progress.course.pass(end)
    }
}

/// A walk over all frames of a queue's files. Writes nothing, and takes no lock.
pub struct Walk {
    entries: Box<dyn Iterator<Item = io::Result<Entry>> + Send>,
    chosen: Chosen,
    shared: Shared,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("chosen", &self.chosen).finish_non_exhaustive()
    }
}

impl Walk {
    /// A walk over the queue in `storage`, from where the replay was.
    #[must_use]
    pub fn new(storage: Fs, mut chosen: Chosen, shared: Shared) -> Self {
        if let Some(start) = shared.lock().course.start() {
            chosen.expected = Some(start);
        }
        let from = chosen.range.from.max(chosen.expected.unwrap_or(0));
        let entries = Box::new(inspect::entries(storage, Sequence(from)));
        Self { entries, chosen, shared }
    }

    /// A walk over what can be had of the quarantine of the queue in `storage`. What was readable when it was set aside, and
    /// so was sent most likely, is pending for nobody.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub fn salvage(storage: Fs, chosen: Chosen, which: Which, shared: Shared) -> io::Result<Self> {
        let notes = shared.clone();
        let found = salvage::salvage(storage)?.filter_map(move |salvaged| match salvaged {
            Ok(Salvaged::Frame { frame, was_readable }) => {
                let meant = match which {
                    Which::Pending => !was_readable,
                    Which::Retained => was_readable,
                    Which::All => true,
                };
                meant.then_some(Ok(Entry::Frame(frame)))
            }
            Ok(Salvaged::Nothing { file, reason }) => {
                let mut progress = notes.lock();
                progress.course.lacking.damaged_places += 1;
                progress.note(format!("{file} gives nothing: {reason}"));
                None
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        Ok(Self { entries: Box::new(found), chosen, shared })
    }

    /// Whether what lies between here and `sequence` should be there and is not.
    fn notice_gap(&mut self, progress: &mut Progress, sequence: u64) {
        let Some(first) = self.chosen.expected.filter(|&expected| expected < sequence) else { return };
        let end = sequence.min(self.chosen.range.end);
        let missing = self.chosen.lose(progress, first, end);
        if missing > 0 {
            progress.course.lacking.missing_batches += missing;
            let last = end - 1;
            progress.note(format!("{missing} batches from {first} to {last} are not on disk any more"));
        }
    }

    fn on_entry(&mut self, entry: Entry) -> Step {
        let shared = self.shared.clone();
        let mut progress = shared.lock();
        match entry {
            Entry::Frame(frame) => {
                let sequence = frame.sequence.0;
                if self.chosen.contiguous {
                    self.notice_gap(&mut progress, sequence);
                }
                if sequence >= self.chosen.range.end {
                    return Step::End;
                }
                self.chosen.expected = Some(sequence + 1);
                self.chosen.take(&mut progress, frame).map_or(Step::On, |(at, batch)| Step::Batch(at, batch))
            }
            Entry::Damaged { file, position, bytes, first, end, reason } => {
                self.notice_gap(&mut progress, first.0);
                if first.0 >= self.chosen.range.end {
                    return Step::End;
                }
                let news = self.chosen.range.count(&self.chosen.standing, first.0, first.0 + 1) > 0;
                let lost = self.chosen.lose(&mut progress, first.0, end.0);
                self.chosen.expected = self.chosen.expected.max(Some(end.0));
                // At the end of a queue nobody knows what was in the bytes.
                if lost > 0 || (first == end && news) {
                    progress.course.lacking.damaged_places += 1;
                    progress.course.lacking.damaged_batches += lost;
                    progress.note(format!(
                        "{file}: {bytes} bytes at {position} cannot be read ({reason}): {lost} batches from {first} on"
                    ));
                }
                Step::On
            }
            // Entries of a kind that this program does not know do not occur.
            _ => Step::On,
        }
    }

    /// There is nothing more: what should be there up to the known end is missing.
    fn end(&mut self) {
        let shared = self.shared.clone();
        let mut progress = shared.lock();
        if self.chosen.range.end < u64::MAX && self.chosen.range.which == Which::Retained {
            let end = self.chosen.range.end.min(self.chosen.standing.acked.0);
            self.notice_gap(&mut progress, end);
        }
        // What an earlier run had in flight, and the queue's owner has delivered meanwhile, is not ours any more.
        progress.course.forget(|sequence| self.chosen.standing.is_settled(Sequence(sequence)));
        progress.ended = true;
    }
}

enum Step {
    Batch(Sequence, Batch),
    On,
    End,
}

impl Source for Walk {
    /// An error of the disk ends the walk: an old disk is not asked for the same bytes again and again.
    fn next_content(&mut self) -> Result<Option<(Sequence, Content)>, ReadError> {
        loop {
            if self.shared.lock().ended {
                return Ok(None);
            }
            match self.entries.next() {
                Some(Ok(entry)) => match self.on_entry(entry) {
                    Step::Batch(sequence, batch) => return Ok(Some((sequence, Content::Batch(batch)))),
                    Step::On => {}
                    Step::End => self.end(),
                },
                None => self.end(),
                Some(Err(error)) => {
                    let at = self.chosen.expected.unwrap_or(self.chosen.range.from);
                    fail(&self.shared, &format!("the disk cannot be read behind sequence {at}: {error}"));
                    return Ok(None);
                }
            }
        }
    }
}

/// What a queue that is opened by this process gives out: what nobody has acknowledged.
#[derive(Debug)]
pub struct Drain {
    reader: Reader<Fs>,
    chosen: Chosen,
    shared: Shared,
}

impl Drain {
    /// Reads by this reader.
    #[must_use]
    pub fn new(reader: Reader<Fs>, chosen: Chosen, shared: Shared) -> Self {
        Self { reader, chosen, shared }
    }
}

impl Source for Drain {
    fn next_content(&mut self) -> Result<Option<(Sequence, Content)>, ReadError> {
        loop {
            let frame = match self.reader.next() {
                Ok(Some(frame)) if frame.sequence.0 < self.chosen.range.end => frame,
                Ok(_) => {
                    self.shared.lock().ended = true;
                    return Ok(None);
                }
                Err(error) => {
                    fail(&self.shared, &error.to_string());
                    return Ok(None);
                }
            };
            let taken = self.chosen.take(&mut self.shared.lock(), frame);
            if let Some((sequence, batch)) = taken {
                return Ok(Some((sequence, Content::Batch(batch))));
            }
        }
    }
}

fn fail(shared: &Shared, reason: &str) {
    shared.lock().failure = Some(reason.to_owned());
}

/// A source of which the first batch was read already, so that nobody has to be asked for the way when there is none.
pub struct Begun {
    first: Option<(Sequence, Content)>,
    rest: Box<dyn Source>,
}

impl Begun {
    /// Reads the first batch; `None`: there is none.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub fn begin(mut source: Box<dyn Source>) -> Result<Option<Self>, ReadError> {
        let first = source.next_content()?;
        Ok(first.map(|first| Self { first: Some(first), rest: source }))
    }
}

impl Source for Begun {
    fn next_content(&mut self) -> Result<Option<(Sequence, Content)>, ReadError> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.rest.next_content(),
        }
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
mod tests;
