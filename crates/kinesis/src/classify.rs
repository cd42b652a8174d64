//! Code and cause become a class and a sentence. Never the HTTP status alone: throttling is a 400.

use crate::client::Class;

/// The class of an error code of the service. Unknown codes are worth another try.
pub fn class_of(code: &str, message: &str) -> Class {
    todo!("{code} {message}")
}
