//! Which queue a command is about.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use millpond_queue::{Fs, Storage as _};

use super::failure::Failure;
use crate::config::checked::{Config, Output};
use crate::config::{self, Environment};

/// The configuration that most commands look at.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigArgs {
    /// The configuration
    #[arg(long, short, value_name = "FILE", default_value = "millpond.yaml")]
    pub config: PathBuf,
    /// Name of the environment that runs here; outputs of another environment are inactive
    #[arg(long, value_name = "NAME", env = "MILLPOND_ENVIRONMENT")]
    pub environment: Option<String>,
}

/// Where a queue is: an output of the configuration has it, or it is in a directory from anywhere.
#[derive(Debug, Clone, clap::Args)]
pub struct PlaceArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output whose queue it is; not needed where there is only one
    #[arg(long, value_name = "ID")]
    output: Option<String>,
    /// A queue's directory from anywhere, such as the disk of a dead machine, instead of one of the configuration
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "output"])]
    path: Option<PathBuf>,
}

/// A queue that was found.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it is.
    pub directory: PathBuf,
    /// Whose it is, where the configuration says so.
    pub owner: Option<Owner>,
}

/// Whose queue it is.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The configuration.
    pub config: Config,
    /// The output's place in it.
    index: usize,
}

impl Owner {
    /// The output.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.config.outputs[self.index]
    }
}

impl ConfigArgs {
    /// Reads the configuration; its warnings are not said: `check` and `run` do that.
    ///
    /// # Errors
    /// All its problems.
    pub fn load(&self) -> Result<Config, Failure> {
        let environment = Environment::of_process(self.environment.as_deref());
        match config::load(&self.config, &environment) {
            Ok((config, _)) => Ok(config),
            Err(problems) => Err(Failure::usage(problems.to_string())),
        }
    }
}

/// The output of this name; without a name, the only one.
///
/// # Errors
/// There is none, or it is not clear which is meant.
pub fn owner(config: Config, id: Option<&str>) -> Result<Owner, Failure> {
    let ids = || config.outputs.iter().map(|output| &*output.id).collect::<Vec<_>>().join(", ");
    let index = match (id, config.outputs.len()) {
        (Some(id), _) => config.outputs.iter().position(|output| output.id == id).ok_or_else(|| {
            Failure::usage(format!("the configuration has no output `{id}`; it has: {}", ids()))
        }),
        (None, 1) => Ok(0),
        (None, _) => {
            Err(Failure::usage(format!("say which output is meant with --output; there are: {}", ids())))
        }
    }?;
    Ok(Owner { config, index })
}

impl PlaceArgs {
    /// The queue that is meant. It may not exist yet.
    ///
    /// # Errors
    /// The configuration is wrong, or does not say which queue is meant.
    pub fn find(&self) -> Result<Place, Failure> {
        if let Some(directory) = &self.path {
            return Ok(Place { directory: directory.clone(), owner: None });
        }
        let owner = owner(self.config.load()?, self.output.as_deref())?;
        Ok(Place { directory: owner.output().queue_directory(), owner: Some(owner) })
    }
}

impl Place {
    /// The queue's directory, for looking: nothing is written, no lock is taken.
    ///
    /// # Errors
    /// There is no queue in it, or it cannot be read.
    pub fn look(&self) -> Result<Fs, Failure> {
        open_for_looking(&self.directory)
    }
}

/// A queue's directory, for looking.
///
/// # Errors
/// There is no queue in it, or it cannot be read.
pub fn open_for_looking(directory: &Path) -> Result<Fs, Failure> {
    let shown = directory.display();
    let storage = Fs::existing(directory).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::failed(format!(
            "{shown}: there is no such directory; a queue's is made when its output runs for the first time"
        )),
        _ => Failure::failed(format!("{shown}: {error}")),
    })?;
    let names = storage.list("").map_err(|error| Failure::failed(format!("{shown}: {error}")))?;
    if names.iter().any(|name| millpond_queue::is_queue_file(name)) {
        return Ok(storage);
    }
    let inside = queues_in(directory);
    let hint = if inside.is_empty() {
        "a queue's directory holds files such as cursor.a and 00000000000000000001.seg".to_owned()
    } else {
        format!("but there is in it: {}", inside.join(", "))
    };
    Err(Failure::failed(format!("{shown} is not a queue; {hint}")))
}

/// Queues one or two levels below, as in `data_dir` and in `queues`.
fn queues_in(directory: &Path) -> Vec<String> {
    let below = |directory: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let is_queue = |path: &PathBuf| {
        let names = Fs::existing(path).and_then(|storage| storage.list("")).unwrap_or_default();
        names.iter().any(|name| millpond_queue::is_queue_file(name))
    };
    let first = below(directory);
    let second = first.iter().flat_map(|path| below(path));
    let mut found: Vec<String> =
        first.iter().cloned().chain(second).filter(is_queue).map(|path| path.display().to_string()).collect();
    found.sort();
    found
}
