//! What a person sees: a line per chapter, and below them how things stand, on a terminal as a live bar.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::drill::{Depth, Proof, Said};

/// Where there is no terminal, things are said this often.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// Writes to standard output.
pub(super) struct Screen {
    start: Instant,
    bar: Option<ProgressBar>,
    colour: bool,
    said_at: Instant,
    /// The reason that was shown last; it is not shown twice in a row.
    reason: String,
}

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(1);
            let style = "{spinner} {msg}\n  arrived {wide_bar} {pos} of {len}";
            bar.set_draw_target(indicatif::ProgressDrawTarget::stdout());
            bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant"));
            bar
        });
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        let now = Instant::now();
        Self { start: now, bar, colour, said_at: now, reason: String::new() }
    }

    pub(super) fn title(&self, text: &str) {
        self.line(&format!("{} {text}\n", self.paint("1", "millpond demo:")));
    }

    /// Something new begins.
    pub(super) fn chapter(&mut self, name: &str, text: &str) {
        let at = self.start.elapsed().as_secs_f32();
        self.line(&format!("{at:5.1} s  {}  {text}", self.paint("1;36", &format!("{name:<10}"))));
        self.said_at = Instant::now();
    }

    /// The forwarder said something.
    pub(super) fn said(&mut self, said: &Said) {
        let colour = match said.level.as_str() {
            "ERROR" => "31",
            "WARN" => "33",
            _ => "2",
        };
        let reason = match said.reason.as_deref() {
            Some(reason) if reason != self.reason => {
                reason.clone_into(&mut self.reason);
                format!(": {reason}")
            }
            _ => String::new(),
        };
        self.line(&format!("           {}", self.paint(colour, &format!("│ {}{reason}", said.message))));
    }

    /// How things stand.
    pub(super) fn show(&mut self, written: u64, arrived: u64, queue: Option<Depth>, state: &str) {
        let queue = queue.unwrap_or_default();
        let queued = format!("queue {} batches, {}", HumanCount(queue.batches), HumanBytes(queue.disk_bytes));
        if let Some(bar) = &self.bar {
            bar.set_length(written);
            bar.set_position(arrived.min(written));
            bar.set_message(format!("{} · {queued}", self.paint("1", &format!("{state:<10}"))));
            bar.tick();
        } else if self.said_at.elapsed() >= PLAIN_EVERY {
            self.said_at = Instant::now();
            let at = self.start.elapsed().as_secs_f32();
            let (written, arrived) = (HumanCount(written), HumanCount(arrived));
            println!("{at:5.1} s  {state:<10}  written {written}, arrived {arrived}, {queued}");
        }
    }

    /// The proof.
    pub(super) fn verdict(&self, proof: &Proof) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let saved = 100.0 - 100.0 * proof.wire_bytes as f64 / (proof.raw_bytes.max(1)) as f64;
        println!();
        let row = |name: &str, value: String, note: &str| println!("  {name:<16} {value:>12}   {note}");
        row("events in", HumanCount(proof.written).to_string(), "lines written to the log file");
        row("distinct out", HumanCount(proof.distinct).to_string(), "of these lines found in the stream");
        row("missing", HumanCount(proof.missing).to_string(), "");
        let of_the_crash = "sent before the kill -9, their positions not yet on disk";
        row(
            "repeated",
            HumanCount(proof.repeated).to_string(),
            if proof.repeated > 0 { of_the_crash } else { "" },
        );
        row(
            "malformed",
            HumanCount(proof.malformed).to_string(),
            "records whose header, count, size or gzip is wrong",
        );
        let (batches, disk) = (HumanCount(proof.peak_queue.batches), HumanBytes(proof.peak_queue.disk_bytes));
        row("peak queue", format!("{batches} batches"), &format!("{disk} on disk"));
        let (raw, wire) = (HumanBytes(proof.raw_bytes), HumanBytes(proof.wire_bytes));
        let records = HumanCount(proof.records);
        row(
            "saved by gzip",
            format!("{saved:.1} %"),
            &format!("{raw} of events in {wire}, {records} records"),
        );
        row("peak memory", HumanBytes(proof.peak_memory).to_string(), "of the forwarder");
        println!();
        if proof.holds() {
            println!("{} every line written arrived.", self.paint("1;32", "PROVEN:"));
        } else {
            println!("{} not every line arrived as it was written.", self.paint("1;31", "FAILED:"));
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => println!("{text}"),
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
