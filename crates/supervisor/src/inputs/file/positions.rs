//! The body in which positions are stored, format 1. Pure. Little-endian; the checkpoint around it carries the checksum.
//!
//! ```text
//! body    version u16 = 1 | entries u32 | entry …
//! entry   device u64 | inode u64 | offset u64 | seen_ms i64 | fingerprint crc u32 | fingerprint len u16
//!         | flags u8 (1: inside a cut line) | path len u16 | path
//! ```

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::identity::{FINGERPRINT_BYTES_MAX, FileKey, Fingerprint};
use crate::ack_window::Position;

const VERSION: u16 = 1;
const FLAG_IN_CUT_LINE: u8 = 1;

/// Where reading of one file goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) key: FileKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) position: Position,
    /// When the file was last known to exist, in milliseconds since the Unix epoch.
    pub(super) seen_ms: i64,
    /// As it was found; longer paths than 64 KiB do not exist.
    pub(super) path: PathBuf,
}

/// Why a body cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// Written by a newer program.
    #[error("they have format {0}, and this program knows format 1; use the newer millpond that wrote them")]
    Version(u16),
    /// Checksum right, content not.
    #[error("their content makes no sense at byte {0}")]
    Malformed(usize),
}

/// The bytes that mean these positions.
pub(super) fn encode<'a>(entries: impl ExactSizeIterator<Item = &'a Stored>) -> Vec<u8> {
    let mut body = Vec::with_capacity(6 + entries.len() * 128);
    body.extend_from_slice(&VERSION.to_le_bytes());
    body.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    for entry in entries {
        let path = entry.path.as_os_str().as_bytes();
        let path = path.get(..usize::from(u16::MAX)).unwrap_or(path);
        body.extend_from_slice(&entry.key.device.to_le_bytes());
        body.extend_from_slice(&entry.key.inode.to_le_bytes());
        body.extend_from_slice(&entry.position.offset.to_le_bytes());
        body.extend_from_slice(&entry.seen_ms.to_le_bytes());
        body.extend_from_slice(&entry.fingerprint.crc.to_le_bytes());
        body.extend_from_slice(&entry.fingerprint.len.to_le_bytes());
        body.push(if entry.position.in_cut_line { FLAG_IN_CUT_LINE } else { 0 });
        body.extend_from_slice(&(path.len() as u16).to_le_bytes());
        body.extend_from_slice(path);
    }
    body
}

/// The positions that these bytes mean.
pub(super) fn decode(body: &[u8]) -> Result<Vec<Stored>, DecodeError> {
    let mut fields = Fields { body, at: 0 };
    let version = u16::from_le_bytes(fields.take()?);
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let count = u32::from_le_bytes(fields.take()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        entries.push(fields.entry()?);
    }
    if fields.at != body.len() {
        return Err(DecodeError::Malformed(fields.at));
    }
    Ok(entries)
}

struct Fields<'a> {
    body: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.body.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let taken = *taken.ok_or(DecodeError::Malformed(self.at))?;
        self.at += N;
        Ok(taken)
    }

    fn entry(&mut self) -> Result<Stored, DecodeError> {
        let key =
            FileKey { device: u64::from_le_bytes(self.take()?), inode: u64::from_le_bytes(self.take()?) };
        let offset = u64::from_le_bytes(self.take()?);
        let seen_ms = i64::from_le_bytes(self.take()?);
        let fingerprint =
            Fingerprint { crc: u32::from_le_bytes(self.take()?), len: u16::from_le_bytes(self.take()?) };
        let [flags] = self.take()?;
        if usize::from(fingerprint.len) > FINGERPRINT_BYTES_MAX || flags > FLAG_IN_CUT_LINE {
            return Err(DecodeError::Malformed(self.at));
        }
        let path_len = usize::from(u16::from_le_bytes(self.take()?));
        let path = self.body.get(self.at..self.at + path_len).ok_or(DecodeError::Malformed(self.at))?;
        self.at += path_len;
        let position = Position { offset, in_cut_line: flags == FLAG_IN_CUT_LINE };
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        Ok(Stored { key, fingerprint, position, seen_ms, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Stored {
        Stored {
            key: FileKey { device: 0x0102, inode: 0x0304 },
            fingerprint: Fingerprint { len: 0x0100, crc: 0xA1B2_C3D4 },
            position: Position { offset: 0x0506, in_cut_line: true },
            seen_ms: -2,
            path: PathBuf::from(OsString::from_vec(b"/l/\xFF".to_vec())),
        }
    }

    #[test]
    fn format_1_is_pinned() {
        let expected = [
            &[1, 0, 1, 0, 0, 0][..],
            &[2, 1, 0, 0, 0, 0, 0, 0],
            &[4, 3, 0, 0, 0, 0, 0, 0],
            &[6, 5, 0, 0, 0, 0, 0, 0],
            &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0xD4, 0xC3, 0xB2, 0xA1],
            &[0, 1],
            &[1],
            &[4, 0, b'/', b'l', b'/', 0xFF],
        ]
        .concat();
        assert_eq!(encode([&example()].into_iter()), expected);
        assert_eq!(decode(&expected), Ok(vec![example()]));
    }

    #[test]
    fn what_is_not_a_body_is_an_error_and_never_empty_positions() {
        let body = encode([&example(), &example()].into_iter());
        for len in 0..body.len() {
            assert!(matches!(decode(&body[..len]), Err(DecodeError::Malformed(_))), "cut to {len}");
        }
        let mut long = body.clone();
        long.push(0);
        assert_eq!(decode(&long), Err(DecodeError::Malformed(body.len())));
        let mut newer = body;
        newer[0] = 2;
        assert_eq!(decode(&newer), Err(DecodeError::Version(2)));
        assert_eq!(decode(&encode([].into_iter())), Ok(Vec::new()));
    }
}
