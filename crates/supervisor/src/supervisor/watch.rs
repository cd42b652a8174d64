//! Notices when the file of the configuration changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The file is read when nothing has happened to it for so long: editors and copies write in several steps.
const SETTLE: Duration = Duration::from_millis(250);
/// But not later than this after it began.
const SETTLE_MAX: Duration = Duration::from_secs(2);

/// Watches one file, by the directory that it is in: a new file may take its name.
pub(super) struct ConfigWatch {
    path: PathBuf,
    /// Its text when it was looked at last.
    text: Option<Vec<u8>>,
    notices: mpsc::Receiver<()>,
    /// Something has happened to it: when it is read, and when at the latest.
    look_at: Option<(Instant, Instant)>,
    /// Ends with it; nothing where changes cannot be noticed.
    watcher: Option<RecommendedWatcher>,
}

impl ConfigWatch {
    pub(super) fn start(path: &Path) -> Self {
        let (tell, notices) = mpsc::channel(1);
        let watcher = watch(path, tell);
        if let Err(error) = &watcher {
            tracing::warn!(
                config = %path.display(),
                %error,
                "changes of the configuration are not noticed: send SIGHUP after a change"
            );
        }
        let mut watch =
            Self { path: path.to_owned(), text: None, notices, look_at: None, watcher: watcher.ok() };
        watch.seen();
        watch
    }

    /// What the file holds now is known.
    pub(super) fn seen(&mut self) {
        self.text = std::fs::read(&self.path).ok();
    }

    /// Waits until the file holds something else than what is known. May be given up at any time.
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
                    if let Ok(text) = std::fs::read(&self.path)
                        && self.text.as_ref() != Some(&text)
                    {
                        return;
                    }
                }
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn watch(path: &Path, tell: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let path = std::path::absolute(path)?;
    let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
    // Behind a link, anything in either directory may mean another file: ConfigMaps change like that.
    let target = std::fs::canonicalize(&path)?;
    let is_link = target != path;
    let name = path.file_name().map(ToOwned::to_owned);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns = match &event {
            Ok(event) => {
                is_change(event.kind)
                    && (is_link || event.paths.iter().any(|path| path.file_name() == name.as_deref()))
            }
            // Events were lost: one of them may have been for this file.
            Err(_) => true,
        };
        if concerns {
            // If it is full, whoever listens will look anyway.
            tell.try_send(()).ok();
        }
    })?;
    watcher.watch(&directory, RecursiveMode::NonRecursive)?;
    if let Some(other) = target.parent().filter(|other| *other != directory) {
        watcher.watch(other, RecursiveMode::NonRecursive)?;
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
        let mut watch = ConfigWatch::start(&at("c.yaml"));
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
        let mut watch = ConfigWatch::start(&at("linked.yaml"));
        std::os::unix::fs::symlink("v2", at("data.new")).unwrap();
        std::fs::rename(at("data.new"), at("data")).unwrap();
        wait(&mut watch).await;
        assert_eq!(watch.text.as_deref(), Some(&b"5"[..]));
    }

    /// The loop that waits does other things in between.
    #[tokio::test]
    async fn waiting_may_be_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.yaml");
        std::fs::write(&path, "1").unwrap();
        let mut watch = ConfigWatch::start(&path);
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
        let mut watch = ConfigWatch::start(&path);
        std::fs::write(directory.path().join("other"), "x").unwrap();
        std::fs::write(&path, "1").unwrap();
        std::fs::read(&path).unwrap();
        assert!(tokio::time::timeout(SETTLE * 4, watch.changed()).await.is_err());
    }
}
