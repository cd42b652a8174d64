//! The client against a server that answers scripted bytes: what each answer means, and in words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod credentials;
mod lasting;
mod network;
mod online;
mod server;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond_kinesis::aws::{AssumeRole, AwsClient, Credentials, Proxy, Secret, Settings, Timeouts};
use millpond_kinesis::batch::{Batch, BatchMeta, Format, RecordRef};
use millpond_kinesis::client::{Cause, Class, Client, Failure, PutResult};
use millpond_kinesis::output::{Output, OutputOptions, Report, Verification};
use millpond_kinesis::settle::Pending;
use server::{Answer, Server, error, html, json, stored};

fn settings(endpoint: String) -> Settings {
    Settings {
        endpoint: Some(endpoint),
        credentials: Credentials::Manual {
            access_key: Some("AKIATEST".to_owned()),
            secret_key: Some(Secret::new("secret".to_owned())),
            session_token: None,
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            attempt: Duration::from_secs(3),
            ..Timeouts::default()
        },
        proxy: Proxy::Direct,
        ..Settings::new("eu-test-1".to_owned())
    }
}

fn record(data: &'static [u8]) -> RecordRef<'static> {
    RecordRef { partition_key: "key", explicit_hash_key: None, data: Bytes::from_static(data) }
}

async fn client(server: &Server) -> AwsClient {
    AwsClient::connect(settings(server.url())).await.unwrap()
}

async fn put(server: &Server) -> Result<PutResult, Failure> {
    client(server).await.put_record("logs", record(b"data")).await
}

fn batch(format: Format, records: usize) -> Batch {
    let meta = BatchMeta { format, events: records as u32, raw_bytes: 1, first_time_ms: 0, last_time_ms: 0 };
    Batch::from_records(meta, &vec![record(b"data"); records])
}

async fn output(server: &Server, use_list_shards: bool) -> Output {
    let options = OutputOptions { use_list_shards, ..OutputOptions::default() };
    Output::new(Arc::new(client(server).await), "logs".to_owned(), options)
}

async fn send(server: &Server, batch: &Batch) -> Report {
    output(server, true).await.send(batch, &Pending::all(batch)).await
}

#[tokio::test]
async fn a_record_arrives_as_it_is() {
    let server = Server::start(vec![stored()]).await;
    let hashed = RecordRef { explicit_hash_key: Some(u128::MAX), ..record(b"\x00data\xff") };
    let result = client(&server).await.put_record("logs", hashed).await.unwrap();
    assert_eq!(result.sequence_number.as_deref(), Some("4959"));
    let request = &server.requests()[0];
    assert_eq!(request.header("x-amz-target"), "Kinesis_20131202.PutRecord");
    assert!(request.header("authorization").contains("Credential=AKIATEST/"));
    assert!(request.header("authorization").contains("/eu-test-1/kinesis/aws4_request"));
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let expected = serde_json::json!({
        "StreamName": "logs",
        "Data": "AGRhdGH/",
        "PartitionKey": "key",
        "ExplicitHashKey": "340282366920938463463374607431768211455",
    });
    assert_eq!(body, expected);
}

/// What one answer to PutRecord means.
async fn check(answer: Answer, class: Class, cause: Cause, may_have_arrived: bool, words: &[&str]) {
    let script = format!("{answer:?}");
    // Twice, for what is tried again at once.
    let server = Server::start(vec![answer.clone(), answer]).await;
    let failure = put(&server).await.expect_err(&script);
    assert_eq!((failure.class, failure.cause), (class, cause), "{script}: {failure}");
    assert_eq!(failure.may_have_arrived, may_have_arrived, "{script}: {failure}");
    for word in words.iter().chain(&["PutRecord", "logs", "127.0.0.1"]) {
        assert!(failure.message.contains(word), "{script}: {failure:?} should contain {word:?}");
    }
}

#[tokio::test]
async fn error_codes_decide() {
    let check = async |status: u16, code: &str, class: Class, words: &[&str]| {
        check(error(status, code, "words of AWS"), class, Cause::Service, false, words).await;
    };
    let throttled = Class::Throttled;
    check(400, "ProvisionedThroughputExceededException", throttled, &["words of AWS", "add shards"]).await;
    check(400, "LimitExceededException", throttled, &["slowing down"]).await;
    check(400, "KMSThrottlingException", throttled, &["KMS"]).await;
    let misconfigured = Class::Misconfigured;
    check(400, "AccessDeniedException", misconfigured, &["IAM policy"]).await;
    check(403, "AccessDeniedException", misconfigured, &["IAM policy"]).await;
    check(400, "UnrecognizedClientException", misconfigured, &["access key"]).await;
    check(400, "ExpiredTokenException", misconfigured, &["run out"]).await;
    check(400, "ResourceNotFoundException", misconfigured, &["name", "region"]).await;
    check(400, "KMSAccessDeniedException", misconfigured, &["kms:GenerateDataKey"]).await;
    check(400, "KMSDisabledException", misconfigured, &["KMS key"]).await;
    check(400, "KMSInvalidStateException", misconfigured, &["KMS key"]).await;
    check(400, "KMSNotFoundException", misconfigured, &["KMS key"]).await;
    check(400, "KMSOptInRequired", misconfigured, &["KMS key"]).await;
    check(400, "com.amazonaws.kinesis#ResourceNotFoundException", misconfigured, &["name"]).await;
    check(400, "ValidationException", Class::Rejected, &["never"]).await;
    check(400, "InvalidArgumentException", Class::Rejected, &["never"]).await;
    check(400, "ResourceInUseException", Class::Transient, &["trying again"]).await;
    check(400, "BrandNewException", Class::Transient, &["BrandNewException", "trying again"]).await;
    check(400, "InvalidSignatureException", misconfigured, &["secret key"]).await;
    check(400, "RequestExpired", Class::Clock, &["clock"]).await;
}

#[tokio::test]
async fn faults_of_the_service_may_have_stored_the_record() {
    for status in [500, 503] {
        let answer = error(status, "InternalFailure", "oops");
        check(answer, Class::Transient, Cause::Service, true, &["fault inside the service"]).await;
    }
}

#[tokio::test]
async fn what_kinesis_did_not_write_confirms_nothing() {
    let check = async |answer: Answer, words: &[&str]| {
        check(answer, Class::Transient, Cause::NotKinesis, true, words).await;
    };
    check(html(200), &["not from Kinesis (HTML, status 200)", "captive portal"]).await;
    check(html(500), &["not from Kinesis (HTML, status 500)"]).await;
    check(html(403), &["HTML, status 403"]).await;
    check(json(400, "{}"), &["JSON without an error code, status 400"]).await;
    check(json(502, ""), &["empty, status 502"]).await;
    check(json(200, "{\"SequenceNumber\":\"49"), &["cut off"]).await;
    check(json(200, "pong"), &["neither JSON nor HTML"]).await;
    check(Answer::Raw(b"SSH-2.0-OpenSSH\r\n".to_vec()), &["not HTTP"]).await;
    let huge = format!("HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n{}", " ".repeat(9_000_000));
    check(Answer::Raw(huge.into_bytes()), &["more than 8388608 bytes"]).await;
}

#[tokio::test]
async fn a_broken_connection_is_a_reset() {
    let check = async |answer: Answer, words: &[&str]| {
        check(answer, Class::Transient, Cause::Reset, true, words).await;
    };
    check(Answer::Reset, &["connection"]).await;
    check(Answer::Close, &["closed before an answer"]).await;
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"Seq".to_vec();
    check(Answer::Raw(cut), &["answer (status 200) was cut off"]).await;
    check(Answer::Raw(b"HTTP/1.1 200 OK\r\ncont".to_vec()), &["closed before an answer"]).await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    check(Answer::Hang, Class::Transient, Cause::Timeout, true, &["no answer within 3 s"]).await;
}

#[tokio::test]
async fn success_without_a_sequence_number_is_none() {
    for body in ["{}", "{\"ShardId\":\"shardId-000000000000\"}", "{\"SequenceNumber\":\"\"}"] {
        let server = Server::start(vec![json(200, body)]).await;
        let report = send(&server, &batch(Format::Gzip, 1)).await;
        assert!(report.delivered.is_empty(), "{body}");
        assert_eq!(report.retry.indexes(), [0], "{body}");
        let failure = report.failure.unwrap();
        assert_eq!(failure.cause, Cause::NotKinesis);
        assert!(failure.message.contains("confirms nothing"), "{failure}");
    }
}

#[tokio::test]
async fn put_records_settles_each_record() {
    let answer = json(
        200,
        r#"{"FailedRecordCount":2,"Records":[
            {"SequenceNumber":"1","ShardId":"shardId-000000000000"},
            {"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow down"},
            {"SequenceNumber":"3","ShardId":"shardId-000000000001"},
            {"ErrorCode":"InternalFailure","ErrorMessage":"Internal service failure."}]}"#,
    );
    let server = Server::start(vec![answer]).await;
    let report = send(&server, &batch(Format::Event, 4)).await;
    assert_eq!(report.delivered, [0, 2]);
    assert_eq!(report.retry.indexes(), [1, 3]);
    let failure = report.failure.unwrap();
    assert_eq!(failure.class, Class::Transient, "the worse of the two");
    let request = &server.requests()[0];
    assert_eq!(request.header("x-amz-target"), "Kinesis_20131202.PutRecords");
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body["Records"].as_array().unwrap().len(), 4);
    assert_eq!(body["Records"][3]["Data"], "ZGF0YQ==");
}

#[tokio::test]
async fn put_records_with_a_short_answer_confirms_nothing() {
    for body in [
        "{}",
        r#"{"FailedRecordCount":0,"Records":[]}"#,
        r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"}]}"#,
        r#"{"FailedRecordCount":0,"Records":[{},{}]}"#,
    ] {
        let server = Server::start(vec![json(200, body)]).await;
        let report = send(&server, &batch(Format::Event, 2)).await;
        assert!(report.delivered.is_empty(), "{body}");
        assert_eq!(report.retry.indexes(), [0, 1], "{body}");
    }
}

#[tokio::test]
async fn shards_are_listed_page_by_page() {
    let half = u128::MAX / 2;
    let shard = |number: u32, start: u128, end: u128, ended: bool| {
        let end_of_life = if ended { ",\"EndingSequenceNumber\":\"2\"" } else { "" };
        format!(
            "{{\"ShardId\":\"shardId-{number:012}\",\"HashKeyRange\":{{\"StartingHashKey\":\"{start}\",\
             \"EndingHashKey\":\"{end}\"}},\"SequenceNumberRange\":{{\"StartingSequenceNumber\":\"1\"{end_of_life}}}}}"
        )
    };
    let first = format!("[{},{}]", shard(0, 0, u128::MAX, true), shard(1, 0, half, false));
    let second = format!("[{}]", shard(2, half + 1, u128::MAX, false));

    let server = Server::start(vec![
        json(200, &format!("{{\"Shards\":{first},\"NextToken\":\"token\"}}")),
        json(200, &format!("{{\"Shards\":{second}}}")),
    ])
    .await;
    let verification = output(&server, true).await.verify().await;
    assert_eq!(verification, Verification::Covered { open_shards: 2 });
    let bodies: Vec<String> = server.requests().into_iter().map(|request| request.body).collect();
    assert!(bodies[0].contains("\"StreamName\":\"logs\""), "{bodies:?}");
    assert!(bodies[1].contains("\"NextToken\":\"token\"") && !bodies[1].contains("StreamName"), "{bodies:?}");

    let describe = |shards: &str, more: bool| {
        format!(
            "{{\"StreamDescription\":{{\"StreamName\":\"logs\",\"StreamARN\":\"arn\",\"StreamStatus\":\"ACTIVE\",\
             \"Shards\":{shards},\"HasMoreShards\":{more},\"RetentionPeriodHours\":24,\
             \"StreamCreationTimestamp\":1,\"EnhancedMonitoring\":[]}}}}"
        )
    };
    let server =
        Server::start(vec![json(200, &describe(&first, true)), json(200, &describe(&second, false))]).await;
    let verification = output(&server, false).await.verify().await;
    assert_eq!(verification, Verification::Covered { open_shards: 2 });
    let bodies: Vec<String> = server.requests().into_iter().map(|request| request.body).collect();
    assert!(bodies[1].contains("\"ExclusiveStartShardId\":\"shardId-000000000001\""), "{bodies:?}");
}

#[tokio::test]
async fn an_empty_listing_is_not_from_kinesis() {
    for use_list_shards in [true, false] {
        let server = Server::start(vec![json(200, "{}")]).await;
        match output(&server, use_list_shards).await.verify().await {
            Verification::Down(failure) => assert_eq!(failure.cause, Cause::NotKinesis),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_service_says_how_long_to_wait() {
    let answer = Answer::Http {
        status: 503,
        headers: vec![("retry-after", "7".to_owned()), ("x-amzn-requestid", "0a1b".to_owned())],
        body: "{\"__type\":\"ServiceUnavailable\"}".to_owned(),
    };
    let failure = put(&Server::start(vec![answer]).await).await.unwrap_err();
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(failure.request_id.as_deref(), Some("0a1b"));
    assert_eq!(failure.code.as_deref(), Some("ServiceUnavailable"));
}
