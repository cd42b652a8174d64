//! The line of an error with the place marked, and nothing of a secret in it.

use super::tree::Position;

/// Longest part of a line that is shown, in characters.
const WIDTH_MAX: usize = 100;

/// Keys whose values are never shown. Other spellings of them are there too, since the error may be in the key.
const SECRETS: [&str; 8] =
    ["secretkey", "secretaccesskey", "sessiontoken", "token", "password", "secret", "proxy", "externalid"];

/// The line at `at` and a mark under its column. What may be part of a secret is shown as `…`.
pub(super) fn excerpt(source: &str, at: Position) -> Option<String> {
    let mut hidden_above: Option<usize> = None;
    let mut shown = None;
    for (index, line) in source.lines().take(at.line).enumerate() {
        let indent = line.len() - line.trim_start().len();
        if hidden_above.is_some_and(|above| indent <= above && starts_with_key(line)) {
            hidden_above = None;
        }
        let secret_at = secret_value_at(line);
        if index + 1 == at.line {
            shown = Some(match (hidden_above, secret_at) {
                (Some(_), _) => (line, 0),
                (None, Some(value)) => (line, value),
                (None, None) => (line, line.len()),
            });
        }
        if secret_at.is_some() && hidden_above.is_none() {
            hidden_above = Some(indent);
        }
    }
    let (line, visible) = shown?;
    let hidden = if visible < line.len() { "…" } else { "" };
    let line: String = line.get(..visible)?.chars().take(WIDTH_MAX).map(plain).collect();
    let mark = (at.column - 1).min(line.chars().count());
    let number = at.line.to_string();
    Some(format!("{number} | {line}{hidden}\n{} | {}^", " ".repeat(number.len()), " ".repeat(mark)))
}

/// Keeps a tab or another control character from moving the mark.
fn plain(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Where the value of a secret begins in this line, if one does.
fn secret_value_at(line: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = line.get(from..)?.find([':', '=']) {
        let at = from + found;
        let key = line[..at].trim_end().trim_end_matches(['"', '\'']);
        let word = key.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').next().unwrap_or("");
        let word: String = word.chars().filter(|c| c.is_alphanumeric()).collect();
        let word = word.to_lowercase();
        if SECRETS.iter().any(|secret| word.ends_with(secret)) {
            return Some(at + 1);
        }
        from = at + 1;
    }
    None
}

/// Whether the line begins with `key:` or `- `.
fn starts_with_key(line: &str) -> bool {
    let line = line.trim_start();
    let bare = line.trim_start_matches(['"', '\'']);
    let word = bare.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(bare.len());
    let after = bare[word..].trim_start_matches(['"', '\'']);
    line.starts_with("- ") || (word > 0 && after.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(source: &str, line: usize, column: usize, expected: &str) {
        assert_eq!(excerpt(source, Position { line, column }).as_deref(), Some(expected), "{source}");
    }

    #[test]
    fn the_place_is_marked() {
        check("a: 1\nb: c: d\n", 2, 5, "2 | b: c: d\n  |     ^");
        check("a: \"é", 1, 6, "1 | a: \"é\n  |      ^");
        check("\ta: 1", 1, 2, "1 |  a: 1\n  |  ^");
        assert_eq!(excerpt("a: 1\n", Position { line: 3, column: 1 }), None);
    }

    #[test]
    fn a_secret_is_never_shown() {
        check("secret_key: \"abc: d\n", 1, 17, "1 | secret_key:…\n  |            ^");
        check("auth: {secret_key: hunter2, x: [}", 1, 33, "1 | auth: {secret_key:…\n  |                   ^");
        check("session_token:\n  \"abc\n  def: ghi\n", 3, 6, "3 | …\n  | ^");
        check("  secretKey: |\n   hunter2\n  region: b: c\n", 3, 12, "3 |   region: b: c\n  |            ^");
        check("aws_secret_access_key = hunter2 : x", 1, 5, "1 | aws_secret_access_key =…\n  |     ^");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r"([ -~\n\t]|secret_key|: |é|\u{2028}){0,40}", line in 1_usize..6, column in 1_usize..40) {
            let excerpt = excerpt(&text, Position { line, column });
            prop_assert!(excerpt.is_none_or(|excerpt| excerpt.contains('^')));
        }

        #[test]
        fn no_part_of_a_secret_is_shown(before in "[a-z: {]{0,10}", after in "[ \n\"'|:>]{1,5}", column in 1_usize..40) {
            let text = format!("x: y\n{before} secret_key:{after}HUNTER2\n");
            for line in 1..=text.lines().count() {
                let excerpt = excerpt(&text, Position { line, column }).unwrap_or_default();
                prop_assert!(!excerpt.contains("HUNTER2"), "{}", excerpt);
            }
        }
    }
}
