//! By what a file is known again, whatever it is called. Pure but for taking what a metadata call has found.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use crate::ack_window::Position;

/// Bytes at the beginning of a file that its fingerprint covers at most.
pub(super) const FINGERPRINT_BYTES_MAX: usize = 256;

/// Device and inode: unique among the files that exist at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileKey {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileKey {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Checksum of the first bytes of a file. Tells whether a file that has the same inode has the same beginning, too: an
/// inode is given to a new file once the old one is deleted, and a file may be written anew in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fingerprint {
    /// Bytes covered; fewer than the maximum while the file is shorter.
    pub(super) len: u16,
    /// CRC-32 of these.
    pub(super) crc: u32,
}

impl Fingerprint {
    /// The fingerprint of a file that begins with `prefix`.
    pub(super) fn of(prefix: &[u8]) -> Self {
        let covered = prefix.get(..FINGERPRINT_BYTES_MAX).unwrap_or(prefix);
        Self { len: covered.len() as u16, crc: crc32fast::hash(covered) }
    }

    fn matches(self, prefix: &[u8]) -> bool {
        prefix.get(..usize::from(self.len)).is_some_and(|covered| crc32fast::hash(covered) == self.crc)
    }
}

/// What became of a file since it was last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the same one, maybe longer: go on where reading stopped.
    Same,
    /// It is shorter than what was read of it: begin anew.
    Shorter,
    /// Its beginning is another one: begin anew.
    Rewritten,
}

/// Judges a file that has the device and inode of one that is known by `fingerprint` and was read up to `read_to`. It is
/// now `size` bytes long and begins with `prefix`.
pub(super) fn judge(fingerprint: Fingerprint, read_to: Position, size: u64, prefix: &[u8]) -> Verdict {
    if size < read_to.offset {
        Verdict::Shorter
    } else if fingerprint.matches(prefix) {
        Verdict::Same
    } else {
        Verdict::Rewritten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let long = vec![b'x'; 300];
        for (known, read_to, now, verdict) in [
            (&b""[..], 0, &b""[..], Verdict::Same),
            (b"", 0, b"abc\n", Verdict::Same),
            (b"abc\n", 4, b"abc\n", Verdict::Same),
            (b"abc\n", 4, b"abc\ndef\n", Verdict::Same),
            (b"abc\n", 4, b"abc", Verdict::Shorter),
            (b"abc\n", 4, b"", Verdict::Shorter),
            (b"abc\n", 4, b"xyz\n", Verdict::Rewritten),
            (b"abc\n", 4, b"xyz\nabc\n", Verdict::Rewritten),
            // A half-written line that was seen, and is gone.
            (b"ab", 0, b"", Verdict::Rewritten),
            (&long, 300, &long, Verdict::Same),
            (&long, 300, &long[..299], Verdict::Shorter),
        ] {
            let fingerprint = Fingerprint::of(known);
            let prefix = &now[..now.len().min(FINGERPRINT_BYTES_MAX)];
            let judged = judge(fingerprint, Position::at(read_to), now.len() as u64, prefix);
            assert_eq!(judged, verdict, "{:?} then {:?}", known.escape_ascii(), now.escape_ascii());
        }
        assert_eq!(Fingerprint::of(&long).len, 256);
    }
}
