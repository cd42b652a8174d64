//! Packing payloads at rest: a gzip member, so that what is on a disk can be unpacked with any tool.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};

/// Deflate cannot pack better than this, so nothing that claims to is unpacked.
const RATIO_MAX: u64 = 1032;

/// A payload packed at `level` (1–9); `None` if that would not make it smaller.
pub(crate) fn pack(parts: &[Bytes], level: u8) -> Option<Bytes> {
    let len: usize = parts.iter().map(Bytes::len).sum();
    let mut encoder = GzEncoder::new(Vec::with_capacity(len / 4), Compression::new(level.into()));
    let written = parts.iter().try_for_each(|part| encoder.write_all(part));
    let packed = written.and_then(|()| encoder.finish()).expect("memory takes all that is written to it");
    (packed.len() < len).then(|| packed.into())
}

/// What [`pack`] packed; it must become `len` bytes.
pub(crate) fn unpack(packed: &[u8], len: u32) -> io::Result<Bytes> {
    let wrong = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    if u64::from(len) > RATIO_MAX * packed.len() as u64 {
        return Err(wrong("more than can be in so few bytes"));
    }
    let mut decoder = GzDecoder::new(packed);
    let mut payload = BytesMut::zeroed(len as usize);
    decoder.read_exact(&mut payload)?;
    // Reading on to the end makes the decoder compare the checksum.
    match decoder.read(&mut [0])? {
        0 => Ok(payload.freeze()),
        _ => Err(wrong("more than its header says")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_or_is_refused() {
        let parts = [Bytes::from_static(b"head "), Bytes::from("body ".repeat(1000))];
        let whole = parts.concat();
        let packed = pack(&parts, 3).unwrap();
        assert!(packed.len() < whole.len() / 10);
        let len = whole.len() as u32;
        assert_eq!(unpack(&packed, len).unwrap(), whole);
        for wrong in [0, len - 1, len + 1, u32::MAX] {
            assert!(unpack(&packed, wrong).is_err(), "{wrong}");
        }
        for at in 0..packed.len() {
            assert!(unpack(&packed[..at], len).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_does_not_get_smaller_is_left_alone() {
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Bytes = std::iter::repeat_with(|| random.u8(..)).take(1000).collect();
        assert_eq!(pack(&[noise], 9), None);
        assert_eq!(pack(&[], 1), None);
    }
}
