//! Bytes that change as a bad disk, or a bad person, would change them.

/// Does something to the bytes of a file.
pub(crate) fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut fastrand::Rng) {
    let at = |random: &mut fastrand::Rng, bytes: &[u8]| random.usize(..=bytes.len());
    match random.u32(..7) {
        0 if !bytes.is_empty() => {
            for _ in 0..random.usize(1..8) {
                let at = random.usize(..bytes.len());
                bytes[at] ^= 1 << random.u32(..8);
            }
        }
        1 => bytes.truncate(at(random, bytes)),
        2 => {
            let (from, len) = (at(random, bytes), random.usize(..2_000));
            let to = (from + len).min(bytes.len());
            bytes[from..to].fill([0, 0xFF, 0xF5][random.usize(..3)]);
        }
        3 => {
            let (from, len) = (at(random, bytes), random.usize(..2_000));
            let to = (from + len).min(bytes.len());
            bytes.drain(from..to);
        }
        4 => {
            // Something of another file, or of this one, in the middle of it.
            let source = &others[random.usize(..others.len())];
            let from = random.usize(..=source.len());
            let to = (from + random.usize(..3_000)).min(source.len());
            let into = at(random, bytes);
            bytes.splice(into..into, source[from..to].iter().copied());
        }
        5 => {
            let source = &others[random.usize(..others.len())];
            let from = random.usize(..=source.len());
            let to = (from + random.usize(..3_000)).min(source.len());
            let into = at(random, bytes);
            let end = (into + (to - from)).min(bytes.len());
            bytes[into..end].copy_from_slice(&source[from..from + (end - into)]);
        }
        _ => {
            let more = random.usize(..5_000);
            bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(more));
        }
    }
}
