//! Which dead letters a command is about.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use millpond_queue::{Fs, Sequence, inspect};

use crate::commands::failure::Failure;
use crate::commands::place::{self, ConfigArgs, Owner};
use crate::dead_letters::Place;
use crate::dead_letters::letters::{self, Found, Letter};
use crate::dead_letters::settle::{SettleError, Settler};
use crate::terminal::human::TimeArg;

/// How long a command waits for a forwarder that stores letters to let go of them: that takes 6 s at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose dead letters.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WhoseArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The output whose dead letters they are; not needed where there is only one
    #[arg(long, value_name = "ID")]
    output: Option<String>,
    /// A directory of dead letters from anywhere, such as the disk of a dead machine, instead of an output's
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    path: Option<PathBuf>,
}

/// Dead letters that were found.
#[derive(Debug)]
pub(super) struct Letters {
    pub(super) place: Place,
    /// Whose they are, where the configuration says so.
    pub(super) owner: Option<Owner>,
    /// `None`: there have never been any.
    storage: Option<Fs>,
    /// Everything below was there when the command began.
    pub(super) end: Sequence,
}

impl WhoseArgs {
    /// The dead letters that are meant.
    ///
    /// # Errors
    /// The configuration is wrong or does not say which, or they cannot be read.
    pub(super) fn find(&self) -> Result<Letters, Failure> {
        let (place, owner) = match &self.path {
            Some(path) => {
                let place = Place { directory: path.clone(), size_bytes_max: u64::MAX, free_bytes_min: 0 };
                (place, None)
            }
            None => {
                let owner = place::owner(self.config.load()?, self.output.as_deref())?;
                (Place::of(owner.output(), &owner.config.data_dir), Some(owner))
            }
        };
        let directory = &place.directory;
        let is_there = directory.try_exists().map_err(|error| unread(&place, &error))?;
        // An output that was never refused anything has none; a directory that somebody names should be one.
        let storage = match (is_there, &self.path) {
            (false, None) => None,
            _ => Some(place::open_for_looking(directory)?),
        };
        let end = storage.as_ref().map_or(Ok(Sequence(0)), end_of).map_err(|error| unread(&place, &error))?;
        Ok(Letters { place, owner, storage, end })
    }
}

fn end_of(storage: &Fs) -> io::Result<Sequence> {
    let overview = inspect::overview(storage)?;
    let ends = overview.segments.iter().map(|segment| segment.end);
    Ok(ends.chain(overview.acked).max().unwrap_or_default())
}

fn unread(place: &Place, error: &io::Error) -> Failure {
    Failure::failed(format!("{}: {error}", place.directory.display()))
}

impl Letters {
    /// What is there, oldest first, without what comes while it is read.
    ///
    /// # Errors
    /// When the disk does not answer; also in the midst.
    pub(super) fn read(&self) -> Result<impl Iterator<Item = Result<Found, Failure>> + '_, Failure> {
        let found = self.storage.clone().map(|storage| letters::read(storage, Sequence(0))).transpose();
        let found = found.map_err(|error| unread(&self.place, &error))?.into_iter().flatten();
        let before = |found: &io::Result<Found>| match found {
            Ok(Found::Letter(letter)) => letter.sequence < self.end,
            Ok(Found::Unreadable { sequence, .. }) => *sequence < self.end,
            Err(_) => true,
        };
        Ok(found.take_while(before).map(|found| found.map_err(|error| unread(&self.place, &error))))
    }

    /// Takes letters out.
    pub(super) fn settler(&self) -> Settler {
        Settler::new(self.place.clone(), PATIENCE)
    }

    /// How they are called.
    pub(super) fn in_words(&self) -> String {
        match &self.owner {
            Some(owner) => format!("output {}", owner.output().id),
            None => self.place.directory.display().to_string(),
        }
    }
}

impl From<SettleError> for Failure {
    fn from(error: SettleError) -> Self {
        Self::failed(error.to_string())
    }
}

/// Which of them.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct WhichArgs {
    /// Only those that were refused with this code
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Only those that were refused at this time or later
    #[arg(long, value_name = "TIME")]
    since: Option<TimeArg>,
    /// Only those that were refused before this time
    #[arg(long, value_name = "TIME")]
    until: Option<TimeArg>,
}

impl WhichArgs {
    pub(super) fn admits(&self, letter: &Letter) -> bool {
        self.code.as_ref().is_none_or(|code| *code == letter.reason.code)
            && self.since.is_none_or(|since| letter.refused_ms >= since.0)
            && self.until.is_none_or(|until| letter.refused_ms < until.0)
    }
}

/// Letters by their numbers, and all by none.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct NumbersArgs {
    /// Numbers of letters, as `ls` shows them; all without one
    #[arg(value_name = "SEQ")]
    numbers: Vec<u64>,
    #[command(flatten)]
    which: WhichArgs,
}

impl NumbersArgs {
    pub(super) fn admits(&self, letter: &Letter) -> bool {
        (self.numbers.is_empty() || self.numbers.contains(&letter.sequence.0)) && self.which.admits(letter)
    }

    /// Whether all are meant, or this one by its number, that nobody can read.
    pub(super) fn admits_unread(&self, sequence: Sequence) -> bool {
        self.numbers.is_empty() || self.names(sequence)
    }

    /// Whether it is asked for by its number.
    pub(super) fn names(&self, sequence: Sequence) -> bool {
        self.numbers.contains(&sequence.0)
    }

    /// Those among the numbers that were not seen.
    pub(super) fn missing(&self, seen: impl Fn(u64) -> bool) -> Result<(), Failure> {
        let missing: Vec<String> =
            self.numbers.iter().filter(|number| !seen(**number)).map(|number| format!("#{number}")).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "there is no dead letter {} that this is about; `millpond dead-letters ls` shows those that are there",
            missing.join(", ")
        )))
    }
}
