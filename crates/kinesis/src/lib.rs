//! Turns events into records that Amazon Kinesis Data Streams has accepted, and is truthful about
//! which ones those are.
//!
//! The way of an event: [`batcher`] fills a buffer and seals it, [`encode`] turns the sealed buffer
//! into a [`Batch`] (exactly the bytes that Kinesis will get), [`output`] makes one attempt to send
//! the batch through a [`client`] and [`settle`] gives every record of it one of three fates:
//! delivered, to be sent again, or rejected for good.
//!
//! What is *not* here: files, queues, sequence numbers of a queue, back-off, health. One call of
//! [`Output::send`] is one attempt; when and whether there is another is the caller's decision.
//!
//! Pure modules (no clock, no I/O, no async): [`limits`], [`record`], [`encode`], [`decode`],
//! [`batch`], [`batcher`], [`classify`], [`settle`], [`shards`]. Only [`aws`] knows the SDK.

mod attempt;
pub mod aws;
pub mod batch;
pub mod batcher;
pub mod classify;
pub mod client;
pub mod decode;
pub mod encode;
mod group;
pub mod limits;
pub mod output;
pub mod record;
pub mod settle;
pub mod shards;

pub use batch::{Batch, BatchError, BatchMeta, Format, RecordRef};
pub use batcher::{Batcher, BatcherOptions, PartitionKey, Push};
pub use client::{Cause, Class, Client, Failure};
pub use encode::{COMPRESSION_LEVEL_DEFAULT, Sealed};
pub use output::{Output, OutputOptions, Report, Verification};
pub use settle::{Pending, RejectedRecord};
