//! `millpond import-cribl`: a configuration from an `outputs.yml` of Cribl.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::config::cribl::{self, Import};

/// Arguments of `millpond import-cribl`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The configuration goes to standard output, and what could not be carried over to standard error.
Keys and secrets are never copied: the configuration refers to where they must be put.

Examples:
    $ millpond import-cribl outputs.yml
    $ millpond import-cribl outputs.yml --output imported.yaml")]
pub struct ImportArgs {
    /// The outputs.yml of Cribl.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Writes the configuration to this file, which must not be there yet.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replaces the file if it is there.
    #[arg(long, requires = "output")]
    pub force: bool,
}

/// Translates the file: exit code 0 when there is a configuration, 1 when nothing could be translated or a file cannot
/// be read or written, 2 when the file holds no destinations of Cribl.
#[must_use]
pub fn run(args: &ImportArgs) -> ExitCode {
    let file = args.file.display().to_string();
    let bytes = match read(&args.file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("millpond: {file} cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    let import = match cribl::import(&bytes, &file) {
        Ok(import) => import,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    let Some(configuration) = &import.configuration else {
        tell(&file, &import);
        return ExitCode::FAILURE;
    };
    if let Err(error) = write(args, configuration) {
        eprintln!("millpond: {error:#}");
        return ExitCode::FAILURE;
    }
    tell(&file, &import);
    if import.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The bytes of the file, and one more than it may have if it is longer.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(cribl::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(args: &ImportArgs, configuration: &str) -> anyhow::Result<()> {
    let Some(path) = &args.output else {
        let mut out = io::stdout().lock();
        return match out.write_all(configuration.as_bytes()).and_then(|()| out.flush()) {
            // Whoever reads has seen enough, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.context("the configuration cannot be printed"),
        };
    };
    write_file(path, configuration, args).with_context(|| format!("{} cannot be written", path.display()))
}

/// Puts the whole file in its place at once, so that there is never half of one.
fn write_file(path: &Path, configuration: &str, args: &ImportArgs) -> anyhow::Result<()> {
    // What is replaced is the file itself, not a link that leads to it.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Ok(there) = fs::metadata(&path) {
        if !args.force {
            bail!("it is there already; choose another name, or replace it with --force");
        }
        if !there.is_file() {
            bail!("it is there, and is no regular file");
        }
        if fs::canonicalize(&args.file).is_ok_and(|source| source == path) {
            bail!("it is the file that is read");
        }
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let mut file =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(directory)?;
    file.write_all(configuration.as_bytes())?;
    file.as_file().sync_all()?;
    if args.force {
        file.persist(&path)?
    } else {
        file.persist_noclobber(&path)?
    };
    Ok(())
}

/// The notes, what is wrong with the configuration, and how much was translated.
fn tell(file: &str, import: &Import) {
    for note in &import.notes {
        eprintln!("{note}");
    }
    let Import { translated, found, .. } = import;
    let notes = match import.notes.len() {
        0 => "nothing to see to".to_owned(),
        1 => "1 note".to_owned(),
        notes => format!("{notes} notes"),
    };
    eprintln!("{file}: {translated} of {found} destinations translated: {notes}");
    if !import.problems.is_empty() {
        eprintln!(
            "the configuration that was made cannot be used as it is, which is a defect of this translation:"
        );
        for problem in &import.problems {
            eprintln!("{problem}");
        }
    }
}
