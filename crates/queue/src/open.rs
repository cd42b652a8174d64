//! Opening a queue: looking at every file, putting the picture together.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    sync::Arc,
};

use crate::{
    batch::Sequence,
    catalog::{self, Catalog, Describe, Row},
    check,
    checkpoint::{self, Checkpoint},
    consumer::Consumer,
    cursor::{self, BodyError, Cursor},
    error::OpenError,
    format::segment_base,
    handover::Handover,
    named,
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
    view::{Progress, Segment, Slot, State, View},
};

/// Opens the queue in `storage`.
pub(crate) fn open<S: Storage>(storage: S, options: Options) -> Result<(Queue<S>, Recovery), OpenError> {
    lock(&storage)?;
    let opened = open_locked(storage.clone(), options);
    if opened.is_err() {
        storage.unlock();
    }
    opened
}

/// Takes the queue for this process.
pub(crate) fn lock<S: Storage>(storage: &S) -> Result<(), OpenError> {
    storage.lock().map_err(|error| match error {
        LockError::Held { pid } => OpenError::Locked { pid },
        LockError::Io(source) => OpenError::Io { doing: "taking the lock".to_owned(), source },
    })
}

fn open_locked<S: Storage>(storage: S, options: Options) -> Result<(Queue<S>, Recovery), OpenError> {
    let mut loader = Loader::new(storage.clone());
    let names = list_files(&storage, &mut loader.findings)?;
    let bases = segments_in(&names);
    let (checkpoint, cursor) = open_cursor(&storage, cursor::NAME)?;
    loader.queue_id = cursor.as_ref().map(|cursor| cursor.queue_id);
    loader.durable = cursor.as_ref().map_or(0, |cursor| cursor.durable);
    let mut segments = load_last(&mut loader, &bases)?;

    let known = Known { segments: &segments, named: bases.last().copied() };
    let durable = known.durable(cursor.as_ref());
    let start = known.start(cursor.as_ref(), durable);
    look_at_ends(&mut loader, &mut segments, start)?;

    let Loader { mut findings, lost, counts, scanned, mut queue_id, .. } = loader;
    findings.extend(cursor_finding(cursor.as_ref(), &checkpoint, start));
    // A cursor that went back points at what was delivered and reclaimed long ago.
    let reclaimed = checkpoint.was_damaged().then(|| segments.front().map_or(start, |first| first.base));
    let mut missing_batches = 0;
    for (first, end) in gaps(&segments, start, durable) {
        if reclaimed.is_none_or(|reclaimed| first >= reclaimed) {
            missing_batches += end - first;
            findings.push(Finding::Missing { first: Sequence(first), end: Sequence(end) });
        }
    }
    let total = total(&segments, cursor.as_ref());
    let mut consumers = vec![Consumer::new(Slot::OWN, None, start, checkpoint, cursor)];
    consumers.extend(open_named(&storage, &names, &mut queue_id, &segments, durable, &mut findings)?);
    let queue_id = queue_id.unwrap_or_else(|| new_id(&storage));
    let mut progress = BTreeMap::new();
    for consumer in &mut consumers {
        progress.insert(consumer.slot, place(consumer, &segments, &lost, durable, total));
    }

    let recovery = Recovery {
        acked: Sequence(consumers[0].low()),
        durable: Sequence(durable),
        segments: segments.len() as u64,
        scanned_segments: scanned,
        findings,
    };
    let other = other_bytes(&storage, &consumers).doing(|| "measuring the queue".to_owned())?;
    let catalog = start_catalog(&storage, options, queue_id, &segments);
    let first = segments.front().map_or(durable, |first| first.base);
    let handover = Handover::new(options.handover_bytes_max);
    let state = State { segments, durable, first, progress, counts, handover, ..State::default() };
    let queue = Queue {
        queue_id,
        view: Arc::new(View::new(state)),
        storage,
        options,
        tail: None,
        staged: VecDeque::new(),
        written: 0,
        written_bytes: 0,
        staged_bytes: 0,
        next_slot: consumers.len() as u32,
        consumers,
        total,
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

/// What everything durable amounts to since the queue began.
fn total(segments: &VecDeque<Segment>, cursor: Option<&Cursor>) -> Weight {
    match segments.back().and_then(|last| last.content) {
        Some(last) => last.before.weight.plus(last.summary.weight),
        None => cursor.map(|cursor| cursor.delivered).unwrap_or_default(),
    }
}

/// Puts a consumer in its place: settles what can never be delivered to it and what was acknowledged above its
/// low-water mark, and weighs what is behind it.
fn place<S: Storage>(
    consumer: &mut Consumer<S>,
    segments: &VecDeque<Segment>,
    lost: &[(u64, u64)],
    durable: u64,
    total: Weight,
) -> Progress {
    let start = consumer.low();
    let above = consumer.saved.as_ref().map(|cursor| cursor.above.clone()).unwrap_or_default();
    let above = above.into_iter().map(|(first, end)| (first, end.min(durable)));
    for (first, end) in gaps(segments, start, durable).into_iter().chain(lost.iter().copied()).chain(above) {
        consumer.acks.settle(first, end);
    }
    let low = consumer.low();
    let first = segments.iter().find(|segment| segment.end > start).and_then(|segment| segment.content);
    let saved = consumer.saved.as_ref().map(|cursor| cursor.delivered);
    let delivered = saved.or_else(|| first.map(|first| first.before.weight)).unwrap_or(total);
    consumer.delivered = if low >= durable { total } else { delivered.at_most(total) };
    Progress { acked: low, delivered_before: consumer.acks.above().collect(), ..Progress::default() }
}

/// The consumers that have names. One whose making was interrupted is none. Where nothing else is left that says which
/// queue this is, the first of them does.
fn open_named<S: Storage>(
    storage: &S,
    names: &[String],
    queue_id: &mut Option<u128>,
    segments: &VecDeque<Segment>,
    durable: u64,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Consumer<S>>, OpenError> {
    let known: BTreeSet<&str> = names.iter().filter_map(|file| named::name_in(file)).collect();
    let mut consumers = Vec::with_capacity(known.len());
    for name in known {
        let file = named::checkpoint_name(name);
        let (checkpoint, cursor) = open_cursor(storage, &file)?;
        if cursor.is_none() && !checkpoint.was_damaged() {
            drop(checkpoint);
            checkpoint::remove(storage, &file).doing(|| format!("removing {file}"))?;
            findings.push(Finding::Leftover { file });
            continue;
        }
        if cursor.as_ref().is_some_and(|cursor| cursor.queue_id != *queue_id.get_or_insert(cursor.queue_id)) {
            return Err(OpenError::Foreign { file, reason: check::FOREIGN_CURSOR });
        }
        if checkpoint.was_damaged() {
            let lost = cursor.is_none();
            findings.push(Finding::ConsumerDamaged { name: name.to_owned(), lost });
        }
        let known = Known { segments, named: None };
        let slot = Slot(1 + consumers.len() as u32);
        let start = known.start(cursor.as_ref(), durable);
        consumers.push(Consumer::new(slot, Some(name.to_owned()), start, checkpoint, cursor));
    }
    Ok(consumers)
}

fn new_id<S: Storage>(storage: &S) -> u128 {
    u128::from(storage.random()) << 64 | u128::from(storage.random())
}

/// Whether a file of this name, in a directory, says that the directory is a queue: a segment, or a cursor of its own
/// consumer.
pub fn is_queue_file(name: &str) -> bool {
    segment_base(name).is_some() || checkpoint::name_of(name) == Some(cursor::NAME)
}

/// Whether a file was in the making when a process ended.
pub(crate) fn is_leftover(file: &str) -> bool {
    let slot = file.strip_suffix(checkpoint::TEMPORARY_SUFFIX);
    let is_cursor = |slot| checkpoint::name_of(slot) == Some(cursor::NAME) || named::name_in(slot).is_some();
    file == create::TEMPORARY || slot.is_some_and(is_cursor)
}

/// The names of all files. Removes what was in the making.
fn list_files<S: Storage>(storage: &S, findings: &mut Vec<Finding>) -> Result<Vec<String>, OpenError> {
    let names = storage.list("").doing(|| "listing the directory".to_owned())?;
    for file in names.iter().filter(|name| is_leftover(name)) {
        storage.remove(file).doing(|| format!("removing {file}"))?;
        findings.push(Finding::Leftover { file: file.clone() });
    }
    Ok(names)
}

/// The bases of all segments, in order.
fn segments_in(names: &[String]) -> Vec<u64> {
    let mut bases: Vec<u64> = names.iter().filter_map(|name| segment_base(name)).collect();
    bases.sort_unstable();
    bases
}

fn open_cursor<S: Storage>(storage: &S, name: &str) -> Result<(Checkpoint<S>, Option<Cursor>), OpenError> {
    let (checkpoint, body) = Checkpoint::open(storage.clone(), name)?;
    Ok((checkpoint, decode_cursor(name, body)?))
}

/// The cursor in the body of a checkpoint.
pub(crate) fn decode_cursor(name: &str, body: Option<Vec<u8>>) -> Result<Option<Cursor>, OpenError> {
    let (file, known) = (name.to_owned(), cursor::VERSION);
    body.map(|body| Cursor::decode(&body)).transpose().map_err(|error| match error {
        BodyError::Version(version) => OpenError::Unsupported { file, version, known },
        BodyError::Senseless => OpenError::Foreign { file, reason: check::SENSELESS_CURSOR },
    })
}

/// What is known when everything has been read.
struct Known<'a> {
    segments: &'a VecDeque<Segment>,
    /// The base in the name of the last segment, whatever was in it.
    named: Option<u64>,
}

impl Known<'_> {
    /// The next sequence: beyond everything that was ever durable.
    fn durable(&self, cursor: Option<&Cursor>) -> u64 {
        let last = self.segments.back().map(|last| last.end);
        let cursor = cursor.map(|cursor| cursor.durable);
        [last, cursor, self.named].into_iter().flatten().fold(Sequence::FIRST.0, u64::max)
    }

    /// Where a consumer goes on.
    fn start(&self, cursor: Option<&Cursor>, durable: u64) -> u64 {
        match (cursor, self.segments.front()) {
            (Some(cursor), _) => cursor.acked.min(durable),
            (None, Some(first)) => first.base,
            (None, None) => durable,
        }
    }
}

fn cursor_finding<S: Storage>(
    cursor: Option<&Cursor>,
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

fn other_bytes<S: Storage>(storage: &S, consumers: &[Consumer<S>]) -> io::Result<OtherBytes> {
    const LOCK_BYTES: u64 = 4096;
    let cursors = consumers.iter().map(|consumer| consumer.checkpoint.disk_bytes());
    Ok(OtherBytes {
        fixed: cursors.sum::<io::Result<u64>>()? + LOCK_BYTES,
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
    Catalog::start(path, spans(segments), describe(storage.clone(), Some(queue_id)))
}

/// What the catalog has to know of.
pub(crate) fn spans(segments: &VecDeque<Segment>) -> Vec<catalog::Span> {
    segments.iter().map(|segment| (segment.base, segment.end)).collect()
}

/// Tells the catalog what is in a segment.
pub(crate) fn describe<S: Storage>(storage: S, queue_id: Option<u128>) -> Describe {
    Box::new(move |(base, end)| match look(&storage, base, queue_id) {
        Ok(Look { shows: Shows::Sealed { end, content, .. }, .. }) => Some(Row::new(end, &content)),
        Ok(Look { file, len, disk_bytes, shows: Shows::Open { header } }) => {
            let scan = scan(&file, Subject { header, len, next_base: Some(end), durable: end }).ok()?;
            let mut content = Content::empty(header.salt, header.created_ms, header.before, disk_bytes);
            content.summary = scan.summary;
            Some(Row::new(end, &content))
        }
        Ok(_) | Err(_) => None,
    })
}
