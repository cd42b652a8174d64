//! Each operation, over HTTP, as a client sees it.

#![expect(clippy::unwrap_used, reason = "a test may panic, and helpers of tests too")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::*;
use millpond_local_kinesis::{Keep, Operation, Options, RoleLifetime, Server, StreamSpec};
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<String> {
    list["Shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| shard["ShardId"].as_str().unwrap().to_owned())
        .collect()
}

fn number(text: &Value) -> u128 {
    text.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn streams_are_created_described_listed_and_deleted() {
    let server = server(Options::default()).await;
    for name in ["b", "a", "c"] {
        let request = json!({ "StreamName": name, "ShardCount": 2, "MaxRecordSizeInKiB": 2048 });
        assert_eq!(call(&server, "CreateStream", request).await, Value::Null);
    }
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/b";
    let described = call(&server, "DescribeStream", json!({ "StreamName": "b" })).await;
    let description = &described["StreamDescription"];
    assert_eq!(description["StreamARN"], arn);
    assert_eq!(description["StreamStatus"], "ACTIVE");
    assert_eq!(description["HasMoreShards"], false);
    assert_eq!(ids(description), ["shardId-000000000000", "shardId-000000000001"]);
    let summary = call(&server, "DescribeStreamSummary", json!({ "StreamARN": arn })).await;
    let summary = &summary["StreamDescriptionSummary"];
    assert_eq!((&summary["OpenShardCount"], &summary["MaxRecordSizeInKiB"]), (&json!(2), &json!(2048)));

    let page = call(&server, "ListStreams", json!({ "Limit": 2 })).await;
    assert_eq!((&page["StreamNames"], &page["HasMoreStreams"]), (&json!(["a", "b"]), &json!(true)));
    let rest = call(&server, "ListStreams", json!({ "NextToken": page["NextToken"] })).await;
    assert_eq!((&rest["StreamNames"], &rest["HasMoreStreams"]), (&json!(["c"]), &json!(false)));
    let rest = call(&server, "ListStreams", json!({ "ExclusiveStartStreamName": "a" })).await;
    assert_eq!(rest["StreamNames"], json!(["b", "c"]));

    let (code, message) = fail(&server, "CreateStream", json!({ "StreamName": "b", "ShardCount": 1 })).await;
    assert_eq!(code, "ResourceInUseException");
    assert_eq!(message, "Stream b under account 000000000000 already exists.");
    call(&server, "DeleteStream", json!({ "StreamARN": arn })).await;
    let (code, message) = fail(&server, "DescribeStream", json!({ "StreamName": "b" })).await;
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(message, "Stream b under account 000000000000 not found.");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn records_go_where_their_keys_hash_to() {
    let server = with_logs(4).await;
    let shards = call(&server, "ListShards", json!({ "StreamName": "logs" })).await;
    let mut seen = BTreeSet::new();
    let mut last = vec![String::new(); 4];
    for key in 0..60 {
        let answer = call(&server, "PutRecord", record(&format!("key{key}"), b"{}")).await;
        let shard = answer["ShardId"].as_str().unwrap().to_owned();
        let index: usize = shard.strip_prefix("shardId-").unwrap().parse().unwrap();
        let sequence = answer["SequenceNumber"].as_str().unwrap().to_owned();
        assert_eq!(sequence.len(), 56);
        assert!(sequence > last[index], "{sequence} does not follow {}", last[index]);
        last[index] = sequence;
        seen.insert(shard);
    }
    assert_eq!(seen.len(), 4, "60 keys do not reach all shards");
    // MD5 of "a" is 0cc1…, which lies in the first quarter.
    assert_eq!(call(&server, "PutRecord", record("a", b"{}")).await["ShardId"], "shardId-000000000000");
    for shard in shards["Shards"].as_array().unwrap() {
        for end in ["StartingHashKey", "EndingHashKey"] {
            let mut request = record("a", b"{}");
            request["ExplicitHashKey"] = shard["HashKeyRange"][end].clone();
            assert_eq!(call(&server, "PutRecord", request).await["ShardId"], shard["ShardId"]);
        }
    }
    assert_eq!(server.counts().records, 69);
}

#[tokio::test]
async fn put_records_answers_for_each_record_in_order() {
    let server = with_logs(3).await;
    let answer = call(&server, "PutRecords", events(500)).await;
    assert_eq!(answer["FailedRecordCount"], 0);
    let results = answer["Records"].as_array().unwrap();
    assert_eq!(results.len(), 500);
    let kept = server.records();
    for (n, result) in results.iter().enumerate() {
        let sequence = result["SequenceNumber"].as_str().unwrap();
        let record = kept.iter().find(|record| record.sequence_number == sequence).unwrap();
        assert_eq!(*record.data, *format!("{{\"n\":{n}}}").as_bytes());
        assert_eq!(*record.partition_key, format!("k{n}"));
        assert_eq!(result["ShardId"], *record.shard_id);
    }
    let counts = server.counts();
    assert_eq!(
        (counts.records, counts.events, counts.requests_of(Operation::PutRecords, "ok")),
        (500, 500, 1)
    );
    assert_eq!(counts.shards.iter().map(|shard| shard.records).sum::<u64>(), 500);
}

#[tokio::test]
async fn shards_are_listed_in_pages() {
    let server = with_logs(7).await;
    let (mut names, mut pages) = (Vec::new(), 0);
    let mut page = call(&server, "ListShards", json!({ "StreamName": "logs", "MaxResults": 3 })).await;
    loop {
        names.extend(ids(&page));
        pages += 1;
        let Some(token) = page.get("NextToken") else { break };
        page = call(&server, "ListShards", json!({ "NextToken": token, "MaxResults": 3 })).await;
    }
    let all: Vec<_> = (0..7).map(|number| format!("shardId-{number:012}")).collect();
    assert_eq!((names, pages), (all.clone(), 3));
    let exact = call(&server, "ListShards", json!({ "StreamName": "logs", "MaxResults": 7 })).await;
    assert_eq!(exact.get("NextToken"), None, "a full last page promises another one");

    let after = json!({ "StreamName": "logs", "ExclusiveStartShardId": "shardId-000000000004" });
    assert_eq!(ids(&call(&server, "ListShards", after).await), all[5..]);

    let (mut names, mut start) = (Vec::new(), Value::Null);
    loop {
        let request = json!({ "StreamName": "logs", "Limit": 2, "ExclusiveStartShardId": start });
        let described = call(&server, "DescribeStream", request).await["StreamDescription"].clone();
        names.extend(ids(&described));
        start = json!(names.last().unwrap());
        if described["HasMoreShards"] == false {
            break;
        }
    }
    assert_eq!(names, all);
}

#[tokio::test]
async fn the_server_can_make_pages_smaller_than_asked() {
    let mut options = Options { streams: vec![StreamSpec::new("logs", 5)], ..Options::default() };
    (options.limits.list_shards_page_max, options.limits.describe_stream_page_max) = (2, 3);
    let server = server(options).await;
    let page = call(&server, "ListShards", json!({ "StreamName": "logs" })).await;
    assert_eq!((ids(&page).len(), page.get("NextToken").is_some()), (2, true));
    let page = call(&server, "DescribeStream", json!({ "StreamName": "logs" })).await;
    assert_eq!(ids(&page["StreamDescription"]).len(), 3);
    assert_eq!(page["StreamDescription"]["HasMoreShards"], true);
}

#[tokio::test]
async fn tokens_are_checked() {
    let server = with_logs(3).await;
    let page = call(&server, "ListShards", json!({ "StreamName": "logs", "MaxResults": 1 })).await;
    let token = page["NextToken"].as_str().unwrap();
    let (code, message) =
        fail(&server, "ListShards", json!({ "StreamName": "logs", "NextToken": token })).await;
    assert_eq!(code, "InvalidArgumentException");
    assert_eq!(message, "NextToken and StreamName cannot be provided together.");
    let (code, _) = fail(&server, "ListShards", json!({})).await;
    assert_eq!(code, "InvalidArgumentException");
    let (code, _) = fail(&server, "ListShards", json!({ "NextToken": "nonsense" })).await;
    assert_eq!(code, "InvalidArgumentException");

    let mut old: Value = serde_json::from_slice(&unbase64(token)).unwrap();
    old["issued_ms"] = json!(old["issued_ms"].as_i64().unwrap() - 300_100);
    let old = base64(old.to_string().as_bytes());
    assert_eq!(fail(&server, "ListShards", json!({ "NextToken": old })).await.0, "ExpiredNextTokenException");

    // A token outlives neither its stream nor a new stream of that name.
    call(&server, "DeleteStream", json!({ "StreamName": "logs" })).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    call(&server, "CreateStream", json!({ "StreamName": "logs", "ShardCount": 3 })).await;
    assert_eq!(
        fail(&server, "ListShards", json!({ "NextToken": token })).await.0,
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn shards_are_split_merged_and_filtered() {
    let server = with_logs(2).await;
    let before = call(&server, "ListShards", json!({ "StreamName": "logs" })).await;
    let middle = (number(&before["Shards"][0]["HashKeyRange"]["EndingHashKey"]) / 2).to_string();
    let split =
        json!({ "StreamName": "logs", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": middle });
    call(&server, "SplitShard", split.clone()).await;
    let (code, message) = fail(&server, "SplitShard", split).await;
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.contains("has already been merged or split"), "{message}");
    let merge = |lower: &str, upper: &str| json!({ "StreamName": "logs", "ShardToMerge": lower, "AdjacentShardToMerge": upper });
    call(&server, "MergeShards", merge("shardId-000000000003", "shardId-000000000001")).await;

    let list = |filter: Value| {
        let request = json!({ "StreamName": "logs", "ShardFilter": filter });
        call(&server, "ListShards", request)
    };
    let all = list(json!({ "Type": "FROM_TRIM_HORIZON" })).await;
    let merged = &all["Shards"][4];
    assert_eq!(merged["ParentShardId"], "shardId-000000000003");
    assert_eq!(merged["AdjacentParentShardId"], "shardId-000000000001");
    assert_eq!(merged["HashKeyRange"]["StartingHashKey"], json!(middle));
    assert!(all["Shards"][0]["SequenceNumberRange"]["EndingSequenceNumber"].is_string());
    assert!(merged["SequenceNumberRange"].get("EndingSequenceNumber").is_none());
    let short = |list: Value| ids(&list).iter().map(|id| id[19..].parse().unwrap()).collect::<Vec<u32>>();
    assert_eq!(short(all), [0, 1, 2, 3, 4]);
    assert_eq!(short(list(json!({ "Type": "AT_LATEST" })).await), [2, 4]);
    assert_eq!(short(list(json!({ "Type": "AT_TRIM_HORIZON" })).await), [0, 1]);
    assert_eq!(
        short(list(json!({ "Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000002" })).await),
        [3, 4]
    );
    assert_eq!(short(list(json!({ "Type": "AT_TIMESTAMP", "Timestamp": 0 })).await), [0, 1]);
    assert_eq!(short(list(json!({ "Type": "AT_TIMESTAMP", "Timestamp": 9e9 })).await), [2, 4]);
    assert_eq!(short(list(json!({ "Type": "FROM_TIMESTAMP", "Timestamp": 0 })).await), [0, 1, 2, 3, 4]);

    let (code, message) =
        fail(&server, "MergeShards", merge("shardId-000000000004", "shardId-000000000002")).await;
    assert_eq!(code, "InvalidArgumentException");
    assert!(message.ends_with("are not an adjacent pair of shards eligible for merging"), "{message}");
    for hash in ["0", "1", "999999999999999999999999999999999999999"] {
        let split = json!({ "StreamName": "logs", "ShardToSplit": "shardId-000000000002", "NewStartingHashKey": hash });
        let (code, message) = fail(&server, "SplitShard", split).await;
        assert_eq!(code, "InvalidArgumentException");
        assert!(
            message.contains("is not both greater than one plus the shard's StartingHashKey 0"),
            "{message}"
        );
    }
    let (code, message) =
        fail(&server, "MergeShards", merge("shardId-000000000009", "shardId-000000000002")).await;
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(
        message,
        "Could not find shard shardId-000000000009 in stream logs under account 000000000000."
    );
}

async fn iterator(server: &millpond_local_kinesis::Server, shard: u32, more: Value) -> Value {
    let mut request = json!({ "StreamName": "logs", "ShardId": format!("shardId-{shard:012}") });
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(server, "GetShardIterator", request).await["ShardIterator"].clone()
}

async fn read(server: &millpond_local_kinesis::Server, iterator: &Value, limit: u32) -> (Vec<String>, Value) {
    let page = call(server, "GetRecords", json!({ "ShardIterator": iterator, "Limit": limit })).await;
    let data = |record: &Value| String::from_utf8(unbase64(record["Data"].as_str().unwrap())).unwrap();
    (page["Records"].as_array().unwrap().iter().map(data).collect(), page)
}

#[tokio::test]
async fn records_are_read_from_anywhere() {
    let server = with_logs(1).await;
    let latest_of_none = iterator(&server, 0, json!({ "ShardIteratorType": "LATEST" })).await;
    let mut sequences = Vec::new();
    for n in 0..4 {
        let answer = call(&server, "PutRecord", record("a", n.to_string().as_bytes())).await;
        sequences.push(answer["SequenceNumber"].clone());
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let arrived = server.records()[2].arrived_ms as f64 / 1000.0;
    let at = |kind: &str, sequence: usize| json!({ "ShardIteratorType": kind, "StartingSequenceNumber": sequences[sequence] });
    for (more, expected) in [
        (json!({ "ShardIteratorType": "TRIM_HORIZON" }), "0123"),
        (json!({ "ShardIteratorType": "LATEST" }), ""),
        (at("AT_SEQUENCE_NUMBER", 0), "0123"),
        (at("AT_SEQUENCE_NUMBER", 2), "23"),
        (at("AFTER_SEQUENCE_NUMBER", 2), "3"),
        (at("AFTER_SEQUENCE_NUMBER", 3), ""),
        (json!({ "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": arrived }), "23"),
        (json!({ "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 0 }), "0123"),
    ] {
        let iterator = iterator(&server, 0, more.clone()).await;
        assert_eq!(read(&server, &iterator, 100).await.0.concat(), expected, "{more}");
    }
    assert_eq!(read(&server, &latest_of_none, 100).await.0.concat(), "0123");

    let first = iterator(&server, 0, json!({ "ShardIteratorType": "TRIM_HORIZON" })).await;
    let (page, answer) = read(&server, &first, 3).await;
    assert_eq!(page.concat(), "012");
    assert!(answer["MillisBehindLatest"].as_i64().unwrap() > 0);
    let one = &answer["Records"][0];
    assert_eq!((&one["SequenceNumber"], &one["PartitionKey"]), (&sequences[0], &json!("a")));
    assert!(one["ApproximateArrivalTimestamp"].as_f64().unwrap() > 1.7e9);
    let (page, answer) = read(&server, &answer["NextShardIterator"], 3).await;
    assert_eq!((page.concat().as_str(), &answer["MillisBehindLatest"]), ("3", &json!(0)));
    let (page, answer) = read(&server, &answer["NextShardIterator"], 3).await;
    assert_eq!((page.len(), answer["NextShardIterator"].is_string()), (0, true));
}

#[tokio::test]
async fn a_closed_shard_ends_with_its_children() {
    let server = with_logs(1).await;
    call(&server, "PutRecord", record("a", b"last")).await;
    let split =
        json!({ "StreamName": "logs", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "1000" });
    call(&server, "SplitShard", split).await;
    let first = iterator(&server, 0, json!({ "ShardIteratorType": "TRIM_HORIZON" })).await;
    let (page, answer) = read(&server, &first, 10).await;
    assert_eq!(page, ["last"]);
    assert_eq!(answer.get("NextShardIterator"), None);
    let children: Vec<_> =
        answer["ChildShards"].as_array().unwrap().iter().map(|child| &child["ShardId"]).collect();
    assert_eq!(children, ["shardId-000000000001", "shardId-000000000002"]);
}

#[tokio::test]
async fn iterators_are_checked() {
    let server = with_logs(2).await;
    let put = call(&server, "PutRecord", record("a", b"x")).await;
    let sequence = put["SequenceNumber"].as_str().unwrap().to_owned();
    let ask = |shard: &str, kind: &str, starting: Value| {
        let request = json!({
            "StreamName": "logs", "ShardId": shard, "ShardIteratorType": kind, "StartingSequenceNumber": starting,
        });
        fail(&server, "GetShardIterator", request)
    };
    let (first, second) = ("shardId-000000000000", "shardId-000000000001");
    for (shard, kind, starting, code, part) in [
        (
            first,
            "AT_SEQUENCE_NUMBER",
            Value::Null,
            "InvalidArgumentException",
            "and no StartingSequenceNumber.",
        ),
        (first, "LATEST", json!("5"), "InvalidArgumentException", "and also a StartingSequenceNumber."),
        (first, "AT_SEQUENCE_NUMBER", json!("5"), "InvalidArgumentException", "is invalid."),
        (first, "AT_SEQUENCE_NUMBER", json!("x"), "ValidationException", "0|([1-9]\\d{0,128})"),
        (
            second,
            "AT_SEQUENCE_NUMBER",
            json!(sequence),
            "InvalidArgumentException",
            "It encodes shardId-000000000000",
        ),
        (first, "SOMETIME", Value::Null, "ValidationException", "Member must satisfy enum value set"),
        ("shardId-7", "LATEST", Value::Null, "ResourceNotFoundException", "shardId-000000000007"),
        ("nonsense", "LATEST", Value::Null, "ResourceNotFoundException", "Could not find shard nonsense"),
    ] {
        let (found, message) = ask(shard, kind, starting.clone()).await;
        assert_eq!(found, code, "{kind} {starting}: {message}");
        assert!(message.contains(part), "`{message}` lacks `{part}`");
    }
    assert_eq!(
        fail(&server, "GetRecords", json!({ "ShardIterator": "x" })).await.0,
        "InvalidArgumentException"
    );
    assert_eq!(fail(&server, "GetRecords", json!({})).await.0, "ValidationException");

    let fresh = iterator(&server, 0, json!({ "ShardIteratorType": "LATEST" })).await;
    let mut old: Value = serde_json::from_slice(&unbase64(fresh.as_str().unwrap())).unwrap();
    old["issued_ms"] = json!(old["issued_ms"].as_i64().unwrap() - 300_100);
    let old = base64(old.to_string().as_bytes());
    let (code, message) = fail(&server, "GetRecords", json!({ "ShardIterator": old })).await;
    assert_eq!(code, "ExpiredIteratorException");
    assert!(message.contains("tolerated delay of 300000 milliseconds"), "{message}");
}

#[tokio::test]
async fn counting_keeps_nothing() {
    let options =
        Options { streams: vec![StreamSpec::new("logs", 1)], keep: Keep::CountOnly, ..Options::default() };
    let server = server(options).await;
    let latest = iterator(&server, 0, json!({ "ShardIteratorType": "LATEST" })).await;
    let batch = b"{\"format\":\"ndjson\",\"count\":2,\"size\":16}\n{\"a\":1}\n{\"a\":2}\n";
    for _ in 0..3 {
        call(&server, "PutRecord", record("a", batch)).await;
    }
    let counts = server.counts();
    assert_eq!((counts.records, counts.events, counts.bytes), (3, 6, 3 * batch.len() as u64));
    assert!(server.records().is_empty());
    for kind in ["TRIM_HORIZON", "LATEST"] {
        let iterator = iterator(&server, 0, json!({ "ShardIteratorType": kind })).await;
        assert_eq!(read(&server, &iterator, 10).await.0.len(), 0);
    }
    assert_eq!(read(&server, &latest, 10).await.0.len(), 0);
}

#[tokio::test]
async fn roles_are_assumed() {
    let server = with_logs(1).await;
    let form = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Ffwd\
        &RoleSessionName=millpond&DurationSeconds=900";
    let request = http("POST", "/", "content-type: application/x-www-form-urlencoded\r\n", form.as_bytes());
    let Outcome::Answer(answer) = exchange(server.addr(), &request, Duration::from_secs(5)).await else {
        panic!()
    };
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/xml")));
    assert!(answer.text().contains("<AccessKeyId>ASIA"), "{}", answer.text());
    assert_eq!(server.counts().requests_of(Operation::AssumeRole, "ok"), 1);
}

/// A request of STS; `token` is that of the session that signs it.
async fn sts(server: &Server, form: &str, token: &str) -> Answer {
    let headers =
        format!("content-type: application/x-www-form-urlencoded\r\nx-amz-security-token: {token}\r\n");
    let request = http("POST", "/", &headers, form.as_bytes());
    match exchange(server.addr(), &request, Duration::from_secs(5)).await {
        Outcome::Answer(answer) => answer,
        other => panic!("{form}: {other:?}"),
    }
}

#[tokio::test]
async fn credentials_of_a_role_run_out() {
    let lifetime = RoleLifetime::Unstated(Duration::from_secs(1));
    let options = Options {
        streams: vec![StreamSpec::new("logs", 1)],
        role_lifetime: Some(lifetime),
        ..Options::default()
    };
    let server = server(options).await;
    let role = "Action=AssumeRole&RoleArn=arn:aws:iam::123456789012:role/fwd&RoleSessionName=millpond";
    let assumed = sts(&server, role, "").await;
    let token = assumed.text().split_once("<SessionToken>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let list = async |token: &str| {
        let headers = format!("x-amz-security-token: {token}\r\n");
        let request = kinesis_request("ListShards", br#"{"StreamName":"logs"}"#, &headers);
        match exchange(server.addr(), &request, Duration::from_secs(5)).await {
            Outcome::Answer(answer) => answer,
            other => panic!("{other:?}"),
        }
    };
    let who = async |token: &str| sts(&server, "Action=GetCallerIdentity&Version=2011-06-15", token).await;
    assert!(
        who(&token).await.text().contains("<Arn>arn:aws:sts::123456789012:assumed-role/fwd/millpond</Arn>")
    );
    while list(&token).await.status == 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(error_of(&list(&token).await).0, "ExpiredTokenException");
    let refused = who(&token).await;
    assert_eq!((refused.status, refused.text().contains("<Code>ExpiredToken</Code>")), (403, true));
    // Tokens of somebody else say nothing here.
    assert_eq!(list("other").await.status, 200);
    assert!(who("other").await.text().contains("<Arn>arn:aws:iam::000000000000:user/local</Arn>"));
    assert_eq!(server.counts().requests_of(Operation::GetCallerIdentity, "ok"), 2);
    assert_eq!(server.counts().requests_of(Operation::GetCallerIdentity, "ExpiredToken"), 1);
}

/// Whether a put would succeed can be asked without storing anything.
#[tokio::test]
async fn dry_runs() {
    let server = with_logs(2).await;
    let dry = |mut request: Value| {
        request["DryRun"] = json!(true);
        request
    };
    let check = async |operation: &str, request: Value, expected: &str| {
        let (code, _) = fail(&server, operation, dry(request.clone())).await;
        assert_eq!(code, expected, "{operation} {request}");
    };
    let elsewhere = |mut request: Value| {
        request["StreamName"] = json!("elsewhere");
        request
    };
    for (operation, right) in [("PutRecord", record("k", b"{}")), ("PutRecords", events(3))] {
        check(operation, right.clone(), "DryRunOperationException").await;
        check(operation, elsewhere(right.clone()), "ResourceNotFoundException").await;
        let denied = set(&server, &format!("denied,op={operation}"));
        check(operation, right.clone(), "AccessDeniedException").await;
        assert!(server.faults().clear(denied));
    }
    check("PutRecord", record("", b"{}"), "ValidationException").await;
    let mut hashed = record("k", b"{}");
    hashed["ExplicitHashKey"] = json!("340282366920938463463374607431768211456");
    check("PutRecord", hashed, "InvalidArgumentException").await;
    assert_eq!((server.counts().records, server.records().len()), (0, 0));
    let mut wet = record("k", b"{}");
    wet["DryRun"] = json!(false);
    call(&server, "PutRecord", wet).await;
    assert_eq!(server.counts().records, 1);
}

#[tokio::test]
async fn what_is_no_request_of_kinesis() {
    let server = with_logs(1).await;
    let json_type = "content-type: application/x-amz-json-1.1\r\n";
    for (method, headers, body, status, part) in [
        ("GET", "", "", 403, "Unable to determine service/operation name"),
        ("POST", json_type, "{}", 403, "Unable to determine service/operation name"),
        (
            "POST",
            "content-type: application/x-www-form-urlencoded\r\n",
            "Action=GetSessionToken",
            400,
            "InvalidAction",
        ),
        (
            "POST",
            "content-type: application/x-amz-cbor-1.1\r\nx-amz-target: Kinesis_20131202.ListShards\r\n",
            "",
            404,
            "Unknown",
        ),
        (
            "POST",
            &format!("{json_type}x-amz-target: Kinesis_20131202.Fly\r\n"),
            "{}",
            400,
            "UnknownOperationException",
        ),
        (
            "POST",
            &format!("{json_type}x-amz-target: Other.ListShards\r\n"),
            "{}",
            400,
            "UnknownOperationException",
        ),
        (
            "POST",
            &format!("{json_type}x-amz-target: Kinesis_20131202.AssumeRole\r\n"),
            "{}",
            400,
            "UnknownOperation",
        ),
        (
            "POST",
            &format!("{json_type}x-amz-target: Kinesis_20131202.ListShards\r\n"),
            "",
            400,
            "SerializationException",
        ),
        (
            "POST",
            &format!("{json_type}x-amz-target: Kinesis_20131202.ListShards\r\n"),
            "[7]",
            400,
            "SerializationException",
        ),
    ] {
        let request = http(method, "/", headers, body.as_bytes());
        let Outcome::Answer(answer) = exchange(server.addr(), &request, Duration::from_secs(5)).await else {
            panic!()
        };
        assert_eq!(answer.status, status, "{method} {headers}{body}");
        assert!(answer.text().contains(part), "{}", answer.text());
    }
}
