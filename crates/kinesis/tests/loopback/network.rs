//! Connections, proxies and TLS.

use super::*;
use millpond_kinesis::client::Client;

async fn failure_of(settings: Settings) -> Failure {
    let client = AwsClient::connect(settings).await.unwrap();
    client.put_record("logs", record(b"data")).await.unwrap_err()
}

fn check(failure: &Failure, cause: Cause, words: &[&str]) {
    assert_eq!((failure.class, failure.cause), (Class::Transient, cause), "{failure}");
    assert!(!failure.may_have_arrived, "{failure}");
    for word in words {
        assert!(failure.message.contains(word), "{failure} should contain {word:?}");
    }
}

#[tokio::test]
async fn a_closed_port_is_no_connection() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let failure = failure_of(settings(format!("http://{address}"))).await;
    check(&failure, Cause::Connect, &[&address.to_string(), "refused"]);
}

#[tokio::test]
async fn an_unknown_name_is_said_to_be_one() {
    let failure = failure_of(settings("http://kinesis.invalid".to_owned())).await;
    check(&failure, Cause::Dns, &["kinesis.invalid cannot be resolved", "name server"]);
}

#[tokio::test]
async fn a_handshake_that_hangs_has_the_connect_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(format!("https://{}", silent.local_addr().unwrap()));
    settings.timeouts.connect = Duration::from_millis(200);
    check(&failure_of(settings).await, Cause::Connect, &["no connection", "within 200ms"]);
}

#[tokio::test]
async fn connections_are_kept_or_not() {
    for (reuse_connections, expected) in [(true, [0, 0, 0]), (false, [0, 1, 2])] {
        let server = Server::start(vec![stored(), stored(), stored()]).await;
        let client =
            AwsClient::connect(Settings { reuse_connections, ..settings(server.url()) }).await.unwrap();
        for _ in 0..3 {
            client.put_record("logs", record(b"data")).await.unwrap();
        }
        let connections: Vec<usize> = server.requests().iter().map(|request| request.connection).collect();
        assert_eq!(connections, expected);
    }
}

#[tokio::test]
async fn after_a_server_error_the_connection_is_another() {
    let server = Server::start(vec![error(500, "InternalFailure", ""), stored()]).await;
    let client = client(&server).await;
    client.put_record("logs", record(b"data")).await.unwrap_err();
    client.put_record("logs", record(b"data")).await.unwrap();
    let connections: Vec<usize> = server.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 1]);
}

fn through(proxy: &Server, endpoint: &str, no_proxy: Option<&str>) -> Settings {
    Settings {
        proxy: Proxy::Url {
            url: Secret::new(format!("http://user:pass@{}", proxy.address)),
            no_proxy: no_proxy.map(str::to_owned),
        },
        ..settings(endpoint.to_owned())
    }
}

#[tokio::test]
async fn plain_http_is_forwarded_by_the_proxy() {
    let proxy = Server::start(vec![stored()]).await;
    let client = AwsClient::connect(through(&proxy, "http://kinesis.invalid", None)).await.unwrap();
    client.put_record("logs", record(b"data")).await.unwrap();
    let request = &proxy.requests()[0];
    assert_eq!(request.line, "POST http://kinesis.invalid/ HTTP/1.1");
    assert_eq!(request.header("proxy-authorization"), "Basic dXNlcjpwYXNz");
    assert_eq!(request.header("host"), "kinesis.invalid");
}

#[tokio::test]
async fn https_is_tunnelled_by_the_proxy() {
    let refusal = Answer::Raw(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".to_vec());
    let proxy = Server::start(vec![refusal]).await;
    let failure = failure_of(through(&proxy, "https://kinesis.invalid", None)).await;
    check(&failure, Cause::Proxy, &["proxy authorization required", "its password"]);
    assert!(!failure.message.contains("pass@"), "{failure}");
    let request = &proxy.requests()[0];
    assert_eq!(request.line, "CONNECT kinesis.invalid:443 HTTP/1.1");
    assert_eq!(request.header("proxy-authorization"), "Basic dXNlcjpwYXNz");
}

#[tokio::test]
async fn exceptions_are_reached_directly() {
    let proxy = Server::start(vec![]).await;
    let server = Server::start(vec![stored()]).await;
    let settings = through(&proxy, &server.url(), Some("10.0.0.0/8, 127.0.0.1"));
    let client = AwsClient::connect(settings).await.unwrap();
    client.put_record("logs", record(b"data")).await.unwrap();
    assert_eq!(server.requests()[0].line, "POST / HTTP/1.1");
    assert!(proxy.requests().is_empty());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let check = async |change: &dyn Fn(&mut Settings), words: &str| {
        let mut settings = settings("http://127.0.0.1:1".to_owned());
        change(&mut settings);
        let failure = AwsClient::connect(settings).await.unwrap_err();
        assert_eq!((failure.class, failure.cause), (Class::Misconfigured, Cause::Settings));
        assert!(failure.message.contains(words), "{failure} should contain {words:?}");
    };
    check(&|settings| settings.region = " ".to_owned(), "region").await;
    check(&|settings| settings.endpoint = Some("kinesis.local".to_owned()), "http://").await;
    check(&|settings| settings.endpoint = Some("ftp://kinesis".to_owned()), "http://").await;
    check(&|settings| settings.ca_file = Some("/no/such/file".into()), "/no/such/file").await;
    let socks = || Secret::new("socks5://secret@proxy".to_owned());
    check(&|settings| settings.proxy = Proxy::Url { url: socks(), no_proxy: None }, "http://").await;
}

#[test]
fn the_environment_names_the_proxy() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().unwrap();
    let check = |variables: &[(&str, &str)], expected: &str| {
        let proxy = runtime.block_on(Server::start(vec![stored()]));
        let variables: Vec<(&str, String)> =
            variables.iter().map(|(name, value)| (*name, value.replace("PROXY", &proxy.url()))).collect();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        credentials::in_environment("network::through_the_environment", &variables);
        let lines: Vec<String> = proxy.requests().into_iter().map(|request| request.line).collect();
        assert_eq!(lines.join(" | "), expected, "{variables:?}");
    };
    let http = "POST http://kinesis.invalid/ HTTP/1.1";
    check(&[("HTTP_PROXY", "PROXY")], http);
    check(&[("http_proxy", "PROXY"), ("HTTP_PROXY", "http://127.0.0.1:9")], http);
    check(&[("ALL_PROXY", "PROXY")], http);
    check(&[("HTTPS_PROXY", "PROXY")], "");
    check(&[("HTTP_PROXY", "PROXY"), ("NO_PROXY", "kinesis.invalid")], "");
    check(&[("HTTP_PROXY", "PROXY"), ("no_proxy", ".invalid"), ("NO_PROXY", "other")], "");
}

#[tokio::test]
#[ignore = "runs in an environment of its own"]
async fn through_the_environment() {
    let settings = Settings { proxy: Proxy::Environment, ..settings("http://kinesis.invalid".to_owned()) };
    let client = AwsClient::connect(settings).await.unwrap();
    if let Err(failure) = client.put_record("logs", record(b"data")).await {
        assert_eq!(failure.cause, Cause::Dns, "reached directly, where it does not exist: {failure}");
    }
}
