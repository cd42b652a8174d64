//! The tables of `docs/metrics.md`, made from the declarations of the metrics; and the dashboard and the alert rules beside
//! it, which may name no metric that is not declared.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{PARTS, Part, families};

fn docs(name: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn table(part: &Part) -> String {
    let mut table = "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n".to_owned();
    for family in part.families {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        let (name, kind, unit, about) = (family.name, family.kind.as_str(), family.unit, family.about);
        writeln!(table, "| `{name}` | {kind} | {unit} | {labels} | {about} |").unwrap();
    }
    table
}

/// Puts a fresh table between each pair of markers, `<!-- metrics: NAME -->` and `<!-- /metrics -->`.
fn refresh(page: &str) -> String {
    let mut fresh = page.to_owned();
    for part in &PARTS {
        let begin = format!("<!-- metrics: {} -->\n", part.name);
        let from = fresh.find(&begin).unwrap_or_else(|| panic!("the page has no {begin}")) + begin.len();
        let to = from + fresh[from..].find("<!-- /metrics -->").expect("the marker has an end");
        fresh.replace_range(from..to, &table(part));
    }
    fresh
}

/// With `MILLPOND_WRITE_DOCS` set the page is written instead of compared.
#[test]
fn docs_metrics_has_the_declared_metrics() {
    let page = std::fs::read_to_string(docs("metrics.md")).unwrap();
    let fresh = refresh(&page);
    if std::env::var_os("MILLPOND_WRITE_DOCS").is_some() {
        std::fs::write(docs("metrics.md"), fresh).unwrap();
        return;
    }
    assert!(
        page == fresh,
        "docs/metrics.md is out of step: MILLPOND_WRITE_DOCS=1 cargo test -p millpond reference"
    );
}

/// Names of metrics in a text.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    text.split(move |char| !is_part(char)).filter(|word| word.starts_with("millpond_"))
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    for name in ["dashboards/millpond.json", "alerts.yml", "metrics.md", "admin.md"] {
        let text = std::fs::read_to_string(docs(name)).unwrap();
        let mut count = 0;
        for word in named(&text) {
            let of_histogram = |family: &super::Family| {
                let suffix = word.strip_prefix(family.name);
                matches!(suffix, Some("_bucket" | "_sum" | "_count")) && family.kind == super::Kind::Histogram
            };
            // Fields of events that the admin address sends.
            let is_field = matches!(word, "millpond_test" | "millpond_test_id");
            let known = is_field || families().any(|family| family.name == word || of_histogram(family));
            assert!(known, "docs/{name}: there is no metric {word}");
            count += 1;
        }
        assert!(count > 0 || name == "admin.md", "docs/{name} names no metric");
    }
}

#[test]
fn the_dashboard_is_json_with_a_panel_for_each_question() {
    let text = std::fs::read_to_string(docs("dashboards/millpond.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let with_queries = panels.iter().filter(|panel| panel["type"] != "row");
    let mut ids = std::collections::BTreeSet::new();
    for panel in with_queries {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty() && !panel["description"].as_str().unwrap().is_empty(), "{panel}");
    }
    assert!(ids.len() >= 12, "{ids:?}");
}
