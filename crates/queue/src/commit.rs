//! Making staged batches durable: groups, syncs, and segments that follow one another.

use std::{io, mem};

use crate::{
    batch::{Durable, Sequence, Written},
    error::{CommitError, FullReason},
    format::{FRAMES_AT, SEAL_LEN, SegmentHeader, Totals},
    handover::Fresh,
    queue::{NoRoom, Queue},
    segment::{
        create::{self, CreateError},
        is_no_space,
        look::Content,
        tail::{Staged, Tail, WriteError},
    },
    storage::{Storage, StorageFile},
    summary::Weight,
    view::Segment,
};

/// Why a group did not get any further.
enum Stopped {
    /// No room, or no new segment.
    Commit(CommitError),
    /// The tail can never be trusted again.
    Broken(io::Error),
}

impl<S: Storage> Queue<S> {
    /// Makes everything staged durable: one write and one sync, unless a segment ends.
    ///
    /// When a write or a sync fails, the segment is given up for good and what was staged is
    /// written to a new one, once. The system call that failed is never repeated on its file.
    pub fn commit(&mut self) -> Result<Durable, CommitError> {
        self.put_down(true)?;
        Ok(Durable { upto: self.durable() })
    }

    /// Writes everything staged without waiting for the disk: it survives the end of the process, and is lost if the
    /// power fails before the next [`Queue::commit`]. Until then it stays in memory as well, counts as staged, and
    /// readers do not see it.
    pub fn write(&mut self) -> Result<Written, CommitError> {
        self.put_down(false)?;
        Ok(Written { upto: self.written() })
    }

    /// The first sequence that is not written: everything below it survives the end of the process.
    pub fn written(&self) -> Sequence {
        Sequence(self.durable().0 + self.written as u64)
    }

    fn put_down(&mut self, sync: bool) -> Result<(), CommitError> {
        let mut failures = 0;
        while self.written < self.staged.len() || (sync && self.written > 0) {
            let error = match self.put_down_group(sync) {
                Ok(()) => continue,
                Err(Stopped::Commit(error)) => return Err(error),
                Err(Stopped::Broken(error)) => error,
            };
            tracing::error!(
                %error,
                segment = self.tail.as_ref().map(Tail::base),
                "a write to the queue failed: the segment is given up, a new one is begun"
            );
            self.poison();
            failures += 1;
            if failures > 1 {
                return Err(CommitError::Failed(error));
            }
        }
        Ok(())
    }

    /// Writes what fits into a segment, and syncs once there is no more.
    fn put_down_group(&mut self, sync: bool) -> Result<(), Stopped> {
        if self.written < self.staged.len() {
            let count = self.prepare_group()?;
            let durable = self.durable().0;
            let tail = self.tail.as_mut().expect("a group is prepared for a tail");
            let group = self.staged.range(self.written..self.written + count);
            match tail.write(group, durable) {
                Ok(()) => {
                    self.written_bytes += self
                        .staged
                        .range(self.written..self.written + count)
                        .map(Staged::frame_len)
                        .sum::<u64>();
                    self.written += count;
                }
                Err(WriteError::NoSpace) => {
                    return Err(Stopped::Commit(CommitError::Full(FullReason::NoSpace)));
                }
                Err(WriteError::Broken(error)) => return Err(Stopped::Broken(error)),
            }
        }
        if sync && self.written == self.staged.len() {
            self.sync()?;
        }
        Ok(())
    }

    /// Makes durable what is written, and hands it to readers.
    fn sync(&mut self) -> Result<(), Stopped> {
        let tail = self.tail.as_mut().expect("what is written is in the tail");
        tail.sync().map_err(Stopped::Broken)?;
        self.publish();
        Ok(())
    }

    /// Sees to it that the tail has room for some of what is not written; gives for how many batches.
    fn prepare_group(&mut self) -> Result<usize, Stopped> {
        let mut rest = self.staged.range(self.written..);
        let total = self.staged_bytes - self.written_bytes;
        let first = rest.next().expect("there is something to write").frame_len();
        let whole_segment = self.capacity_for(first) - FRAMES_AT - SEAL_LEN as u64;
        let keep = match &self.tail {
            None => false,
            // A group is split only if it is larger than a segment.
            Some(tail) => tail.fits(total) || (total > whole_segment && tail.fits(first)),
        };
        if !keep {
            if self.written > 0 {
                // A segment is made only when everything before it is durable.
                self.sync()?;
            }
            self.roll(self.capacity_for(first)).map_err(Stopped::Commit)?;
        }
        let tail = self.tail.as_ref().expect("rolling makes a tail");
        let mut bytes = 0;
        let group = self.staged.range(self.written..).take_while(|batch| {
            bytes += batch.frame_len();
            tail.fits(bytes)
        });
        let count = group.count();
        assert!(count > 0, "a segment is made large enough for its first frame");
        Ok(count)
    }

    /// Makes a new tail, then seals the old one.
    fn roll(&mut self, capacity: u64) -> Result<(), CommitError> {
        self.make_room(capacity).map_err(|why| match why {
            NoRoom::Full(reason) => CommitError::Full(reason),
            NoRoom::Unknown(error) => CommitError::Failed(error),
        })?;
        let created_ms = self.staged.front().map_or(0, |batch| batch.info.appended_ms);
        let header = SegmentHeader {
            base: self.durable().0,
            queue_id: self.queue_id,
            salt: self.storage.random() as u32,
            created_ms,
            before: self.totals(),
            packs: self.options.pack.is_some(),
        };
        // Where space cannot be reserved, it will be taken all the same.
        let mut content = Content::empty(header.salt, created_ms, header.before, capacity);
        let file = match create::create(&self.storage, &header, capacity) {
            Ok(file) => file,
            Err(CreateError { error, named, left }) => {
                self.other.unfinished = if left { capacity } else { 0 };
                if named {
                    // IMPORTANT: recovery ignores what an earlier segment holds from this base
                    // on, so the old tail must not grow, whatever became of the new one.
                    self.list_last(Segment::known(header.base, header.base, content));
                    self.retire_tail(None);
                }
                return Err(match is_no_space(&error) {
                    true => CommitError::Full(FullReason::NoSpace),
                    false => CommitError::Failed(error),
                });
            }
        };
        self.other.unfinished = 0;
        content.disk_bytes = file.allocated_bytes().unwrap_or(capacity).max(capacity);
        self.list_last(Segment::known(header.base, header.base, content));
        self.retire_tail(Some(Tail::new(file, header, capacity)));
        Ok(())
    }

    /// What the queue amounts to where the next segment begins.
    fn totals(&self) -> Totals {
        let state = self.view.lock();
        let last = state.segments.iter().rev().find(|segment| segment.base < state.durable);
        let file_bytes = last.and_then(|last| last.content).map_or(0, |content| {
            let before = content.before.file_bytes;
            before.saturating_add(content.file_bytes(self.tail.is_some()))
        });
        Totals { weight: self.total, file_bytes }
    }

    /// Puts a new segment behind the others.
    fn list_last(&self, segment: Segment) {
        let mut state = self.view.lock();
        if state.segments.back().is_some_and(|last| last.base == segment.base) {
            // It never held a durable frame, and its file is gone with its name.
            state.segments.pop_back();
        }
        assert!(
            state.segments.back().is_none_or(|last| last.end <= segment.base),
            "segments are in order and do not overlap"
        );
        state.segments.push_back(segment);
    }

    /// Seals the tail, if there is one, and takes another in its place.
    fn retire_tail(&mut self, new: Option<Tail<S::File>>) {
        let Some(old) = mem::replace(&mut self.tail, new) else { return };
        if let Err(error) = self.seal(old) {
            // Everything in it is durable; without its seal it is scanned at the next opening.
            tracing::warn!(%error, "a full segment of the queue could not be sealed");
        }
    }

    /// Seals a tail that is not written to any more.
    pub(crate) fn seal(&mut self, tail: Tail<S::File>) -> io::Result<()> {
        let base = tail.base();
        let disk_bytes = tail.seal()?;
        let mut state = self.view.lock();
        let sealed = state.segment_mut(base).and_then(|segment| {
            let content = segment.content.as_mut()?;
            content.sealed = true;
            content.disk_bytes = disk_bytes;
            Some((segment.end, *content))
        });
        drop(state);
        if let Some((end, content)) = sealed {
            self.catalog.put(base, end, &content);
        }
        Ok(())
    }

    /// Lets go of a tail whose write or sync failed: its file is closed, and what it holds beyond
    /// the durable position does not count.
    fn poison(&mut self) {
        self.tail = None;
        self.written = 0;
        self.written_bytes = 0;
        let last =
            self.view.lock().segments.back().and_then(|last| Some((last.base, last.end, last.content?)));
        if let Some((base, end, content)) = last {
            self.catalog.put(base, end, &content);
        }
        self.poisoned_segments += 1;
    }

    /// Everything written is durable: readers may have it.
    fn publish(&mut self) {
        let tail = self.tail.as_ref().expect("what is durable now was written to a tail");
        let mut state = self.view.lock();
        assert_eq!(tail.end(), state.durable + self.written as u64, "everything written is published");
        for batch in self.staged.drain(..mem::take(&mut self.written)) {
            let len = batch.batch_len();
            self.total = self.total.plus(Weight::of(&batch.info, len));
            self.staged_bytes -= batch.frame_len();
            if batch.unpacked_len.is_none() {
                let (sequence, info, parts) = (batch.sequence, batch.info, batch.parts);
                state.handover.put(Fresh { sequence, info, parts, len });
            }
        }
        self.written_bytes = 0;
        state.durable = tail.end();
        let segment = state.segments.back_mut().expect("the tail is in the list");
        assert_eq!(segment.base, tail.base(), "the tail is the last segment");
        segment.end = tail.end();
        let content = segment.content.as_mut().expect("the owner knows its tail");
        content.data_len = tail.len();
        content.summary = tail.summary();
    }
}
