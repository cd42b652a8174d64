//! Queues that no output drains any more: its own was renamed, removed or switched off.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use millpond_queue::{Fs, inspect};

use crate::config::checked::{Config, Output};

/// A queue with batches that nothing delivers.
#[derive(Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Where it is.
    pub directory: PathBuf,
    /// Batches in it that are not delivered.
    pub batches: u64,
}

/// Looks for queues beside those that the configuration uses. Changes nothing.
///
/// # Errors
/// When a directory of queues cannot be read; one that does not exist holds none.
pub fn find(config: &Config) -> io::Result<Vec<Orphan>> {
    // An output that no longer queues drains what is there all the same.
    let active = || config.outputs.iter().filter(|output| output.active);
    let adopted =
        |output: &Output| output.adopt.iter().map(|id| output.queue.path.join(id)).collect::<Vec<_>>();
    let used: BTreeSet<PathBuf> =
        active().map(Output::queue_directory).chain(active().flat_map(adopted)).collect();
    let places: BTreeSet<&Path> = config.outputs.iter().map(|output| &*output.queue.path).collect();
    let mut orphans = Vec::new();
    for place in places {
        let entries = match std::fs::read_dir(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let directory = entry?.path();
            if directory.is_dir() && !used.contains(&directory) {
                let batches = pending(&directory)?;
                if batches > 0 {
                    orphans.push(Orphan { directory, batches });
                }
            }
        }
    }
    Ok(orphans)
}

/// Batches that are not delivered in the queue of this directory; none if there is no such directory. Changes nothing.
///
/// # Errors
/// When it cannot be read.
pub fn pending(directory: &Path) -> io::Result<u64> {
    if !directory.is_dir() {
        return Ok(0);
    }
    Ok(inspect::overview(&Fs::existing(directory)?)?.pending_batches)
}

#[cfg(test)]
mod tests {
    use millpond_queue::{BatchInfo, Options, Queue};

    use super::*;
    use crate::config::{self, Environment};

    fn config(directory: &Path, output: &str) -> Config {
        let text = format!(
            "data_dir: data\ninputs:\n  app: {{ type: stdin }}\noutputs:\n  {output}: {{ type: kinesis, stream_name: s, \
             region: eu-west-1, backpressure: queue }}\n"
        );
        let path = directory.join("millpond.yaml");
        std::fs::write(&path, text).unwrap();
        config::load(&path, &Environment::default()).unwrap().0
    }

    #[test]
    fn a_queue_of_an_output_that_was_renamed_is_found_while_it_holds_anything() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(find(&config(directory.path(), "new")).unwrap(), [], "no directory of queues yet");
        let queues = directory.path().join("data/queues");
        for (name, batches) in [("new", 1), ("old", 2), ("empty", 0)] {
            let (mut queue, _) =
                Queue::open(Fs::create(&queues.join(name)).unwrap(), Options::default()).unwrap();
            for _ in 0..batches {
                queue.append(BatchInfo::default(), &["x".into()]).unwrap();
            }
            queue.close(0).unwrap();
        }
        let found = find(&config(directory.path(), "new")).unwrap();
        assert_eq!(found, [Orphan { directory: queues.join("old"), batches: 2 }]);
        let mut adopting = config(directory.path(), "new");
        adopting.outputs[0].adopt.push("old".to_owned());
        assert_eq!(find(&adopting).unwrap(), []);
    }
}
