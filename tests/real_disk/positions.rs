//! How far a forwarder has noted on disk that it has read: the checkpoint of docs/FORMAT.md, with the body of
//! crates/supervisor/src/inputs/file/positions.rs. Read as it stands, beside a running forwarder or a dead one.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// The position in the only file of an input, as a start would find it; 0 before there is any.
pub(crate) fn saved_position(directory: &Path) -> u64 {
    let slots = ["positions.a", "positions.b"].map(|name| fs::read(directory.join(name)).unwrap_or_default());
    let newest = slots.iter().filter_map(|slot| valid(slot)).max_by_key(|(generation, _)| *generation);
    let Some((_, body)) = newest else { return 0 };
    // Version, count of entries; of each: device, inode, offset, …
    let entries = u32::from_le_bytes(*body[2..].first_chunk().unwrap());
    assert!(entries <= 1, "{entries} files have positions");
    if entries == 0 { 0 } else { u64::from_le_bytes(*body[22..].first_chunk().unwrap()) }
}

/// The generation and the body of a checkpoint's slot, if both checksums are right.
fn valid(slot: &[u8]) -> Option<(u64, &[u8])> {
    let header = slot.first_chunk::<32>().filter(|header| header.starts_with(b"MPCK"))?;
    let half = |at: usize| u32::from_le_bytes(*header[at..].first_chunk().unwrap());
    let body = slot[32..].get(..half(16) as usize)?;
    let is_valid = crc32fast::hash(&header[..28]) == half(28) && crc32fast::hash(body) == half(24);
    is_valid.then(|| (u64::from_le_bytes(*header[8..].first_chunk().unwrap()), body))
}

/// Complete lines of a file from a position on.
pub(crate) fn lines_from(path: &Path, position: u64) -> u64 {
    let mut file = File::open(path).unwrap();
    file.seek(SeekFrom::Start(position)).unwrap();
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).unwrap();
    rest.iter().filter(|byte| **byte == b'\n').count() as u64
}
