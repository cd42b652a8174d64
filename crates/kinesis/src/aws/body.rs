//! The bodies of puts, each written in one piece: a put is mostly its body.
//!
//! The SDK would write the base64 into a string of its own, look through that for what JSON wants
//! escaped, and copy it into a buffer that grows. Everything else about a request is the SDK's.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use base64_simd::STANDARD as BASE64;
use bytes::Bytes;

use crate::batch::RecordRef;

/// Bytes of a record's names and signs, an explicit hash key of 39 digits included.
const AROUND_RECORD: usize = 112;

/// The body of PutRecord.
pub fn put_record(stream: &str, record: &RecordRef<'_>) -> Bytes {
    let mut body = Vec::with_capacity(AROUND_RECORD + 2 * stream.len() + size(record));
    body.extend_from_slice(b"{\"StreamName\":");
    push_text(stream, &mut body);
    body.push(b',');
    push_record(record, &mut body);
    body.push(b'}');
    body.into()
}

/// The body of PutRecords.
pub fn put_records(stream: &str, records: &[RecordRef<'_>]) -> Bytes {
    let mut body =
        Vec::with_capacity(AROUND_RECORD + 2 * stream.len() + records.iter().map(size).sum::<usize>());
    body.extend_from_slice(b"{\"StreamName\":");
    push_text(stream, &mut body);
    body.extend_from_slice(b",\"Records\":[");
    for (index, record) in records.iter().enumerate() {
        body.extend_from_slice(if index > 0 { b",{" } else { b"{" });
        push_record(record, &mut body);
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    body.into()
}

/// Puts it into a request that the SDK has made and has not signed yet.
pub(super) fn replace(request: &mut HttpRequest, body: &Bytes) {
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body.clone());
}

/// About what a record takes.
fn size(record: &RecordRef<'_>) -> usize {
    AROUND_RECORD + record.partition_key.len() + BASE64.encoded_length(record.data.len())
}

fn push_record(record: &RecordRef<'_>, body: &mut Vec<u8>) {
    body.extend_from_slice(b"\"Data\":\"");
    BASE64.encode_append(&record.data, body);
    body.extend_from_slice(b"\",\"PartitionKey\":");
    push_text(record.partition_key, body);
    if let Some(hash) = record.explicit_hash_key {
        body.extend_from_slice(b",\"ExplicitHashKey\":");
        push_text(&hash.to_string(), body);
    }
}

fn push_text(text: &str, body: &mut Vec<u8>) {
    serde_json::to_writer(body, text).expect("a Vec takes every text");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record<'a>(key: &'a str, hash: Option<u128>, data: &'static [u8]) -> RecordRef<'a> {
        RecordRef { partition_key: key, explicit_hash_key: hash, data: Bytes::from_static(data) }
    }

    fn parsed(body: &Bytes) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn a_body_is_what_the_service_documents() {
        let plain = record("a\"b\n\u{e9}", None, b"\xff\x00{\"_raw\":1}");
        let hashed = record("k", Some(u128::MAX), b"");
        let (first, second) = (
            json!({ "Data": "/wB7Il9yYXciOjF9", "PartitionKey": "a\"b\n\u{e9}" }),
            json!({ "Data": "", "PartitionKey": "k", "ExplicitHashKey": u128::MAX.to_string() }),
        );
        let both = parsed(&put_records("logs", &[plain.clone(), hashed]));
        assert_eq!(both, json!({ "StreamName": "logs", "Records": [first.clone(), second] }));
        let mut one = first;
        one["StreamName"] = "logs".into();
        assert_eq!(parsed(&put_record("logs", &plain)), one);
        assert_eq!(parsed(&put_records("logs", &[])), json!({ "StreamName": "logs", "Records": [] }));
    }

    #[test]
    fn a_body_is_allocated_once() {
        let hash = Some(u128::MAX);
        let records: Vec<_> = (0..9).map(|_| record("12345678", hash, b"0123456789")).collect();
        let body = put_records("logs", &records);
        assert!(body.len() <= 9 * size(&records[0]) + AROUND_RECORD, "{}", body.len());
    }
}
