//! Keeps `docs/FORMAT.md` and the code together: the example bytes in its tables are what the
//! program writes, and what it reads.

use crate::{
    batch::{BatchInfo, Losses, Tally},
    checkpoint,
    cursor::Cursor,
    format::{FRAME_HEADER_LEN, FrameHeader, FrameKind, Seal, SegmentHeader, Totals},
    summary::{Summary, Weight},
    timeline::Point,
    view::Read,
};

const PAGE: &str = include_str!("../../../docs/FORMAT.md");

/// The bytes of a table on the page. Its offsets have to follow from its lengths.
fn documented(table: &str) -> Vec<u8> {
    let start = format!("<!-- bytes: {table} -->\n");
    let (_, rest) = PAGE.split_once(&start).unwrap_or_else(|| panic!("no table {table:?}"));
    let mut bytes = Vec::new();
    for row in rest.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let example = columns[4].trim_matches('`').split(' ');
        assert_eq!(columns[1].parse(), Ok(bytes.len()), "{table}: {row}");
        bytes.extend(example.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
        let length: usize = columns[2].parse().unwrap();
        assert_eq!(bytes.len(), columns[1].parse::<usize>().unwrap() + length, "{table}: {row}");
    }
    bytes
}

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        base: 7,
        queue_id: 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100,
        salt: 0xA1B2_C3D4,
        created_ms: 1_700_000_000_000,
        before: Totals {
            weight: Weight { events: 21, payload_bytes: 252, raw_bytes: 2_100 },
            file_bytes: 16_384,
        },
        packs: false,
    }
}

/// Batch `n` as in `fixtures/queue`.
fn info(n: u32) -> BatchInfo {
    let time_ms = 1_700_000_000_000 + 1000 * i64::from(n);
    BatchInfo {
        kind: 2,
        events: n,
        records: 1,
        raw_bytes: 100 * u64::from(n),
        first_time_ms: time_ms,
        last_time_ms: time_ms + 500,
        appended_ms: time_ms + 900,
    }
}

fn payload(n: u32) -> String {
    format!("batch {n} of the pond. ").repeat(1 + n as usize % 3)
}

#[test]
fn segment_header_is_as_documented() {
    let bytes = documented("segment header");
    assert_eq!(segment_header().encode().as_slice(), bytes);
    assert_eq!(SegmentHeader::decode(&bytes), Ok(segment_header()));
}

#[test]
fn frame_header_is_as_documented() {
    let bytes = documented("frame header");
    let header = FrameHeader {
        kind: FrameKind::Batch,
        sequence: 7,
        durable_lag: 2,
        payload_len: payload(7).len() as u32,
        payload_crc: crc32fast::hash(payload(7).as_bytes()),
        unpacked_len: None,
        info: info(7),
    };
    let salt = segment_header().salt;
    assert_eq!(header.encode(salt).as_slice(), bytes);
    assert_eq!(FrameHeader::decode(&bytes, salt), Ok(header));
}

#[test]
fn seal_is_as_documented() {
    let bytes = documented("seal");
    let mut summary = Summary::default();
    for n in [7, 8] {
        summary.add(&info(n), payload(n).len() as u32);
    }
    let seal = Seal { header: segment_header(), end: 9, position: 4352, summary };
    assert_eq!(seal.encode()[FRAME_HEADER_LEN..], bytes);
    assert_eq!(Seal::decode(&seal.encode()), Some(seal));
}

#[test]
fn cursor_and_its_slot_are_as_documented() {
    let body = documented("cursor");
    let given_up = |numbers: &[u32]| {
        let tallies = numbers.iter().map(|&n| Read::new(&info(n), payload(n).len() as u32).tally());
        tallies.fold(Tally::default(), Tally::plus)
    };
    let cursor = Cursor {
        queue_id: segment_header().queue_id,
        acked: 8,
        durable: 13,
        delivered: Weight { events: 28, payload_bytes: 294, raw_bytes: 2_800 },
        losses: Losses { full: given_up(&[1, 2]), expired: given_up(&[4]), purged: given_up(&[5, 6]) },
        above: vec![(9, 10)],
        points: vec![Point { end: 8, by_ms: 1_700_000_000_000 }],
    };
    assert_eq!(cursor.encode(), body);
    assert_eq!(Cursor::decode(&body), Ok(cursor));
    assert_eq!(checkpoint::encode_header(5, &body).as_slice(), documented("checkpoint slot"));
}
