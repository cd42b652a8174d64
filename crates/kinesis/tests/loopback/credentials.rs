//! Clocks, expired tokens, and boxes with no credentials at all.

use super::*;
use millpond_kinesis::client::Client;

/// A refusal for the clock, from a server whose clock is this far ahead.
fn skewed(hours: u64) -> Answer {
    let server_time = std::time::SystemTime::now() + Duration::from_secs(3600 * hours);
    Answer::Http {
        status: 400,
        headers: vec![("date", httpdate(server_time))],
        body: "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired: it is late\"}"
            .to_owned(),
    }
}

pub(crate) fn httpdate(time: std::time::SystemTime) -> String {
    let time = aws_smithy_types::DateTime::from(time);
    time.fmt(aws_smithy_types::date_time::Format::HttpDate).unwrap()
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_within_the_attempt() {
    let server = Server::start(vec![skewed(30), stored(), stored()]).await;
    let client = client(&server).await;
    client.put_record("logs", record(b"data")).await.unwrap();
    client.put_record("logs", record(b"data")).await.unwrap();
    let dates: Vec<String> =
        server.requests().iter().map(|request| request.header("x-amz-date")[..8].to_owned()).collect();
    assert!(dates[0] < dates[1], "the second signature has the server's date: {dates:?}");
    assert_eq!(dates[1], dates[2], "and so has what comes later");
}

#[tokio::test]
async fn a_clock_that_stays_wrong_is_reported() {
    let server = Server::start(vec![skewed(30), skewed(30)]).await;
    let failure = put(&server).await.unwrap_err();
    assert_eq!(failure.class, Class::Clock);
    assert!(failure.message.contains("NTP"), "{failure}");
    assert_eq!(server.requests().len(), 2, "tried again once");
}

#[tokio::test]
async fn an_expired_token_is_fetched_anew_once() {
    let expired = || error(400, "ExpiredTokenException", "The security token is expired");
    let server = Server::start(vec![expired(), stored()]).await;
    put(&server).await.unwrap();
    let server = Server::start(vec![expired(), expired(), stored()]).await;
    let failure = put(&server).await.unwrap_err();
    assert_eq!(failure.class, Class::Misconfigured);
    assert_eq!(server.requests().len(), 2);
}

/// Runs one of the tests below in a process with this environment and nothing of AWS' besides.
pub(crate) fn in_environment(test: &str, variables: &[(&str, &str)]) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    for (name, _) in std::env::vars() {
        if name.starts_with("AWS_") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    let output = command.envs(variables.iter().copied()).env("HOME", "/nonexistent").output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

fn without_keys(endpoint: String, credentials: Credentials) -> Settings {
    Settings { credentials, ..settings(endpoint) }
}

fn manual(access_key: Option<&str>) -> Credentials {
    Credentials::Manual { access_key: access_key.map(str::to_owned), secret_key: None, session_token: None }
}

#[test]
fn a_box_without_credentials_says_so() {
    let disabled = [("AWS_EC2_METADATA_DISABLED", "true")];
    in_environment("credentials::no_credentials", &disabled);
    // Nobody listens there: as on a box that is no EC2 instance.
    let absent = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")];
    in_environment("credentials::no_credentials", &absent);
}

#[tokio::test]
#[ignore = "runs in an environment of its own"]
async fn no_credentials() {
    let server = Server::start(vec![]).await;
    for (credentials, words) in [(Credentials::Auto, "~/.aws"), (manual(None), "access_key")] {
        let client = AwsClient::connect(without_keys(server.url(), credentials)).await.unwrap();
        for _ in 0..2 {
            let begin = std::time::Instant::now();
            let failure = client.put_record("logs", record(b"data")).await.unwrap_err();
            assert_eq!(
                (failure.class, failure.cause),
                (Class::Misconfigured, Cause::Credentials),
                "{failure}"
            );
            assert!(failure.message.contains("no AWS credentials found: looked in"), "{failure}");
            assert!(failure.message.contains(words), "{failure}");
            assert!(!failure.may_have_arrived);
            assert!(begin.elapsed() < Duration::from_secs(3));
        }
    }
    assert!(server.requests().is_empty());
}

#[test]
fn a_missing_part_comes_from_the_environment() {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKIAENV"),
        ("AWS_SECRET_ACCESS_KEY", "envsecret"),
        ("AWS_SESSION_TOKEN", "envtoken"),
    ];
    in_environment("credentials::parts_from_the_environment", &variables);
}

#[tokio::test]
#[ignore = "runs in an environment of its own"]
async fn parts_from_the_environment() {
    let check = async |credentials: Credentials, key: &str, token: &str| {
        let server = Server::start(vec![stored()]).await;
        let client = AwsClient::connect(without_keys(server.url(), credentials)).await.unwrap();
        client.put_record("logs", record(b"data")).await.unwrap();
        let request = &server.requests()[0];
        assert!(request.header("authorization").contains(&format!("Credential={key}/")), "{request:?}");
        assert_eq!(request.header("x-amz-security-token"), token);
    };
    check(Credentials::Auto, "AKIAENV", "envtoken").await;
    check(manual(None), "AKIAENV", "envtoken").await;
    check(manual(Some("AKIAGIVEN")), "AKIAGIVEN", "envtoken").await;
    let both = Credentials::Manual {
        access_key: Some("AKIAGIVEN".to_owned()),
        secret_key: Some(Secret::new("given".to_owned())),
        session_token: None,
    };
    check(both, "AKIAGIVEN", "").await;
}

#[test]
fn instance_metadata_is_asked_directly() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let text = |body: &str| Answer::Http {
        status: 200,
        headers: vec![("x-aws-ec2-metadata-token-ttl-seconds", "21600".to_owned())],
        body: body.to_owned(),
    };
    let keys = "{\"Code\":\"Success\",\"LastUpdated\":\"2026-01-01T00:00:00Z\",\"Type\":\"AWS-HMAC\",\
                \"AccessKeyId\":\"ASIAIMDS\",\"SecretAccessKey\":\"s\",\"Token\":\"imdstoken\",\
                \"Expiration\":\"2099-01-01T00:00:00Z\"}";
    let imds = runtime.block_on(Server::start(vec![text("token"), text("role"), text(keys)]));
    in_environment(
        "credentials::keys_from_instance_metadata",
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.url())],
    );
    let lines: Vec<String> = imds.requests().iter().map(|request| request.line.clone()).collect();
    assert_eq!(lines[0], "PUT /latest/api/token HTTP/1.1");
    assert_eq!(lines[2], "GET /latest/meta-data/iam/security-credentials/role HTTP/1.1");
}

#[tokio::test]
#[ignore = "runs in an environment of its own"]
async fn keys_from_instance_metadata() {
    let server = Server::start(vec![stored()]).await;
    let client = AwsClient::connect(without_keys(server.url(), Credentials::Auto)).await.unwrap();
    client.put_record("logs", record(b"data")).await.unwrap();
    let request = &server.requests()[0];
    assert!(request.header("authorization").contains("Credential=ASIAIMDS/"), "{request:?}");
    assert_eq!(request.header("x-amz-security-token"), "imdstoken");
}

pub(crate) fn role(sts: &Server) -> AssumeRole {
    AssumeRole {
        arn: "arn:aws:iam::123456789012:role/edge".to_owned(),
        external_id: Some("outside".to_owned()),
        duration: Duration::from_secs(1800),
        sts_region: Some("eu-sts-1".to_owned()),
        sts_endpoint: Some(sts.url()),
    }
}

pub(crate) fn xml(status: u16, body: &str) -> Answer {
    Answer::Http { status, headers: vec![("content-type", "text/xml".to_owned())], body: body.to_owned() }
}

pub(crate) fn assumed() -> Answer {
    xml(
        200,
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>roletoken</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>A:millpond\
         </AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/edge/millpond</Arn></AssumedRoleUser>\
         </AssumeRoleResult></AssumeRoleResponse>",
    )
}

async fn put_in_role(sts: &Server, server: &Server) -> Result<PutResult, Failure> {
    let settings = Settings { assume_role: Some(role(sts)), ..settings(server.url()) };
    AwsClient::connect(settings).await.unwrap().put_record("logs", record(b"data")).await
}

#[tokio::test]
async fn a_role_is_taken_on_at_its_own_endpoint() {
    let sts = Server::start(vec![assumed()]).await;
    let server = Server::start(vec![stored()]).await;
    put_in_role(&sts, &server).await.unwrap();
    let request = &sts.requests()[0];
    assert!(request.header("authorization").contains("Credential=AKIATEST/"), "{request:?}");
    assert!(request.header("authorization").contains("/eu-sts-1/sts/"), "{request:?}");
    for part in [
        "Action=AssumeRole",
        "role%2Fedge",
        "ExternalId=outside",
        "DurationSeconds=1800",
        "SessionName=millpond",
    ] {
        assert!(request.body.contains(part), "{} should contain {part}", request.body);
    }
    let request = &server.requests()[0];
    assert!(request.header("authorization").contains("Credential=ASIAROLE/"), "{request:?}");
    assert_eq!(request.header("x-amz-security-token"), "roletoken");
}

#[tokio::test]
async fn an_expired_role_is_taken_on_again_at_once() {
    let sts = Server::start(vec![assumed(), assumed()]).await;
    let expired = error(400, "ExpiredTokenException", "The security token is expired");
    let server = Server::start(vec![expired, stored()]).await;
    put_in_role(&sts, &server).await.unwrap();
    assert_eq!(sts.requests().len(), 2);
}

#[tokio::test]
async fn a_role_that_is_refused_is_misconfigured_and_one_out_of_reach_is_not() {
    let check = async |answer: Answer, class: Class, words: &[&str]| {
        let script = format!("{answer:?}");
        let sts = Server::start(vec![answer; 8]).await;
        let server = Server::start(vec![]).await;
        let failure = put_in_role(&sts, &server).await.unwrap_err();
        assert_eq!((failure.class, failure.cause), (class, Cause::Credentials), "{script}: {failure}");
        for word in words {
            assert!(failure.message.contains(word), "{script}: {failure} should contain {word:?}");
        }
        assert!(server.requests().is_empty());
    };
    let refused = |code: &str| {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>not allowed to assume</Message>\
             </Error><RequestId>1</RequestId></ErrorResponse>"
        );
        xml(403, &body)
    };
    let words = ["AccessDenied", "refused", "allow sts:AssumeRole", "trust policy", "external_id"];
    check(refused("AccessDenied"), Class::Misconfigured, &words).await;
    check(refused("InvalidClientTokenId"), Class::Misconfigured, &["access key"]).await;
    check(refused("ExpiredTokenException"), Class::Misconfigured, &["run out"]).await;
    check(Answer::Reset, Class::Transient, &["cannot be fetched", "connection"]).await;
    check(html(200), Class::Transient, &["cannot be fetched"]).await;
}
