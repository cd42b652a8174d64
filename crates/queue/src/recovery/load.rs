//! Loading segments one by one: gather facts, look up the verdict, act on it.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

use super::{
    Finding,
    scan::{Scan, Subject, read_header, scan},
    verdict::{Body, Facts, Header, Place, Verdict, verdict},
};
use crate::{
    batch::Sequence,
    error::OpenError,
    format::{FRAMES_AT, SEAL_LEN, Seal, SegmentHeader, VERSION, segment_name},
    quarantine,
    segment::{
        is_no_space, read_full,
        tail::write_seal,
        walk::{Span, read_seal},
        write_all,
    },
    storage::{Storage, StorageFile},
    view::{Damage, DamageCounts, Segment},
};

/// Names an operation that the disk did not carry out.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, OpenError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, OpenError> {
        self.map_err(|source| OpenError::Io { doing: what(), source })
    }
}

/// What loading has found so far.
#[derive(Debug)]
pub(crate) struct Loader<S: Storage> {
    pub(crate) storage: S,
    /// Known from the cursor, or from the first segment.
    pub(crate) queue_id: Option<u128>,
    /// What the cursor says was durable.
    pub(crate) durable: u64,
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) findings: Vec<Finding>,
    /// Sequences that are in no good frame.
    pub(crate) lost: Vec<(u64, u64)>,
    pub(crate) counts: DamageCounts,
    pub(crate) scanned: u64,
}

/// The file of a segment and its neighbourhood.
#[derive(Debug, Clone, Copy)]
struct File<'a> {
    name: &'a str,
    base: u64,
    next_base: Option<u64>,
    len: u64,
    disk_bytes: u64,
}

impl File<'_> {
    fn place(&self) -> Place {
        match self.next_base {
            None => Place::Tail,
            Some(_) => Place::Earlier,
        }
    }
}

impl<S: Storage> Loader<S> {
    /// Loads the segment `base`; the next one, if there is one, begins with `next_base`.
    pub(crate) fn load(&mut self, base: u64, next_base: Option<u64>) -> Result<(), OpenError> {
        let name = segment_name(Sequence(base));
        let reading = || format!("reading {name}");
        let file = self.storage.open(&name).doing(reading)?;
        let (len, disk_bytes) = (file.len().doing(reading)?, file.allocated_bytes().doing(reading)?);
        let at = File { name: &name, base, next_base, len, disk_bytes };
        if let Some(seal) = read_seal(&file, base, len).doing(reading)?
            && next_base.is_none_or(|next| seal.end <= next)
        {
            return self.sealed(at, &seal);
        }
        match read_header(&file, base, self.queue_id).doing(reading)? {
            Ok(header) => {
                self.scanned += 1;
                let subject = Subject { header, len, next_base, durable: self.durable };
                let scan = scan(&file, subject).doing(reading)?;
                drop(file);
                self.scanned(at, header, scan)
            }
            Err(header) => self.without_header(at, header),
        }
    }

    fn sealed(&mut self, at: File<'_>, seal: &Seal) -> Result<(), OpenError> {
        if self.queue_id.is_some_and(|id| id != seal.header.queue_id) {
            return Err(foreign(at.name));
        }
        self.queue_id = Some(seal.header.queue_id);
        self.segments.push_back(Segment {
            base: at.base,
            end: seal.end,
            data_len: seal.position,
            salt: seal.header.salt,
            sealed: true,
            summary: seal.summary,
            disk_bytes: at.disk_bytes,
            damage: Default::default(),
        });
        Ok(())
    }

    /// The header is not good: only the table can say what that means.
    fn without_header(&mut self, at: File<'_>, header: Header) -> Result<(), OpenError> {
        let durable = at.next_base.unwrap_or(self.durable);
        let facts = Facts { place: at.place(), header, body: Body::Bad, was_durable: durable > at.base };
        match verdict(facts) {
            Verdict::Unsupported(version) => {
                Err(OpenError::Unsupported { file: at.name.to_owned(), version, known: VERSION })
            }
            Verdict::TornCreation => {
                self.findings.push(Finding::TornCreation { file: at.name.to_owned() });
                Ok(())
            }
            Verdict::Damaged => {
                // Nothing in it can be checked. What is lost with it shows as a gap.
                quarantine::take_segment(&self.storage, at.base)
                    .doing(|| format!("moving {} into quarantine", at.name))?;
                self.counts.spans += 1;
                self.counts.bytes += at.len;
                self.findings.push(Finding::Damaged {
                    file: at.name.to_owned(),
                    position: 0,
                    bytes: at.len,
                    first: Sequence(at.base),
                    end: Sequence(at.base),
                    reason: "the segment's header is damaged".to_owned(),
                });
                Ok(())
            }
            Verdict::Foreign => Err(foreign(at.name)),
            verdict @ (Verdict::Clean | Verdict::Unwritten | Verdict::TornTail | Verdict::Missing) => {
                unreachable!("{verdict:?} without a good header")
            }
        }
    }

    fn scanned(&mut self, at: File<'_>, header: SegmentHeader, scan: Scan) -> Result<(), OpenError> {
        self.queue_id = Some(header.queue_id);
        let mut segment = Segment {
            base: at.base,
            end: scan.end,
            data_len: scan.data_len,
            salt: header.salt,
            sealed: scan.sealed,
            summary: scan.summary,
            disk_bytes: at.disk_bytes,
            damage: Default::default(),
        };
        for span in &scan.damage {
            self.damaged(at.name, &mut segment, span);
        }
        if scan.torn_bytes > 0 {
            self.findings.push(Finding::TornTail {
                file: at.name.to_owned(),
                position: scan.data_len,
                bytes: scan.torn_bytes,
            });
        }
        if at.next_base.is_none() {
            self.finish_tail(at, header, &mut segment, scan.unproven_at)
                .doing(|| format!("closing {}", at.name))?;
        }
        self.segments.push_back(segment);
        Ok(())
    }

    fn damaged(&mut self, name: &str, segment: &mut Segment, span: &Span) {
        let bytes = span.end - span.position;
        if span.next > span.first {
            self.lost.push((span.first, span.next));
        }
        let damage = Damage { end: span.end, reason: span.reason, kept: bytes == 0 };
        segment.damage.insert(span.position, damage);
        self.counts.spans += 1;
        self.counts.bytes += bytes;
        self.counts.batches += span.next - span.first;
        self.findings.push(Finding::Damaged {
            file: name.to_owned(),
            position: span.position,
            bytes,
            first: Sequence(span.first),
            end: Sequence(span.next),
            reason: span.reason.to_string(),
        });
    }

    /// Leaves the last segment as if it had been closed: cut behind its last frame, durable,
    /// sealed. It is not appended to again; the next batch begins a new segment.
    fn finish_tail(
        &self,
        at: File<'_>,
        header: SegmentHeader,
        segment: &mut Segment,
        unproven_at: Option<u64>,
    ) -> io::Result<()> {
        let file = self.storage.open_write(at.name)?;
        let wanted = segment.data_len + if segment.sealed { SEAL_LEN as u64 } else { 0 };
        // Also where the length is right: space reserved behind it is given back.
        file.set_len(wanted)?;
        // IMPORTANT: what was found may be in memory only, if it was the process that died. It is
        // made durable before a seal says that it is there. A sync alone would not do: if one
        // failed before the process died, the kernel holds the pages for written.
        if let Some(unproven_at) = unproven_at {
            rewrite(&file, unproven_at, segment.data_len)?;
        }
        file.sync_data()?;
        let used = segment.end > segment.base;
        assert!(used || segment.data_len == FRAMES_AT, "an empty segment ends with its header");
        if used && !segment.sealed {
            let seal =
                Seal { header, end: segment.end, position: segment.data_len, summary: segment.summary };
            match write_seal(&file, &seal) {
                Ok(()) => segment.sealed = true,
                // On a full disk it stays without; it is scanned again the next time.
                Err(error) if is_no_space(&error) => {}
                Err(error) => return Err(error),
            }
        }
        segment.disk_bytes = file.allocated_bytes()?;
        Ok(())
    }
}

/// Writes the bytes that are there again, as they are.
fn rewrite<F: StorageFile>(file: &F, mut position: u64, end: u64) -> io::Result<()> {
    const CHUNK_BYTES: u64 = 256 << 10;
    let mut buffer = vec![0; CHUNK_BYTES.min(end - position) as usize];
    while position < end {
        let wanted = buffer.len().min((end - position) as usize);
        let read = read_full(file, &mut buffer[..wanted], position)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write_all(file, &mut [IoSlice::new(&buffer[..read])], position)?;
        position += read as u64;
    }
    Ok(())
}

fn foreign(name: &str) -> OpenError {
    OpenError::Foreign {
        file: name.to_owned(),
        reason: "it does not begin with the header of a segment of this queue",
    }
}
