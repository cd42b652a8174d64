//! Faults by which the answer is another one: what the client gets, what was carried out, and that nothing stays.

#![expect(clippy::unwrap_used, reason = "a test may panic, and helpers of tests too")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use millpond_local_kinesis::{Operation, Options, Server, StreamSpec};
use serde_json::json;

/// While the fault is on, an operation gets this status, with this in its body; afterwards all is well.
async fn check(fault: &str, operation: &str, status: u16, part: &str) {
    let server = with_logs(2).await;
    let body = match operation {
        "PutRecord" => record("a", b"{\"poison\":1}"),
        "PutRecords" => events(20),
        "CreateStream" => json!({ "StreamName": "new", "ShardCount": 1 }),
        _ => json!({ "StreamName": "logs" }),
    };
    let id = set(&server, fault);
    let struck = answer(&server, operation, &body).await;
    assert_eq!(struck.status, status, "{fault}: {}", struck.text());
    assert!(struck.text().contains(part), "{fault}: `{}` lacks `{part}`", struck.text());
    let active = server.faults().active();
    assert_eq!(active.len(), 1);
    assert!(active[0].hits >= 1, "{fault} counted no hit");
    if status != 200 || part == "{}" || part.contains('<') {
        assert_eq!(server.counts().records, 0, "{fault}: a record was accepted");
    }

    assert!(server.faults().clear(id));
    let well = answer(&server, operation, &body).await;
    assert_eq!(well.status, 200, "after {fault}: {}", well.text());
    assert!(!well.text().contains("Error"), "after {fault}: {}", well.text());
}

#[tokio::test]
async fn answers_that_are_not_from_the_service() {
    for operation in ["PutRecord", "PutRecords", "ListShards", "CreateStream"] {
        check("portal", operation, 200, "<!DOCTYPE html>").await;
        check("empty", operation, 200, "{}").await;
        check("error500", operation, 500, "<h1>500 Internal Server Error</h1>").await;
    }
}

#[tokio::test]
async fn answers_that_refuse() {
    check("denied", "PutRecord", 400, "AccessDeniedException").await;
    check("denied", "PutRecord", 400, "not authorized to perform: kinesis:PutRecord on resource: arn:aws:")
        .await;
    check("denied", "ListShards", 400, "AccessDeniedException").await;
    check("expired-token", "PutRecords", 400, "ExpiredTokenException").await;
    check("not-found", "PutRecord", 400, "Stream logs under account 000000000000 not found.").await;
    check("not-found", "DescribeStream", 400, "ResourceNotFoundException").await;
    check("list-denied", "ListShards", 400, "AccessDeniedException").await;
    check("list-denied", "DescribeStream", 400, "AccessDeniedException").await;
    check("throttle:1", "PutRecord", 400, "ProvisionedThroughputExceededException").await;
    check("throttle:1,op=ListShards", "ListShards", 400, "LimitExceededException").await;
    check("throttle:1", "PutRecords", 200, "\"FailedRecordCount\":20").await;
    check("throttle:1", "PutRecords", 200, "\"ErrorCode\":\"ProvisionedThroughputExceededException\"").await;
    check("partial:1", "PutRecords", 200, "\"ErrorCode\":\"InternalFailure\"").await;
    check("refuse:poison", "PutRecord", 400, "ValidationException").await;
    check("refuse:\"n\":7}", "PutRecords", 400, "at 'records.8.member.data'").await;
}

#[tokio::test]
async fn what_a_fault_leaves_alone() {
    let server = with_logs(2).await;
    for (fault, operation) in [
        ("list-denied", "PutRecord"),
        ("partial:1", "PutRecord"),
        ("refuse:absent", "PutRecord"),
        ("denied,op=PutRecords", "PutRecord"),
        ("error500,shard=1", "PutRecord"), // The key hashes to shard 0.
        ("throttle:1", "ListShards"),
        ("throttle:0", "PutRecord"),
        ("hang,shard=0", "ListShards"),
        ("gap", "PutRecord"),
    ] {
        let id = set(&server, fault);
        let body =
            if operation == "ListShards" { json!({ "StreamName": "logs" }) } else { record("a", b"{}") };
        let answer = answer(&server, operation, &body).await;
        assert_eq!(answer.status, 200, "{fault}: {}", answer.text());
        assert!(server.faults().clear(id));
    }
}

#[tokio::test]
async fn a_fraction_of_the_records_is_refused_the_rest_is_written() {
    for (fault, code) in
        [("throttle:0.4", "ProvisionedThroughputExceededException"), ("partial:0.4", "InternalFailure")]
    {
        let server = with_logs(2).await;
        set(&server, fault);
        let answer = call(&server, "PutRecords", events(500)).await;
        let failed = answer["FailedRecordCount"].as_u64().unwrap();
        assert!((130..270).contains(&failed), "{failed} of 500 is not about 40 %");
        let kept = server.records();
        for (n, result) in answer["Records"].as_array().unwrap().iter().enumerate() {
            let data = format!("{{\"n\":{n}}}");
            let written = kept.iter().any(|record| *record.data == *data.as_bytes());
            assert_eq!(result.get("ErrorCode").is_none(), written, "{result}");
            assert_eq!(result.get("SequenceNumber").is_some(), written, "{result}");
            assert!(written || result["ErrorCode"] == code, "{result}");
        }
        let counts = server.counts();
        assert_eq!((counts.records, counts.records_refused), (500 - failed, failed));
        assert_eq!(counts.requests_of(Operation::PutRecords, "partial"), 1);
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let server = with_logs(1).await;
        set(&server, "throttle:0.5");
        let answer = call(&server, "PutRecords", events(100)).await;
        let refused = |record: &serde_json::Value| record.get("ErrorCode").is_some();
        answers.push(answer["Records"].as_array().unwrap().iter().map(refused).collect::<Vec<_>>());
    }
    // Ids of requests come from the same dice, once each.
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn one_shard_is_throttled() {
    let server = with_logs(4).await;
    set(&server, "throttle:1,shard=shardId-000000000002");
    let answer = call(&server, "PutRecords", events(400)).await;
    let failed = answer["FailedRecordCount"].as_u64().unwrap();
    assert!((60..140).contains(&failed), "{failed} of 400");
    let records: Vec<_> = server.counts().shards.iter().map(|shard| shard.records > 0).collect();
    assert_eq!(records, [true, true, false, true]);
}

#[tokio::test]
async fn a_call_that_touches_a_struck_shard_is_struck() {
    let server = with_logs(4).await;
    set(&server, "denied,shard=shardId-000000000001");
    assert_eq!(answer(&server, "PutRecords", &events(100)).await.status, 400);
    let mut one = events(1);
    one["Records"][0]["ExplicitHashKey"] = json!("0");
    assert_eq!(answer(&server, "PutRecords", &one).await.status, 200);
    let iterator =
        |shard: &str| json!({ "StreamName": "logs", "ShardId": shard, "ShardIteratorType": "LATEST" });
    assert_eq!(answer(&server, "GetShardIterator", &iterator("shardId-000000000001")).await.status, 400);
    let other = call(&server, "GetShardIterator", iterator("shardId-000000000003")).await;
    assert_eq!(
        answer(&server, "GetRecords", &json!({ "ShardIterator": other["ShardIterator"] })).await.status,
        200
    );
}

#[tokio::test]
async fn a_gap_hides_a_shard() {
    let ids = async |server: &Server| {
        let mut ids = Vec::new();
        for operation in ["ListShards", "DescribeStream"] {
            let answer = call(server, operation, json!({ "StreamName": "logs" })).await;
            let list = answer.get("Shards").unwrap_or(&answer["StreamDescription"]["Shards"]).clone();
            let id = |shard: &serde_json::Value| shard["ShardId"].as_str().unwrap()[19..].to_owned();
            ids.push(list.as_array().unwrap().iter().map(id).collect::<String>());
        }
        assert_eq!(ids[0], ids[1]);
        ids.remove(0)
    };
    let server = with_logs(3).await;
    assert_eq!(ids(&server).await, "012");
    let id = set(&server, "gap,shard=shardId-000000000001");
    assert_eq!(ids(&server).await, "02");
    server.faults().clear(id);
    set(&server, "gap");
    assert_eq!(ids(&server).await, "12");
    let split =
        json!({ "StreamName": "logs", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "1000" });
    call(&server, "SplitShard", split).await;
    assert_eq!(ids(&server).await, "0234", "the first open shard is missing, not a closed one");
    server.faults().clear_all();
    assert_eq!(ids(&server).await, "01234");
}

#[tokio::test]
async fn a_wrong_clock_shows_in_the_date_and_refuses_signatures() {
    let server = with_logs(1).await;
    let signed = |date: &str| {
        let headers = format!("authorization: AWS4-HMAC-SHA256 Credential=x\r\nx-amz-date: {date}\r\n");
        kinesis_request("ListShards", b"{\"StreamName\":\"logs\"}", &headers)
    };
    let send = async |date: &str| match exchange(server.addr(), &signed(date), Duration::from_secs(5)).await {
        Outcome::Answer(answer) => answer,
        other => panic!("{other:?}"),
    };
    // Without the fault nobody looks at the age.
    assert_eq!(send("20200101T000000Z").await.status, 200);
    let right = send("20200101T000000Z").await.header("date").unwrap().to_owned();

    set(&server, "skew:+10m");
    let early = send("20200101T000000Z").await;
    assert_ne!(early.header("date").unwrap()[..22], right[..22], "the clock is not ahead");
    let (code, message) = error_of(&early);
    assert_eq!(code, "InvalidSignatureException");
    assert!(message.starts_with("Signature expired: 20200101T000000Z is now earlier than "), "{message}");
    assert!(message.ends_with("Z - 5 min.)"), "{message}");
    let (code, message) = error_of(&send("20990101T000000Z").await);
    assert_eq!(code, "InvalidSignatureException");
    assert!(
        message.starts_with("Signature not yet current: 20990101T000000Z is still later than "),
        "{message}"
    );
    // A client that takes the time from the Date header passes.
    let now = amz_date_of(early.header("date").unwrap());
    assert_eq!(send(&now).await.status, 200);
}

/// `Mon, 23 Nov 2026 03:04:05 GMT` as `20261123T030405Z`.
fn amz_date_of(date: &str) -> String {
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let parts: Vec<&str> = date.split(' ').collect();
    let month = months.find(parts[2]).unwrap() / 3 + 1;
    format!("{}{month:02}{}T{}Z", parts[3], parts[1], parts[4].replace(':', ""))
}

#[tokio::test]
async fn slow_answers_come_late_but_come() {
    let server = with_logs(1).await;
    set(&server, "slow:120ms,op=PutRecord");
    let start = Instant::now();
    call(&server, "PutRecord", record("a", b"{}")).await;
    assert!(start.elapsed() >= Duration::from_millis(120));
    assert_eq!(server.counts().records, 1);
    let start = Instant::now();
    call(&server, "ListShards", json!({ "StreamName": "logs" })).await;
    assert!(start.elapsed() < Duration::from_millis(120));

    server.faults().clear_all();
    set(&server, "slow:1h");
    let start = Instant::now();
    let body = record("a", b"{}");
    tokio::join!(call(&server, "PutRecord", body), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.faults().clear_all();
    });
    assert!(start.elapsed() < Duration::from_secs(5), "the delay outlived its fault");
}

#[tokio::test]
async fn faults_of_sts_are_its_own() {
    let server = server(Options { streams: vec![StreamSpec::new("logs", 1)], ..Options::default() }).await;
    let form = "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/fwd&RoleSessionName=millpond";
    let request = http("POST", "/", "content-type: application/x-www-form-urlencoded\r\n", form.as_bytes());
    let send = async || match exchange(server.addr(), &request, Duration::from_secs(5)).await {
        Outcome::Answer(answer) => answer,
        other => panic!("{other:?}"),
    };
    for (fault, status, part) in [
        ("denied", 200, "<AccessKeyId>"),
        ("denied,op=AssumeRole", 403, "<Code>AccessDenied</Code>"),
        ("expired-token,op=AssumeRole", 403, "<Code>ExpiredToken</Code>"),
        ("throttle:1,op=AssumeRole", 400, "<Code>Throttling</Code>"),
        ("portal", 200, "<!DOCTYPE html>"),
    ] {
        set(&server, fault);
        let answer = send().await;
        assert_eq!(answer.status, status, "{fault}: {}", answer.text());
        assert!(answer.text().contains(part), "{fault}: {}", answer.text());
        server.faults().clear_all();
    }
}
