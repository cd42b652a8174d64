use std::path::Path;

use millpond_kinesis::Class;

use super::*;
use crate::config::{Environment, parse};

fn output(settings: &str) -> Output {
    let yaml = format!(
        "inputs: {{ app: {{ type: stdin }} }}\noutputs:\n  main: {{ type: kinesis, stream_name: logs, region: eu-west-1{settings} }}\n"
    );
    let (config, _) = parse(&yaml, "m.yaml", Path::new("/"), &Environment::default()).unwrap();
    config.outputs.into_iter().next().unwrap()
}

fn failure(cause: Cause, code: Option<&str>, words: &str) -> Failure {
    Failure {
        class: Class::Transient,
        cause,
        code: code.map(str::to_owned),
        status: None,
        message: format!("Call to stream logs at http://127.0.0.1:1: {words}"),
        may_have_arrived: false,
        retry_after: None,
        request_id: None,
    }
}

fn summary() -> StreamSummary {
    StreamSummary {
        arn: "arn:aws:kinesis:eu-west-1:111122223333:stream/logs".to_owned(),
        status: "ACTIVE".to_owned(),
        open_shards: 4,
        on_demand: true,
        record_bytes_max: Some(1 << 20),
        kms_key: None,
    }
}

/// What a service says with which all is well.
fn good() -> Answers {
    Answers {
        credentials: Ok(Found { access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(), expiry: None }),
        identity: Some(Ok(Identity {
            arn: "arn:aws:iam::111122223333:user/edge".to_owned(),
            account: "111122223333".to_owned(),
        })),
        stream: Some(Ok(summary())),
        took: Duration::from_millis(41),
        shards: Some(Verification::Covered { open_shards: 4 }),
        put: Some(TryPut::Allowed),
        clock_ahead_ms: Some(-1_200),
        proxy: None,
        tls: true,
    }
}

fn told(output: &Output, answers: &Answers) -> String {
    checks(output, answers).iter().map(ToString::to_string).collect()
}

/// The verdict on one thing, and its words.
#[track_caller]
fn check(settings: &str, answers: &Answers, what: &str, verdict: Verdict, words: &[&str]) {
    let checks = checks(&output(settings), answers);
    let found =
        checks.iter().find(|check| check.what == what).unwrap_or_else(|| panic!("no {what}: {checks:?}"));
    assert_eq!(found.verdict, verdict, "{found}");
    for word in words {
        assert!(found.to_string().contains(word), "{found:?} should say {word:?}");
    }
    assert_eq!(found.remedy.is_none(), matches!(verdict, Verdict::Ok | Verdict::Skipped), "{found:?}");
}

#[test]
fn all_is_well() {
    let expected = "        \
        ok       credentials  access key AKIA…MPLE, as AWS tools find them\n        \
        ok       identity     arn:aws:iam::111122223333:user/edge\n        \
        ok       connection   answered in 41 ms\n        \
        ok       tls          the certificate is good, by the system's authorities\n        \
        ok       stream       ACTIVE, on demand, 4 open shards, records of up to 1 MiB\n        \
        ok       shards       4 are open and cover the whole hash range\n        \
        ok       put          PutRecord is allowed (tried without storing anything)\n        \
        ok       clock        right to a few seconds\n";
    assert_eq!(told(&output(""), &good()), expected);
}

#[test]
fn without_credentials_nothing_else_is_asked() {
    let missing = failure(Cause::Credentials, None, "no AWS credentials found: looked in ~/.aws");
    let answers = Answers {
        credentials: Err(missing),
        identity: None,
        stream: None,
        shards: None,
        put: None,
        clock_ahead_ms: None,
        ..good()
    };
    check("", &answers, "credentials", Verdict::Problem, &["no AWS credentials found", "looked in"]);
    for what in ["connection", "stream", "shards", "put", "clock"] {
        check("", &answers, what, Verdict::Skipped, &["credentials"]);
    }
}

#[test]
fn a_service_out_of_reach_is_one_problem() {
    for (cause, what) in [
        (Cause::Dns, "connection"),
        (Cause::Connect, "connection"),
        (Cause::Proxy, "connection"),
        (Cause::NotKinesis, "connection"),
        (Cause::Tls, "tls"),
    ] {
        let unreached = failure(cause, None, "no way there: check the link");
        let answers =
            Answers { stream: Some(Err(unreached)), shards: None, put: None, clock_ahead_ms: None, ..good() };
        check("", &answers, what, Verdict::Problem, &["no way there\n", " check the link\n"]);
        check("", &answers, "put", Verdict::Skipped, &["not reached"]);
        let problems =
            checks(&output(""), &answers).iter().filter(|check| check.verdict == Verdict::Problem).count();
        assert_eq!(problems, 1, "{cause:?}");
    }
}

#[test]
fn what_the_credentials_are() {
    let expiring = Found {
        access_key: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        expiry: Some(SystemTime::now() + Duration::from_secs(3_600)),
    };
    let answers = Answers { credentials: Ok(expiring), ..good() };
    let role = ", assume_role: { enabled: true, arn: \"arn:aws:iam::111122223333:role/edge\" }";
    check(role, &answers, "credentials", Verdict::Ok, &["ASIA…MPLE", "role/edge", "for another 1h"]);
    let short = Found { access_key: "test".to_owned(), expiry: None };
    check("", &Answers { credentials: Ok(short), ..good() }, "credentials", Verdict::Ok, &["test…"]);

    let refused =
        || failure(Cause::Service, Some("InvalidClientTokenId"), "InvalidClientTokenId: check the key");
    let answers = Answers { identity: Some(Err(refused())), ..good() };
    check("", &answers, "identity", Verdict::Problem, &["check the key"]);
    let own = ", endpoint: \"http://127.0.0.1:1\"";
    check(own, &answers, "identity", Verdict::Warning, &["InvalidClientTokenId", "nothing, if"]);
    let unreached = failure(Cause::Dns, None, "cannot be resolved: check the link");
    let answers = Answers { identity: Some(Err(unreached)), ..good() };
    check("", &answers, "identity", Verdict::Warning, &["cannot be resolved"]);
}

#[test]
fn what_the_stream_is() {
    let with = |summary: StreamSummary| Answers { stream: Some(Ok(summary)), ..good() };
    let status = |status: &str| with(StreamSummary { status: status.to_owned(), ..summary() });
    check("", &status("UPDATING"), "stream", Verdict::Ok, &["UPDATING"]);
    check("", &status("CREATING"), "stream", Verdict::Warning, &["wait"]);
    check("", &status("DELETING"), "stream", Verdict::Problem, &["deleted"]);
    let large = ", max_record_size: 5 MiB";
    check(large, &good(), "stream", Verdict::Problem, &["up to 1 MiB", "is 5 MiB", "UpdateMaxRecordSize"]);
    check(
        large,
        &with(StreamSummary { record_bytes_max: Some(10 << 20), ..summary() }),
        "stream",
        Verdict::Ok,
        &["10 MiB"],
    );
    check(large, &with(StreamSummary { record_bytes_max: None, ..summary() }), "stream", Verdict::Ok, &[]);
    let encrypted = StreamSummary { kms_key: Some("alias/k".to_owned()), ..summary() };
    check("", &with(encrypted), "stream", Verdict::Ok, &["alias/k", "kms:GenerateDataKey"]);
    let refused = |code: &str| Answers {
        stream: Some(Err(failure(Cause::Service, Some(code), &format!("{code}: do this")))),
        ..good()
    };
    check("", &refused("ResourceNotFoundException"), "stream", Verdict::Problem, &["do this"]);
    check("", &refused("ResourceNotFoundException"), "put", Verdict::Skipped, &["no such stream"]);
    check(
        "",
        &refused("AccessDeniedException"),
        "stream",
        Verdict::Warning,
        &["kinesis:DescribeStreamSummary"],
    );
}

#[test]
fn shards_and_puts() {
    let denied = || {
        failure(
            Cause::Service,
            Some("AccessDeniedException"),
            "AccessDeniedException (no): allow this operation",
        )
    };
    let shards = |verification| Answers { shards: Some(verification), ..good() };
    check(
        "",
        &shards(Verification::Unknown { reason: denied() }),
        "shards",
        Verdict::Warning,
        &["may not be listed"],
    );
    check("", &shards(Verification::Down(denied())), "shards", Verdict::Problem, &["allow this"]);
    let gap = Verification::NotCovered { reason: "no open shard takes 0 to 9".to_owned() };
    check("", &shards(gap), "shards", Verdict::Problem, &["0 to 9", "resharding"]);
    let put = |outcome| Answers { put: Some(outcome), ..good() };
    check("", &put(TryPut::Failed(denied())), "put", Verdict::Problem, &["allow this operation"]);
    check("", &put(TryPut::Stored), "put", Verdict::Warning, &["stored a record without events"]);
    check(", compression: none, send_batched: false", &good(), "put", Verdict::Ok, &["PutRecords"]);
}

#[test]
fn clocks() {
    let clock = |ahead_ms| Answers { clock_ahead_ms: ahead_ms, ..good() };
    check("", &clock(Some(5_000)), "clock", Verdict::Ok, &[]);
    check("", &clock(Some(90_000)), "clock", Verdict::Warning, &["90s behind", "wrong by as much", "NTP"]);
    check(
        "",
        &clock(Some(-7_200_000)),
        "clock",
        Verdict::Warning,
        &["2h ahead of", "signatures are corrected"],
    );
    check("", &clock(Some(10_799_000)), "clock", Verdict::Warning, &["3h behind"]);
    check("", &clock(None), "clock", Verdict::Skipped, &[]);
}

#[test]
fn encryption() {
    let plain = Answers { tls: false, proxy: Some("proxy:3128".to_owned()), ..good() };
    check(", endpoint: \"http://[::1]:1\"", &plain, "tls", Verdict::Ok, &["on this machine"]);
    check(", endpoint: \"http://kinesis.example\"", &plain, "tls", Verdict::Warning, &["https://"]);
    check("", &plain, "connection", Verdict::Ok, &["through the proxy proxy:3128"]);
    check(", reject_unauthorized: false", &good(), "tls", Verdict::Warning, &["not checked"]);
    check(", ca_file: /ca.pem", &good(), "tls", Verdict::Ok, &["/ca.pem"]);
}
