use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::decode::decode;

fn options(format: Format, record_bytes_max: usize) -> BatcherOptions {
    BatcherOptions {
        format,
        record_bytes_max,
        records_max: 4,
        request_bytes_max: 2048,
        ..BatcherOptions::default()
    }
}

fn event(size: usize) -> Vec<u8> {
    assert!(size >= 8);
    let mut event = br#"{"a":""#.to_vec();
    event.resize(size - 2, b'x');
    event.extend_from_slice(br#""}"#);
    event
}

fn push(batcher: &mut Batcher, event: &[u8]) -> Push {
    let push = batcher.push(Duration::ZERO, 0, |buffer| buffer.extend_from_slice(event));
    push.map(|push| *push).unwrap_or_default()
}

/// Every record as the service would count it.
fn uncompressed_sizes(batch: &Batch) -> Vec<usize> {
    batch
        .records()
        .map(|record| match batch.format {
            Format::Gzip => {
                let decoded = decode(batch.format, &record.data, 1 << 24).unwrap();
                let header = decoded.header.unwrap();
                record::header_len(header.count, header.size as u32) + decoded.body.len()
            }
            _ => record.wire_bytes(),
        })
        .collect()
}

fn events(batch: &Batch) -> Vec<Vec<u8>> {
    batch
        .records()
        .flat_map(|record| {
            let decoded = decode(batch.format, &record.data, 1 << 24).unwrap();
            decoded.events().map(<[u8]>::to_vec).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_deadline_is_that_of_the_first_event() {
    let mut batcher = Batcher::new(options(Format::Gzip, 4096));
    assert_eq!(batcher.deadline(), None);
    for second in [10, 11] {
        assert!(batcher.push(Duration::from_secs(second), 0, |buffer| buffer.extend(b"{}")).is_none());
    }
    assert_eq!(batcher.deadline(), Some(Duration::from_secs(11)));
    assert_eq!((batcher.events(), batcher.bytes()), (2, 6));
    assert_eq!(batcher.seal().unwrap().events(), 2);
    assert_eq!(batcher.deadline(), None);
    assert!(batcher.seal().is_none());
}

#[test]
fn times_span_the_events() {
    let mut batcher = Batcher::new(options(Format::Ndjson, 4096));
    for time in [50, -7, 90, 60] {
        assert!(batcher.push(Duration::ZERO, time, |buffer| buffer.extend(b"{}")).is_none());
    }
    let batch = batcher.seal().unwrap().encode(6);
    assert_eq!((batch.first_time_ms, batch.last_time_ms), (-7, 90));
}

#[test]
fn writing_nothing_adds_nothing() {
    let mut batcher = Batcher::new(options(Format::Ndjson, 4096));
    assert!(batcher.push(Duration::ZERO, 1, |_| ()).is_none());
    assert!(batcher.seal().is_none());
}

#[test]
fn a_record_is_filled_to_the_last_byte() {
    for (format, key) in [(Format::Gzip, 0), (Format::Ndjson, record::RANDOM_KEY_BYTES)] {
        let max = 1024;
        let room = max - key - record::header_len(1, 900) - 1;
        let mut batcher = Batcher::new(options(format, max));
        let oversize = push(&mut batcher, &event(room + 1)).oversize;
        assert_eq!(oversize, Some(event(room + 1)), "{format:?}");
        assert_eq!((batcher.events(), batcher.bytes()), (0, 0));
        let full = push(&mut batcher, &event(room)).full.expect("exactly full");
        assert_eq!(uncompressed_sizes(&full.encode(6)), [max], "{format:?}");
    }
}

#[test]
fn an_event_cut_to_the_limit_fits() {
    for format in [Format::Gzip, Format::Ndjson, Format::Event] {
        for key in
            [PartitionKey::Random, PartitionKey::Fixed("k".repeat(256)), PartitionKey::Field("a".to_owned())]
        {
            let options = BatcherOptions { partition_key: key, ..options(format, 2000) };
            let mut batcher = Batcher::new(options);
            let max = batcher.event_bytes_max();
            assert!(max > 1000 && push(&mut batcher, &event(max)).oversize.is_none());
            assert!(push(&mut batcher, &event(2001)).oversize.is_some());
        }
    }
}

#[test]
fn an_event_that_does_not_fit_opens_the_next_batch() {
    for format in [Format::Gzip, Format::Ndjson] {
        let mut batcher = Batcher::new(options(format, 1024));
        for _ in 0..2 {
            assert!(push(&mut batcher, &event(400)).sealed_before.is_none());
        }
        let sealed = push(&mut batcher, &event(500)).sealed_before.expect("no room for a third");
        let first = sealed.encode(6);
        assert_eq!(events(&first), [event(400), event(400)]);
        let second = batcher.seal().unwrap().encode(6);
        assert_eq!(events(&second), [event(500)]);
        assert_ne!(first.record(0).partition_key, second.record(0).partition_key);
    }
}

#[test]
fn an_oversize_event_leaves_its_neighbours_alone() {
    for format in [Format::Gzip, Format::Ndjson, Format::Event] {
        let mut batcher = Batcher::new(options(format, 1024));
        assert!(push(&mut batcher, &event(100)).oversize.is_none());
        assert_eq!(push(&mut batcher, &event(2000)).oversize, Some(event(2000)));
        assert!(push(&mut batcher, &event(101)).sealed_before.is_none());
        let batch = batcher.seal().unwrap().encode(6);
        assert_eq!(events(&batch), [event(100), event(101)]);
    }
}

#[test]
fn event_records_end_by_count_and_by_bytes() {
    let mut batcher = Batcher::new(options(Format::Event, 1024));
    for _ in 0..3 {
        assert!(push(&mut batcher, b"{}").full.is_none());
    }
    let batch = push(&mut batcher, b"{}").full.expect("four is the limit").encode(6);
    assert_eq!((batch.len(), batch.events, batch.raw_bytes), (4, 4, 8));

    assert!(push(&mut batcher, &event(1000)).full.is_none());
    assert!(push(&mut batcher, &event(1000)).full.is_none());
    let push = push(&mut batcher, &event(100));
    let batch = push.sealed_before.expect("2048 bytes is the limit").encode(6);
    assert_eq!(batch.len(), 2);
    assert_eq!(batch.wire_bytes(), 2 * (1000 + record::RANDOM_KEY_BYTES as u64));
    assert_eq!(batcher.events(), 1);
}

#[test]
fn an_event_larger_than_a_request_goes_alone() {
    let mut batcher = Batcher::new(options(Format::Event, 8192));
    assert!(push(&mut batcher, &event(100)).full.is_none());
    let push = push(&mut batcher, &event(8000));
    assert_eq!(push.sealed_before.expect("the one before").events(), 1);
    assert_eq!(push.full.expect("the large one").events(), 1);
    assert!(push.oversize.is_none());
}

#[test]
fn keys_come_from_where_they_should() {
    let keys = |format: Format, partition_key: PartitionKey, lines: &[&str]| {
        let mut batcher = Batcher::with_seed(BatcherOptions { partition_key, ..options(format, 1024) }, 1);
        for line in lines {
            assert!(push(&mut batcher, line.as_bytes()).full.is_none());
        }
        let batch = batcher.seal().unwrap().encode(6);
        batch.records().map(|record| record.partition_key.to_owned()).collect::<Vec<_>>()
    };
    let lines = [r#"{"h":"one"}"#, r#"{"h":"two"}"#];
    let field = || PartitionKey::Field("h".to_owned());
    let fixed = || PartitionKey::Fixed("here".to_owned());
    assert_eq!(keys(Format::Event, field(), &lines), ["one", "two"]);
    assert_eq!(keys(Format::Gzip, field(), &lines), ["one"]);
    assert_eq!(keys(Format::Event, fixed(), &lines), ["here", "here"]);
    assert_eq!(keys(Format::Ndjson, fixed(), &lines), ["here"]);
    let random = keys(Format::Event, field(), &["{}", "[]"]);
    assert!(random.iter().all(|key| key.len() == record::RANDOM_KEY_BYTES), "{random:?}");
    assert_ne!(random[0], random[1]);
    let long = format!("{{\"h\":\"{}\"}}", "ä".repeat(300));
    assert_eq!(keys(Format::Gzip, field(), &[&long]), ["ä".repeat(256)]);
}

#[test]
fn buffers_come_back_and_do_not_grow_beyond_need() {
    let max = 256 * 1024;
    let mut batcher = Batcher::new(options(Format::Gzip, max));
    let mut buffers = Vec::new();
    for _ in 0..3 {
        let sealed = loop {
            let push = push(&mut batcher, &event(1000));
            if let Some(sealed) = push.sealed_before.or(push.full) {
                break sealed;
            }
        };
        // The next batch has its first event, and so its buffer.
        assert!(sealed.buffer.capacity() <= max + BUFFER_SLACK, "{}", sealed.buffer.capacity());
        buffers.push(sealed.buffer.as_ptr());
        assert!(sealed.encode(1).wire_bytes() < 20_000);
    }
    assert_eq!(buffers[2], buffers[0]);
    batcher.release_spares();
    assert_eq!(batcher.spares.take().capacity(), 0);
}

#[test]
fn a_buffer_that_a_huge_event_has_grown_does_not_come_back() {
    let mut batcher = Batcher::new(options(Format::Gzip, 1024));
    for huge in [false, true] {
        assert!(push(&mut batcher, &event(100)).full.is_none());
        if huge {
            assert!(push(&mut batcher, &event(1 << 20)).oversize.is_some());
        }
        assert_eq!(batcher.seal().unwrap().encode(1).events, 1);
        assert_eq!(batcher.spares.take().capacity() > 0, !huge);
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_or_too_large(
        format in prop::sample::select(vec![Format::Gzip, Format::Ndjson, Format::Event]),
        key in prop::sample::select(vec![
            PartitionKey::Random,
            PartitionKey::Fixed("k".repeat(256)),
            PartitionKey::Field("a".to_owned()),
        ]),
        sizes in prop::collection::vec(prop_oneof![8usize..300, 900usize..1100], 1..60),
        seal_at in prop::collection::vec(any::<bool>(), 60),
    ) {
        let options = BatcherOptions { partition_key: key, ..options(format, 1024) };
        let mut batcher = Batcher::with_seed(options.clone(), 3);
        let mut given = Vec::new();
        let mut sealed = Vec::new();
        let mut oversize = 0;
        for (index, size) in sizes.iter().enumerate() {
            let push = push(&mut batcher, &event(*size));
            match push.oversize {
                Some(bytes) => { prop_assert_eq!(bytes, event(*size)); oversize += 1; }
                None => given.push(event(*size)),
            }
            sealed.extend(push.sealed_before);
            sealed.extend(push.full);
            if seal_at[index] && index % 9 == 0 { sealed.extend(batcher.seal()); }
        }
        sealed.extend(batcher.seal());
        prop_assert_eq!(given.len() + oversize, sizes.len());
        let mut found = Vec::new();
        for sealed in sealed {
            let count = sealed.events();
            let batch = sealed.encode(1);
            prop_assert_eq!(batch.events, count);
            for size in uncompressed_sizes(&batch) { prop_assert!(size <= 1024, "{}", size); }
            prop_assert!(batch.len() <= options.records_max);
            if format == Format::Event { prop_assert!(batch.wire_bytes() <= 2048); }
            prop_assert!(batch.records().all(|record| record::is_legal_key(record.partition_key)));
            found.extend(events(&batch));
        }
        prop_assert_eq!(found, given);
    }
}
