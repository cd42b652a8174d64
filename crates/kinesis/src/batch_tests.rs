use proptest::prelude::*;

use super::*;

const META: BatchMeta = BatchMeta {
    format: Format::Opaque,
    events: 3,
    raw_bytes: 99,
    first_time_ms: -5,
    last_time_ms: 1_700_000_000_000,
};

fn payload(batch: &Batch) -> Bytes {
    Bytes::from(batch.to_payload().concat())
}

fn record<'a>(partition_key: &'a str, hash: Option<u128>, data: &'static [u8]) -> RecordRef<'a> {
    RecordRef { partition_key, explicit_hash_key: hash, data: Bytes::from_static(data) }
}

#[test]
fn format_codes_are_pinned() {
    for (format, code) in [(Format::Gzip, 1), (Format::Ndjson, 2), (Format::Event, 3), (Format::Opaque, 4)] {
        assert_eq!(format.code(), code);
        assert_eq!(Format::from_code(code), Some(format));
    }
    assert_eq!(Format::from_code(0), None);
    assert_eq!(Format::from_code(5), None);
}

#[test]
fn payload_bytes_are_pinned() {
    let batch = Batch::from_records(META, &[record("k", None, b"ab"), record("ke", None, b"c")]);
    let table = [
        1, 0, 0, 0, 2, 0, 0, 0, // version, flags, reserved, records
        2, 0, 0, 0, 1, 0, 0, 0, // first: data ends at 2, key at 1
        3, 0, 0, 0, 3, 0, 0, 0, // second: data ends at 3, key at 3
        b'k', b'k', b'e',
    ];
    assert_eq!(batch.to_payload()[0].as_ref(), table);
    assert_eq!(batch.to_payload()[1].as_ref(), b"abc");

    let batch = Batch::from_records(META, &[record("k", None, b""), record("l", Some(258), b"c")]);
    let mut table = vec![
        1, 1, 0, 0, 2, 0, 0, 0, // flag: hash column
        0, 0, 0, 0, 1, 0, 0, 0, // no hash
        1, 0, 0, 0, 2, 0, 0, 0x80, // bit 31: has one
    ];
    table.extend_from_slice(&[0; 16]);
    table.extend_from_slice(&[2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    table.extend_from_slice(b"kl");
    assert_eq!(batch.to_payload()[0].as_ref(), table);
}

#[test]
fn damage_has_a_name() {
    let good = payload(&Batch::from_records(META, &[record("k", None, b"ab"), record("ö", None, b"c")]));
    let check = |change: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        let error = Batch::from_payload(META, Bytes::from(bytes)).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error} should contain {expected:?}");
    };
    check(&|bytes| bytes.clear(), "nothing there");
    check(&|bytes| bytes.truncate(5), "shorter than its header");
    check(&|bytes| bytes[0] = 2, "version 2");
    check(&|bytes| bytes[1] = 2, "unknown flags");
    check(&|bytes| bytes[3] = 1, "unknown flags");
    check(&|bytes| bytes[4..8].fill(0), "no records");
    check(&|bytes| bytes[4..8].fill(0xff), "more records than there is room for");
    check(&|bytes| bytes.truncate(bytes.len() - 1), "do not end with the payload");
    check(&|bytes| bytes.push(0), "do not end with the payload");
    check(&|bytes| bytes[8] = 4, "ends before it begins");
    check(&|bytes| bytes[12] = 9, "a key beyond the last one");
    check(&|bytes| bytes[15] = 0x80, "a hash key without a column");
    check(&|bytes| bytes[12] = 2, "not UTF-8");
}

#[test]
fn a_subset_keeps_order_keys_and_counts() {
    let meta = BatchMeta { format: Format::Event, ..META };
    let records = [record("a", None, b"11"), record("b", Some(7), b"2"), record("c", None, b"333")];
    let batch = Batch::from_records(meta, &records);
    let subset = batch.subset(&[1, 2]);
    assert_eq!(subset.records().collect::<Vec<_>>(), records[1..]);
    assert_eq!((subset.events, subset.raw_bytes), (2, 4));
    assert_eq!(subset.wire_bytes(), 6);
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        records in prop::collection::vec(
            (".{0,5}", prop::option::of(any::<u128>()), prop::collection::vec(any::<u8>(), 0..20)),
            1..20,
        )
    ) {
        let records: Vec<_> = records
            .iter()
            .map(|(key, hash, data)| RecordRef {
                partition_key: key,
                explicit_hash_key: *hash,
                data: Bytes::copy_from_slice(data),
            })
            .collect();
        let batch = Batch::from_records(META, &records);
        let again = Batch::from_payload(META, payload(&batch)).unwrap();
        prop_assert_eq!(again.records().collect::<Vec<_>>(), records.clone());
        prop_assert_eq!(again.meta(), META);
        let wire: usize = records.iter().map(RecordRef::wire_bytes).sum();
        prop_assert_eq!(again.wire_bytes(), wire as u64);
    }

    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80), fix in any::<bool>()) {
        if fix && bytes.len() >= 8 {
            let (flags, count) = (bytes[1] & 1, bytes[4] % 4);
            bytes[..8].copy_from_slice(&[1, flags, 0, 0, count, 0, 0, 0]);
        }
        if let Ok(batch) = Batch::from_payload(META, Bytes::from(bytes)) {
            prop_assert!(batch.records().count() == batch.len());
        }
    }
}
