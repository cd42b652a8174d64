//! The loops that every event goes through, each by itself, on lines of `fixtures/logs`: always the same work.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millpond::backlog::{Content, info_of};
use millpond::chunk::{Chunk, Codec, Form, Framing, Receipt};
use millpond::codec::{EventWriter, escape};
use millpond::inputs::lines::take_lines;
use millpond::processing::{OnError, Pipeline, Plan, Program, Role, Route, Shaping, Stage};
use millpond_kinesis::aws::body;
use millpond_kinesis::encode::gzip;
use millpond_kinesis::{Batch, Batcher, BatcherOptions, COMPRESSION_LEVEL_DEFAULT, Format};
use millpond_queue::{Fs, Options, Queue, Sequence};

const LINES: [&str; 2] = [
    include_str!("../../../../fixtures/logs/gateway.log"),
    include_str!("../../../../fixtures/logs/shop.log"),
];
/// What a turn of a file input reads.
const CHUNK_BYTES: usize = 256 << 10;
/// Batches that share a sync.
const GROUP: usize = 16;

/// A loop.
pub(crate) struct Loop {
    pub(crate) name: &'static str,
    /// Bytes that one run of it goes through.
    pub(crate) bytes: usize,
    pub(crate) run: Box<dyn FnMut()>,
}

/// All loops, in the order of an event's way.
pub(crate) fn all() -> Vec<Loop> {
    vec![
        lines(),
        escaping(),
        events(),
        objects(),
        shaping(),
        compressing(),
        queueing(),
        reading(),
        a_body(Format::Gzip, "put_record"),
        a_body(Format::Event, "put_records"),
    ]
}

fn text() -> String {
    LINES.concat().chars().take(CHUNK_BYTES).collect()
}

/// Whole lines off the front of what was read.
fn lines() -> Loop {
    let text = text();
    let run = {
        let text = text.clone();
        move || drop(black_box(take_lines(text.as_bytes(), false, 1 << 20, false)))
    };
    Loop { name: "lines", bytes: text.len(), run: Box::new(run) }
}

/// Lines into JSON strings.
fn escaping() -> Loop {
    let text = text();
    let (bytes, mut out) = (text.len(), Vec::with_capacity(2 * text.len()));
    let run = move || {
        out.clear();
        text.lines().for_each(|line| escape(line.as_bytes(), &mut out));
    };
    Loop { name: "escape", bytes, run: Box::new(run) }
}

/// Lines into events, and these into a batch.
fn events() -> Loop {
    let chunk = chunk();
    let bytes = chunk.data.len();
    let writer = EventWriter::new(&chunk, "edge");
    let mut batcher = batcher(Format::Gzip);
    let run = move || {
        fill(&mut batcher, &chunk, &writer);
        drop(batcher.seal());
    };
    Loop { name: "events", bytes, run: Box::new(run) }
}

/// Lines that are JSON objects into events.
fn objects() -> Loop {
    let chunk = Chunk { codec: Codec::Json, data: finished(), ..chunk() };
    let bytes = chunk.data.len();
    let writer = EventWriter::new(&chunk, "edge");
    let mut out = Vec::with_capacity(2 * bytes);
    let run = move || {
        out.clear();
        chunk.messages().for_each(|line| {
            writer.write(line, &mut out);
        });
    };
    Loop { name: "objects", bytes, run: Box::new(run) }
}

/// The events of the lines, as JSON.
fn finished() -> Bytes {
    let chunk = chunk();
    let writer = EventWriter::new(&chunk, "edge");
    let mut out = Vec::new();
    for line in chunk.messages() {
        writer.write(line, &mut out);
        out.push(b'\n');
    }
    out.into()
}

/// Lines through a program that takes each apart and changes it.
fn shaping() -> Loop {
    let source = "if starts_with(string!(._raw), \"#\") { abort }\n.size = length!(._raw)\ndel(.source)";
    let program = Program::compile(source, Role::Pipeline).expect("a program that compiles").program;
    let pipeline = Pipeline { name: "p".into(), program, file: None, on_error: OnError::Pass };
    let shaping = Some(Shaping::new(&Arc::new(pipeline)));
    let plan = Plan { shaping, routes: vec![Arc::new(Route::plain("main"))] };
    let chunk = chunk();
    let bytes = chunk.data.len();
    let run = move || {
        drop(black_box(Stage::whole(&plan, &chunk, "edge")));
    };
    Loop { name: "pipeline", bytes, run: Box::new(run) }
}

fn compressing() -> Loop {
    let body = batch(Format::Ndjson).record(0).data;
    let bytes = body.len();
    Loop {
        name: "gzip",
        bytes,
        run: Box::new(move || drop(black_box(gzip(&body, COMPRESSION_LEVEL_DEFAULT)))),
    }
}

/// Batches into a queue, durable, and acknowledged.
fn queueing() -> Loop {
    let batch = batch(Format::Gzip);
    let directory = tempfile::tempdir().expect("a place for a queue");
    let mut queue = queue(&directory);
    let bytes = GROUP * batch.wire_bytes() as usize;
    let run = move || {
        let _is_kept_as_long = &directory;
        append(&mut queue, &batch);
        (queue.acked().0..queue.durable().0).for_each(|sequence| queue.ack(Sequence(sequence)));
        queue.checkpoint(0).expect("a cursor that is written");
    };
    Loop { name: "queue", bytes, run: Box::new(run) }
}

/// Batches out of a queue, checked, not from memory.
fn reading() -> Loop {
    let batch = batch(Format::Gzip);
    let directory = tempfile::tempdir().expect("a place for a queue");
    let mut filled = queue(&directory);
    append(&mut filled, &batch);
    filled.close(0).expect("a queue that closes");
    let queue = queue(&directory);
    let bytes = GROUP * batch.wire_bytes() as usize;
    let run = move || {
        let _is_kept_as_long = &directory;
        let mut reader = queue.reader(Sequence::FIRST);
        let mut batches = 0;
        while let Some(frame) = reader.next().expect("a disk that answers") {
            assert!(matches!(Content::of(frame), Content::Batch(_)));
            batches += 1;
        }
        assert_eq!(batches, GROUP);
    };
    Loop { name: "read", bytes, run: Box::new(run) }
}

fn a_body(format: Format, name: &'static str) -> Loop {
    let batch = batch(format);
    let bytes = batch.wire_bytes() as usize;
    let run = move || {
        let records: Vec<_> = batch.records().collect();
        black_box(match &records[..] {
            [record] => body::put_record("logs", record),
            records => body::put_records("logs", records),
        });
    };
    Loop { name, bytes, run: Box::new(run) }
}

fn chunk() -> Chunk {
    Chunk {
        input: "app".into(),
        source: "/var/log/app.log".into(),
        host: None,
        codec: Codec::Text,
        read_at_ms: 1_790_000_000_000,
        data: Bytes::from(text()),
        framing: Framing::Lines,
        form: Form::default(),
        receipt: Receipt::new(|_| {}),
    }
}

/// The same keys each time.
fn batcher(format: Format) -> Batcher {
    Batcher::with_seed(BatcherOptions { format, ..BatcherOptions::default() }, 1)
}

/// Takes the messages of a chunk up to the first that ends a batch, which is given.
fn fill(batcher: &mut Batcher, chunk: &Chunk, writer: &EventWriter) -> Option<Batch> {
    chunk.messages().find_map(|line| {
        let push = batcher.push(Duration::ZERO, chunk.read_at_ms, |buffer| {
            writer.write(line, buffer);
        });
        let sealed = push.and_then(|push| push.sealed_before.or(push.full))?;
        Some(sealed.encode(COMPRESSION_LEVEL_DEFAULT))
    })
}

/// The first batch that is full, or what there is.
fn batch(format: Format) -> Batch {
    let (chunk, mut batcher) = (chunk(), batcher(format));
    let writer = EventWriter::new(&chunk, "edge");
    let full = fill(&mut batcher, &chunk, &writer);
    full.unwrap_or_else(|| batcher.seal().expect("there are lines").encode(COMPRESSION_LEVEL_DEFAULT))
}

fn queue(directory: &tempfile::TempDir) -> Queue<Fs> {
    let storage = Fs::create(directory.path()).expect("a directory");
    Queue::open(storage, Options { free_bytes_min: 0, ..Options::default() }).expect("a queue").0
}

fn append(queue: &mut Queue<Fs>, batch: &Batch) {
    for _ in 0..GROUP {
        queue.append(info_of(batch), &batch.to_payload()).expect("room");
    }
    assert_eq!(queue.commit().expect("a disk that writes").upto, queue.durable());
}
