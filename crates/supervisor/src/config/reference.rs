//! The tables of settings in `docs/configuration.md`, made from the declarations of the settings.

use std::fmt::Write as _;

use super::settings::{Default, GROUPS, Group};
use super::values::range;

/// Puts a fresh table between each pair of markers, `<!-- settings: NAME -->` and `<!-- /settings -->`.
/// Nothing if a group of settings has no markers on the page.
fn refresh(page: &str) -> Option<String> {
    let mut fresh = page.to_owned();
    for group in GROUPS {
        let begin = format!("<!-- settings: {} -->\n", group.name);
        let from = fresh.find(&begin)? + begin.len();
        let to = from + fresh[from..].find("<!-- /settings -->")?;
        fresh.replace_range(from..to, &table(group));
    }
    Some(fresh)
}

fn table(group: &Group) -> String {
    let mut table = "| key | default | takes | meaning |\n|---|---|---|---|\n".to_owned();
    for setting in group.available() {
        let default = match setting.default {
            Default::Required => "**required**".to_owned(),
            Default::Nothing => "–".to_owned(),
            Default::Is(text) => format!("`{text}`"),
            Default::Shown(text) => text.to_owned(),
        };
        let takes = match group.of_type {
            Some(word) if setting.key == "type" => format!("`{word}`"),
            _ => range(setting).unwrap_or_else(|| "–".to_owned()),
        };
        let row = format!("| `{}` | {default} | {takes} | {} |", setting.key, setting.about);
        writeln!(table, "{row}").expect("a String takes all text");
    }
    table
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Environment, parse};

    fn page_path() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md")
    }

    /// With `MILLPOND_WRITE_DOCS` set the page is written instead of compared.
    #[test]
    fn docs_configuration_has_the_declared_settings() {
        let page = std::fs::read_to_string(page_path()).unwrap();
        let fresh = refresh(&page).expect("the page has markers for every group of settings");
        if std::env::var_os("MILLPOND_WRITE_DOCS").is_some() {
            std::fs::write(page_path(), fresh).unwrap();
            return;
        }
        assert!(
            page == fresh,
            "docs/configuration.md is out of step: MILLPOND_WRITE_DOCS=1 cargo test -p millpond reference"
        );
    }

    #[test]
    fn every_example_of_the_page_is_a_good_configuration() {
        let page = std::fs::read_to_string(page_path()).unwrap();
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join("kinesis"), r#"{"access_key": "AKIA", "secret_key": "x"}"#)
            .unwrap();
        let variables = [
            ("AWS_KEY", "AKIA"),
            ("AWS_SECRET", "x"),
            ("HTTP_TOKEN", "x"),
            ("SITE", "mill"),
            ("KINESIS_STREAM", "logs"),
            ("PROXY_PASSWORD", "x"),
            ("CREDENTIALS_DIRECTORY", credentials.path().to_str().unwrap()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let environment = Environment { variables, ..Environment::default() };
        let examples: Vec<_> =
            page.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```")).collect();
        assert!(examples.len() >= 3);
        assert_eq!(examples[0].0, crate::config::MINIMAL);
        for (example, _) in examples {
            let result = parse(example, "docs/configuration.md", Path::new("/"), &environment);
            let (_, warnings) = result.unwrap_or_else(|problems| panic!("{example}\n{problems}"));
            assert_eq!(warnings, [], "{example}");
        }
    }
}
