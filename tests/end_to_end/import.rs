//! An outputs.yml of Cribl becomes a configuration that `check` takes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/cribl").join(name)
}

fn millpond(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("MILLPOND_ENVIRONMENT");
    command.env("AWS_SECRET_ACCESS_KEY", "HUNTER2").output().unwrap()
}

/// Runs the import of a file; gives its exit code, what it printed and what it said.
#[track_caller]
fn import(file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = millpond(&[&["import-cribl", file.to_str().unwrap()], more].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), said)
}

#[test]
fn what_is_imported_passes_the_check() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("millpond.yaml");
    let (code, printed, said) = import(&fixture("typical.yml"), &["--output", config.to_str().unwrap()]);
    assert_eq!((code, printed.as_str()), (Some(0), ""), "{said}");
    assert!(
        said.contains("typical.yml:12:15: warning: outputs.plant.pipeline: redact_badges: is not"),
        "{said}"
    );
    assert!(said.ends_with("typical.yml: 1 of 3 destinations translated: 5 notes\n"), "{said}");
    let checked = millpond(&["check", "--config", config.to_str().unwrap()]);
    let report = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{report}");
    assert!(
        report.contains("plant-logs") && report.contains("the configuration is good: no problems"),
        "{report}"
    );
    assert!(!report.contains("HUNTER2"), "{report}");
}

#[test]
fn the_configuration_is_printed_and_what_is_said_is_apart() {
    let (code, printed, said) = import(&fixture("typical.yml"), &[]);
    let expected = std::fs::read_to_string(fixture("typical.yaml")).unwrap();
    let body = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!((code, body(&printed)), (Some(0), body(&expected)), "{said}");
    assert!(said.contains("warning: ") && !printed.contains("warning: "), "{said}");
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("millpond.yaml");
    let output = config.to_str().unwrap();
    std::fs::write(&config, "mine\n").unwrap();
    let (code, _, said) = import(&fixture("typical.yml"), &["-o", output]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is there already") && said.contains("--force"), "{said}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "mine\n");
    let (code, _, said) = import(&fixture("typical.yml"), &["-o", output, "--force"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(std::fs::read_to_string(&config).unwrap().contains("plant-logs"));
    // What is read is never replaced by what is made of it, not even through a link.
    let source = directory.path().join("outputs.yml");
    let link = directory.path().join("link.yml");
    std::fs::copy(fixture("typical.yml"), &source).unwrap();
    std::os::unix::fs::symlink(&source, &link).unwrap();
    let (code, _, said) = import(&source, &["-o", link.to_str().unwrap(), "--force"]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(std::fs::read(&source).unwrap(), std::fs::read(fixture("typical.yml")).unwrap());
    // Nor is anything left behind.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[test]
fn exit_codes() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let good = fixture("typical.yml");
    let nowhere = directory.path().join("nowhere/millpond.yaml");
    let made = directory.path().join("made.yaml");
    let rows: [(PathBuf, &[&str], i32, &str); 9] = [
        (directory.path().join("absent.yml"), &[], 1, "cannot be read"),
        (directory.path().to_owned(), &[], 1, "cannot be read"),
        (good.clone(), &["-o", nowhere.to_str().unwrap()], 1, "cannot be written"),
        (good.clone(), &["-o", directory.path().to_str().unwrap(), "--force"], 1, "no regular file"),
        (fixture("nothing.yml"), &["-o", made.to_str().unwrap()], 1, "0 of 1 destinations translated"),
        (file("syntax.yml", b"outputs: [\n"), &[], 2, "is not valid YAML"),
        (file("bytes.yml", b"outputs:\n  \xff\xfe: 1\n"), &[], 2, "is not UTF-8"),
        (file("inputs.yml", b"inputs:\n  app: { type: file }\n"), &[], 2, "holds no destinations"),
        (good, &["--force"], 2, "--output"),
    ];
    for (path, more, expected, part) in rows {
        let (code, printed, said) = import(&path, more);
        assert_eq!((code, printed.as_str()), (Some(expected), ""), "{}: {said}", path.display());
        assert!(said.contains(part), "{}: {said}", path.display());
    }
    assert!(!made.exists());
}
