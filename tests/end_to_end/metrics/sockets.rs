//! Inputs that listen.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{AtLeast, Expected, Is, check};
use crate::admin_client::{ADMIN, Metrics, post};
use crate::web::replace_input;
use crate::world::World;

pub(super) const REQUESTS: Expected = &[
    ("millpond_input_requests_total{input=\"app\",outcome=\"accepted\"}", Is(1.0)),
    ("millpond_input_connections", Is(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn requests() {
    let (mut world, address, input, before) = listening("type: http", "").await;
    let mut client = TcpStream::connect(input).await.unwrap();
    let request =
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nhello\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let accepted = |metrics: &Metrics| {
        metrics.get("millpond_input_requests_total{input=\"app\",outcome=\"accepted\"}") == Some(1.0)
    };
    check(REQUESTS, &before, &world.metrics_when(address, "the request", accepted).await);
    drop(client);
    world.stop().await;
}

/// A world whose input listens: its admin address, that of the input, and what there was at the start.
async fn listening(input: &str, output: &str) -> (World, SocketAddr, SocketAddr, Metrics) {
    let mut world = World::new(2, &format!("flush_period: 50ms\n{output}")).await;
    replace_input(&world, &format!("{{ {input}, listen: \"127.0.0.1:0\" }}"));
    world.configure(|config| config + ADMIN + "\n");
    let address = world.start_with_admin().await;
    if !world.has_said("listening") {
        world.hear("its address", |said| said.message == "listening").await;
    }
    let said = world.said.iter().find(|said| said.message == "listening").unwrap();
    let input = said.fields["address"].as_str().unwrap().parse().unwrap();
    let before = Metrics::scrape(address).await;
    (world, address, input, before)
}

pub(super) const CONNECTIONS: Expected = &[
    ("millpond_input_accepted_connections_total", Is(3.0)),
    ("millpond_input_refused_connections_total", Is(1.0)),
    ("millpond_input_connection_errors_total", Is(1.0)),
    ("millpond_input_framing_errors_total", Is(1.0)),
    ("millpond_input_incomplete_events_total", Is(1.0)),
    ("millpond_input_unparsed_events_total", Is(3.0)),
    ("millpond_input_not_utf8_events_total", Is(1.0)),
];

#[tokio::test(flavor = "multi_thread")]
async fn connections() {
    let input = "type: syslog, transport: tcp, framing: octet_counted, max_connections: 1";
    let (mut world, address, input, before) = listening(input, "").await;
    let is = |series: &'static str, value: f64| move |metrics: &Metrics| metrics.get(series) == Some(value);
    let mut first = TcpStream::connect(input).await.unwrap();
    first.write_all(b"5 hello2 \xff\xfe9 half").await.unwrap();
    world.metrics_when(address, "two events", is("millpond_input_unparsed_events_total", 2.0)).await;
    let _one_too_many = TcpStream::connect(input).await.unwrap();
    world.metrics_when(address, "a refusal", is("millpond_input_refused_connections_total", 1.0)).await;
    drop(first);
    world.metrics_when(address, "half a message", is("millpond_input_incomplete_events_total", 1.0)).await;
    world.metrics_when(address, "room", is("millpond_input_connections", 0.0)).await;
    let mut second = TcpStream::connect(input).await.unwrap();
    second.write_all(b"no number").await.unwrap();
    world.metrics_when(address, "a bad frame", is("millpond_input_framing_errors_total", 1.0)).await;
    world.metrics_when(address, "room", is("millpond_input_connections", 0.0)).await;
    let third = TcpStream::connect(input).await.unwrap();
    world.metrics_when(address, "the third", is("millpond_input_accepted_connections_total", 3.0)).await;
    // Its end is a reset.
    third.set_zero_linger().unwrap();
    drop(third);
    let after =
        world.metrics_when(address, "a reset", is("millpond_input_connection_errors_total", 1.0)).await;
    check(CONNECTIONS, &before, &after);
    world.stop().await;
}

pub(super) const DATAGRAMS: Expected = &[("millpond_input_kernel_dropped_datagrams_total", AtLeast(1.0))];

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_dropped() {
    let (mut world, address, input, before) =
        listening("type: udp, receive_buffer: \"4 KiB\"", "backpressure: block").await;
    assert_eq!(post(address, "/api/v1/outputs/main/pause", "").await.status, 200);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dropped =
        |metrics: &Metrics| metrics.get("millpond_input_kernel_dropped_datagrams_total") > Some(0.0);
    for _ in 0..20_000 {
        socket.send_to(&[b'x'; 1_000], input).await.unwrap();
    }
    assert_eq!(post(address, "/api/v1/outputs/main/resume", "").await.status, 200);
    // The kernel tells of it with the next one that it does not drop.
    world.live(Duration::from_millis(500), 0).await;
    socket.send_to(b"the next one", input).await.unwrap();
    check(DATAGRAMS, &before, &world.metrics_when(address, "the loss", dropped).await);
    world.stop().await;
}
