//! What is secret and kept elsewhere: the `secrets` section, and reading what it names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use millpond_kinesis::aws::{KeySource, Keys, Secret};

use super::units::Fault;

/// Longest secret that is read. Keys have 300 bytes, session tokens up to 4 KiB.
const SECRET_BYTES_MAX: usize = 64 * 1024;

/// A secret: its name, and where it is kept. It is read whenever it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    name: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Variable {
        name: String,
        /// As it was when the configuration was read; the environment of a process does not change.
        value: Option<Secret>,
    },
    /// A credential of systemd; `None`: systemd has handed none to this process.
    Credential {
        name: String,
        directory: Option<PathBuf>,
    },
}

/// Why a secret is not there.
struct Missing {
    what: String,
    remedy: String,
}

impl SecretSource {
    pub(super) fn file(name: &str, path: PathBuf) -> Self {
        Self { name: name.to_owned(), place: Place::File(path) }
    }

    pub(super) fn variable(name: &str, variable: String, variables: &BTreeMap<String, String>) -> Self {
        let value = variables.get(&variable).cloned().map(Secret::new);
        Self { name: name.to_owned(), place: Place::Variable { name: variable, value } }
    }

    pub(super) fn credential(name: &str, credential: String, variables: &BTreeMap<String, String>) -> Self {
        let directory = variables.get("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { name: name.to_owned(), place: Place::Credential { name: credential, directory } }
    }

    fn read(&self) -> Result<String, Missing> {
        match &self.place {
            Place::File(path) => read_file(path),
            Place::Variable { name, value } => match value {
                Some(value) => Ok(value.expose().to_owned()),
                None => Err(Missing {
                    what: format!("the environment variable {name} is not set"),
                    remedy: format!("set {name} for the user that millpond runs as"),
                }),
            },
            Place::Credential { name, directory: Some(directory) } => read_file(&directory.join(name)),
            Place::Credential { name, directory: None } => Err(Missing {
                what: "this process has no credentials of systemd ($CREDENTIALS_DIRECTORY is not set)"
                    .to_owned(),
                remedy: format!("add `LoadCredential={name}:/path/of/it` to the unit, or use `file`"),
            }),
        }
    }

    /// The keys in the secret, with where they are missing in words.
    pub(super) fn read_keys(&self) -> Result<Keys, Fault> {
        let text = self.read().map_err(|missing| self.fault(missing))?;
        parse_keys(&text).map_err(|what| {
            let remedy = "it must hold a JSON object with `access_key` and `secret_key`, or lines \
                          `aws_access_key_id = …` and `aws_secret_access_key = …`";
            Fault::new(format!("names the secret `{}`, which {what}", self.name), remedy)
        })
    }

    fn fault(&self, missing: Missing) -> Fault {
        Fault::new(format!("needs the secret `{}`, and {}", self.name, missing.what), missing.remedy)
    }
}

impl KeySource for SecretSource {
    fn keys(&self) -> Result<Keys, String> {
        self.read_keys().map_err(|fault| fault.to_string())
    }

    fn place(&self) -> String {
        let place = match &self.place {
            Place::File(path) => path.display().to_string(),
            Place::Variable { name, .. } => format!("the variable {name}"),
            Place::Credential { name, .. } => format!("systemd's credential {name}"),
        };
        format!("the secret `{}` ({place})", self.name)
    }
}

/// A secret file without the line end at its end.
fn read_file(path: &std::path::Path) -> Result<String, Missing> {
    use std::io::Read as _;
    let missing = |what: String, remedy: &str| Missing {
        what: format!("{} {what}", path.display()),
        remedy: remedy.to_owned(),
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| {
            missing(
                format!("cannot be read: {error}"),
                "put it there, readable for the user that millpond runs as",
            )
        })?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(missing("is too long for a secret".to_owned(), "is this the right file?"));
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|_| missing("is not UTF-8".to_owned(), "is this the right file?"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// Keys as JSON, or as lines `name = value`. `Err` completes "which …", and shows nothing of the text.
fn parse_keys(text: &str) -> Result<Keys, String> {
    let pairs = if text.trim_start().starts_with('{') { json_pairs(text)? } else { line_pairs(text) };
    let find = |names: &[&str]| {
        let is_named = |(name, _): &&(String, String)| names.contains(&name.as_str());
        pairs.iter().find(is_named).map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let access_key = find(&["accesskey", "accesskeyid", "awsaccesskeyid"]);
    let secret_key = find(&["secretkey", "secretaccesskey", "awssecretaccesskey"]);
    let session_token = find(&["sessiontoken", "awssessiontoken", "token"]);
    Ok(Keys {
        access_key: access_key.ok_or("holds no access key")?,
        secret_key: Secret::new(secret_key.ok_or("holds no secret key")?),
        session_token: session_token.map(Secret::new),
    })
}

fn json_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_str(text)
        .map_err(|error| format!("is no JSON object (line {}, column {})", error.line(), error.column()))?;
    let pair = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(value) => Some((simplify(&name), value)),
        _ => None,
    };
    Ok(object.into_iter().filter_map(pair).collect())
}

fn line_pairs(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((simplify(name), value.trim().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// `AccessKeyId`, `access_key_id` and `access-key-id` are one name.
fn simplify(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// The secrets of a configuration, and which of them were asked for.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    sources: BTreeMap<String, SecretSource>,
    used: RefCell<BTreeSet<String>>,
}

impl Secrets {
    pub(super) fn new(sources: impl IntoIterator<Item = SecretSource>) -> Self {
        let sources = sources.into_iter().map(|source| (source.name.clone(), source)).collect();
        Self { sources, used: RefCell::default() }
    }

    /// The source of this name.
    pub(super) fn source(&self, name: &str) -> Result<&SecretSource, Fault> {
        self.used.borrow_mut().insert(name.to_owned());
        self.sources.get(name).ok_or_else(|| {
            let message = format!("names the secret `{name}`, which is not under `secrets`");
            let remedy = match super::words::nearest(name, self.sources.keys().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("add it at the top of the file: `secrets: {{ {name}: {{ file: … }} }}`"),
            };
            Fault::new(message, remedy)
        })
    }

    /// What the secret of this name holds.
    pub(super) fn value(&self, name: &str) -> Result<String, Fault> {
        let source = self.source(name)?;
        source.read().map_err(|missing| source.fault(missing))
    }

    /// What to say of the secrets that nothing has asked for and that are not there.
    pub(super) fn missing_and_unused(&self) -> Vec<Fault> {
        let used = self.used.borrow();
        let unused = self.sources.values().filter(|source| !used.contains(&source.name));
        let fault = |source: &SecretSource| {
            let Missing { what, remedy } = source.read().err()?;
            Some(Fault::new(format!("names `{}`, which nothing uses, and {what}", source.name), remedy))
        };
        unused.filter_map(fault).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str, Option<&str>), &str>) {
        let keys = parse_keys(text);
        let found = keys.as_ref().map(|keys| {
            (&*keys.access_key, keys.secret_key.expose(), keys.session_token.as_ref().map(Secret::expose))
        });
        assert_eq!(found.map_err(String::as_str), expected, "{text}");
    }

    #[test]
    fn keys_as_they_are_written_elsewhere() {
        check(r#"{"access_key": "A", "secret_key": "s"}"#, Ok(("A", "s", None)));
        check(
            r#"{"AccessKeyId":"A","SecretAccessKey":"s","SessionToken":"t","Version":1}"#,
            Ok(("A", "s", Some("t"))),
        );
        check("[default]\naws_access_key_id = A\naws_secret_access_key=s=\n", Ok(("A", "s=", None)));
        check(
            "AWS_ACCESS_KEY_ID=A\r\nAWS_SECRET_ACCESS_KEY=s\r\nAWS_SESSION_TOKEN=\r\n",
            Ok(("A", "s", None)),
        );
        check("", Err("holds no access key"));
        check("{\"access_key\": \"A\"}", Err("holds no secret key"));
        check("{\"access_key\": \"HUNTER2", Err("is no JSON object (line 1, column 23)"));
        check("{\"access_key\": 7, \"secret_key\": \"s\"}", Err("holds no access key"));
    }

    #[test]
    fn a_file_is_read_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kinesis");
        let source = SecretSource::file("kinesis", path.clone());
        let missing = source.keys().unwrap_err();
        assert!(
            missing.contains("needs the secret `kinesis`") && missing.contains("cannot be read"),
            "{missing}"
        );
        for key in ["A", "B"] {
            std::fs::write(&path, format!("{{\"access_key\":\"{key}\",\"secret_key\":\"HUNTER2\"}}\n"))
                .unwrap();
            assert_eq!(source.keys().unwrap().access_key, key);
        }
        assert!(!format!("{source:?} {:?}", source.keys()).contains("HUNTER2"));
        assert!(source.place().contains("kinesis`") && source.place().contains(path.to_str().unwrap()));
    }

    #[test]
    fn line_ends_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        for (bytes, expected) in [("s", "s"), ("s\n", "s"), ("s\r\n", "s"), ("s\n\n", "s\n"), ("", "")] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(
                SecretSource::file("x", path.clone()).read().ok().as_deref(),
                Some(expected),
                "{bytes:?}"
            );
        }
        std::fs::write(&path, vec![b'x'; SECRET_BYTES_MAX + 1]).unwrap();
        assert!(SecretSource::file("x", path.clone()).keys().unwrap_err().contains("too long"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(SecretSource::file("x", path).keys().unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn variables_and_credentials() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("kinesis"), "HUNTER2\n").unwrap();
        let directory = directory.path().to_str().unwrap().to_owned();
        let variables: BTreeMap<String, String> =
            [("KEY".to_owned(), "v".to_owned()), ("CREDENTIALS_DIRECTORY".to_owned(), directory)].into();
        let nothing = BTreeMap::new();
        let secrets = Secrets::new([
            SecretSource::variable("a", "KEY".to_owned(), &variables),
            SecretSource::variable("b", "NONE".to_owned(), &variables),
            SecretSource::credential("c", "kinesis".to_owned(), &variables),
            SecretSource::credential("d", "kinesis".to_owned(), &nothing),
        ]);
        assert_eq!(secrets.value("a").as_deref(), Ok("v"));
        assert_eq!(secrets.value("c").as_deref(), Ok("HUNTER2"));
        assert!(secrets.value("e").unwrap_err().message.contains("is not under `secrets`"));
        let missing: Vec<_> = secrets.missing_and_unused().into_iter().map(|fault| fault.message).collect();
        assert!(
            matches!(missing.as_slice(), [b, d] if b.contains("`b`") && d.contains("`d`")),
            "{missing:?}"
        );
        assert!(secrets.value("b").unwrap_err().message.contains("NONE is not set"));
        assert!(secrets.value("d").unwrap_err().remedy.contains("LoadCredential=kinesis"));
    }
}
