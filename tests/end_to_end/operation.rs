//! Starting, stopping, standard input, mistakes.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::World;

/// P3: after SIGTERM and a restart there is no duplicate and no gap.
#[tokio::test(flavor = "multi_thread")]
async fn clean_stops_repeat_nothing() {
    for settings in [
        "backpressure: block",
        "backpressure: queue\nqueue: { mode: error }",
        "backpressure: queue\nqueue: { mode: always }",
        "compression: none\nsend_batched: false\nbackpressure: queue\nqueue: { mode: always }",
    ] {
        let mut world =
            World::new(3, &format!("flush_period: 100ms\nmax_record_size: \"64 KiB\"\n{settings}")).await;
        for _ in 0..4 {
            world.start();
            world.hear("the start", |said| said.message.contains("output started")).await;
            world.live(Duration::from_millis(fastrand::u64(50..700)), 4_000).await;
            world.stop().await;
            world.write_lines(500);
        }
        world.start();
        world.finish(0).await;
    }
}

/// A stop in the middle of an outage keeps what is queued; the next start delivers it, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_an_outage_keeps_the_queue() {
    let settings = "flush_period: 100ms\nbackpressure: queue\nqueue: { mode: error }";
    let mut world = World::new(3, settings).await;
    let down = world.fault("down");
    world.start();
    world.live(Duration::from_secs(2), 4_000).await;
    world.stop().await;
    assert!(world.gauge.look().unwrap().batches > 0);
    world.clear(down);
    world.start();
    world.finish(0).await;
}

/// A stop does not wait for room that does not come: what the queue has not taken is read again. Positions are those of
/// chunks, so the beginning of one that was taken in part is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_although_the_queue_is_full() {
    let settings = "flush_period: 50ms\nmax_record_size: \"16 KiB\"\ncompression: none\nbackpressure: queue\n\
                    queue: { mode: error, max_size: \"4 MiB\" }";
    let mut world = World::new(3, settings).await;
    let down = world.fault("down");
    world.write_lines(40_000);
    world.start();
    world.hear("a full queue", |said| said.message.contains("takes no more")).await;
    let stopping = Instant::now();
    world.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(5), "it took {:?}", stopping.elapsed());
    world.clear(down);
    world.start();
    const LINES_IN_CHUNK_MAX: u64 = 4_000;
    world.finish(LINES_IN_CHUNK_MAX).await;
}

/// When standard input has ended and everything is delivered, `run` exits with 0.
#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_delivered_to_its_end() {
    let world = World::new(2, "backpressure: queue\nqueue: { mode: error }").await;
    let config = std::fs::read_to_string(world.config()).unwrap();
    let config = config.replace("{ type: file, include: [\"*.log\"] }", "{ type: stdin }");
    std::fs::write(world.config(), config).unwrap();
    let mut forwarder = millpond(&["run", "--config"])
        .arg(world.config())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = forwarder.stdin.take().unwrap();
    for number in 0..1000 {
        writeln!(stdin, "#{number} hello").unwrap();
    }
    write!(stdin, "#1000 the last line has no end").unwrap();
    drop(stdin);
    let output = tokio::task::spawn_blocking(|| forwarder.wait_with_output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let proof = millpond::drill::Proof::take(1001, &world.server.records());
    assert!(proof.holds() && proof.repeated == 0, "{proof:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_on_the_same_queue_is_refused() {
    let mut world = World::new(1, "backpressure: queue").await;
    world.start();
    world.hear("the start", |said| said.message.contains("output started")).await;
    let second = millpond(&["run", "--config"]).arg(world.config()).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("in use by process"), "{said}");
    world.write_lines(10);
    world.finish(0).await;
}

#[test]
fn a_wrong_command_line_or_configuration_is_exit_code_2() {
    for arguments in
        [&["run", "--confg", "x"][..], &["fly"], &["run", "--config", "/nonexistent/millpond.yaml"]]
    {
        let output = millpond(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(!said.trim().is_empty() && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

fn millpond(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}
