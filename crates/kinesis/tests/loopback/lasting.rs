//! Credentials over time: roles that run out, clocks that are wrong, keys that are replaced.

use super::credentials::{httpdate, role, xml};
use super::*;
use millpond_kinesis::aws::{KeySource, Keys};
use millpond_kinesis::client::Client;
use std::sync::Mutex;
use std::time::SystemTime;

const HOUR: Duration = Duration::from_secs(3600);

fn iso(time: SystemTime) -> String {
    aws_smithy_types::DateTime::from(time).fmt(aws_smithy_types::date_time::Format::DateTime).unwrap()
}

/// A role's credentials that run out then, given at `now` by the clock of STS.
fn assumed_until(now: SystemTime, expiry: SystemTime) -> Answer {
    let Answer::Http { status, mut headers, body } = xml(
        200,
        &format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>roletoken\
             </SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
            iso(expiry)
        ),
    ) else {
        unreachable!("xml() makes a whole answer");
    };
    headers.extend([("date", httpdate(now)), ("x-amzn-requestid", "1".to_owned())]);
    Answer::Http { status, headers, body }
}

async fn role_client(sts: &Server, server: &Server) -> AwsClient {
    let settings = Settings { assume_role: Some(role(sts)), ..settings(server.url()) };
    AwsClient::connect(settings).await.unwrap()
}

async fn puts(client: &AwsClient, count: usize) {
    for _ in 0..count {
        client.put_record("logs", record(b"data")).await.unwrap();
    }
}

/// By a clock that is three hours ahead, credentials for an hour have run out before they are given.
#[tokio::test]
async fn a_role_lasts_whatever_the_clock_shows() {
    let now = SystemTime::now();
    for theirs in [now - 3 * HOUR, now, now + 3 * HOUR] {
        let sts = Server::start(vec![assumed_until(theirs, theirs + HOUR)]).await;
        let server = Server::start(vec![stored(); 4]).await;
        puts(&role_client(&sts, &server).await, 4).await;
        assert_eq!(sts.requests().len(), 1, "{theirs:?}");
    }
}

#[tokio::test]
async fn a_role_is_taken_on_again_before_it_runs_out() {
    let now = SystemTime::now();
    let soon = now + Duration::from_secs(20);
    let sts = Server::start(vec![assumed_until(now, soon), assumed_until(now, now + HOUR)]).await;
    let server = Server::start(vec![stored(); 3]).await;
    puts(&role_client(&sts, &server).await, 3).await;
    assert_eq!(sts.requests().len(), 2, "20 s are too few to wait for");
}

#[tokio::test]
async fn credentials_serve_to_their_end_while_their_source_is_out_of_reach() {
    let now = SystemTime::now();
    let refused =
        || xml(503, "<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>");
    let mut answers = vec![assumed_until(now, now + Duration::from_secs(30))];
    answers.extend(std::iter::repeat_with(refused).take(12));
    let sts = Server::start(answers).await;
    let server = Server::start(vec![stored(); 2]).await;
    puts(&role_client(&sts, &server).await, 2).await;
    assert!(sts.requests().len() > 1, "it was asked again");
}

/// Five puts in flight find the same credentials expired: they are renewed once.
#[tokio::test]
async fn credentials_are_renewed_once_for_all_that_need_it() {
    let now = SystemTime::now();
    let sts = Server::start(vec![assumed_until(now, now + HOUR); 2]).await;
    let expired = error(400, "ExpiredTokenException", "The security token is expired");
    let mut answers = vec![stored()];
    answers.extend(vec![expired; 5]);
    answers.extend(vec![stored(); 5]);
    let server = Server::start(answers).await;
    let client = role_client(&sts, &server).await;
    puts(&client, 1).await;
    let puts = (0..5).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.put_record("logs", record(b"data")).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap().unwrap();
    }
    assert_eq!(sts.requests().len(), 2);
}

#[tokio::test]
async fn a_role_that_cannot_be_taken_on_again_says_why() {
    let now = SystemTime::now();
    let denied = xml(
        403,
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no more</Message></Error>\
         </ErrorResponse>",
    );
    let sts = Server::start(vec![assumed_until(now, now - HOUR), denied]).await;
    let server = Server::start(vec![stored()]).await;
    let client = role_client(&sts, &server).await;
    puts(&client, 1).await;
    let failure = client.put_record("logs", record(b"data")).await.unwrap_err();
    assert_eq!((failure.class, failure.cause), (Class::Misconfigured, Cause::Credentials), "{failure}");
    assert!(failure.message.contains("no more"), "{failure}");
}

/// Keys that somebody replaces.
#[derive(Debug)]
struct Replaced(Mutex<Vec<Result<&'static str, &'static str>>>);

impl KeySource for Replaced {
    fn keys(&self) -> Result<Keys, String> {
        let next = self.0.lock().unwrap().remove(0);
        next.map_err(str::to_owned).map(|access_key| Keys {
            access_key: access_key.to_owned(),
            secret_key: Secret::new("secret".to_owned()),
            session_token: None,
        })
    }

    fn place(&self) -> String {
        "the secret \"kinesis\"".to_owned()
    }
}

#[tokio::test]
async fn keys_are_asked_for_again_when_they_are_refused() {
    let script = vec![Ok("AKIAOLD"), Err("cannot be read"), Ok("AKIANEW")];
    let unknown = error(400, "UnrecognizedClientException", "The security token is invalid");
    let server = Server::start(vec![stored(), stored(), unknown, stored()]).await;
    let credentials = Credentials::Source(Arc::new(Replaced(Mutex::new(script))));
    let settings = Settings { credentials, ..settings(server.url()) };
    let client = AwsClient::connect(settings).await.unwrap();
    puts(&client, 2).await;
    let refused = client.put_record("logs", record(b"data")).await.unwrap_err();
    assert_eq!(refused.class, Class::Misconfigured);
    let missing = client.put_record("logs", record(b"data")).await.unwrap_err();
    assert!(missing.message.contains("cannot be read"), "{missing}");
    assert_eq!((missing.class, missing.cause), (Class::Misconfigured, Cause::Credentials));
    puts(&client, 1).await;
    let keys: Vec<bool> =
        server.requests().iter().map(|request| request.header("authorization").contains("AKIAOLD")).collect();
    assert_eq!(keys, [true, true, true, false]);
}
