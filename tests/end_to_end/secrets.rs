//! Nothing secret is in the log, however much is logged.

use std::process::{Command, Stdio};

use crate::world::World;

/// All that the program and the SDK under it could say.
const EVERYTHING: &str = "trace,aws_smithy_runtime::client=trace,aws_config::sts=trace,aws_runtime=trace,aws_sigv4=trace,\
                          hyper::proto=trace";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged() {
    let world = World::new(2, "").await;
    let endpoint = world.server.endpoint();
    std::fs::write(
        world.path("keys.json"),
        r#"{"access_key":"AKIAFROMSECRET00","secret_key":"HUNTER2FILE","session_token":"HUNTER2TOKEN"}"#,
    )
    .unwrap();
    let config = format!(
        "data_dir: data\nsecrets: {{ keys: {{ file: keys.json }} }}\ninputs: {{ pipe: {{ type: stdin }} }}\n\
         outputs:\n  main:\n    type: kinesis\n    stream_name: logs\n    region: us-east-1\n    \
         endpoint: \"{endpoint}\"\n    auth: {{ method: secret, secret: keys }}\n    \
         assume_role: {{ enabled: true, arn: \"arn:aws:iam::111122223333:role/edge\", external_id: HUNTER2ID, \
         sts_endpoint: \"{endpoint}\" }}\n    proxy: \"http://me:HUNTER2PROXY@127.0.0.1:9\"\n"
    );
    std::fs::write(world.config(), config).unwrap();
    world.fault("expired-token,op=PutRecord,for=1s");
    std::fs::write(world.path("lines"), "one\ntwo\n").unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["run", "--log-level", EVERYTHING, "--config"])
        .arg(world.config())
        .env("NO_PROXY", "127.0.0.1")
        .stdin(std::fs::File::open(world.path("lines")).unwrap())
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{said}");
    assert_eq!(world.server.counts().events, 2, "it has delivered with these credentials: {said}");
    assert!(said.contains("ExpiredTokenException") && said.contains("DEBUG"), "much is logged: {said}");
    // The endpoint makes the role's secret key by adding this to its token.
    for secret in ["HUNTER2", "LOCAL</SecretAccessKey>"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}
