//! The bytes of each record format, and of a stored batch, are those of `fixtures/records`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use millpond_kinesis::batch::{Batch, BatchMeta, Format, RecordRef};
use millpond_kinesis::batcher::{Batcher, BatcherOptions, PartitionKey};
use millpond_kinesis::decode::decode;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/records").join(name)
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn events() -> Vec<Vec<u8>> {
    let text = golden("events.ndjson");
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The events as one batch, their times one second apart.
fn encode(format: Format) -> Batch {
    let mut batcher = Batcher::new(BatcherOptions {
        format,
        partition_key: PartitionKey::Fixed("golden".to_owned()),
        ..BatcherOptions::default()
    });
    for (number, event) in events().iter().enumerate() {
        let time = 1_733_813_746_000 + 1000 * number as i64;
        let push = batcher.push(Duration::ZERO, time, |buffer| buffer.extend_from_slice(event));
        assert!(push.is_none());
    }
    batcher.seal().unwrap().encode(6)
}

fn opaque() -> Batch {
    let meta =
        BatchMeta { format: Format::Opaque, events: 2, raw_bytes: 6, first_time_ms: 0, last_time_ms: 0 };
    let record = |partition_key, explicit_hash_key, data| RecordRef {
        partition_key,
        explicit_hash_key,
        data: Bytes::from_static(data),
    };
    let records = [record("key", None, b"\x00\xffab".as_slice()), record("ключ", Some(1 << 127), b"cd")];
    Batch::from_records(meta, &records)
}

fn stored(batch: &Batch) -> Vec<u8> {
    batch.to_payload().concat()
}

/// What there is today, by file.
fn today() -> Vec<(&'static str, Vec<u8>)> {
    let ndjson = encode(Format::Ndjson);
    let event = encode(Format::Event);
    vec![
        ("ndjson.record", ndjson.record(0).data.to_vec()),
        ("event.record", event.record(2).data.to_vec()),
        ("payload-v1-ndjson.bin", stored(&ndjson)),
        ("payload-v1-event.bin", stored(&event)),
        ("payload-v1-opaque.bin", stored(&opaque())),
    ]
}

#[test]
fn what_is_written_today_is_what_was_always_written() {
    for (name, bytes) in today() {
        assert!(bytes == golden(name), "{name}: {}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_header_counts_events_and_bytes() {
    let record = golden("ndjson.record");
    let body = golden("events.ndjson");
    let header = format!("{{\"format\":\"ndjson\",\"count\":8,\"size\":{}}}\n", body.len());
    assert_eq!(String::from_utf8(record).unwrap(), header + std::str::from_utf8(&body).unwrap());
}

#[test]
fn what_was_stored_is_read() {
    let check = |name: &str, expected: &Batch| {
        let batch = Batch::from_payload(expected.meta(), Bytes::from(golden(name))).unwrap();
        assert_eq!(&batch, expected, "{name}");
    };
    check("payload-v1-ndjson.bin", &encode(Format::Ndjson));
    check("payload-v1-event.bin", &encode(Format::Event));
    check("payload-v1-opaque.bin", &opaque());

    let meta = encode(Format::Gzip).meta();
    let batch = Batch::from_payload(meta, Bytes::from(golden("payload-v1-gzip.bin"))).unwrap();
    assert_eq!(batch.record(0).data, golden("gzip.record.gz"));
    assert_eq!(batch.record(0).partition_key, "golden");
}

#[test]
fn gzip_of_then_and_of_now_hold_the_same() {
    let expected = events();
    for data in [Bytes::from(golden("gzip.record.gz")), encode(Format::Gzip).record(0).data] {
        let decoded = decode(Format::Gzip, &data, 1 << 20).unwrap();
        assert_eq!(decoded.events().map(<[u8]>::to_vec).collect::<Vec<_>>(), expected);
    }
}

/// What another program makes of a gzip record; `None` where it is not installed.
fn unpacked_by(program: &str, arguments: &[&str], data: &[u8]) -> Option<Vec<u8>> {
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    child.stdin.take().unwrap().write_all(data).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} refuses the record");
    Some(output.stdout)
}

#[test]
fn other_programs_read_our_gzip() {
    let python = "import gzip, sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";
    for data in [golden("gzip.record.gz"), encode(Format::Gzip).record(0).data.to_vec()] {
        for (program, arguments) in [("gzip", vec!["-dc"]), ("python3", vec!["-c", python])] {
            match unpacked_by(program, &arguments, &data) {
                Some(unpacked) => assert!(unpacked == golden("ndjson.record"), "{program}"),
                None => println!("skipped: {program} is not installed"),
            }
        }
    }
}

/// For a new file beside the old ones; what is there is never touched.
#[test]
#[ignore = "writes files that are missing"]
fn write_what_is_missing() {
    let gzip = encode(Format::Gzip);
    let mut files = today();
    files.push(("gzip.record.gz", gzip.record(0).data.to_vec()));
    files.push(("payload-v1-gzip.bin", stored(&gzip)));
    for (name, bytes) in files {
        if !path(name).exists() {
            std::fs::write(path(name), bytes).unwrap();
        }
    }
}
