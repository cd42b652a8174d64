//! Who owns a queue, without asking for its lock: that would keep a forwarder that is just starting from it.

use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Where the kernel lists the locks on files.
const LOCKS: &str = "/proc/locks";

/// The process that holds the queue in this directory, as far as it can be seen from here: not across containers, and not
/// on another machine.
///
/// # Errors
/// When the kernel's list cannot be read.
pub(super) fn of(directory: &Path) -> io::Result<Option<u32>> {
    let lock = match std::fs::metadata(directory.join("LOCK")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        lock => lock?,
    };
    let (major, minor) = (rustix::fs::major(lock.dev()), rustix::fs::minor(lock.dev()));
    Ok(holder_in(&std::fs::read_to_string(LOCKS)?, major, minor, lock.ino()))
}

/// A line is `1: FLOCK  ADVISORY  WRITE 1234 08:01:131 0 EOF`: process, device in hexadecimal, inode. One that waits for
/// a lock has `->` in front.
fn holder_in(locks: &str, major: u32, minor: u32, inode: u64) -> Option<u32> {
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, place, ..] = fields[..] else { return None };
        (place == file).then(|| process.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_in_the_kernels_list() {
        let locks = "1: POSIX  ADVISORY  WRITE 77 08:01:131 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 1234 08:01:131 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 99 08:01:131 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 55 fd:1f:131 0 EOF\n";
        assert_eq!(holder_in(locks, 8, 1, 131), Some(1234));
        assert_eq!(holder_in(locks, 0xfd, 0x1f, 131), Some(55));
        assert_eq!(holder_in(locks, 8, 1, 13), None);
    }

    #[test]
    fn a_lock_of_this_process_is_seen_and_not_disturbed() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(of(directory.path()).unwrap(), None);
        let file = std::fs::File::create(directory.path().join("LOCK")).unwrap();
        assert_eq!(of(directory.path()).unwrap(), None);
        file.lock().unwrap();
        assert_eq!(of(directory.path()).unwrap(), Some(std::process::id()));
    }
}
