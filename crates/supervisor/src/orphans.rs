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
    /// It is where no output looks for queues any more, so that none can adopt it.
    pub out_of_reach: bool,
}

/// Looks for queues beside those that the configuration uses, also where `former` ones were. Changes nothing.
///
/// # Errors
/// When a directory of queues cannot be read; one that does not exist holds none.
pub fn find(config: &Config, former: &[PathBuf]) -> io::Result<Vec<Orphan>> {
    // An output that no longer queues drains what is there all the same.
    let active = || config.outputs.iter().filter(|output| output.active);
    let adopted =
        |output: &Output| output.adopt.iter().map(|id| output.queue.path.join(id)).collect::<Vec<_>>();
    let used: BTreeSet<PathBuf> =
        active().map(Output::queue_directory).chain(active().flat_map(adopted)).collect();
    let places: BTreeSet<&Path> = config.outputs.iter().map(|output| &*output.queue.path).collect();
    let mut orphans = Vec::new();
    for place in places.iter().copied().chain(former.iter().map(PathBuf::as_path)) {
        let entries = match std::fs::read_dir(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let directory = entry?.path();
            if directory.is_dir() && !used.contains(&directory) {
                let batches = pending(&directory)?;
                if batches > 0 {
                    let out_of_reach = !places.contains(place);
                    orphans.push(Orphan { directory, batches, out_of_reach });
                }
            }
        }
    }
    Ok(orphans)
}

/// Where outputs of `before` had their queues, and none of `now` looks.
#[must_use]
pub fn former_places(before: &Config, now: &Config) -> Vec<PathBuf> {
    let places = |config: &Config| -> BTreeSet<PathBuf> {
        config.outputs.iter().map(|output| output.queue.path.clone()).collect()
    };
    places(before).difference(&places(now)).cloned().collect()
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

    fn config(directory: &Path, output: &str, queue: &str) -> Config {
        let text = format!(
            "data_dir: data\ninputs:\n  app: {{ type: stdin }}\noutputs:\n  {output}: {{ type: kinesis, stream_name: s, \
             region: eu-west-1, backpressure: queue, queue: {{ {queue} }} }}\n"
        );
        let path = directory.join("millpond.yaml");
        std::fs::write(&path, text).unwrap();
        config::load(&path, &Environment::default()).unwrap().0
    }

    fn fill(directory: &Path, batches: usize) {
        let (mut queue, _) = Queue::open(Fs::create(directory).unwrap(), Options::default()).unwrap();
        for _ in 0..batches {
            queue.append(BatchInfo::default(), &["x".into()]).unwrap();
        }
        queue.close(0).unwrap();
    }

    #[test]
    fn a_queue_of_an_output_that_was_renamed_is_found_while_it_holds_anything() {
        let directory = tempfile::tempdir().unwrap();
        let find = |config: &Config| super::find(config, &[]).unwrap();
        let new = || config(directory.path(), "new", "");
        assert_eq!(find(&new()), [], "no directory of queues yet");
        let queues = directory.path().join("data/queues");
        for (name, batches) in [("new", 1), ("old", 2), ("empty", 0)] {
            fill(&queues.join(name), batches);
        }
        let old = Orphan { directory: queues.join("old"), batches: 2, out_of_reach: false };
        assert_eq!(find(&new()), [old]);
        let mut adopting = new();
        adopting.outputs[0].adopt.push("old".to_owned());
        assert_eq!(find(&adopting), []);
    }

    #[test]
    fn a_queue_at_a_path_that_was_changed_is_found_as_well() {
        let directory = tempfile::tempdir().unwrap();
        let before = config(directory.path(), "main", "");
        let after = config(directory.path(), "main", "path: elsewhere");
        fill(&before.outputs[0].queue_directory(), 3);
        let orphan =
            Orphan { directory: before.outputs[0].queue_directory(), batches: 3, out_of_reach: true };
        assert_eq!(find(&after, &former_places(&before, &after)).unwrap(), [orphan]);
        assert_eq!(find(&before, &former_places(&after, &before)).unwrap(), []);
        assert_eq!(former_places(&before, &before), Vec::<PathBuf>::new());
    }
}
