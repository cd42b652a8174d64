//! The byte layout of a segment, version 1. `docs/FORMAT.md` draws it; golden bytes pin it.
//!
//! All integers are little-endian. Nothing here knows files.
//!
//! ```text
//! segment   = header (96 B at 0, the same again at 2048, zeros up to 4096) frame* [seal]
//! frame     = frame header (80 B), payload
//! seal      = a frame whose payload is the summary of the segment
//! ```
//!
//! The checksum of a frame header goes on from the segment's salt, so that bytes left over from
//! another file never pass for a frame of this one. The payload has a checksum of its own: the
//! length in a good header is trusted, and a damaged payload costs one frame.

use crate::{
    batch::{BatchInfo, Sequence},
    summary::{Summary, Weight},
};

/// The version of the layout that is written, and the newest that is read.
pub(crate) const VERSION: u16 = 1;

/// The first eight bytes of a segment.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"MILLPSEG";
/// Length of the segment header proper.
pub(crate) const SEGMENT_HEADER_LEN: usize = 96;
/// Where the second copy of the header is: in another sector, for the day the first one is bad.
pub(crate) const SEGMENT_HEADER_COPY_AT: usize = 2048;
/// Where the frames begin.
pub(crate) const FRAMES_AT: u64 = 4096;

/// The first four bytes of a frame. The first one never occurs in UTF-8, which keeps the search
/// for the next frame behind damage cheap.
pub(crate) const FRAME_MAGIC: [u8; 4] = [0xF5, b'm', b'p', b'F'];
/// Length of a frame header.
pub(crate) const FRAME_HEADER_LEN: usize = 80;
/// Sequences stop here, at 73 years of a billion batches a second; no sum with one overflows.
pub(crate) const SEQUENCE_MAX: u64 = 1 << 61;
/// The longest payload of a frame.
pub(crate) const PAYLOAD_BYTES_MAX: u32 = 64 << 20;
/// Length of the payload of a seal.
pub(crate) const SEAL_BODY_LEN: usize = 160;
/// Flag of a segment: its frames may be packed.
const SEGMENT_PACKS: u32 = 1;
/// Flag of a frame: its payload is a gzip member that the queue made.
const FRAME_PACKED: u8 = 1;
/// Length of a whole seal frame.
pub(crate) const SEAL_LEN: usize = FRAME_HEADER_LEN + SEAL_BODY_LEN;

const _: () = assert!(SEGMENT_HEADER_COPY_AT >= SEGMENT_HEADER_LEN);
const _: () = assert!(FRAMES_AT as usize >= SEGMENT_HEADER_COPY_AT + SEGMENT_HEADER_LEN);
const _: () = assert!(SEAL_BODY_LEN < PAYLOAD_BYTES_MAX as usize);

/// One step of CRC-32 for each byte.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// Which entry of the table begins with a byte.
const CRC_INDEX: [u8; 256] = {
    let mut indexes = [0; 256];
    let mut index = 0;
    while index < 256 {
        indexes[(CRC_TABLE[index] >> 24) as usize] = index as u8;
        index += 1;
    }
    indexes
};

/// Why bytes are not what they should be; looked at in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatError {
    /// Something else, or nothing.
    Magic,
    /// Written by a newer version.
    Version(u16),
    /// Ours, and damaged.
    Checksum,
}

/// What a segment says about itself at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The sequence of its first frame; also its file name.
    pub(crate) base: u64,
    /// The queue it belongs to.
    pub(crate) queue_id: u128,
    /// What the checksums of its frame headers go on from.
    pub(crate) salt: u32,
    /// When the batch that made it necessary was appended.
    pub(crate) created_ms: i64,
    /// What all segments before it hold and held.
    pub(crate) before: Totals,
    /// Whether its frames may be packed.
    pub(crate) packs: bool,
}

/// Sums over all batches of a queue up to some sequence, since it began: reclaimed ones included,
/// so that a difference of two tells what lies between without looking there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) weight: Weight,
    /// What the segments occupy (or occupied).
    pub(crate) file_bytes: u64,
}

impl SegmentHeader {
    /// Everything in front of the first frame.
    pub(crate) fn encode_block(&self) -> Vec<u8> {
        let header = self.encode();
        let mut block = vec![0; FRAMES_AT as usize];
        block[..SEGMENT_HEADER_LEN].copy_from_slice(&header);
        block[SEGMENT_HEADER_COPY_AT..][..SEGMENT_HEADER_LEN].copy_from_slice(&header);
        block
    }

    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = [0; SEGMENT_HEADER_LEN];
        put(&mut out, 0, SEGMENT_MAGIC);
        put(&mut out, 8, VERSION.to_le_bytes());
        put(&mut out, 10, (SEGMENT_HEADER_LEN as u16).to_le_bytes());
        // A bit set here that a reader does not know makes it refuse the segment.
        put(&mut out, 12, self.flags().to_le_bytes());
        put(&mut out, 16, self.base.to_le_bytes());
        put(&mut out, 24, self.queue_id.to_le_bytes());
        put(&mut out, 40, self.salt.to_le_bytes());
        // 44: reserved, u32.
        put(&mut out, 48, self.created_ms.to_le_bytes());
        put_totals(&mut out, 56, self.before);
        // 88: reserved, u32.
        let checksum = crc32fast::hash(&out[..92]);
        put(&mut out, 92, checksum.to_le_bytes());
        out
    }

    /// # Panics
    /// If `bytes` is shorter than a header.
    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, FormatError> {
        if bytes[..8] != SEGMENT_MAGIC {
            return Err(FormatError::Magic);
        }
        let version = u16::from_le_bytes(get(bytes, 8));
        if version > VERSION {
            return Err(FormatError::Version(version));
        }
        // There was never a version 0.
        if version == 0 || crc32fast::hash(&bytes[..92]) != u32::from_le_bytes(get(bytes, 92)) {
            return Err(FormatError::Checksum);
        }
        let flags = u32::from_le_bytes(get(bytes, 12));
        if flags & !SEGMENT_PACKS != 0 {
            return Err(FormatError::Version(VERSION + 1));
        }
        Ok(SegmentHeader {
            base: u64::from_le_bytes(get(bytes, 16)),
            queue_id: u128::from_le_bytes(get(bytes, 24)),
            salt: u32::from_le_bytes(get(bytes, 40)),
            created_ms: i64::from_le_bytes(get(bytes, 48)),
            before: get_totals(bytes, 56),
            packs: flags & SEGMENT_PACKS != 0,
        })
    }

    fn flags(&self) -> u32 {
        if self.packs { SEGMENT_PACKS } else { 0 }
    }

    /// Decodes the header from the block in front of the frames; the second copy stands in when
    /// the first one is damaged. The error is that of the first one.
    pub(crate) fn decode_block(block: &[u8]) -> Result<SegmentHeader, FormatError> {
        let first = SegmentHeader::decode(block);
        match first {
            Ok(header) => Ok(header),
            Err(error) => SegmentHeader::decode(&block[SEGMENT_HEADER_COPY_AT..]).map_err(|_| error),
        }
    }
}

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A batch.
    Batch,
    /// The summary that closes a segment.
    Seal,
}

/// A frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: FrameKind,
    /// The batch's number; for a seal, the sequence after the last batch.
    pub(crate) sequence: u64,
    /// How far `sequence` was beyond what was durable when this frame was written: everything
    /// below `sequence - durable_lag` is proven to have been durable.
    pub(crate) durable_lag: u32,
    /// Length of the payload as it is stored.
    pub(crate) payload_len: u32,
    /// Checksum of the payload as it is stored.
    pub(crate) payload_crc: u32,
    /// Length of the payload as it was handed in, if the queue packed it.
    pub(crate) unpacked_len: Option<u32>,
    pub(crate) info: BatchInfo,
}

impl FrameHeader {
    pub(crate) fn encode(&self, salt: u32) -> [u8; FRAME_HEADER_LEN] {
        let mut out = [0; FRAME_HEADER_LEN];
        put(&mut out, 0, FRAME_MAGIC);
        out[4] = VERSION as u8;
        out[5] = match self.kind {
            FrameKind::Batch => 1,
            FrameKind::Seal => 2,
        };
        out[6] = self.info.kind;
        // Bit 1 is meant for encryption at rest, which is not there yet.
        out[7] = if self.unpacked_len.is_some() { FRAME_PACKED } else { 0 };
        put(&mut out, 8, self.payload_len.to_le_bytes());
        put(&mut out, 12, self.info.events.to_le_bytes());
        put(&mut out, 16, self.info.records.to_le_bytes());
        put(&mut out, 20, self.durable_lag.to_le_bytes());
        put(&mut out, 24, self.sequence.to_le_bytes());
        put(&mut out, 32, self.info.raw_bytes.to_le_bytes());
        put(&mut out, 40, self.info.first_time_ms.to_le_bytes());
        put(&mut out, 48, self.info.last_time_ms.to_le_bytes());
        put(&mut out, 56, self.info.appended_ms.to_le_bytes());
        // 64: key id, u32, for encryption at rest.
        put(&mut out, 68, self.unpacked_len.unwrap_or(0).to_le_bytes());
        put(&mut out, 72, self.payload_crc.to_le_bytes());
        let checksum = checksum_from(salt, &out[..76]);
        put(&mut out, 76, checksum.to_le_bytes());
        out
    }

    /// # Panics
    /// If `bytes` is shorter than a header.
    pub(crate) fn decode(bytes: &[u8], salt: u32) -> Result<FrameHeader, FormatError> {
        if bytes[..4] != FRAME_MAGIC {
            return Err(FormatError::Magic);
        }
        if bytes[4] != VERSION as u8 {
            return Err(FormatError::Version(bytes[4].into()));
        }
        if checksum_from(salt, &bytes[..76]) != u32::from_le_bytes(get(bytes, 76)) {
            return Err(FormatError::Checksum);
        }
        let kind = match bytes[5] {
            1 => FrameKind::Batch,
            2 => FrameKind::Seal,
            _ => return Err(FormatError::Version(VERSION + 1)),
        };
        let payload_len = u32::from_le_bytes(get(bytes, 8));
        // A writer that uses a flag has to announce it in the segment's flags.
        let sequence = u64::from_le_bytes(get(bytes, 24));
        let (flags, unpacked_len) = (bytes[7], u32::from_le_bytes(get(bytes, 68)));
        if flags & !FRAME_PACKED != 0
            || payload_len.max(unpacked_len) > PAYLOAD_BYTES_MAX
            || sequence > SEQUENCE_MAX
        {
            return Err(FormatError::Version(VERSION + 1));
        }
        Ok(FrameHeader {
            kind,
            sequence,
            durable_lag: u32::from_le_bytes(get(bytes, 20)),
            payload_len,
            payload_crc: u32::from_le_bytes(get(bytes, 72)),
            unpacked_len: (flags & FRAME_PACKED != 0).then_some(unpacked_len),
            info: BatchInfo {
                kind: bytes[6],
                events: u32::from_le_bytes(get(bytes, 12)),
                records: u32::from_le_bytes(get(bytes, 16)),
                raw_bytes: u64::from_le_bytes(get(bytes, 32)),
                first_time_ms: i64::from_le_bytes(get(bytes, 40)),
                last_time_ms: i64::from_le_bytes(get(bytes, 48)),
                appended_ms: i64::from_le_bytes(get(bytes, 56)),
            },
        })
    }

    /// The salt with which the checksum of these bytes is right, whatever they are: a checksum can be run backwards.
    ///
    /// # Panics
    /// If `bytes` is shorter than a header.
    pub(crate) fn implied_salt(bytes: &[u8]) -> u32 {
        let mut state = !u32::from_le_bytes(get(bytes, 76));
        for &byte in bytes[..76].iter().rev() {
            // No two entries of the table have the same first byte, so it tells which one was mixed in last.
            let index = CRC_INDEX[(state >> 24) as usize];
            state = (state ^ CRC_TABLE[index as usize]) << 8 | u32::from(index ^ byte);
        }
        !state
    }

    /// Everything below this sequence was durable when the frame was written.
    pub(crate) fn proves_durable(&self) -> u64 {
        self.sequence.saturating_sub(self.durable_lag.into())
    }

    /// Length of the payload as it was handed in, and will be handed out.
    pub(crate) fn batch_len(&self) -> u32 {
        self.unpacked_len.unwrap_or(self.payload_len)
    }

    /// The whole frame's length.
    pub(crate) fn frame_len(&self) -> u64 {
        FRAME_HEADER_LEN as u64 + u64::from(self.payload_len)
    }
}

/// The frame that closes a segment. It repeats what is needed to trust it alone, so that opening
/// a sealed segment is one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) header: SegmentHeader,
    /// The sequence after the last batch.
    pub(crate) end: u64,
    /// Where the seal begins.
    pub(crate) position: u64,
    pub(crate) summary: Summary,
}

impl Seal {
    pub(crate) fn encode(&self) -> [u8; SEAL_LEN] {
        let mut body = [0; SEAL_BODY_LEN];
        put(&mut body, 0, self.header.base.to_le_bytes());
        put(&mut body, 8, self.header.queue_id.to_le_bytes());
        put(&mut body, 24, self.header.salt.to_le_bytes());
        put(&mut body, 28, self.header.flags().to_le_bytes());
        put(&mut body, 32, self.header.created_ms.to_le_bytes());
        put_totals(&mut body, 40, self.header.before);
        put(&mut body, 72, self.end.to_le_bytes());
        put(&mut body, 80, self.position.to_le_bytes());
        put(&mut body, 88, self.summary.batches.to_le_bytes());
        put(&mut body, 96, self.summary.weight.events.to_le_bytes());
        put(&mut body, 104, self.summary.records.to_le_bytes());
        put(&mut body, 112, self.summary.weight.payload_bytes.to_le_bytes());
        put(&mut body, 120, self.summary.weight.raw_bytes.to_le_bytes());
        put(&mut body, 128, self.summary.first_time_ms.to_le_bytes());
        put(&mut body, 136, self.summary.last_time_ms.to_le_bytes());
        put(&mut body, 144, self.summary.first_appended_ms.to_le_bytes());
        put(&mut body, 152, self.summary.last_appended_ms.to_le_bytes());

        let header = FrameHeader {
            kind: FrameKind::Seal,
            sequence: self.end,
            durable_lag: 0,
            payload_len: SEAL_BODY_LEN as u32,
            payload_crc: crc32fast::hash(&body),
            unpacked_len: None,
            info: BatchInfo::default(),
        };
        let mut out = [0; SEAL_LEN];
        out[..FRAME_HEADER_LEN].copy_from_slice(&header.encode(self.header.salt));
        out[FRAME_HEADER_LEN..].copy_from_slice(&body);
        out
    }

    /// Decodes a whole seal frame, which carries its own salt. `None`: it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Seal> {
        if bytes.len() != SEAL_LEN {
            return None;
        }
        let (head, body) = bytes.split_at(FRAME_HEADER_LEN);
        let salt = u32::from_le_bytes(get(body, 24));
        let head = FrameHeader::decode(head, salt).ok()?;
        if head.kind != FrameKind::Seal || head.payload_crc != crc32fast::hash(body) {
            return None;
        }
        let flags = u32::from_le_bytes(get(body, 28));
        if flags & !SEGMENT_PACKS != 0 {
            return None; // The header says the same, and what is to be done about it.
        }
        let word = |at| u64::from_le_bytes(get(body, at));
        let time = |at| i64::from_le_bytes(get(body, at));
        let seal = Seal {
            header: SegmentHeader {
                base: word(0),
                queue_id: u128::from_le_bytes(get(body, 8)),
                salt,
                created_ms: time(32),
                before: get_totals(body, 40),
                packs: flags & SEGMENT_PACKS != 0,
            },
            end: word(72),
            position: word(80),
            summary: Summary {
                batches: word(88),
                weight: Weight { events: word(96), payload_bytes: word(112), raw_bytes: word(120) },
                records: word(104),
                first_time_ms: time(128),
                last_time_ms: time(136),
                first_appended_ms: time(144),
                last_appended_ms: time(152),
            },
        };
        (seal.end == head.sequence && seal.end >= seal.header.base).then_some(seal)
    }
}

/// The file name of the segment whose first sequence is `base`.
pub(crate) fn segment_name(base: Sequence) -> String {
    format!("{base:020}.seg", base = base.0)
}

/// The first sequence of the segment with this file name; `None`: it is no segment's name.
pub(crate) fn segment_base(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let base = (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse())?;
    base.ok().filter(|base| (Sequence::FIRST.0..=SEQUENCE_MAX).contains(base))
}

/// CRC-32 (IEEE) of `bytes`, going on from `seed`.
fn checksum_from(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

fn put_totals(out: &mut [u8], at: usize, totals: Totals) {
    put(out, at, totals.weight.events.to_le_bytes());
    put(out, at + 8, totals.weight.payload_bytes.to_le_bytes());
    put(out, at + 16, totals.weight.raw_bytes.to_le_bytes());
    put(out, at + 24, totals.file_bytes.to_le_bytes());
}

fn get_totals(bytes: &[u8], at: usize) -> Totals {
    let word = |offset| u64::from_le_bytes(get(bytes, at + offset));
    let weight = Weight { events: word(0), payload_bytes: word(8), raw_bytes: word(16) };
    Totals { weight, file_bytes: word(24) }
}

fn put<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) {
    out[at..at + N].copy_from_slice(&bytes);
}

fn get<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_beyond_the_limit_are_not_of_this_version() {
        let header = FrameHeader {
            kind: FrameKind::Batch,
            sequence: 1,
            durable_lag: 0,
            payload_len: PAYLOAD_BYTES_MAX,
            payload_crc: 0,
            unpacked_len: Some(PAYLOAD_BYTES_MAX),
            info: BatchInfo::default(),
        };
        assert_eq!(FrameHeader::decode(&header.encode(5), 5), Ok(header));
        for too_long in [
            FrameHeader { payload_len: PAYLOAD_BYTES_MAX + 1, ..header },
            FrameHeader { unpacked_len: Some(PAYLOAD_BYTES_MAX + 1), ..header },
        ] {
            let decoded = FrameHeader::decode(&too_long.encode(5), 5);
            assert_eq!(decoded, Err(FormatError::Version(VERSION + 1)), "{too_long:?}");
        }
    }
}
