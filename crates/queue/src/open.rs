//! Opening a queue: looking at every file, putting the picture together.

use std::{collections::VecDeque, io, sync::Arc};

use crate::{
    ack::AckWindow,
    batch::Sequence,
    catalog::{self, Catalog},
    checkpoint::{Checkpoint, CheckpointError},
    cursor::{self, Cursor},
    error::OpenError,
    format::segment_base,
    options::Options,
    quarantine,
    queue::{OtherBytes, Queue},
    recovery::{
        Finding, Recovery,
        load::{Doing, Loader},
    },
    segment::create,
    storage::{LockError, Storage},
    view::{DamageCounts, Segment, State, View, Weight},
};

/// Opens the queue in `storage`.
pub(crate) fn open<S: Storage>(storage: S, options: Options) -> Result<(Queue<S>, Recovery), OpenError> {
    storage.lock().map_err(|error| match error {
        LockError::Held { pid } => OpenError::Locked { pid },
        LockError::Io(source) => OpenError::Io { doing: "taking the lock".to_owned(), source },
    })?;
    let opened = open_locked(storage.clone(), options);
    if opened.is_err() {
        storage.unlock();
    }
    opened
}

fn open_locked<S: Storage>(storage: S, options: Options) -> Result<(Queue<S>, Recovery), OpenError> {
    let mut loader = Loader {
        storage: storage.clone(),
        queue_id: None,
        durable: 0,
        segments: VecDeque::new(),
        findings: Vec::new(),
        lost: Vec::new(),
        counts: DamageCounts::default(),
        scanned: 0,
    };
    let bases = list_segments(&storage, &mut loader.findings)?;
    let (checkpoint, cursor) = open_cursor(&storage)?;
    loader.queue_id = cursor.map(|cursor| cursor.queue_id);
    loader.durable = cursor.map_or(0, |cursor| cursor.durable);
    for (index, &base) in bases.iter().enumerate() {
        loader.load(base, bases.get(index + 1).copied())?;
    }
    if loader.segments.len() < bases.len() {
        // Whole segments were set aside, or never came into being.
        storage.sync_directory("").doing(|| "syncing the directory".to_owned())?;
    }
    let Loader { segments, mut findings, lost, counts, scanned, queue_id, .. } = loader;

    let known = Known { segments: &segments, cursor, named: bases.last().copied() };
    let durable = known.durable();
    let start = known.start(durable);
    findings.extend(cursor_finding(cursor, &checkpoint, start));
    let mut acks = AckWindow::new(start);
    // A cursor that went back points at what was delivered and reclaimed long ago.
    let reclaimed = checkpoint.was_damaged().then(|| segments.front().map_or(start, |first| first.base));
    let mut missing_batches = 0;
    for (first, end) in gaps(&segments, start, durable) {
        acks.settle(first, end);
        if reclaimed.is_none_or(|reclaimed| first >= reclaimed) {
            missing_batches += end - first;
            findings.push(Finding::Missing { first: Sequence(first), end: Sequence(end) });
        }
    }
    lost.iter().for_each(|&(first, end)| acks.settle(first, end));

    let catalog = open_catalog(&storage, options, &segments, &mut findings);
    let other = other_bytes(&storage, &checkpoint).doing(|| "measuring the queue".to_owned())?;
    let recovery = Recovery {
        acked: Sequence(acks.low()),
        durable: Sequence(durable),
        segments: segments.len() as u64,
        scanned_segments: scanned,
        findings,
    };
    let acked_in = acked_in(&segments, acks.low(), cursor);
    let first = segments.front().map_or(durable, |first| first.base);
    let acked = acks.low();
    let queue = Queue {
        queue_id: queue_id.unwrap_or_else(|| new_id(&storage)),
        view: Arc::new(View::new(State { segments, durable, first, acked, counts, ..State::default() })),
        storage,
        options,
        tail: None,
        staged: VecDeque::new(),
        staged_bytes: 0,
        acks,
        acked_in,
        cursor: checkpoint,
        saved: cursor,
        other,
        catalog,
        missing_batches,
        poisoned_segments: 0,
    };
    Ok((queue, recovery))
}

fn new_id<S: Storage>(storage: &S) -> u128 {
    u128::from(storage.random()) << 64 | u128::from(storage.random())
}

/// The bases of all segments, in order. Removes what was in the making.
fn list_segments<S: Storage>(storage: &S, findings: &mut Vec<Finding>) -> Result<Vec<u64>, OpenError> {
    let names = storage.list("").doing(|| "listing the directory".to_owned())?;
    for file in names.iter().filter(|name| create::is_temporary(name)) {
        storage.remove(file).doing(|| format!("removing {file}"))?;
        findings.push(Finding::Leftover { file: file.clone() });
    }
    let mut bases: Vec<u64> = names.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}

fn open_cursor<S: Storage>(storage: &S) -> Result<(Checkpoint<S>, Option<Cursor>), OpenError> {
    let (checkpoint, body) =
        Checkpoint::open(storage.clone(), cursor::NAME).map_err(|error| match error {
            CheckpointError::Unsupported { file, version, known } => {
                OpenError::Unsupported { file, version, known }
            }
            CheckpointError::Io { file, source } => {
                OpenError::Io { doing: format!("reading {file}"), source }
            }
        })?;
    let cursor = match body {
        None => None,
        Some(body) => Some(Cursor::decode(&body).map_err(|version| OpenError::Unsupported {
            file: cursor::NAME.to_owned(),
            version,
            known: cursor::VERSION,
        })?),
    };
    Ok((checkpoint, cursor))
}

/// What is known when everything has been read.
struct Known<'a> {
    segments: &'a VecDeque<Segment>,
    cursor: Option<Cursor>,
    /// The base in the name of the last segment, whatever was in it.
    named: Option<u64>,
}

impl Known<'_> {
    /// The next sequence: beyond everything that was ever durable.
    fn durable(&self) -> u64 {
        let last = self.segments.back().map(|last| last.end);
        let cursor = self.cursor.map(|cursor| cursor.durable);
        [last, cursor, self.named].into_iter().flatten().fold(Sequence::FIRST.0, u64::max)
    }

    /// Where the consumer goes on.
    fn start(&self, durable: u64) -> u64 {
        match (self.cursor, self.segments.front()) {
            (Some(cursor), _) => cursor.acked.min(durable),
            (None, Some(first)) => first.base,
            (None, None) => durable,
        }
    }
}

fn cursor_finding<S: Storage>(
    cursor: Option<Cursor>,
    checkpoint: &Checkpoint<S>,
    start: u64,
) -> Option<Finding> {
    match cursor {
        // Segments were reclaimed, so there was one.
        None if start > Sequence::FIRST.0 => Some(Finding::CursorLost),
        _ if checkpoint.was_damaged() => Some(Finding::CursorSlotDamaged),
        _ => None,
    }
}

/// What no segment holds between `start` and `durable`.
fn gaps(segments: &VecDeque<Segment>, start: u64, durable: u64) -> Vec<(u64, u64)> {
    let mut gaps = Vec::new();
    let mut at = start;
    let bounds = segments.iter().map(|segment| (segment.base, segment.end));
    for (base, end) in bounds.chain([(durable, durable)]) {
        if base > at {
            gaps.push((at, base));
        }
        at = at.max(end);
    }
    gaps
}

/// The segment of the low-water mark, and what of it was acknowledged before.
fn acked_in(segments: &VecDeque<Segment>, low: u64, cursor: Option<Cursor>) -> (u64, Weight) {
    let Some(segment) = segments.iter().find(|segment| segment.end > low).or(segments.back()) else {
        return (low, Weight::default());
    };
    match cursor {
        Some(cursor) if low >= segment.end => (cursor.segment.max(segment.base), (&segment.summary).into()),
        Some(cursor) if cursor.segment == segment.base && cursor.acked == low => {
            (segment.base, cursor.acked_in_segment)
        }
        _ => (segment.base, Weight::default()),
    }
}

fn other_bytes<S: Storage>(storage: &S, checkpoint: &Checkpoint<S>) -> io::Result<OtherBytes> {
    const LOCK_BYTES: u64 = 4096;
    Ok(OtherBytes {
        fixed: checkpoint.disk_bytes()? + LOCK_BYTES,
        quarantine: storage.directory_bytes(quarantine::DIRECTORY)?,
        catalog: catalog::disk_bytes(storage)?,
        unfinished: 0,
    })
}

/// Opens the catalog and brings it up to date. Whatever is wrong with it is a finding.
fn open_catalog<S: Storage>(
    storage: &S,
    options: Options,
    segments: &VecDeque<Segment>,
    findings: &mut Vec<Finding>,
) -> Catalog {
    let path = if options.catalog { storage.real_path(catalog::DIRECTORY) } else { None };
    let Some(path) = path else { return Catalog::none() };
    let (catalog, finding) = Catalog::open(&path, segments);
    findings.extend(finding);
    catalog
}
