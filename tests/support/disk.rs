//! File systems of their own, in files or in memory, that can fill up and lose their power.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::harness::{Skip, has_program, needs_program, search_path};

/// Set in a process that has its mounts to itself.
const PRIVATE: &str = "MILLPOND_PRIVATE_MOUNTS";

/// Starts this program again where its mounts are seen by nobody else and end with it, even when it is killed. Where
/// that is not possible, no test mounts anything.
pub(crate) fn with_private_mounts() {
    if std::env::var_os(PRIVATE).is_some() || is_permitted().is_err() {
        return;
    }
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe().expect("Linux knows"));
    let error = command.args(std::env::args_os().skip(1)).env(PRIVATE, "1").env("PATH", search_path()).exec();
    panic!("unshare was there a moment ago: {error}");
}

/// Can file systems of these kinds be made in files and mounted here?
///
/// # Errors
/// What is missing, and how to get it.
pub(crate) fn needs(kinds: &[&str]) -> Result<(), Skip> {
    for (program, package) in [("mount", "mount"), ("losetup", "mount"), ("unshare", "util-linux")] {
        needs_program(program, package)?;
    }
    for kind in kinds {
        let package = if *kind == "xfs" { "xfsprogs" } else { "e2fsprogs" };
        needs_program(&format!("mkfs.{kind}"), package)?;
        // The kernel may know a kind only once its module is there.
        let is_known = || {
            let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
            known.lines().any(|line| line.split('\t').next_back() == Some(kind))
        };
        let is_there = is_known() || try_run(&format!("modprobe {kind}")) && is_known();
        if !is_there {
            return Err(Skip(format!("the kernel has no {kind} (modprobe {kind})")));
        }
    }
    is_permitted()?;
    if !try_run("losetup --find") {
        let how = "modprobe loop; in a container: --privileged";
        return Err(Skip(format!("there are no loop devices ({how})")));
    }
    Ok(())
}

fn is_permitted() -> Result<(), Skip> {
    if !has_program("unshare") || try_run("unshare --mount true") {
        return Ok(());
    }
    Err(Skip("only root may mount (run it as root; in a container: --privileged)".to_owned()))
}

/// A file system of its own, mounted while this lives.
pub(crate) struct Disk {
    at: PathBuf,
    /// What mounts it.
    mount: String,
    /// Kept, with all that is in it, for as long as something is mounted in it.
    directory: TempDir,
}

impl Disk {
    /// A new file system of this kind and size: in memory (`tmpfs`), or in a file.
    pub(crate) fn new(kind: &str, mib: u64) -> Self {
        let mut directory = tempfile::tempdir().expect("there is a place for temporary files");
        let (image, at) = (directory.path().join("image"), directory.path().join("mounted"));
        fs::create_dir(&at).expect("a new directory is writable");
        let (image_name, at_name) = (image.display(), at.display());
        let mount = if kind == "tmpfs" {
            format!("mount -t tmpfs -o size={mib}m tmpfs {at_name}")
        } else {
            File::create(&image)
                .and_then(|image| image.set_len(mib << 20))
                .expect("there is room for an image");
            run(&format!("mkfs.{kind} -q {image_name}"));
            // The loop device goes with the mount.
            format!("mount -o loop {image_name} {at_name}")
        };
        run(&mount);
        directory.disable_cleanup(true);
        Self { at, mount, directory }
    }

    /// Where it is mounted.
    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// The power fails: what was not flushed is gone, and nothing is flushed any more.
    pub(crate) fn cut_power(&self) {
        run(&format!("xfs_io -x -c shutdown {}", self.at.display()));
    }

    /// The power is back, and nobody uses the file system.
    pub(crate) fn remount(&self) {
        run(&format!("umount {}", self.at.display()));
        run(&self.mount);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still writes to it, after a test that failed, keeps it busy; the lazy way ends with the writer.
        let at = self.at.display();
        let unmounted = !is_mounted(&self.at) || try_run(&format!("umount {at} || umount --lazy {at}"));
        if unmounted && !is_mounted(&self.at) {
            self.directory.disable_cleanup(false);
        } else {
            eprintln!("{at} is still mounted, and is left alone");
        }
    }
}

/// A mounted directory is on another device than the one above it; one that does not answer is taken for mounted.
fn is_mounted(at: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let here = device(at);
    here.is_none() || here != at.parent().and_then(device)
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", search_path()).stdin(Stdio::null());
    shell
}

fn try_run(command: &str) -> bool {
    shell(command).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a command that must succeed.
fn run(command: &str) {
    let output = shell(command).output().expect("there is a shell");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}
