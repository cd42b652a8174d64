//! The main of a test target whose tests may be skipped, and are counted when they are.
//!
//! A test gives a line of figures, or says what this machine lacks. With `CI` set, a test that is skipped is a failure.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};
use std::time::Instant;

/// This machine lacks something that a test needs: what, and how to get it.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

/// What came of a test; one that fails panics.
pub(crate) type Outcome = Result<String, Skip>;

/// A test by its name.
pub(crate) type Test = (&'static str, Box<dyn Fn() -> Outcome + Send + Sync>);

/// Runs the tests that the command line asks for, one after the other, a line for each, the tally at the end.
pub(crate) fn main(target: &str, tests: &[Test]) -> ExitCode {
    main_in_parallel(target, tests, 1)
}

/// The same, up to so many at a time.
pub(crate) fn main_in_parallel(target: &str, tests: &[Test], at_a_time: usize) -> ExitCode {
    let asked = Asked::parse(std::env::args().skip(1));
    let wanted = tests.iter().filter(|(name, _)| asked.is_for(name));
    if asked.list {
        wanted.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (waiting, tally) = (Mutex::new(wanted), Mutex::new(Tally::default()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(test) = next() {
            let outcome = run(target, test);
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(outcome.as_ref());
        }
    };
    scope(|scope| (0..at_a_time).for_each(|_| drop(scope.spawn(work))));
    let Tally { passed, failed, skipped } = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let must_run = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    if must_run && skipped > 0 {
        println!("CI is set, so what is skipped counts as a failure.");
    }
    println!("{target}: {passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0 || (must_run && skipped > 0)))
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    /// `None`: the test failed.
    fn add(&mut self, outcome: Option<&Outcome>) {
        match outcome {
            Some(Ok(_)) => self.passed += 1,
            Some(Err(_)) => self.skipped += 1,
            None => self.failed += 1,
        }
    }
}

/// Runs one test in a thread that bears its name, which stands in front of what it says when it panics.
fn run(target: &str, (name, test): &Test) -> Option<Outcome> {
    let began = Instant::now();
    let outcome = scope(|scope| {
        let thread = Builder::new().name((*name).to_owned()).spawn_scoped(scope, test);
        thread.expect("there is room for a thread").join().ok()
    });
    let seconds = began.elapsed().as_secs_f64();
    match &outcome {
        Some(Ok(figures)) => println!("ok   {target}: {name}: {figures}; {seconds:.1} s"),
        Some(Err(Skip(reason))) => println!("skip {target}: {name}: {reason}"),
        None => println!("FAIL {target}: {name}: see above; {seconds:.1} s"),
    }
    outcome
}

/// What the command line asks for: as much of the standard harness's as makes sense, the rest is passed over, since
/// `cargo test` gives the same arguments to all targets.
#[derive(Debug, Default)]
struct Asked {
    filters: Vec<String>,
    without: Vec<String>,
    exact: bool,
    list: bool,
    only_ignored: bool,
}

impl Asked {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut asked = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => asked.exact = true,
                "--list" => asked.list = true,
                "--ignored" => asked.only_ignored = true,
                "--skip" => asked.without.extend(arguments.next()),
                "--test-threads" | "--color" | "--format" | "--logfile" | "--shuffle-seed" | "-Z" => {
                    arguments.next();
                }
                _ => match argument.strip_prefix("--skip=") {
                    Some(name) => asked.without.push(name.to_owned()),
                    None if argument.starts_with('-') => {}
                    None => asked.filters.push(argument),
                },
            }
        }
        asked
    }

    /// No test here is ignored.
    fn is_for(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        let named = self.filters.is_empty() || self.filters.iter().any(matches);
        named && !self.without.iter().any(matches) && !self.only_ignored
    }
}

/// A number from the environment, for example how many rounds; one that cannot be read is a mistake.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name).filter(|text| !text.is_empty())?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    Some(number.unwrap_or_else(|| panic!("{name}={} is no number", text.display())))
}

/// Is there a program of this name?
pub(crate) fn has_program(name: &str) -> bool {
    std::env::split_paths(&search_path()).any(|directory| directory.join(name).is_file())
}

/// There must be a program of this name; a Debian package brings it.
///
/// # Errors
/// There is none.
pub(crate) fn needs_program(name: &str, package: &str) -> Result<(), Skip> {
    match has_program(name) {
        true => Ok(()),
        false => Err(Skip(format!("{name} is missing (Debian: apt-get install {package})"))),
    }
}

/// Where programs are looked for: those of the system are not on everybody's path.
pub(crate) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
