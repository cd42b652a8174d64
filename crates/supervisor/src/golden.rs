//! Files under `fixtures` with which tests compare what they make. With `MILLPOND_BLESS` set they are written instead; what
//! has changed is then for a person to read.

use std::path::Path;

/// Compares `fresh` with `fixtures/<name>`.
#[track_caller]
pub(crate) fn check(name: &str, fresh: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    if std::env::var_os("MILLPOND_BLESS").is_some() {
        std::fs::write(&path, fresh).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == fresh, "not as in fixtures/{name} (MILLPOND_BLESS=1 writes it):\n{fresh}");
}
