//! The service's limits: what just fits is taken, one more is refused in the service's words.

mod common;

use std::time::Duration;

use common::*;
use millpond_local_kinesis::{Operation, Options, Server, StreamSpec};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

async fn refused(server: &Server, operation: &str, body: Value, code: &str, part: &str) {
    let (found, message) = fail(server, operation, body).await;
    assert_eq!(found, code, "{message}");
    assert!(message.contains(part), "`{message}` lacks `{part}`");
}

#[tokio::test]
async fn a_record_is_a_mebibyte_with_its_key() {
    let server = with_logs(1).await;
    call(&server, "PutRecord", record("key", &vec![b'x'; MIB - 3])).await;
    let exceeds = "Record size of 1048577 bytes, partition key included, exceeds the limit of 1048576 bytes";
    refused(&server, "PutRecord", record("key", &vec![b'x'; MIB - 2]), "InvalidArgumentException", exceeds)
        .await;
    let at_data =
        "Value at 'data' failed to satisfy constraint: Member must have length less than or equal to 1048576";
    refused(&server, "PutRecord", record("key", &vec![b'x'; MIB + 1]), "ValidationException", at_data).await;
    // The key counts in bytes of UTF-8, three each.
    call(&server, "PutRecord", record("日本", &vec![b'x'; MIB - 6])).await;
    refused(&server, "PutRecord", record("日本", &vec![b'x'; MIB - 5]), "InvalidArgumentException", exceeds)
        .await;
    assert_eq!(server.counts().records, 2);
}

#[tokio::test]
async fn a_stream_may_allow_records_of_ten_mebibytes() {
    let spec = StreamSpec { record_kib_max: 10_240, ..StreamSpec::new("logs", 1) };
    let server = server(Options { streams: vec![spec], ..Options::default() }).await;
    call(&server, "PutRecord", record("k", &vec![b'x'; 10 * MIB - 1])).await;
    refused(&server, "PutRecord", record("k", &vec![b'x'; 10 * MIB]), "InvalidArgumentException", "exceeds")
        .await;
    let at_data = "Member must have length less than or equal to 10485760";
    refused(&server, "PutRecord", record("k", &vec![b'x'; 10 * MIB + 1]), "ValidationException", at_data)
        .await;
    call(&server, "UpdateMaxRecordSize", json!({ "StreamName": "logs", "MaxRecordSizeInKiB": 1024 })).await;
    refused(
        &server,
        "PutRecord",
        record("k", &vec![b'x'; MIB]),
        "InvalidArgumentException",
        "of 1048576 bytes",
    )
    .await;
    for kib in [1023, 10_241] {
        let request = json!({ "StreamName": "logs", "MaxRecordSizeInKiB": kib });
        refused(&server, "UpdateMaxRecordSize", request, "ValidationException", "maxRecordSizeInKiB").await;
    }
}

#[tokio::test]
async fn a_request_has_at_most_500_records_and_ten_mebibytes() {
    let server = with_logs(1).await;
    call(&server, "PutRecords", events(500)).await;
    let most = "Value '[...]' at 'records' failed to satisfy constraint: Member must have length less than or equal to 500";
    refused(&server, "PutRecords", events(501), "ValidationException", most).await;
    let least = "Member must have length greater than or equal to 1";
    refused(&server, "PutRecords", events(0), "ValidationException", least).await;

    let full = |last: usize| {
        let entry = |bytes: usize| json!({ "PartitionKey": "k", "Data": base64(&vec![b'x'; bytes]) });
        let sizes = std::iter::repeat_n(MIB - 1, 9).chain([last]);
        json!({ "StreamName": "logs", "Records": sizes.map(entry).collect::<Vec<_>>() })
    };
    call(&server, "PutRecords", full(MIB - 1)).await;
    let mut over = full(MIB - 1);
    over["Records"].as_array_mut().unwrap().push(json!({ "PartitionKey": "k", "Data": "" }));
    refused(&server, "PutRecords", over, "InvalidArgumentException", "Records size exceeds 10 MB limit")
        .await;
    let at_third = {
        let mut request = events(4);
        request["Records"][2]["Data"] = json!(base64(&vec![b'x'; MIB + 1]));
        request
    };
    refused(&server, "PutRecords", at_third, "ValidationException", "at 'records.3.member.data'").await;
    assert_eq!(server.counts().records, 510, "a refused request wrote something");
}

#[tokio::test]
async fn keys_are_1_to_256_utf16_units() {
    let server = with_logs(1).await;
    for (key, fits) in [
        ("k".repeat(256), true),
        ("k".repeat(257), false),
        ("日".repeat(256), true),
        ("🌊".repeat(128), true),
        ("🌊".repeat(128) + "k", false),
        (String::new(), false),
    ] {
        let answer = answer(&server, "PutRecord", &record(&key, b"{}")).await;
        assert_eq!(answer.status == 200, fits, "{key}: {}", answer.text());
    }
    let mut request = events(2);
    request["Records"][1]["PartitionKey"] = json!("");
    let part = "Value '' at 'records.2.member.partitionKey' failed to satisfy constraint: Member must have length \
        greater than or equal to 1";
    refused(&server, "PutRecords", request, "ValidationException", part).await;
}

#[tokio::test]
async fn explicit_hash_keys_are_below_2_to_the_128() {
    let server = with_logs(1).await;
    let put = |key: &str| {
        let mut request = record("k", b"{}");
        request["ExplicitHashKey"] = json!(key);
        request
    };
    call(&server, "PutRecord", put("0")).await;
    call(&server, "PutRecord", put("340282366920938463463374607431768211455")).await;
    let beyond = "340282366920938463463374607431768211456";
    let range = format!(
        "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {beyond}"
    );
    refused(&server, "PutRecord", put(beyond), "InvalidArgumentException", &range).await;
    for wrong in ["-1", "01", "x", "3402823669209384634633746074317682114550"] {
        refused(&server, "PutRecord", put(wrong), "ValidationException", "0|([1-9]\\d{0,38})").await;
    }
}

#[tokio::test]
async fn what_is_missing_or_of_the_wrong_type_is_named() {
    let server = with_logs(1).await;
    let two = "2 validation errors detected: Value null at 'data' failed to satisfy constraint: Member must not be \
        null; Value null at 'partitionKey' failed to satisfy constraint: Member must not be null";
    refused(&server, "PutRecord", json!({ "StreamName": "logs" }), "ValidationException", two).await;
    let none = json!({ "Data": "", "PartitionKey": "k" });
    refused(&server, "PutRecord", none, "InvalidArgumentException", "StreamARN or StreamName").await;
    refused(
        &server,
        "PutRecords",
        json!({ "StreamName": "logs" }),
        "ValidationException",
        "null at 'records'",
    )
    .await;
    for (field, value) in
        [("Data", json!(7)), ("Data", json!("a")), ("PartitionKey", json!([])), ("StreamName", json!({}))]
    {
        let mut request = record("k", b"{}");
        request[field] = value;
        refused(&server, "PutRecord", request, "SerializationException", "").await;
    }
    for name in ["", "a b", &"n".repeat(129)] {
        let request = json!({ "StreamName": name, "ShardCount": 1 });
        refused(&server, "CreateStream", request, "ValidationException", "at 'streamName'").await;
    }
    for shards in [json!(0), json!(10_001), Value::Null] {
        let request = json!({ "StreamName": "new", "ShardCount": shards });
        refused(&server, "CreateStream", request, "ValidationException", "at 'shardCount'").await;
    }
    for limit in [0, 10_001] {
        let request = json!({ "StreamName": "logs", "MaxResults": limit });
        refused(&server, "ListShards", request, "ValidationException", "at 'maxResults'").await;
    }
}

#[tokio::test]
async fn streams_go_by_arn_as_well() {
    let server = with_logs(1).await;
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/logs";
    let put = |name: Value, arn: &str| json!({ "StreamName": name, "StreamARN": arn, "Data": "", "PartitionKey": "k" });
    call(&server, "PutRecord", put(Value::Null, arn)).await;
    call(&server, "PutRecord", put(json!("logs"), arn)).await;
    refused(&server, "PutRecord", put(json!("other"), arn), "InvalidArgumentException", "does not match")
        .await;
    refused(&server, "PutRecord", put(Value::Null, "arn:x"), "ValidationException", "at 'streamARN'").await;
    let (code, _) = fail(&server, "PutRecord", put(Value::Null, &arn.replace("logs", "none"))).await;
    assert_eq!(code, "ResourceNotFoundException");
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let server = with_logs(1).await;
    let announced = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-amz-json-1.1\r\nx-amz-target: \
         Kinesis_20131202.PutRecord\r\ncontent-length: {}\r\n\r\n",
        17 * MIB
    );
    let Outcome::Answer(answer) = exchange(server.addr(), announced.as_bytes(), Duration::from_secs(5)).await
    else {
        panic!("a body that is too large is not refused before it is sent");
    };
    assert_eq!(answer.status, 413);
    assert_eq!(error_of(&answer).0, "RequestEntityTooLargeException");
}

#[tokio::test]
async fn write_rates_are_enforced_if_asked_for() {
    let options =
        Options { streams: vec![StreamSpec::new("logs", 1)], enforce_throughput: true, ..Options::default() };
    let server = server(options).await;
    let mut refused = 0;
    for _ in 0..5 {
        let answer = call(&server, "PutRecords", events(500)).await;
        let failed = answer["FailedRecordCount"].as_u64().unwrap();
        let codes =
            answer["Records"].as_array().unwrap().iter().filter_map(|record| record["ErrorCode"].as_str());
        assert_eq!(
            codes.filter(|code| *code == "ProvisionedThroughputExceededException").count() as u64,
            failed
        );
        refused += failed;
    }
    assert!((500..=1500).contains(&refused), "{refused} of 2500 records were refused");
    let counts = server.counts();
    assert_eq!((counts.records_refused, counts.records), (refused, 2500 - refused));
    assert!(counts.requests_of(Operation::PutRecords, "partial") >= 1);
}
