//! Good frames inside of what was set aside in `quarantine/`.
//!
//! The salt of a segment is in its header, and what lies in quarantine may have lost that. But a checksum can be run
//! backwards: every frame header implies the salt with which it would be right. Two frames whose payloads have their
//! checksums, and whose headers imply the same salt, have not come together by accident.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

use super::consumers::read_cursor;
use crate::{
    batch::{Frame, Sequence},
    format::{
        FRAME_HEADER_LEN, FRAMES_AT, FrameHeader, FrameKind, SEQUENCE_MAX, SegmentHeader, segment_base,
    },
    quarantine,
    segment::{
        look::{Shows, look},
        read_full,
        walk::{Bounds, Step, Walk, find_magic, read_seal},
        window::Window,
    },
    storage::{Storage, StorageFile},
};

const READ_AHEAD: u32 = 1 << 20;
/// How much is searched at once.
const SEARCH_BYTES: u64 = 256 << 10;
/// Salts that are remembered while two frames are looked for that agree.
const SALTS_MAX: usize = 1024;

/// What a walk over the quarantine meets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Salvaged {
    /// A good frame.
    Frame {
        /// The frame.
        frame: Frame,
        /// Whether its segment was readable when it was set aside, so that readers have come by the frame before. Most
        /// likely it was delivered.
        was_readable: bool,
    },
    /// A file that gives nothing.
    Nothing {
        /// The file, relative to the queue's directory.
        file: String,
        /// Why.
        reason: &'static str,
    },
}

/// Walks over all good frames in `quarantine/`, by segment. Writes nothing, and takes no lock. One batch may lie there
/// twice.
pub fn salvage<S: Storage>(storage: S) -> io::Result<impl Iterator<Item = io::Result<Salvaged>>> {
    let mut files: Vec<Aside> =
        storage.list(quarantine::DIRECTORY)?.into_iter().filter_map(Aside::of).collect();
    files.sort();
    let queue_id = read_cursor(&storage)?.map(|cursor| cursor.queue_id);
    let mut walk = Salvage { storage, queue_id, files: files.into(), current: None, failed: false };
    Ok(std::iter::from_fn(move || {
        if walk.failed {
            return None;
        }
        let next = walk.next();
        walk.failed = next.is_err();
        next.transpose()
    }))
}

/// A file in quarantine: whose segment it was, where in it, its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Aside {
    base: u64,
    /// `None`: the whole file.
    position: Option<u64>,
    name: String,
}

impl Aside {
    fn of(name: String) -> Option<Aside> {
        if let Some(base) = name.get(..24).and_then(segment_base) {
            return Some(Aside { base, position: None, name });
        }
        let (base, rest) = name.strip_suffix(".bin")?.split_once('-')?;
        let base = segment_base(&format!("{base}.seg"))?;
        let position = rest.split_once('-')?.0.parse().ok()?;
        Some(Aside { base, position: Some(position), name })
    }
}

struct Salvage<S: Storage> {
    storage: S,
    queue_id: Option<u128>,
    files: VecDeque<Aside>,
    current: Option<Current<S::File>>,
    failed: bool,
}

struct Current<F> {
    file: F,
    len: u64,
    walk: Walk,
    was_readable: bool,
}

/// What the salt of a file's frames is.
enum Salt {
    /// By the file's own header or seal.
    Told(u32),
    /// By its segment, which is still there, or by its frames.
    Found(u32),
    Unknown(&'static str),
}

impl<S: Storage> Salvage<S> {
    fn next(&mut self) -> io::Result<Option<Salvaged>> {
        loop {
            if let Some(current) = &mut self.current {
                match current.walk.step(&current.file, Bounds { limit: current.len, end: None })? {
                    Step::Frame { header, payload, .. } => {
                        let sequence = Sequence(header.sequence);
                        let frame = Frame { sequence, info: header.info, payload };
                        return Ok(Some(Salvaged::Frame { frame, was_readable: current.was_readable }));
                    }
                    Step::Bad(_) => continue,
                    Step::Seal | Step::Zeros { .. } | Step::End => self.current = None,
                }
            }
            let Some(aside) = self.files.pop_front() else { return Ok(None) };
            let name = format!("{}/{}", quarantine::DIRECTORY, aside.name);
            let file = self.storage.open(&name)?;
            let len = file.len()?;
            let (salt, was_readable) = match self.salt(&file, len, &aside)? {
                Salt::Told(salt) => (salt, true),
                Salt::Found(salt) => (salt, false),
                Salt::Unknown(reason) => return Ok(Some(Salvaged::Nothing { file: name, reason })),
            };
            let start = if aside.position.is_some() { 0 } else { FRAMES_AT };
            let walk = Walk::at(start, aside.base, salt, READ_AHEAD);
            self.current = Some(Current { file, len, walk, was_readable });
        }
    }

    fn salt(&self, file: &S::File, len: u64, aside: &Aside) -> io::Result<Salt> {
        const FOREIGN: Salt = Salt::Unknown("it belongs to another queue");
        const NONE: Salt = Salt::Unknown("no two good frames are in it");
        let is_ours = |id: u128| self.queue_id.is_none_or(|ours| ours == id);
        if aside.position.is_some() {
            match look(&self.storage, aside.base, self.queue_id) {
                Ok(look) => match look.shows {
                    Shows::Sealed { header, .. } | Shows::Open { header } => {
                        return Ok(Salt::Found(header.salt));
                    }
                    Shows::Bad(_) => {}
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            return Ok(agreed_salt(file, len, 0)?.map_or(NONE, Salt::Found));
        }
        let header = match read_seal(file, aside.base, len)? {
            Some(seal) => Some(seal.header),
            None => read_header(file)?.filter(|header| header.base == aside.base),
        };
        Ok(match header {
            Some(header) if is_ours(header.queue_id) => Salt::Told(header.salt),
            Some(_) => FOREIGN,
            None => agreed_salt(file, len, FRAMES_AT)?.map_or(NONE, Salt::Found),
        })
    }
}

fn read_header<F: StorageFile>(file: &F) -> io::Result<Option<SegmentHeader>> {
    let mut block = vec![0; FRAMES_AT as usize];
    let read = read_full(file, &mut block, 0)?;
    Ok(if read < block.len() { None } else { SegmentHeader::decode_block(&block).ok() })
}

/// The salt that two good frames agree on.
fn agreed_salt<F: StorageFile>(file: &F, len: u64, start: u64) -> io::Result<Option<u32>> {
    let header_len = FRAME_HEADER_LEN as u64;
    let mut window = Window::new(READ_AHEAD);
    let mut votes: BTreeMap<u32, u32> = BTreeMap::new();
    let mut position = start;
    while position + header_len <= len {
        let bytes = window.get(file, position, SEARCH_BYTES, len)?;
        let candidate = find_magic(&bytes).find_map(|at| {
            let header = bytes.get(at..at + FRAME_HEADER_LEN)?;
            let salt = FrameHeader::implied_salt(header);
            Some((position + at as u64, salt, FrameHeader::decode(header, salt).ok()?))
        });
        let Some((at, salt, header)) = candidate else {
            // A header that begins in the last bytes is whole in the next piece.
            position += (bytes.len() as u64).saturating_sub(header_len - 1).max(1);
            continue;
        };
        drop(bytes);
        if !has_payload(&mut window, file, at, &header, len)? {
            position = at + 1;
            continue;
        }
        position = at + header.frame_len();
        if votes.len() < SALTS_MAX || votes.contains_key(&salt) {
            let votes = votes.entry(salt).or_insert(0);
            *votes += 1;
            if *votes == 2 {
                return Ok(Some(salt));
            }
        }
    }
    Ok(None)
}

/// Whether the payload behind a header is the one that the header names.
fn has_payload<F: StorageFile>(
    window: &mut Window,
    file: &F,
    at: u64,
    header: &FrameHeader,
    len: u64,
) -> io::Result<bool> {
    if header.kind != FrameKind::Batch || header.sequence >= SEQUENCE_MAX || at + header.frame_len() > len {
        return Ok(false);
    }
    let payload = window.get(file, at + FRAME_HEADER_LEN as u64, header.payload_len.into(), len)?;
    Ok(payload.len() as u64 == u64::from(header.payload_len)
        && crc32fast::hash(&payload) == header.payload_crc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{batch::BatchInfo, format::segment_name};

    #[test]
    fn a_header_implies_its_salt() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let salt = random.u32(..);
            let header = FrameHeader {
                kind: FrameKind::Batch,
                sequence: random.u64(..1 << 40),
                durable_lag: random.u32(..),
                payload_len: random.u32(..1 << 20),
                payload_crc: random.u32(..),
                unpacked_len: None,
                info: BatchInfo { events: random.u32(..), raw_bytes: random.u64(..), ..BatchInfo::default() },
            };
            let bytes = header.encode(salt);
            assert_eq!(FrameHeader::implied_salt(&bytes), salt, "seed {seed}");
            let mut damaged = bytes;
            damaged[random.usize(12..60)] ^= 1 << random.u8(..8);
            assert_ne!(FrameHeader::implied_salt(&damaged), salt, "seed {seed}");
        }
    }

    #[test]
    fn names_tell_where_bytes_come_from() {
        let check = |name: &str, expected| {
            let found = Aside::of(name.to_owned()).map(|aside| (aside.base, aside.position));
            assert_eq!(found, expected, "{name}");
        };
        check("00000000000000000412.seg", Some((412, None)));
        check("00000000000000000412.seg.2", Some((412, None)));
        check("00000000000000000001-000000004176-payload.bin", Some((1, Some(4176))));
        check(&segment_name(Sequence(7)), Some((7, None)));
        for name in
            ["cursor.a", "1.seg", "", "00000000000000000001.bin", "x-1-header.bin", "ééééééééééééééééé"]
        {
            check(name, None);
        }
    }
}
