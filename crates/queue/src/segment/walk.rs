//! Walking over the frames of a segment, past damage.
//!
//! The same walk serves readers, recovery and inspection, so that they cannot disagree about
//! what is a good frame.

use std::{fmt, io};

use bytes::Bytes;

use super::window::Window;
use crate::{
    format::{FRAME_HEADER_LEN, FRAME_MAGIC, FRAMES_AT, FormatError, FrameHeader, FrameKind, SEAL_LEN, Seal},
    pack,
    storage::StorageFile,
};

/// How much is searched at once for the next frame behind damage.
const SEARCH_BYTES: u64 = 256 << 10;

/// How much is read at once when only headers are wanted.
const HEADERS_READ_AHEAD: u32 = 4096;

/// Why bytes are no good frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// There is no frame header where one should be.
    Header,
    /// The payload does not have the checksum that its header names.
    Payload,
    /// The payload has its checksum, and cannot be unpacked.
    Packed,
    /// The file ends before the frame does.
    Truncated,
    /// A good frame follows, but not the next one.
    Gap,
}

impl Reason {
    /// One word, for file names.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Reason::Header => "header",
            Reason::Payload => "payload",
            Reason::Packed => "packed",
            Reason::Truncated => "truncated",
            Reason::Gap => "gap",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Header => "no frame header where one should be",
            Reason::Payload => "the payload does not match its checksum",
            Reason::Packed => "the payload cannot be unpacked",
            Reason::Truncated => "the file ends before the frame does",
            Reason::Gap => "frames are missing",
        })
    }
}

/// Bytes that are no good frame, and the sequences that should have been there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) position: u64,
    /// The position after it.
    pub(crate) end: u64,
    pub(crate) first: u64,
    /// The sequence of the next good frame, or where the walk was to end.
    pub(crate) next: u64,
    pub(crate) reason: Reason,
}

/// What comes next in a segment.
#[derive(Debug)]
pub(crate) enum Step {
    /// A good frame; its payload is empty when only headers are walked.
    Frame { header: FrameHeader, position: u64, payload: Bytes },
    /// The seal: nothing that counts comes after it.
    Seal,
    /// Something else than a good frame; the walk can go on.
    Bad(Span),
    /// Zeros from here to the limit.
    Zeros { position: u64 },
    /// The limit, or the last sequence wanted.
    End,
}

/// How far a walk may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The position to stop at: the length of the file, or where the valid part of it ends.
    pub(crate) limit: u64,
    /// The sequence to stop before, if it is known.
    pub(crate) end: Option<u64>,
}

/// A walk over one segment.
#[derive(Debug)]
pub(crate) struct Walk {
    window: Window,
    salt: u32,
    position: u64,
    expected: u64,
    payloads: bool,
    read_ahead: u32,
}

impl Walk {
    /// Starts at the first frame of a segment.
    pub(crate) fn new(base: u64, salt: u32, read_ahead: u32) -> Walk {
        let window = Window::new(read_ahead);
        Walk { window, salt, position: FRAMES_AT, expected: base, payloads: true, read_ahead }
    }

    /// Starts at any position of a file whose frames have this salt, with any sequence from `base` on.
    pub(crate) fn at(position: u64, base: u64, salt: u32, read_ahead: u32) -> Walk {
        Walk { position, ..Walk::new(base, salt, read_ahead) }
    }

    /// Goes on with another segment, with the same memory.
    pub(crate) fn restart(&mut self, base: u64, salt: u32) {
        self.window.clear();
        self.salt = salt;
        self.position = FRAMES_AT;
        self.expected = base;
    }

    /// Whether payloads are read and checked; headers alone are enough to find a place.
    pub(crate) fn read_payloads(&mut self, payloads: bool) {
        self.payloads = payloads;
        self.window.read_ahead(if payloads { self.read_ahead } else { HEADERS_READ_AHEAD });
    }

    /// The sequence that comes next.
    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    /// Takes the next step. After an error the walk is where it was.
    pub(crate) fn step<F: StorageFile>(&mut self, file: &F, bounds: Bounds) -> io::Result<Step> {
        if bounds.end.is_some_and(|end| self.expected >= end) {
            return Ok(Step::End);
        }
        if self.position >= bounds.limit {
            return Ok(match bounds.end {
                // The file is too short for what it is known to contain.
                Some(end) => Step::Bad(self.skip(self.position, end, Reason::Truncated)),
                None => Step::End,
            });
        }
        let bytes = self.window.get(file, self.position, FRAME_HEADER_LEN as u64, bounds.limit)?;
        let blank = bytes.iter().all(|&b| b == 0);
        if bytes.len() < FRAME_HEADER_LEN {
            return Ok(self.nothing_more(bounds, blank));
        }
        let header = FrameHeader::decode(&bytes, self.salt);
        // The window can use its memory again only if nobody holds a part of it.
        drop(bytes);
        match header {
            Ok(header) if self.fits(&header, bounds) => self.frame(file, header, bounds),
            Err(FormatError::Magic) if blank && self.zeros_from(file, bounds.limit)? => {
                Ok(self.nothing_more(bounds, true))
            }
            Ok(_) | Err(_) => self.search(file, bounds),
        }
    }

    /// Whether a good header can be what comes next, or after a gap.
    fn fits(&self, header: &FrameHeader, bounds: Bounds) -> bool {
        header.sequence >= self.expected
            && bounds.end.is_none_or(|end| match header.kind {
                FrameKind::Batch => header.sequence < end,
                FrameKind::Seal => header.sequence <= end,
            })
    }

    /// Deals with a good header that fits.
    fn frame<F: StorageFile>(&mut self, file: &F, header: FrameHeader, bounds: Bounds) -> io::Result<Step> {
        let position = self.position;
        if header.sequence > self.expected {
            return Ok(Step::Bad(self.skip(position, header.sequence, Reason::Gap)));
        }
        let end = position + header.frame_len();
        if end > bounds.limit {
            // The header is good, so its length is: the rest of the file belongs to this frame.
            let next = bounds.end.unwrap_or(self.expected + 1);
            return Ok(Step::Bad(self.skip(bounds.limit, next, Reason::Truncated)));
        }
        let mut payload = Bytes::new();
        if self.payloads || header.kind == FrameKind::Seal {
            let len = u64::from(header.payload_len);
            payload = self.window.get(file, position + FRAME_HEADER_LEN as u64, len, bounds.limit)?;
            if payload.len() as u64 != len || crc32fast::hash(&payload) != header.payload_crc {
                let next = match header.kind {
                    FrameKind::Batch => self.expected + 1,
                    FrameKind::Seal => self.expected,
                };
                return Ok(Step::Bad(self.skip(end, next, Reason::Payload)));
            }
            if let Some(len) = header.unpacked_len {
                match pack::unpack(&payload, len) {
                    Ok(unpacked) => payload = unpacked,
                    Err(_) => {
                        return Ok(Step::Bad(self.skip(end, self.expected + 1, Reason::Packed)));
                    }
                }
            }
        }
        if header.kind == FrameKind::Seal {
            return Ok(match bounds.end {
                // Frames are known to follow, and a seal says that none do.
                Some(end) => Step::Bad(self.skip(bounds.limit, end, Reason::Gap)),
                None => {
                    self.position = end;
                    Step::Seal
                }
            });
        }
        self.position = end;
        self.expected += 1;
        Ok(Step::Frame { header, position, payload })
    }

    /// Moves on to `end` and `next`, and says what was passed over.
    fn skip(&mut self, end: u64, next: u64, reason: Reason) -> Span {
        debug_assert!(end >= self.position && next >= self.expected, "a walk never goes back");
        let span = Span { position: self.position, end, first: self.expected, next, reason };
        self.position = end;
        self.expected = next;
        span
    }

    /// Nothing that could be a frame follows.
    fn nothing_more(&mut self, bounds: Bounds, zeros: bool) -> Step {
        if zeros && bounds.end.is_none() {
            let position = self.position;
            self.position = bounds.limit;
            return Step::Zeros { position };
        }
        let next = bounds.end.unwrap_or(self.expected);
        Step::Bad(self.skip(bounds.limit, next, Reason::Header))
    }

    fn zeros_from<F: StorageFile>(&mut self, file: &F, limit: u64) -> io::Result<bool> {
        let mut position = self.position;
        while position < limit {
            let bytes = self.window.get(file, position, SEARCH_BYTES, limit)?;
            if bytes.iter().any(|&b| b != 0) {
                return Ok(false);
            }
            if bytes.is_empty() {
                break;
            }
            position += bytes.len() as u64;
        }
        Ok(true)
    }

    /// Looks for the next good header behind the current position.
    fn search<F: StorageFile>(&mut self, file: &F, bounds: Bounds) -> io::Result<Step> {
        let header_len = FRAME_HEADER_LEN as u64;
        let mut from = self.position + 1;
        while from + header_len <= bounds.limit {
            let bytes = self.window.get(file, from, SEARCH_BYTES, bounds.limit)?;
            if bytes.len() < FRAME_HEADER_LEN {
                break;
            }
            for at in find_magic(&bytes) {
                let Some(candidate) = bytes.get(at..at + FRAME_HEADER_LEN) else {
                    break;
                };
                let Ok(header) = FrameHeader::decode(candidate, self.salt) else {
                    continue;
                };
                if self.fits(&header, bounds) {
                    let span = self.skip(from + at as u64, header.sequence, Reason::Header);
                    return Ok(Step::Bad(span));
                }
            }
            // A header that begins in the last bytes is whole in the next piece.
            from += bytes.len() as u64 - (header_len - 1);
        }
        Ok(self.nothing_more(bounds, false))
    }
}

/// Where the frame magic occurs in `bytes`.
pub(crate) fn find_magic(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(found) = bytes[from..].iter().position(|&b| b == FRAME_MAGIC[0]) {
            let at = from + found;
            from = at + 1;
            if bytes[at..].starts_with(&FRAME_MAGIC) {
                return Some(at);
            }
        }
        None
    })
}

/// Reads the seal at the end of a file of `len` bytes, if there is one for the segment `base`.
pub(crate) fn read_seal<F: StorageFile>(file: &F, base: u64, len: u64) -> io::Result<Option<Seal>> {
    let Some(position) = len.checked_sub(SEAL_LEN as u64).filter(|&position| position >= FRAMES_AT) else {
        return Ok(None);
    };
    let mut bytes = [0; SEAL_LEN];
    let read = super::read_full(file, &mut bytes, position)?;
    let seal = Seal::decode(&bytes[..read]);
    Ok(seal.filter(|seal| seal.header.base == base && seal.position == position))
}
