//! Whole files: what they become, and what is said about them.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// Files of `fixtures/cribl` whose translation this version takes.
const TAKEN: [&str; 11] = [
    "typical",
    "minimal",
    "ranges",
    "expressions",
    "refused",
    "keys",
    "plain-records",
    "assume-role",
    "secret",
    "insecure",
    "drain-rate",
];

/// Files of which nothing can be translated.
const NOTHING_IN_THEM: [&str; 1] = ["nothing"];

fn path(name: &str, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/cribl/{name}.{extension}"))
}

fn import_fixture(name: &str) -> Import {
    let source = std::fs::read(path(name, "yml")).unwrap();
    import(&source, &format!("{name}.yml")).unwrap()
}

fn lines<T: ToString>(findings: &[T]) -> String {
    findings.iter().map(|finding| finding.to_string() + "\n").collect()
}

/// Each file becomes exactly the configuration and the notes that stand beside it. With `MILLPOND_BLESS=1` they are
/// written instead: look at the difference.
#[test]
fn fixtures() {
    let mut different = Vec::new();
    for name in TAKEN.iter().chain(&NOTHING_IN_THEM) {
        let import = import_fixture(name);
        let configuration = import.configuration.unwrap_or_default();
        for (extension, made) in [("yaml", configuration), ("notes", lines(&import.notes))] {
            let path = path(name, extension);
            if std::env::var_os("MILLPOND_BLESS").is_some() {
                std::fs::write(&path, &made).unwrap();
            }
            if std::fs::read_to_string(&path).unwrap_or_default() != made {
                different.push(format!("=== {name}.{extension}\n{made}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_fixture_is_in_a_list() {
    let lists = TAKEN.iter().chain(&NOTHING_IN_THEM).count();
    let directory = path("typical", "yml").parent().unwrap().to_owned();
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(files.filter(|path| path.extension().is_some_and(|is| is == "yml")).count(), lists);
}

/// The page for users shows a whole file, and what really comes of it.
#[test]
fn the_page_shows_what_is_made() {
    let page = std::fs::read_to_string(path("../../docs/import-cribl", "md")).unwrap();
    let source = std::fs::read_to_string(path("typical", "yml")).unwrap();
    let import = import(source.as_bytes(), "outputs.yml").unwrap();
    for shown in [source, import.configuration.unwrap(), lines(&import.notes)] {
        assert!(page.contains(&format!("\n{shown}")), "docs/import-cribl.md does not show this:\n{shown}");
    }
}

/// The command says so itself if it made something that millpond does not take.
#[test]
fn what_is_made_is_a_good_configuration() {
    for name in TAKEN {
        let import = import_fixture(name);
        assert!(import.configuration.is_some(), "{name}");
        assert!(import.problems.is_empty(), "{name}:\n{}", lines(&import.problems));
    }
}

#[test]
fn no_secret_is_in_what_is_made_or_said() {
    for name in TAKEN.iter() {
        let import = import_fixture(name);
        let all = import.configuration.unwrap_or_default() + &lines(&import.notes) + &lines(&import.problems);
        assert!(!all.contains("HUNTER2"), "{name}:\n{all}");
    }
    let source = std::fs::read_to_string(path("keys", "yml")).unwrap();
    assert!(source.contains("HUNTER2"), "the fixture has secrets");
    for broken in ["connectionString: HUNTER2: [", "  SharedAccess: \"HUNTER2"] {
        let problems = import(format!("outputs:\n  hub:\n    {broken}\n").as_bytes(), "x").unwrap_err();
        assert!(!problems.to_string().contains("HUNTER2"), "{problems}");
    }
}

#[test]
fn what_is_no_file_of_cribl_is_refused() {
    let not_cribl = "x: holds no destinations of Cribl\n    name Cribl's outputs.yml: a section `outputs` with the \
                     settings of each destination under its id";
    for source in [
        "",
        "# nothing\n",
        "outputs:\n",
        "outputs: {}\n",
        "outputs: [a]\n",
        "- a\n",
        "text\n",
        "a: 1\n",
        "inputs:\n  app:\n    type: file\n",
    ] {
        assert_eq!(import(source.as_bytes(), "x").unwrap_err().to_string(), not_cribl, "{source}");
    }
    for (source, said) in [
        (b"outputs:\n  a: b: c\n".to_vec(), "x:2:7: is not valid YAML: "),
        (b"outputs:\n  a: \xff\n".to_vec(), "x: is not UTF-8\n"),
        (b"a: 1\n---\nb: 2\n".to_vec(), "x:2:1: begins a second YAML document\n"),
        (vec![b'#'; FILE_BYTES_MAX + 1], "x: is too long\n"),
        ("[".repeat(100_000).into_bytes(), "x:1:"),
        (format!("outputs: {}{}\n", "{a: ".repeat(40), "}".repeat(40)).into_bytes(), "x:1:"),
    ] {
        let problems = import(&source, "x").unwrap_err().to_string();
        assert!(problems.starts_with(said), "{problems}");
    }
}

/// A file may be made to say or to become far more than its own length.
#[test]
fn aliases_do_not_make_much_of_little() {
    let many = 20_000;
    let unknown: String = (0..100).map(|number| format!("u{number}: x, ")).collect();
    let noisy = format!("a: &x {{ type: kinesis, streamName: s, region: r, {unknown} }}\n");
    let large = format!(
        "a: &x {{ type: kinesis, streamName: s, region: r, systemFields: [], description: {} }}\n",
        "d".repeat(100_000)
    );
    for (first, said) in [(noisy, "there is too much to say"), (large, "holds at most 1 MiB")] {
        let source = (0..many).fold(first, |source, number| source + &format!("o{number}: *x\n"));
        let import = import(source.as_bytes(), "x").unwrap();
        let last = import.notes.last().unwrap();
        assert!(last.message.contains(said), "{last}");
        assert!(import.notes.len() < 1200 && import.translated < 100, "{}", import.notes.len());
        let configuration = import.configuration.unwrap();
        assert!(
            configuration.len() < FILE_BYTES_MAX && import.problems.is_empty(),
            "{}",
            lines(&import.problems)
        );
    }
}

/// The name of the file stands in a comment, and stays in it.
#[test]
fn the_name_of_the_file_cannot_break_out_of_its_comment() {
    let source = std::fs::read(path("typical", "yml")).unwrap();
    let import = import(&source, "x\ndata_dir: /tmp\r\u{2028}data_dir: /tmp").unwrap();
    let configuration = import.configuration.unwrap();
    assert!(
        configuration.starts_with("# Made by `millpond import-cribl` from xdata_dir: /tmpdata_dir: /tmp.\n")
    );
    assert!(import.problems.is_empty(), "{}", lines(&import.problems));
}

const KEYS: [&str; 46] = [
    "type",
    "description",
    "disabled",
    "pipeline",
    "systemFields",
    "environment",
    "streamtags",
    "streamName",
    "awsAuthenticationMethod",
    "awsApiKey",
    "awsSecretKey",
    "awsSecret",
    "region",
    "endpoint",
    "signatureVersion",
    "reuseConnections",
    "rejectUnauthorized",
    "enableAssumeRole",
    "assumeRoleArn",
    "assumeRoleExternalId",
    "durationSeconds",
    "concurrency",
    "maxRecordSizeKB",
    "flushPeriodSec",
    "compression",
    "useListShards",
    "asNdjson",
    "maxEventsPerFlush",
    "onBackpressure",
    "pqMode",
    "pqMaxFileSize",
    "pqMaxSize",
    "pqPath",
    "pqCompress",
    "pqOnBackpressure",
    "pqStrictOrdering",
    "pqRatePerSec",
    "pqMaxBufferSize",
    "pqMaxBufferSizeBytes",
    "pqMaxBackpressureSec",
    "pqControls",
    "id",
    "__template_streamName",
    "__template_awsSecretKey",
    "<<",
    "other",
];

/// Values of every kind, good ones of every setting among them.
fn value() -> impl Strategy<Value = Rc<str>> {
    let good = prop::sample::select(vec![
        "kinesis",
        "logs",
        "eu-west-1",
        "auto",
        "manual",
        "secret",
        "v2",
        "v4",
        "true",
        "false",
        "none",
        "gzip",
        "block",
        "drop",
        "queue",
        "error",
        "backpressure",
        "always",
        "5GB",
        "1 MB",
        "0.5",
        "0",
        "5",
        "900",
        "100000",
        "[]",
        "{}",
        "[a, b]",
        "{a: [b]}",
        "~",
        "\"\"",
        "\"'x'\"",
        "\"`${x}`\"",
        "/srv/queues",
        "https://x:1",
        "arn:aws:iam::1:role/x",
        "99999999999999999999999999 TB",
        "\"\\n\\0\\\"\"",
    ]);
    prop_oneof![
        4 => good.prop_map(Rc::from),
        1 => "[ -~]{0,20}".prop_map(|text| Rc::from(format!("'{}'", text.replace('\'', "''")))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever the settings hold, the result is one that this version takes.
    #[test]
    fn any_settings_become_a_good_configuration(
        queue: bool,
        settings in prop::collection::vec((prop::sample::select(&KEYS[..]), value()), 0..30),
    ) {
        let mut source = "outputs:\n  main:\n    type: kinesis\n".to_owned();
        // Of a key that is there twice the first counts.
        source += if queue { "    onBackpressure: queue\n" } else { "" };
        for (key, value) in settings {
            source += &format!("    {key}: {value}\n");
        }
        let import = import(source.as_bytes(), "x").unwrap();
        prop_assert!(import.problems.is_empty(), "{:?}\n{}\n{:?}", import.problems, source, import.configuration);
    }

    #[test]
    fn no_text_panics(text in r"([ -~\n\t]|[\[\]{}:,&*!|>'%@#?-]|- |: |\n  |outputs:|type: kinesis|é){0,80}", bytes: Vec<u8>) {
        for source in [text.as_bytes(), &bytes] {
            if let Ok(import) = import(source, "x") {
                prop_assert!(import.translated <= import.found && import.found > 0);
            }
        }
    }
}
