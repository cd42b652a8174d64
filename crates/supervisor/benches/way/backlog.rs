//! A queue that an outage has filled, to be drained again and again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millpond::backlog::info_of;
use millpond::chunk::{Chunk, Codec, Form, Framing, Receipt};
use millpond::codec::EventWriter;
use millpond_kinesis::{Batcher, BatcherOptions, COMPRESSION_LEVEL_DEFAULT, Sealed};
use millpond_queue::{Fs, Options, Queue};

use crate::Bench;
use crate::forwarder::fresh;

/// So many times the corpus: a drain is quick.
const TIMES: u64 = 3;

/// A queue as an outage leaves it.
pub(crate) struct Saved {
    directory: PathBuf,
    pub(crate) events: u64,
    /// Bytes of its batches.
    pub(crate) bytes: u64,
}

impl Saved {
    /// Makes it, of the same records that the forwarder would have sent.
    pub(crate) fn fill(bench: &Bench) -> anyhow::Result<Self> {
        let directory = fresh(&bench.directory, "backlog")?;
        let mut filler = Filler {
            queue: Queue::open(Fs::create(&directory)?, Options { free_bytes_min: 0, ..Options::default() })?
                .0,
            bytes: 0,
        };
        let chunk = Chunk {
            input: "app".into(),
            source: bench.corpus.path.display().to_string().into(),
            host: None,
            codec: Codec::Text,
            read_at_ms: 1_790_000_000_000,
            data: bench.corpus.text.clone().into(),
            framing: Framing::Lines,
            form: Form::default(),
            receipt: Receipt::new(|_| {}),
        };
        let writer = EventWriter::new(&chunk, "edge");
        let mut batcher = Batcher::new(BatcherOptions::default());
        for line in (0..TIMES).flat_map(|_| chunk.messages()) {
            let push = batcher.push(Duration::ZERO, chunk.read_at_ms, |buffer| {
                writer.write(line, buffer);
            });
            for sealed in push.into_iter().flat_map(|push| [push.sealed_before, push.full]).flatten() {
                filler.keep(sealed)?;
            }
        }
        if let Some(sealed) = batcher.seal() {
            filler.keep(sealed)?;
        }
        let Filler { queue, bytes } = filler;
        queue.close(chunk.read_at_ms)?;
        Ok(Self { directory, events: TIMES * bench.corpus.lines, bytes })
    }

    /// Puts a copy where a forwarder in `directory` finds it.
    pub(crate) fn copy_to(&self, directory: &Path) -> anyhow::Result<()> {
        let to = directory.join("data/queues/main");
        std::fs::create_dir_all(&to)?;
        for entry in self.directory.read_dir()? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    }
}

struct Filler {
    queue: Queue<Fs>,
    bytes: u64,
}

impl Filler {
    fn keep(&mut self, sealed: Sealed) -> anyhow::Result<()> {
        let batch = sealed.encode(COMPRESSION_LEVEL_DEFAULT);
        self.bytes += batch.wire_bytes();
        self.queue.append(info_of(&batch), &batch.to_payload())?;
        let durable = self.queue.commit()?;
        anyhow::ensure!(durable.upto > self.queue.acked(), "a batch was appended");
        Ok(())
    }
}
