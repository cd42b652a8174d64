//! How many instructions the inner loops take, against a recorded baseline: `make instructions`.
//!
//! Counts repeat where times do not: the same program takes the same number on a busy machine. valgrind counts them on
//! a processor that it makes up, so they do not depend on the machine's either; on the compilers they do, so they are
//! compared only with those that the baseline was recorded with. `make instructions-record` records it anew.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};

mod loops;

/// A count may be this much larger or smaller than the recorded one, in percent. What is smaller is recorded anew, so
/// that it stays so.
const TOLERANCE_PERCENT: f64 = 2.0;
/// In the environment of the process that valgrind watches: which loop it runs.
const LOOP: &str = "MILLPOND_LOOP";
/// Set to write the baseline.
const RECORD: &str = "MILLPOND_RECORD";

fn main() -> ExitCode {
    let outcome = match std::env::var(LOOP) {
        Ok(name) => run(&name),
        Err(_) => measure_all(),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a loop: once unseen, for what is done only once, then once to be counted.
fn run(name: &str) -> anyhow::Result<ExitCode> {
    let mut each =
        loops::all().into_iter().find(|each| each.name == name).with_context(|| format!("no loop {name}"))?;
    (each.run)();
    counted_by_valgrind(&mut each.run);
    Ok(ExitCode::SUCCESS)
}

/// What valgrind counts, by the name of this function.
#[inline(never)]
fn counted_by_valgrind(run: &mut dyn FnMut()) {
    run();
}

fn measure_all() -> anyhow::Result<ExitCode> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let compilers = compilers()?;
    let mut counts = Vec::new();
    for each in loops::all() {
        let count = count(each.name)?;
        println!("{:<12} {count:>12} instructions for {} bytes", each.name, each.bytes);
        counts.push((each.name, count));
    }
    if std::env::var_os(RECORD).is_some() {
        let mut text = format!("{compilers}\n");
        counts.iter().try_for_each(|(name, count)| writeln!(text, "{name} {count}"))?;
        std::fs::write(&path, text)?;
        println!("recorded in {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    let baseline = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    compare(&counts, &baseline, &compilers)
}

/// The compilers that the loops depend on.
fn compilers() -> anyhow::Result<String> {
    let version = |command: &str, argument: &str| -> anyhow::Result<String> {
        let output = Command::new(command).arg(argument).output().with_context(|| command.to_owned())?;
        Ok(String::from_utf8(output.stdout)?.lines().next().unwrap_or_default().trim().to_owned())
    };
    let (rustc, cc) = (version("rustc", "--version")?, version("cc", "-dumpfullversion")?);
    Ok(format!("{rustc}, cc {cc}, {}", std::env::consts::ARCH))
}

/// Instructions of one run of a loop.
fn count(name: &str) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*counted_by_valgrind*",
        ])
        .arg(std::env::current_exe()?)
        .env(LOOP, name)
        .output()
        .context("valgrind (to get it: apt-get install valgrind)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the loop {name} failed under valgrind: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, number)| number.trim().parse().ok());
    count.filter(|count| *count > 0).with_context(|| format!("valgrind counted nothing of {name}: {said}"))
}

fn compare(counts: &[(&str, u64)], baseline: &str, compilers: &str) -> anyhow::Result<ExitCode> {
    let mut lines = baseline.lines();
    let recorded_with = lines.next().unwrap_or_default();
    let recorded: Vec<(&str, u64)> = lines
        .map(|line| {
            let (name, count) =
                line.split_once(' ').with_context(|| format!("the baseline says {line:?}"))?;
            Ok((name, count.parse()?))
        })
        .collect::<anyhow::Result<_>>()?;
    let names =
        |counts: &[(&str, u64)]| counts.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    ensure!(names(counts) == names(&recorded), "other loops than recorded: make instructions-record");
    let comparable = recorded_with == compilers;
    let mut changed = 0;
    for ((name, count), (_, before)) in counts.iter().zip(&recorded) {
        let percent = (*count as f64 / *before as f64 - 1.0) * 100.0;
        let differs = percent.abs() > TOLERANCE_PERCENT;
        changed += u32::from(differs);
        let verdict = if differs { "CHANGED" } else { "ok" };
        println!("{name:<12} {count:>12} instructions, {percent:+.1} % to the baseline  {verdict}");
    }
    if !comparable {
        println!("NOT JUDGED: recorded with {recorded_with}; this is {compilers}");
        let must_judge = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
        if must_judge {
            println!("CI is set, so that counts as a failure: make instructions-record");
        }
        return Ok(ExitCode::from(u8::from(must_judge)));
    }
    if changed > 0 {
        println!(
            "{changed} differ by more than {TOLERANCE_PERCENT} %: if that is wanted, make instructions-record"
        );
    }
    Ok(ExitCode::from(u8::from(changed > 0)))
}
