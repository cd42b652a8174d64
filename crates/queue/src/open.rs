//! Opening a queue: looking at every file, putting the picture together.

use std::{collections::VecDeque, io, sync::Arc};

use crate::{
    ack::AckWindow,
    batch::Sequence,
    catalog::{self, Catalog, Row},
    checkpoint::{Checkpoint, CheckpointError},
    cursor::{self, Cursor, Range},
    error::OpenError,
    format::segment_base,
    options::Options,
    quarantine,
    queue::{OtherBytes, Queue},
    recovery::{
        Finding, Recovery,
        load::{Doing, Loader},
        scan::{Subject, scan},
    },
    segment::{
        create,
        look::{Content, Look, Shows, look},
    },
    storage::{LockError, Storage},
    summary::Weight,
    view::{Segment, State, View},
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
    let mut loader = Loader::new(storage.clone());
    let bases = list_segments(&storage, &mut loader.findings)?;
    let (checkpoint, saved) = open_cursor(&storage)?;
    let (cursor, above) = saved.unzip();
    let above = above.unwrap_or_default();
    loader.queue_id = cursor.map(|cursor| cursor.queue_id);
    loader.durable = cursor.map_or(0, |cursor| cursor.durable);
    let mut segments = load_last(&mut loader, &bases)?;

    let known = Known { segments: &segments, cursor, named: bases.last().copied() };
    let durable = known.durable();
    let start = known.start(durable);
    look_at_ends(&mut loader, &mut segments, start)?;

    let Loader { mut findings, lost, counts, scanned, queue_id, .. } = loader;
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
    above.iter().for_each(|&(first, end)| acks.settle(first, end.min(durable)));

    let recovery = Recovery {
        acked: Sequence(acks.low()),
        durable: Sequence(durable),
        segments: segments.len() as u64,
        scanned_segments: scanned,
        findings,
    };
    let (total, delivered) = weights(&segments, cursor, start, acks.low() >= durable);
    let other = other_bytes(&storage, &checkpoint).doing(|| "measuring the queue".to_owned())?;
    let queue_id = queue_id.unwrap_or_else(|| new_id(&storage));
    let catalog = start_catalog(&storage, options, queue_id, &segments);
    let first = segments.front().map_or(durable, |first| first.base);
    let acked = acks.low();
    let queue = Queue {
        queue_id,
        view: Arc::new(View::new(State {
            segments,
            durable,
            first,
            acked,
            delivered_before: acks.above().collect(),
            counts,
            ..State::default()
        })),
        storage,
        options,
        tail: None,
        staged: VecDeque::new(),
        staged_bytes: 0,
        acks,
        total,
        delivered,
        cursor: checkpoint,
        saved: cursor.map(|cursor| (cursor, above)),
        other,
        catalog,
        missing_batches,
        poisoned_segments: 0,
    };
    Ok((queue, recovery))
}

/// Loads the last segment with any content, which tells where the queue ends. All others are
/// known by name only.
fn load_last<S: Storage>(loader: &mut Loader<S>, bases: &[u64]) -> Result<VecDeque<Segment>, OpenError> {
    for last in (0..bases.len()).rev() {
        if let Some(segment) = loader.last(bases[last], bases.get(last + 1).copied())? {
            let named = bases[..=last].windows(2).map(|pair| Segment::unread(pair[0], pair[1]));
            let mut segments: VecDeque<_> = named.collect();
            segments.push_back(segment);
            return Ok(segments);
        }
    }
    Ok(VecDeque::new())
}

/// Looks at those segments that have to be known from the start: the first one, the one that the
/// consumer is in, and the last but one, which a crash may have left unfinished.
fn look_at_ends<S: Storage>(
    loader: &mut Loader<S>,
    segments: &mut VecDeque<Segment>,
    start: u64,
) -> Result<(), OpenError> {
    let consumer = segments.partition_point(|segment| segment.end <= start);
    let last_but_one = segments.len().checked_sub(2);
    for index in [Some(0), Some(consumer), last_but_one].into_iter().flatten() {
        let Some(segment) = segments.get_mut(index).filter(|segment| !segment.checked) else { continue };
        *segment = loader.earlier(segment.base, segment.end)?;
    }
    if let Some(segment) = last_but_one.and_then(|index| segments.get_mut(index)) {
        loader.give_back(segment)?;
    }
    Ok(())
}

/// What everything durable, and everything delivered, amounts to since the queue began.
fn weights(
    segments: &VecDeque<Segment>,
    cursor: Option<Cursor>,
    start: u64,
    all_delivered: bool,
) -> (Weight, Weight) {
    let last = segments.back().and_then(|last| last.content);
    let saved = cursor.map(|cursor| cursor.delivered);
    let total = match last {
        Some(last) => last.before.weight.plus(last.summary.weight),
        None => saved.unwrap_or_default(),
    };
    let first = segments.iter().find(|segment| segment.end > start).and_then(|segment| segment.content);
    let delivered = saved.or_else(|| first.map(|first| first.before.weight)).unwrap_or(total);
    (total, if all_delivered { total } else { delivered.at_most(total) })
}

fn new_id<S: Storage>(storage: &S) -> u128 {
    u128::from(storage.random()) << 64 | u128::from(storage.random())
}

/// The bases of all segments, in order. Removes what was in the making.
fn list_segments<S: Storage>(storage: &S, findings: &mut Vec<Finding>) -> Result<Vec<u64>, OpenError> {
    let names = storage.list("").doing(|| "listing the directory".to_owned())?;
    for file in names.iter().filter(|name| *name == create::TEMPORARY) {
        storage.remove(file).doing(|| format!("removing {file}"))?;
        findings.push(Finding::Leftover { file: file.clone() });
    }
    let mut bases: Vec<u64> = names.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    Ok(bases)
}

/// The cursor as it was saved, with the ranges above it.
type Saved = Option<(Cursor, Vec<Range>)>;

fn open_cursor<S: Storage>(storage: &S) -> Result<(Checkpoint<S>, Saved), OpenError> {
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

fn other_bytes<S: Storage>(storage: &S, checkpoint: &Checkpoint<S>) -> io::Result<OtherBytes> {
    const LOCK_BYTES: u64 = 4096;
    Ok(OtherBytes {
        fixed: checkpoint.disk_bytes()? + LOCK_BYTES,
        quarantine: storage.directory_bytes(quarantine::DIRECTORY)?,
        catalog: catalog::disk_bytes(storage)?,
        unfinished: 0,
    })
}

/// Starts the catalog, where there is a place for it.
fn start_catalog<S: Storage>(
    storage: &S,
    options: Options,
    queue_id: u128,
    segments: &VecDeque<Segment>,
) -> Catalog {
    let path = if options.catalog { storage.real_path(catalog::DIRECTORY) } else { None };
    let Some(path) = path else { return Catalog::none() };
    let storage = storage.clone();
    let describe = move |(base, end)| match look(&storage, base, Some(queue_id)) {
        Ok(Look { shows: Shows::Sealed { end, content, .. }, .. }) => Some(Row::new(end, &content)),
        Ok(Look { file, len, disk_bytes, shows: Shows::Open { header } }) => {
            let scan = scan(&file, Subject { header, len, next_base: Some(end), durable: end }).ok()?;
            let mut content = Content::empty(header.salt, header.created_ms, header.before, disk_bytes);
            content.summary = scan.summary;
            Some(Row::new(end, &content))
        }
        Ok(_) | Err(_) => None,
    };
    let spans = segments.iter().map(|segment| (segment.base, segment.end)).collect();
    Catalog::start(path, spans, Box::new(describe))
}
