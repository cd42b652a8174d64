//! Faults of the disk, made by strace between the forwarder and the kernel, and what it then did with the file.

use std::collections::{BTreeSet, HashMap};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Outcome, Skip, needs_program};
use crate::world::{PATIENCE, World};

/// Can programs be traced here?
///
/// # Errors
/// What is missing, and how to get it.
pub(crate) fn needs() -> Result<(), Skip> {
    needs_program("strace", "strace")?;
    let mut probe = Command::new("strace");
    probe
        .args(["-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if probe.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(Skip("strace may not trace here (run it as root; in a container: --cap-add SYS_PTRACE)".to_owned()))
}

/// A tracer that makes system calls on some files fail.
pub(crate) struct Strace {
    trace: tempfile::NamedTempFile,
}

impl Strace {
    /// The next forwarder of `world` has these faults: `inject` as strace takes it, `CALL:error=…:when=…`, where `when`
    /// counts per thread, for the files with these names.
    pub(crate) fn on(world: &mut World, inject: &str, names: &[&str]) -> Self {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let (call, _) = inject.split_once(':').unwrap();
        let mut command = Command::new("strace");
        // The tracer goes aside, so that the process that was started is the forwarder.
        command.args(["-D", "-f", "--seccomp-bpf", "-y", "-o"]).arg(trace.path());
        command.args([
            "-e",
            &format!("trace=fdatasync,fsync,close,{call}"),
            "-e",
            &format!("inject={inject}"),
        ]);
        let root = world.path("").canonicalize().unwrap();
        for name in names {
            command.arg("-P").arg(root.join(name));
        }
        world.under = Some(command);
        Self { trace }
    }

    /// How often calls failed, once the forwarder has ended. No file that failed was synced again.
    pub(crate) fn strikes(&self) -> u64 {
        let trace = self.complete_trace();
        check_syncs(&trace).unwrap_or_else(|line| panic!("synced after it failed: {line}\n{trace}"));
        trace.lines().filter(|line| line.contains("(INJECTED)")).count() as u64
    }

    /// The tracer writes on for a moment after the last thread has ended.
    fn complete_trace(&self) -> String {
        let began = Instant::now();
        loop {
            let trace = std::fs::read_to_string(self.trace.path()).unwrap();
            let seen: BTreeSet<_> = trace.lines().filter_map(|line| line.split(' ').next()).collect();
            let is_end = |line: &&str| line.contains(" +++ exited with ") || line.contains(" +++ killed by ");
            if trace.ends_with('\n') && trace.lines().filter(is_end).count() == seen.len() {
                return trace;
            }
            assert!(began.elapsed() < PATIENCE, "the trace has no end: {trace}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Looks for a sync of a descriptor after a write or sync of it failed and before it was closed; gives the line of it.
/// A write that found no room is no failure.
fn check_syncs(trace: &str) -> Result<(), String> {
    // What a call began with in a thread that was interrupted by another one.
    let mut begun = HashMap::new();
    let mut failed = BTreeSet::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        if let Some(begin) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread, begin);
            continue;
        }
        let begin =
            if call.trim_start().starts_with("<...") { begun.remove(thread).unwrap_or("") } else { call };
        let Some((name, arguments)) = begin.trim_start().split_once('(') else { continue };
        let descriptor = arguments.split(['<', ')']).next().unwrap_or("");
        match name {
            "fdatasync" | "fsync" if failed.contains(descriptor) => return Err(line.to_owned()),
            "fdatasync" | "fsync" if call.contains(" = -1 ") => {
                failed.insert(descriptor);
            }
            "pwritev" if call.contains(" = -1 EIO ") || call.contains(" = 0 (INJECTED)") => {
                failed.insert(descriptor);
            }
            "close" => {
                failed.remove(descriptor);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The check sees what it should.
pub(crate) fn traces_are_understood() -> Outcome {
    const FAILED: &str = "1 fdatasync(9</q/1.seg>) = -1 EIO (Input/output error) (INJECTED)\n";
    const FAILED_LATE: &str = "1 fdatasync(9</q/1.seg> <unfinished ...>\n2 close(8</q/2.seg>) = 0\n\
                               1 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)\n";
    const AGAIN: &str = "2 fdatasync(9</q/1.seg>) = 0\n";
    const WRITE_FAILED: &str =
        "1 pwritev(9</q/1.seg>, [{iov_base=\"\", iov_len=9}], 1, 0) = -1 EIO (Input/output error)\n";
    const NO_ROOM: &str =
        "1 pwritev(9</q/1.seg>, [{iov_base=\"\", iov_len=9}], 1, 0) = -1 ENOSPC (No space left on device)\n";
    let cases: [(&[&str], bool); 9] = [
        (&[WRITE_FAILED, AGAIN], false),
        (&[NO_ROOM, AGAIN], true),
        (&[FAILED, AGAIN], false),
        (&[FAILED_LATE, AGAIN], false),
        (&[FAILED, "1 fsync(9</q/1.seg>) = 0\n"], false),
        (&[FAILED, "2 close(9</q/1.seg>) = 0\n", AGAIN], true),
        (&[FAILED_LATE, "1 close(9</q/1.seg> <unfinished ...>\n1 <... close resumed>) = 0\n", AGAIN], true),
        (&[FAILED, "1 fdatasync(10</q/2.seg>) = 0\n"], true),
        (&[AGAIN, AGAIN, "1 +++ exited with 0 +++\n"], true),
    ];
    for (lines, is_good) in cases {
        assert_eq!(check_syncs(&lines.concat()).is_ok(), is_good, "{lines:?}");
    }
    Ok(format!("{} traces", cases.len()))
}
