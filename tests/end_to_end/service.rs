//! Being a service: what the service manager hears, exit codes, a stop at any moment, the log in the journal.

use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{PATIENCE, World};

/// A service manager that listens.
struct Manager(UnixDatagram);

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next datagram.
    fn hear(&self) -> String {
        let mut buffer = [0; 4096];
        let len = self.0.recv(&mut buffer).expect("the manager is told something");
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    fn hear_until(&self, wanted: &str) -> String {
        let until = Instant::now() + PATIENCE;
        let mut last = String::new();
        while Instant::now() < until {
            last = self.hear();
            if last.lines().any(|line| line == wanted) {
                return last;
            }
        }
        panic!("never heard {wanted}; last: {last}");
    }
}

fn millpond(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(["run", "--config"]).arg(config).stdin(Stdio::null()).stderr(Stdio::piped());
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"] {
        command.env_remove(name);
    }
    command
}

/// A forwarder that does not outlive its test.
struct Forwarder(Option<Child>);

impl Forwarder {
    fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.0.as_ref().unwrap()), signal).unwrap();
    }

    fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Exit code and standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_hears_of_readiness_life_and_stop() {
    let mut world = World::new(1, "backpressure: queue").await;
    let path = world.path("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let mut command = millpond(&world.config());
    let forwarder = Forwarder::start(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000"));
    let ready = manager.hear_until("READY=1");
    assert!(ready.contains("STATUS=1 of 1 inputs accept; outputs: main "), "{ready}");
    world.write_lines(10);
    manager.hear_until("STATUS=1 of 1 inputs accept; outputs: main healthy");
    manager.hear_until("WATCHDOG=1");
    manager.hear_until("WATCHDOG=1");
    let down = world.fault("down");
    world.write_lines(10);
    manager.hear_until("STATUS=1 of 1 inputs accept; outputs: main unhealthy");
    world.clear(down);
    manager.hear_until("STATUS=1 of 1 inputs accept; outputs: main healthy");
    forwarder.terminate();
    let stopping = manager.hear_until("STOPPING=1");
    let usec = stopping.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC=")).unwrap();
    let usec: u64 = usec.parse().unwrap();
    assert!(
        (30_000_000..=40_000_000).contains(&usec),
        "shutdown_timeout and the time for closing: {stopping}"
    );
    assert_eq!(forwarder.end().0, Some(0));
}

/// Whether it is taken or refused, the manager hears when it begins, and that it is over.
#[tokio::test(flavor = "multi_thread")]
async fn the_manager_hears_of_reloads() {
    let world = World::new(1, "backpressure: queue").await;
    let path = world.path("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let forwarder = Forwarder::start(millpond(&world.config()).env("NOTIFY_SOCKET", &path));
    manager.hear_until("READY=1");
    let config = std::fs::read_to_string(world.config()).unwrap();
    let second = config.replace("  main:\n", "  spare:\n").split_once("outputs:\n").unwrap().1.to_owned();
    for (config, outputs) in [(config.clone() + &second, "spare"), (config.replace("main", "ma in"), "spare")]
    {
        std::fs::write(world.config(), config).unwrap();
        forwarder.signal(Signal::HUP);
        let reloading = manager.hear_until("RELOADING=1");
        let usec = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        assert!(usec.parse::<u64>().unwrap() > 0, "{reloading}");
        let ready = manager.hear_until("READY=1");
        assert!(ready.contains(outputs), "{ready}");
    }
    forwarder.terminate();
    let (code, said) = forwarder.end();
    assert_eq!(code, Some(0), "{said}");
}

/// A port that another program has: for the admin address, and for an input.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_said_and_is_exit_code_1() {
    let world = World::new(1, "backpressure: queue").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let good = std::fs::read_to_string(world.config()).unwrap();
    let input = format!("inputs:\n  web: {{ type: http, listen: \"{address}\" }}");
    for config in [format!("admin: {{ listen: \"{address}\" }}\n{good}"), good.replace("inputs:", &input)] {
        std::fs::write(world.path("other.yaml"), config).unwrap();
        let (code, said) = Forwarder::start(&mut millpond(&world.path("other.yaml"))).end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&address.to_string()) && said.contains("ERROR"), "{said}");
    }
}

/// Nobody waits for signs of life, or waits for those of another process: there are none. By an abstract socket.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_watchdog_there_are_no_signs_of_life() {
    let mut world = World::new(1, "backpressure: queue").await;
    for for_others in [false, true] {
        let name = format!("millpond-{}-{for_others}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = Manager::new(UnixDatagram::bind_addr(&address).unwrap());
        let mut command = millpond(&world.config());
        command.env("NOTIFY_SOCKET", format!("@{name}"));
        if for_others {
            command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
        }
        let forwarder = Forwarder::start(&mut command);
        assert!(manager.hear().starts_with("READY=1\n"));
        world.write_lines(10);
        while let told = manager.hear()
            && !told.contains("main healthy")
        {
            assert!(!told.contains("WATCHDOG"), "{told}");
        }
        forwarder.terminate();
        while let told = manager.hear()
            && !told.starts_with("STOPPING=1\n")
        {
            assert!(!told.contains("WATCHDOG"), "{told}");
        }
        assert_eq!(forwarder.end().0, Some(0));
    }
}

/// A pipe cannot be read again: neither that nor a SIGHUP holds the forwarder up.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_from_a_pipe_serves_until_the_end() {
    let mut world = World::new(1, "backpressure: queue").await;
    let (pipe, path) = (world.path("pipe.yaml"), world.path("notify"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let forwarder = Forwarder::start(millpond(&pipe).env("NOTIFY_SOCKET", &path));
    std::fs::write(&pipe, std::fs::read(world.config()).unwrap()).unwrap();
    manager.hear_until("READY=1");
    forwarder.signal(Signal::HUP);
    manager.hear_until("RELOADING=1");
    manager.hear_until("READY=1");
    world.write_lines(10);
    manager.hear_until("STATUS=1 of 1 inputs accept; outputs: main healthy");
    forwarder.terminate();
    let (code, said) = forwarder.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("was read at the start"), "{said}");
}

/// A configuration that takes its time (it comes through a pipe), and a SIGTERM meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_the_start_is_clean() {
    let world = World::new(1, "backpressure: queue").await;
    let pipe = world.path("slow.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let forwarder = Forwarder::start(&mut millpond(&pipe));
    // Opening it for writing ends when the forwarder has opened it for reading.
    let mut config = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    forwarder.terminate();
    std::io::Write::write_all(&mut config, &std::fs::read(world.config()).unwrap()).unwrap();
    drop(config);
    let (code, said) = forwarder.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_at_the_start_is_exit_code_1() {
    let world = World::new(1, "backpressure: queue").await;
    let good = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.path("a-file"), "").unwrap();
    let config = world.path("other.yaml");
    for (data_dir, backpressure) in [("a-file", "queue"), ("a-file/below", "block")] {
        let other = good
            .replace("data_dir: data", &format!("data_dir: {data_dir}"))
            .replace("backpressure: queue", &format!("backpressure: {backpressure}"));
        std::fs::write(&config, other).unwrap();
        let (code, said) = Forwarder::start(&mut millpond(&config)).end();
        assert_eq!(code, Some(1), "{data_dir} {backpressure}: {said}");
        assert!(said.contains("ERROR") && said.contains("a-file") && !said.contains("panicked"), "{said}");
    }
}

/// Without a queue, it is the positions of the input that only one may hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_in_the_same_directory_is_refused_without_a_queue() {
    let mut world = World::new(1, "backpressure: block").await;
    world.start();
    world.hear("the start", |said| said.message.contains("looked for files")).await;
    let (code, said) = Forwarder::start(&mut millpond(&world.config())).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("process") && said.contains("another data_dir"), "{said}");
    world.stop().await;
}

#[test]
fn a_configuration_that_cannot_be_read_is_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = Forwarder::start(&mut millpond(directory.path())).end();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(directory.path().to_str().unwrap()), "{said}");
}

/// Each line has its priority, and neither time nor colour; those of a configuration that is wrong, too.
#[test]
fn the_journal_gets_priorities() {
    let (ours, its) = UnixStream::pair().unwrap();
    let stat = std::fs::metadata(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&its))).unwrap();
    let stream = format!("{}:{}", stat.dev(), stat.ino());
    let mut command = millpond(Path::new("/nonexistent/millpond.yaml"));
    let child = command.env("JOURNAL_STREAM", stream).stderr(std::os::fd::OwnedFd::from(its)).spawn();
    drop(command);
    assert_eq!(child.unwrap().wait().unwrap().code(), Some(2));
    let mut said = String::new();
    (&ours).read_to_string(&mut said).unwrap();
    assert!(!said.is_empty() && said.lines().all(|line| line.starts_with("<3>")), "{said}");
}
