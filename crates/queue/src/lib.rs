//! A durable first-in-first-out queue of opaque batches, kept in segment files.
//!
//! What [`Queue::commit`] has confirmed survives `kill -9`, power loss (as far as the disk keeps
//! what it confirmed), a full disk and I/O errors; it is read back in order, checked byte for
//! byte, until it is acknowledged and the acknowledgement is durable itself.
//!
//! What this crate is not: it is not asynchronous, it has no clock (times are handed in), it
//! knows nothing of what a batch contains, and it does not decide what a full queue means.
//!
//! ```no_run
//! use millpond_queue::{BatchInfo, Fs, Options, Queue, Sequence};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut queue, recovery) = Queue::open(Fs::create("queues/main".as_ref())?, Options::default())?;
//! for finding in &recovery.findings {
//!     eprintln!("{finding}");
//! }
//! queue.append(BatchInfo { kind: 1, events: 2, ..BatchInfo::default() }, &["two events".into()])?;
//! let durable = queue.commit()?; // Only now may the input be told.
//! let mut reader = queue.reader(queue.acked());
//! while let Some(frame) = reader.next()? {
//!     // Send `frame.payload`, then:
//!     queue.ack(frame.sequence);
//! }
//! let now_ms = 1_700_000_000_000; // Milliseconds since the Unix epoch.
//! queue.checkpoint(now_ms)?; // The acknowledgement is durable, delivered segments are gone.
//! assert_eq!(queue.acked(), durable.upto);
//! queue.close(now_ms)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Files
//!
//! ```text
//! LOCK                        held by flock, contains the process id
//! 00000000000000000001.seg    segments, named by the sequence of their first batch
//! cursor.a  cursor.b          where the consumer is: two slots, the newest valid one counts
//! quarantine/                 damaged bytes, set aside, never deleted
//! catalog/                    a rebuildable index; may be deleted while the queue is closed
//! ```

mod ack;
mod batch;
mod catalog;
mod check;
pub mod checkpoint;
mod commit;
mod consume;
mod consumer;
mod cursor;
#[cfg(test)]
mod document;
mod error;
mod format;
mod give_up;
mod handover;
pub mod inspect;
mod named;
mod open;
mod options;
mod pack;
mod quarantine;
mod queue;
mod reader;
mod recovery;
pub mod repair;
mod retain;
mod segment;
mod space;
mod stats;
pub mod storage;
mod summary;
mod timeline;
mod view;

pub use batch::{BatchInfo, DropReason, Durable, Frame, Losses, Sequence, Tally, Written};
pub use consume::CheckpointOutcome;
pub use error::{
    AppendError, CheckpointFailed, CloseError, CommitError, ConsumerError, FullReason, OpenError, ReadError,
};
pub use give_up::GivenUp;
pub use named::Named;
pub use open::is_queue_file;
pub use options::{Options, Retain};
pub use queue::Queue;
pub use reader::Reader;
pub use recovery::{Finding, Recovery};
pub use stats::Stats;
pub use storage::{Storage, fs::Fs};
