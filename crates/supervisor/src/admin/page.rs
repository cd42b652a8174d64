//! The page for browsers. It is in the program, needs nothing from elsewhere, and knows nothing: what it shows it asks for
//! under the same address.

use hyper::StatusCode;
use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::answer::{self, Answer};

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageFile {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

/// Scripts and styles from here, questions to here, and nothing else; in no frame of another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static FILES: [PageFile; 8] = [
    PageFile { path: "/", kind: HTML, text: include_str!("page/index.html") },
    PageFile { path: "/page/page.css", kind: CSS, text: include_str!("page/page.css") },
    PageFile { path: "/page/main.js", kind: SCRIPT, text: include_str!("page/main.js") },
    PageFile { path: "/page/ask.js", kind: SCRIPT, text: include_str!("page/ask.js") },
    PageFile { path: "/page/words.js", kind: SCRIPT, text: include_str!("page/words.js") },
    PageFile { path: "/page/history.js", kind: SCRIPT, text: include_str!("page/history.js") },
    PageFile { path: "/page/charts.js", kind: SCRIPT, text: include_str!("page/charts.js") },
    PageFile { path: "/page/show.js", kind: SCRIPT, text: include_str!("page/show.js") },
];

/// The file under this path.
pub(super) fn find(path: &str) -> Option<&'static PageFile> {
    FILES.iter().find(|file| file.path == path)
}

pub(super) fn serve(file: &PageFile) -> Answer {
    let mut answer = answer::text(StatusCode::OK, file.kind, file.text);
    let headers: [(HeaderName, &str); 4] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the page loads is here, and nothing is loaded from elsewhere.
    #[test]
    fn what_the_page_loads_is_here() {
        let mut loaded = 0;
        for file in &FILES {
            for elsewhere in ["http://", "https://", "url(", "import("] {
                let known = ["http://www.w3.org/2000/svg"];
                let text = known.iter().fold(file.text.to_owned(), |text, known| text.replace(known, ""));
                assert!(!text.contains(elsewhere), "{} names {elsewhere}", file.path);
            }
            for (before, folder) in [("src=\"/", "/"), ("href=\"/", "/"), ("from \"./", "/page/")] {
                for rest in file.text.split(before).skip(1) {
                    let path = format!("{folder}{}", rest.split('"').next().unwrap());
                    assert!(find(&path).is_some(), "{} loads {path}", file.path);
                    loaded += 1;
                }
            }
            assert!(!file.text.contains("style=\""), "{}: the policy allows no styles within", file.path);
        }
        assert!(loaded >= FILES.len() - 1, "{loaded}");
    }
}
