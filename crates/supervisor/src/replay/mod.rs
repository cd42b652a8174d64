//! A replay: batches that are on disk are sent once more, or for the first time, to any stream.
//!
//! A replay is an output without inputs: the same [driver](crate::driver) sends, with the same verification, ramp, window and
//! retries, and a [`Walk`](walk::Walk) over the frames takes the queue's place. What was accepted is written down in a
//! [named cursor](named) before its batch counts as landed, or acknowledged in the queue itself with `--consume`.

pub mod books;
pub mod course;
pub mod named;
pub mod pulse;
pub mod range;
pub mod run;
pub mod screen;
pub mod summary;
pub mod walk;
