//! Process 1 of a container gets only those signals that it catches, and all children that nobody waits for.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Outcome, Skip, needs_program};
use crate::world::{PATIENCE, World};

/// A forwarder in a process namespace of its own, and `unshare`, which ends as it does.
struct Container {
    unshare: Child,
    /// The forwarder, as it is known outside.
    forwarder: Pid,
}

impl Container {
    fn start(config: &std::path::Path, environment: &[(&str, &std::path::Path)]) -> Self {
        let unshare = Command::new("unshare")
            .args([
                "--pid",
                "--fork",
                "--mount-proc",
                "--kill-child",
                env!("CARGO_BIN_EXE_millpond"),
                "run",
                "--config",
            ])
            .arg(config)
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_PROFILE")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = unshare.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let forwarder = wait_for("the forwarder runs", || {
            let child = fs::read_to_string(&children).ok()?.trim().parse().ok()?;
            let is_it =
                fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "millpond\n");
            Pid::from_raw(child).filter(|_| is_it)
        });
        Self { unshare, forwarder }
    }

    /// SIGTERM; it must end with 0, as it says.
    fn stop(self) -> String {
        kill_process(self.forwarder, Signal::TERM).unwrap();
        let output = self.unshare.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match look() {
            Some(found) => return found,
            None if Instant::now() > until => panic!("never: {what}"),
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn needs_namespaces() -> Result<(), Skip> {
    needs_program("unshare", "util-linux")?;
    let made = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).output();
    match made {
        Ok(made) if made.status.success() => Ok(()),
        _ => Err(Skip("only root may make process namespaces (in a container: --privileged)".to_owned())),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) fn stops() -> Outcome {
    needs_namespaces()?;
    let runtime = runtime();
    let mut world = runtime.block_on(World::new(1, "flush_period: 50ms\nbackpressure: queue"));
    world.write_lines(500);
    let container = Container::start(&world.config(), &[]);
    wait_for("all has arrived", || (world.server.counts().events >= 500).then_some(()));
    let stopping = Instant::now();
    let said = container.stop();
    assert!(said.contains("its positions are saved"), "{said}");
    Ok(format!("stopped within {:?}", stopping.elapsed()))
}

/// It reads its configuration through a pipe, and is stopped before that gives anything.
pub(crate) fn stops_during_its_start() -> Outcome {
    needs_namespaces()?;
    let runtime = runtime();
    let world = runtime.block_on(World::new(1, "backpressure: queue"));
    let pipe = world.path("slow.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let container = Container::start(&pipe, &[]);
    let mut config = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    kill_process(container.forwarder, Signal::TERM).unwrap();
    config.write_all(&fs::read(world.config()).unwrap()).unwrap();
    drop(config);
    let output = container.unshare.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    Ok("the signal was not lost".to_owned())
}

/// The program that gives credentials is waited for.
pub(crate) fn leaves_no_zombies() -> Outcome {
    needs_namespaces()?;
    let runtime = runtime();
    let mut world = runtime.block_on(World::new(1, "flush_period: 50ms\nbackpressure: queue"));
    let config = fs::read_to_string(world.config()).unwrap();
    let manual = "auth: { method: manual, access_key: test, secret_key: test }";
    assert!(config.contains(manual));
    fs::write(world.config(), config.replace(manual, "auth: { method: auto }")).unwrap();
    let (asked, profile) = (world.path("asked"), world.path("aws-config"));
    let keys = r#"{\"Version\":1,\"AccessKeyId\":\"test\",\"SecretAccessKey\":\"test\"}"#;
    let script = world.path("credentials.sh");
    fs::write(&script, format!("echo asked >> {}\necho \"{keys}\"\n", asked.display())).unwrap();
    fs::write(&profile, format!("[default]\ncredential_process = sh {}\n", script.display())).unwrap();
    world.write_lines(500);
    let container = Container::start(&world.config(), &[("AWS_CONFIG_FILE", &profile)]);
    wait_for("all has arrived", || (world.server.counts().events >= 500).then_some(()));
    assert!(fs::read_to_string(&asked).unwrap().contains("asked"), "the program gave the credentials");
    let pid = container.forwarder.as_raw_nonzero();
    wait_for("no child is left", || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let children =
            |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
        tasks.map(children).all(|children| children.trim().is_empty()).then_some(())
    });
    container.stop();
    Ok("its children are waited for".to_owned())
}
