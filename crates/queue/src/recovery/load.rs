//! Loading the segments at the ends of a queue: gather facts, look up the verdict, act on it.

use std::io::{self, IoSlice};

use super::{
    Finding,
    scan::{Scan, Subject, scan},
    verdict::{Body, Facts, Header, Place, Verdict, verdict},
};
use crate::{
    batch::Sequence,
    check::{self, FOREIGN},
    error::{OpenError, ReadError},
    format::{FRAMES_AT, SEAL_LEN, Seal, SegmentHeader, VERSION, segment_name},
    quarantine,
    segment::{
        is_no_space,
        look::{Content, Look, Shows, content_before, look},
        read_full,
        tail::write_seal,
        walk::{Reason, Span},
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
    /// Known from the cursor, or from the first segment that was looked at.
    pub(crate) queue_id: Option<u128>,
    /// What the cursor says was durable.
    pub(crate) durable: u64,
    pub(crate) findings: Vec<Finding>,
    /// Sequences that are in no good frame.
    pub(crate) lost: Vec<(u64, u64)>,
    pub(crate) counts: DamageCounts,
    pub(crate) scanned: u64,
}

impl<S: Storage> Loader<S> {
    pub(crate) fn new(storage: S) -> Loader<S> {
        Loader {
            storage,
            queue_id: None,
            durable: 0,
            findings: Vec::new(),
            lost: Vec::new(),
            counts: DamageCounts::default(),
            scanned: 0,
        }
    }

    /// Looks at an earlier segment: enough to read it later.
    pub(crate) fn earlier(&mut self, base: u64, end: u64) -> Result<Segment, OpenError> {
        let name = segment_name(Sequence(base));
        let look = self.look(base, &name)?;
        let mut segment = Segment::unread(base, end);
        segment.checked = true;
        segment.content = content_before(look.shows, end, look.len, look.disk_bytes);
        if let Shows::Bad(header) = look.shows {
            check::refuse(name.clone(), header, base, end).map_err(|error| match error {
                ReadError::Unsupported { file, version, known } => {
                    OpenError::Unsupported { file, version, known }
                }
                ReadError::Foreign { file, reason } => OpenError::Foreign { file, reason },
                ReadError::Io { source, .. } => OpenError::Io { doing: format!("reading {name}"), source },
            })?;
            let reason = Reason::Header;
            let span = Span { position: 0, end: look.len, first: base, next: end, reason };
            self.damaged(&name, &mut segment, &span);
        }
        Ok(segment)
    }

    /// The last but one may have space reserved that a crash kept from being given back.
    pub(crate) fn give_back(&self, segment: &mut Segment) -> Result<(), OpenError> {
        let Some(content) = segment.content.as_mut().filter(|content| content.sealed) else { return Ok(()) };
        if content.disk_bytes <= content.file_bytes(true) {
            return Ok(());
        }
        let name = segment_name(Sequence(segment.base));
        let mut give_back = || {
            let file = self.storage.open_write(&name)?;
            file.set_len(content.data_len + SEAL_LEN as u64)?;
            file.sync_data()?;
            content.disk_bytes = file.allocated_bytes()?;
            Ok(())
        };
        give_back().doing(|| format!("giving back the space behind {name}"))
    }

    /// Loads the last segment that has any content; `next_base` is that of a file behind it that
    /// has none. `None`: this one has none either, look at the one before.
    pub(crate) fn last(&mut self, base: u64, next_base: Option<u64>) -> Result<Option<Segment>, OpenError> {
        let name = segment_name(Sequence(base));
        let look = self.look(base, &name)?;
        match look.shows {
            Shows::Sealed { end, content, .. } if next_base.is_none_or(|next| end <= next) => {
                Ok(Some(Segment::known(base, end, content)))
            }
            Shows::Sealed { header, .. } | Shows::Open { header } => {
                self.scanned += 1;
                let subject = Subject { header, len: look.len, next_base, durable: self.durable };
                let scan = scan(&look.file, subject).doing(|| format!("reading {name}"))?;
                self.take_scan(&name, &look, header, &scan, next_base.is_none()).map(Some)
            }
            Shows::Bad(header) => {
                self.without_header(&name, &look, base, next_base, header)?;
                Ok(None)
            }
        }
    }

    fn look(&mut self, base: u64, name: &str) -> Result<Look<S::File>, OpenError> {
        let look = look(&self.storage, base, self.queue_id).doing(|| format!("reading {name}"))?;
        self.queue_id = self.queue_id.or(look.shows.queue_id());
        Ok(look)
    }

    /// The last segment has no good header: only the table can say what that means.
    fn without_header(
        &mut self,
        name: &str,
        look: &Look<S::File>,
        base: u64,
        next_base: Option<u64>,
        header: Header,
    ) -> Result<(), OpenError> {
        let place = if next_base.is_none() { Place::Tail } else { Place::Earlier };
        let was_durable = next_base.unwrap_or(self.durable) > base;
        match verdict(Facts { place, header, body: Body::Bad, was_durable }) {
            Verdict::Unsupported(version) => {
                Err(OpenError::Unsupported { file: name.to_owned(), version, known: VERSION })
            }
            Verdict::TornCreation => {
                self.findings.push(Finding::TornCreation { file: name.to_owned() });
                Ok(())
            }
            Verdict::Damaged => {
                // Nothing in it can be checked. What is lost with it shows as a gap. It is moved
                // now, because the next segment may need its name.
                quarantine::take_segment(&self.storage, base)
                    .doing(|| format!("moving {name} into quarantine"))?;
                self.counts.spans += 1;
                self.counts.bytes += look.len;
                self.findings.push(Finding::Damaged {
                    file: name.to_owned(),
                    position: 0,
                    bytes: look.len,
                    first: Sequence(base),
                    end: Sequence(base),
                    reason: "the segment's header is damaged".to_owned(),
                });
                Ok(())
            }
            Verdict::Foreign => Err(OpenError::Foreign { file: name.to_owned(), reason: FOREIGN }),
            verdict @ (Verdict::Clean | Verdict::Unwritten | Verdict::TornTail | Verdict::Missing) => {
                unreachable!("{verdict:?} without a good header")
            }
        }
    }

    fn take_scan(
        &mut self,
        name: &str,
        look: &Look<S::File>,
        header: SegmentHeader,
        scan: &Scan,
        is_tail: bool,
    ) -> Result<Segment, OpenError> {
        let mut content = Content::empty(header.salt, header.created_ms, header.before, look.disk_bytes);
        content.data_len = scan.data_len;
        content.sealed = scan.sealed;
        content.summary = scan.summary;
        let mut segment = Segment::known(header.base, scan.end, content);
        for span in &scan.damage {
            self.damaged(name, &mut segment, span);
        }
        if scan.torn_bytes > 0 {
            self.findings.push(Finding::TornTail {
                file: name.to_owned(),
                position: scan.data_len,
                bytes: scan.torn_bytes,
            });
        }
        if is_tail {
            self.finish_tail(name, header, scan, &mut content).doing(|| format!("closing {name}"))?;
            segment.content = Some(content);
        }
        Ok(segment)
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
        name: &str,
        header: SegmentHeader,
        scan: &Scan,
        content: &mut Content,
    ) -> io::Result<()> {
        let file = self.storage.open_write(name)?;
        // Also where the length is right: space reserved behind it is given back.
        file.set_len(scan.data_len + if scan.sealed { SEAL_LEN as u64 } else { 0 })?;
        // IMPORTANT: what was found may be in memory only, if it was the process that died. It is
        // made durable before a seal says that it is there. A sync alone would not do: if one
        // failed before the process died, the kernel holds the pages for written.
        if let Some(unproven_at) = scan.unproven_at {
            rewrite(&file, unproven_at, scan.data_len)?;
        }
        file.sync_data()?;
        let used = scan.end > header.base;
        assert!(used || scan.data_len == FRAMES_AT, "an empty segment ends with its header");
        if used && !scan.sealed {
            let seal = Seal { header, end: scan.end, position: scan.data_len, summary: scan.summary };
            match write_seal(&file, &seal) {
                Ok(()) => content.sealed = true,
                // On a full disk it stays without; it is scanned again the next time.
                Err(error) if is_no_space(&error) => {}
                Err(error) => return Err(error),
            }
        }
        content.disk_bytes = file.allocated_bytes()?;
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
