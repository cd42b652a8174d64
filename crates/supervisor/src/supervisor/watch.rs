//! Notices when the file of the configuration changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The file is read when nothing has happened to it for so long: editors and copies write in several steps.
const SETTLE: Duration = Duration::from_millis(250);
/// But not later than this after it began.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Watches the file of the configuration, and those of its programs, by the directories that they are in: a new file may
/// take a name.
pub(super) struct ConfigWatch {
    files: Vec<PathBuf>,
    /// Their texts when they were looked at last.
    texts: Vec<Option<Vec<u8>>>,
    notices: mpsc::Receiver<()>,
    /// Something has happened to it: when it is read, and when at the latest.
    look_at: Option<(Instant, Instant)>,
    /// Ends with it; nothing where changes cannot be noticed.
    watcher: Option<RecommendedWatcher>,
}

impl ConfigWatch {
    /// `programs`: files that belong to the configuration at `path`, with what was read from them.
    pub(super) fn start(path: &Path, programs: &[(PathBuf, Arc<str>)]) -> Self {
        let files_of_programs = programs.iter().map(|(file, _)| file.clone());
        let files: Vec<PathBuf> = [path.to_owned()].into_iter().chain(files_of_programs).collect();
        let (tell, notices) = mpsc::channel(1);
        let watcher = watch(&files, tell);
        if let Err(error) = &watcher {
            tracing::warn!(
                config = %path.display(),
                %error,
                "changes of the configuration are not noticed: send SIGHUP after a change"
            );
        }
        let mut watch = Self { files, texts: Vec::new(), notices, look_at: None, watcher: watcher.ok() };
        watch.seen();
        watch.knows(programs);
        watch
    }

    /// From now on these programs belong to the configuration. What has changed in them since they were read is told.
    pub(super) fn follow(&mut self, programs: &[(PathBuf, Arc<str>)]) {
        if self.files[1..].iter().eq(programs.iter().map(|(file, _)| file)) {
            return self.knows(programs);
        }
        let text = self.texts.swap_remove(0);
        *self = Self::start(&self.files.swap_remove(0), programs);
        self.texts[0] = text;
        // What has changed before this was watching is found by looking once.
        let now = Instant::now();
        self.look_at = Some((now, now));
    }

    fn knows(&mut self, programs: &[(PathBuf, Arc<str>)]) {
        let texts = programs.iter().map(|(_, text)| Some(text.as_bytes().to_vec()));
        self.texts.splice(1.., texts);
    }

    /// What the files hold now is known.
    pub(super) fn seen(&mut self) {
        self.texts = self.files.iter().map(|file| read(file)).collect();
    }

    /// Waits until one of the files holds something else than what is known. May be given up at any time.
    pub(super) async fn changed(&mut self) {
        if self.watcher.is_none() {
            return std::future::pending().await;
        }
        loop {
            let look_at = self.look_at.map(|(at, _)| at);
            tokio::select! {
                notice = self.notices.recv() => {
                    if notice.is_none() {
                        return std::future::pending().await;
                    }
                    let now = Instant::now();
                    let latest = self.look_at.map_or(now + SETTLE_MAX, |(_, latest)| latest);
                    self.look_at = Some((latest.min(now + SETTLE), latest));
                }
                () = sleep_until(look_at) => {
                    self.look_at = None;
                    // A file that is not there was perhaps moved away to be replaced; that will be noticed as well.
                    let differs = |(file, known): (&PathBuf, &Option<Vec<u8>>)| {
                        read(file).is_some_and(|text| known.as_ref() != Some(&text))
                    };
                    if self.files.iter().zip(&self.texts).any(differs) {
                        return;
                    }
                }
            }
        }
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    if can_be_read_again(path) { std::fs::read(path).ok() } else { None }
}

/// A pipe gives its text once; whoever opens it again waits for ever.
pub(super) fn can_be_read_again(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn watch(files: &[PathBuf], tell: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut directories = BTreeSet::new();
    let mut names = Vec::new();
    let mut is_link = false;
    for file in files {
        let path = std::path::absolute(file)?;
        // Behind a link, anything in either directory may mean another file: ConfigMaps change like that.
        let target = std::fs::canonicalize(&path)?;
        is_link |= target != path;
        for place in [&path, &target] {
            directories.insert(place.parent().unwrap_or(Path::new("/")).to_owned());
        }
        names.extend(path.file_name().map(ToOwned::to_owned));
    }
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns = match &event {
            Ok(event) => {
                let mut changed = event.paths.iter().filter_map(|path| path.file_name());
                is_change(event.kind) && (is_link || changed.any(|name| names.iter().any(|own| own == name)))
            }
            // Events were lost: one of them may have been for this file.
            Err(_) => true,
        };
        if concerns {
            // If it is full, whoever listens will look anyway.
            tell.try_send(()).ok();
        }
    })?;
    for directory in directories {
        watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Reading a file is no change of it.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wait(watch: &mut ConfigWatch) {
        tokio::time::timeout(Duration::from_secs(60), watch.changed()).await.expect("a change is noticed");
        watch.seen();
    }

    #[tokio::test]
    async fn a_file_that_is_written_replaced_or_linked_anew_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("c.yaml"), "1").unwrap();
        let mut watch = ConfigWatch::start(&at("c.yaml"), &[]);
        std::fs::write(at("c.yaml"), "2").unwrap();
        wait(&mut watch).await;
        std::fs::write(at("new"), "3").unwrap();
        std::fs::rename(at("new"), at("c.yaml")).unwrap();
        wait(&mut watch).await;

        std::fs::create_dir(at("v1")).unwrap();
        std::fs::write(at("v1/c.yaml"), "4").unwrap();
        std::fs::create_dir(at("v2")).unwrap();
        std::fs::write(at("v2/c.yaml"), "5").unwrap();
        std::os::unix::fs::symlink("v1", at("data")).unwrap();
        std::os::unix::fs::symlink("data/c.yaml", at("linked.yaml")).unwrap();
        let mut watch = ConfigWatch::start(&at("linked.yaml"), &[]);
        std::os::unix::fs::symlink("v2", at("data.new")).unwrap();
        std::fs::rename(at("data.new"), at("data")).unwrap();
        wait(&mut watch).await;
        assert_eq!(watch.texts[0].as_deref(), Some(&b"5"[..]));
    }

    #[tokio::test]
    async fn a_program_that_belongs_to_it_is_watched_as_long_as_it_does() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let program = |name: &str| (at(&format!("programs/{name}.vrl")), "1".into());
        std::fs::create_dir(at("programs")).unwrap();
        for name in ["c.yaml", "programs/a.vrl", "programs/b.vrl"] {
            std::fs::write(at(name), "1").unwrap();
        }
        let mut watch = ConfigWatch::start(&at("c.yaml"), &[program("a")]);
        std::fs::write(at("programs/a.vrl"), "2").unwrap();
        wait(&mut watch).await;
        watch.follow(&[program("b")]);
        std::fs::write(at("programs/a.vrl"), "3").unwrap();
        assert!(tokio::time::timeout(SETTLE * 4, watch.changed()).await.is_err());
        std::fs::write(at("programs/b.vrl"), "4").unwrap();
        wait(&mut watch).await;
    }

    /// The loop that waits does other things in between.
    #[tokio::test]
    async fn waiting_may_be_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.yaml");
        std::fs::write(&path, "1").unwrap();
        let mut watch = ConfigWatch::start(&path, &[]);
        std::fs::write(&path, "2").unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while tokio::time::timeout(Duration::from_millis(20), watch.changed()).await.is_err() {
            assert!(Instant::now() < until, "a change is noticed");
        }
    }

    #[tokio::test]
    async fn what_changes_nothing_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.yaml");
        std::fs::write(&path, "1").unwrap();
        let mut watch = ConfigWatch::start(&path, &[]);
        std::fs::write(directory.path().join("other"), "x").unwrap();
        std::fs::write(&path, "1").unwrap();
        std::fs::read(&path).unwrap();
        assert!(tokio::time::timeout(SETTLE * 4, watch.changed()).await.is_err());
    }
}
