//! Being a service: what the service manager hears, exit codes, a stop at any moment, the log in the journal.

use std::io::Read as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

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
        std::iter::repeat_with(|| self.hear()).find(|told| told.lines().any(|line| line == wanted)).unwrap()
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

fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

/// Exit code and standard error.
fn end_of(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_hears_of_readiness_life_and_stop() {
    let world = World::new(1, "backpressure: queue").await;
    let path = world.path("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let mut command = millpond(&world.config());
    let child = command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").spawn().unwrap();
    let ready = manager.hear_until("READY=1");
    assert!(ready.contains("STATUS=inputs: 1; outputs: main"), "{ready}");
    manager.hear_until("WATCHDOG=1");
    manager.hear_until("WATCHDOG=1");
    terminate(&child);
    let stopping = manager.hear_until("STOPPING=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=40000000\n"), "{stopping}");
    assert_eq!(end_of(child).0, Some(0));
}

/// Nobody waits for signs of life, or waits for those of another process: there are none. By an abstract socket.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_watchdog_there_are_no_signs_of_life() {
    let world = World::new(1, "backpressure: queue").await;
    for for_others in [false, true] {
        let name = format!("millpond-{}-{for_others}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = Manager::new(UnixDatagram::bind_addr(&address).unwrap());
        let mut command = millpond(&world.config());
        command.env("NOTIFY_SOCKET", format!("@{name}"));
        if for_others {
            command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
        }
        let child = command.spawn().unwrap();
        assert!(manager.hear().starts_with("READY=1\n"));
        terminate(&child);
        assert!(manager.hear().starts_with("STOPPING=1\n"));
        assert_eq!(end_of(child).0, Some(0));
    }
}

/// A configuration that takes its time (it comes through a pipe), and a SIGTERM meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_the_start_is_clean() {
    let world = World::new(1, "backpressure: queue").await;
    let pipe = world.path("slow.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let child = millpond(&pipe).spawn().unwrap();
    // Opening it for writing ends when the forwarder has opened it for reading.
    let mut config = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    terminate(&child);
    std::io::Write::write_all(&mut config, &std::fs::read(world.config()).unwrap()).unwrap();
    drop(config);
    let (code, said) = end_of(child);
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
        let (code, said) = end_of(millpond(&config).spawn().unwrap());
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
    let (code, said) = end_of(millpond(&world.config()).spawn().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("process") && said.contains("another data_dir"), "{said}");
    world.stop().await;
}

#[test]
fn a_configuration_that_cannot_be_read_is_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = end_of(millpond(directory.path()).spawn().unwrap());
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
