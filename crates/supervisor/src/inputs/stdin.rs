//! Standard input.

use super::{InputContext, InputError};

/// Reads standard input until its end, or until told to stop.
///
/// # Errors
/// When it cannot be read, or no output takes events any more.
pub async fn run_stdin(ctx: InputContext) -> Result<(), InputError> {
    todo!("{ctx:?}")
}
