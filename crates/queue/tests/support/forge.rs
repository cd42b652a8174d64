//! Files in which any field may hold any value, with the right checksums around it: see docs/FORMAT.md.

const SEGMENT_HEADER: std::ops::Range<usize> = 0..96;
const HEADER_COPY_AT: usize = 2048;
const FRAMES_AT: usize = 4096;
const FRAME_HEADER_LEN: usize = 80;
const SLOT_HEADER_LEN: usize = 32;

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn checksum(bytes: &mut [u8], seed: u32, at: usize) {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&bytes[..at]);
    let checksum = hasher.finalize();
    bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Puts something extreme, or something near to what was there, into one to three fields.
fn scramble(fields: &mut [u8], random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..4) {
        let len = [1, 2, 4, 8][random.usize(..4)];
        let at = random.usize(..fields.len()) / len * len;
        let Some(field) = fields.get_mut(at..at + len) else { continue };
        match random.u8(..5) {
            0 => field.fill(0),
            1 => field.fill(0xFF),
            2 => field[len - 1] ^= 0x80,
            3 => field[0] = field[0].wrapping_add(random.u8(1..4)),
            _ => field.iter_mut().for_each(|byte| *byte = random.u8(..)),
        }
    }
}

/// Where the frames of a segment begin.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut at = FRAMES_AT;
    while at + FRAME_HEADER_LEN <= bytes.len() && bytes[at] == 0xF5 {
        frames.push(at);
        at += FRAME_HEADER_LEN + word(bytes, at + 8) as usize;
    }
    frames
}

/// Forges a segment: its header, the header or the payload of a frame, or its seal.
pub(crate) fn segment(bytes: &mut [u8], random: &mut fastrand::Rng) {
    let frames = frames(bytes);
    let salt = word(bytes, 40);
    if frames.is_empty() || random.u8(..6) == 0 {
        let header = &mut bytes[SEGMENT_HEADER];
        scramble(&mut header[8..92], random);
        checksum(header, 0, 92);
        let header = header.to_vec();
        if random.bool() {
            bytes[HEADER_COPY_AT..HEADER_COPY_AT + header.len()].copy_from_slice(&header);
        }
        return;
    }
    let last = random.bool().then(|| frames.len() - 1);
    let at = frames[last.unwrap_or_else(|| random.usize(..frames.len()))];
    let payload_at = at + FRAME_HEADER_LEN;
    let end = payload_at + word(bytes, at + 8) as usize;
    if random.bool() && payload_at < end && end <= bytes.len() {
        scramble(&mut bytes[payload_at..end], random);
        let checksum = crc32fast::hash(&bytes[payload_at..end]);
        bytes[at + 72..at + 76].copy_from_slice(&checksum.to_le_bytes());
    } else {
        scramble(&mut bytes[at + 4..at + 76], random);
    }
    checksum(&mut bytes[at..payload_at], salt, 76);
}

/// Forges a slot of a checkpoint: its header, or its body.
pub(crate) fn checkpoint(bytes: &mut [u8], random: &mut fastrand::Rng) {
    let end = SLOT_HEADER_LEN + word(bytes, 16) as usize;
    // A length that was forged before leads anywhere.
    if random.u8(..4) > 0 && (SLOT_HEADER_LEN + 1..=bytes.len()).contains(&end) {
        scramble(&mut bytes[SLOT_HEADER_LEN..end], random);
        let checksum = crc32fast::hash(&bytes[SLOT_HEADER_LEN..end]);
        bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
    } else {
        scramble(&mut bytes[4..28], random);
    }
    checksum(&mut bytes[..SLOT_HEADER_LEN], 0, 28);
}
