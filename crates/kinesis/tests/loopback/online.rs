//! What is asked before anything is forwarded.

use super::credentials::{httpdate, role, xml};
use super::*;
use millpond_kinesis::aws::{Found, TryPut};
use millpond_kinesis::output::Api;

const RECORDS_REFUSED: &str =
    r#"{"FailedRecordCount":1,"Records":[{"ErrorCode":"AccessDeniedException","ErrorMessage":"no"}]}"#;
const RECORDS_STORED: &str =
    r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"4959","ShardId":"shardId-000000000000"}]}"#;

#[tokio::test]
async fn a_put_that_stores_nothing() {
    let check = async |api: Api, answer: Answer, expected: &str| {
        let script = format!("{answer:?}");
        let server = Server::start(vec![answer]).await;
        let found = match client(&server).await.try_put("logs", api).await {
            TryPut::Allowed => "allowed".to_owned(),
            TryPut::Stored => "stored".to_owned(),
            TryPut::Failed(failure) => failure.label().to_owned(),
        };
        assert_eq!(found, expected, "{script}");
        let body: serde_json::Value = serde_json::from_str(&server.requests()[0].body).unwrap();
        assert_eq!(body["DryRun"], true);
        let record = if api == Api::PutRecord { &body } else { &body["Records"][0] };
        assert_eq!(record["ExplicitHashKey"], "340282366920938463463374607431768211456", "one too large");
    };
    for api in [Api::PutRecord, Api::PutRecords] {
        check(api, error(400, "DryRunOperationException", "would succeed"), "allowed").await;
        check(api, error(400, "InvalidArgumentException", "Invalid ExplicitHashKey"), "allowed").await;
        check(api, error(400, "AccessDeniedException", "no"), "AccessDeniedException").await;
        check(api, error(400, "ResourceNotFoundException", "no"), "ResourceNotFoundException").await;
        check(api, html(200), "not_kinesis").await;
    }
    check(Api::PutRecord, stored(), "stored").await;
    check(Api::PutRecords, json(200, RECORDS_STORED), "stored").await;
    check(Api::PutRecords, json(200, RECORDS_REFUSED), "AccessDeniedException").await;
}

#[tokio::test]
async fn a_stream_describes_itself() {
    let body = r#"{"StreamDescriptionSummary":{"StreamName":"logs","StreamARN":"arn:aws:kinesis:eu-test-1:1:stream/logs",
        "StreamStatus":"ACTIVE","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"RetentionPeriodHours":24,
        "StreamCreationTimestamp":1,"EnhancedMonitoring":[],"OpenShardCount":4,"EncryptionType":"KMS",
        "KeyId":"alias/logs","MaxRecordSizeInKiB":10240}}"#;
    let server = Server::start(vec![json(200, body), json(200, "{}")]).await;
    let client = client(&server).await;
    let summary = client.describe("logs").await.unwrap();
    assert_eq!((summary.status.as_str(), summary.open_shards, summary.on_demand), ("ACTIVE", 4, true));
    assert_eq!(summary.record_bytes_max, Some(10 << 20));
    assert_eq!(summary.kms_key.as_deref(), Some("alias/logs"));
    assert_eq!(client.describe("logs").await.unwrap_err().cause, Cause::NotKinesis);
}

#[tokio::test]
async fn the_clock_is_compared_with_that_of_aws_only() {
    let at = |hours: i64, from_aws: bool| {
        let shift = Duration::from_secs(3600 * hours.unsigned_abs());
        let now = std::time::SystemTime::now();
        let time = if hours < 0 { now - shift } else { now + shift };
        let mut headers = vec![("date", httpdate(time))];
        headers.extend(from_aws.then(|| ("x-amzn-requestid", "1".to_owned())));
        Answer::Http { status: 200, headers, body: "{}".to_owned() }
    };
    let check = async |answer: Answer, expected_hours: Option<i64>| {
        let server = Server::start(vec![answer]).await;
        let client = client(&server).await;
        assert_eq!(client.clock_ahead_ms(), None, "nobody was asked yet");
        drop(client.describe("logs").await);
        let hours = client.clock_ahead_ms().map(|ms| (ms as f64 / 3_600_000.0).round() as i64);
        assert_eq!(hours, expected_hours);
    };
    check(at(5, true), Some(5)).await;
    check(at(-5, true), Some(-5)).await;
    check(at(5, false), None).await;
}

#[tokio::test]
async fn whom_the_credentials_belong_to() {
    let body = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                <Arn>arn:aws:sts::123456789012:assumed-role/edge/millpond</Arn><UserId>A</UserId>\
                <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    let server = Server::start(vec![]).await;
    let assumed = || super::credentials::assumed();
    let sts = Server::start(vec![assumed(), xml(200, body), assumed()]).await;
    let settings = Settings { assume_role: Some(role(&sts)), ..settings(server.url()) };
    let client = AwsClient::connect(settings).await.unwrap();
    let identity = client.identity().await.unwrap();
    assert_eq!(identity.account, "123456789012");
    assert!(identity.arn.ends_with("assumed-role/edge/millpond"), "{identity:?}");
    let Found { access_key, expiry } = client.find_credentials().await.unwrap();
    assert_eq!(access_key, "ASIAROLE");
    assert!(expiry.is_some());
    let refused = client.identity().await.unwrap_err();
    assert!(!refused.words().contains("GetCallerIdentity"), "{refused}");
    assert!(server.requests().is_empty());
}
