//! What came of a fault: what the forwarder says it did, held against what the endpoint has.

use std::collections::BTreeSet;
use std::fmt;

use millpond::drill::{Proof, Said};
use millpond_local_kinesis::{Operation, decode};
use millpond_queue::{Fs, inspect};

use crate::cell::{Cell, has_words, states};
use crate::table::{Api, DeadLetters, Felt, Policy, Repeated, Worst};
use crate::world::World;

/// Puts in flight, by default.
const CONCURRENCY: u64 = 5;
/// While an output is unhealthy one batch at a time is a probe; until it is, each put that flies fails a few times.
const UNANSWERED_MAX: u64 = 40;

/// What the forwarder counted, by its last line.
#[derive(Debug)]
struct Counted {
    events: u64,
    delivered: u64,
    repeated: u64,
    dropped: u64,
    dead_letters: u64,
    unacknowledged: u64,
    spooled_batches: u64,
}

impl Counted {
    fn of(said: &[Said]) -> Self {
        let last = said.iter().rev().find(|said| said.message == "forwarded in all");
        let last = last.unwrap_or_else(|| panic!("the totals were not said: {said:#?}"));
        let number = |name: &str| last.fields.get(name).and_then(serde_json::Value::as_u64).unwrap();
        Self {
            events: number("events"),
            delivered: number("delivered"),
            repeated: number("repeated"),
            dropped: number("dropped"),
            dead_letters: number("dead_letters"),
            unacknowledged: number("unacknowledged"),
            spooled_batches: number("spooled_batches"),
        }
    }
}

pub(crate) struct Outcome {
    counted: Counted,
    /// What arrived.
    proof: Proof,
    /// What was said since the fault began.
    said: Vec<Said>,
    /// How often the fault struck.
    struck: u64,
    /// Puts that were carried out and not answered.
    unanswered: u64,
    /// Puts whose signature was refused for the clock.
    clock_refused: u64,
    /// Events in the largest batch that arrived.
    batch_max: u64,
    /// Records in the dead letters, by a look at the disk.
    dead_records: u64,
}

impl Outcome {
    pub(crate) fn of(world: &World, from: usize, struck: u64) -> Self {
        let records = world.server.records();
        let counts = world.server.counts();
        let puts = |outcome: &str| {
            let puts = [Operation::PutRecord, Operation::PutRecords];
            puts.into_iter().map(|put| counts.requests_of(put, outcome)).sum::<u64>()
        };
        let dead_letters = Fs::existing(&world.path("data/dead-letters/main")).ok();
        Self {
            counted: Counted::of(&world.said),
            proof: Proof::take(world.written, &records),
            said: world.said[from..].to_vec(),
            struck,
            unanswered: puts("truncated") + puts("accept-then-reset"),
            clock_refused: puts("InvalidSignatureException"),
            batch_max: records
                .iter()
                .map(|record| decode(&record.data).unwrap().count as u64)
                .max()
                .unwrap_or(0),
            dead_records: dead_letters
                .map_or(0, |storage| inspect::overview(&storage).unwrap().pending_batches),
        }
    }

    pub(crate) fn check(&self, cell: &Cell) {
        self.check_sum();
        self.check_state(cell);
        self.check_strikes(cell);
        self.check_words(cell);
        self.check_repeated(cell);
        self.check_dead_letters(cell);
        self.check_policy(cell);
    }

    /// Nothing disappears, and what the forwarder counts is what the endpoint has.
    fn check_sum(&self) {
        let Self { counted, proof, .. } = self;
        assert_eq!(proof.malformed, 0, "{self:#?}");
        assert_eq!((counted.events, counted.unacknowledged), (proof.written, 0), "{self:#?}");
        assert_eq!(counted.events, counted.delivered + counted.dropped + counted.dead_letters, "{self:#?}");
        assert_eq!(counted.delivered, proof.distinct, "{self:#?}");
        assert_eq!(proof.missing, counted.dropped + counted.dead_letters, "{self:#?}");
    }

    fn worst(&self) -> Worst {
        match states(&self.said).any(|state| state == "unhealthy") {
            true => Worst::Unhealthy,
            false => Worst::Healthy,
        }
    }

    fn check_state(&self, cell: &Cell) {
        assert_eq!(self.worst(), cell.row.worst, "{self:#?}");
        let back = states(&self.said).collect::<Vec<_>>();
        match cell.row.worst {
            Worst::Healthy => assert!(back.is_empty(), "{self:#?}"),
            Worst::Unhealthy => assert_eq!(back.last(), Some(&"healthy"), "{self:#?}"),
        }
    }

    /// Where an API does not meet the fault, it does not.
    fn check_strikes(&self, cell: &Cell) {
        assert!(self.struck == 0 || cell.row.strikes(cell.api), "{self:#?}");
        match cell.row.felt {
            Felt::Corrected => assert!((1..=CONCURRENCY).contains(&self.clock_refused), "{self:#?}"),
            _ => assert_eq!(self.clock_refused, 0, "{self:#?}"),
        }
    }

    /// The log names the cause and the remedy, and the line that says `unhealthy` has them too.
    fn check_words(&self, cell: &Cell) {
        let class =
            |said: &Said| said.fields.get("class").and_then(|class| class.as_str()).map(str::to_owned);
        let classes: BTreeSet<String> = self.said.iter().filter_map(class).collect();
        let strikes = cell.row.strikes(cell.api);
        let expected = cell.row.class.filter(|_| strikes).map(str::to_owned);
        assert_eq!(classes, expected.into_iter().collect(), "{self:#?}");
        if !strikes {
            return;
        }
        for words in cell.row.words {
            assert!(has_words(&self.said, words), "not said: {words}; {self:#?}");
        }
        if cell.row.worst == Worst::Unhealthy && cell.row.first.is_none() {
            let is_fall = |said: &&Said| said.state.as_deref() == Some("unhealthy");
            let fall = self.said.iter().find(is_fall).unwrap();
            for words in cell.row.words {
                assert!(has_words(std::slice::from_ref(fall), words), "not said: {words}; {fall:#?}");
            }
        }
    }

    /// The forwarder cannot know what became of a request without an answer, so it may count too many; never too few.
    fn check_repeated(&self, cell: &Cell) {
        let (repeated, per_put) = (self.proof.repeated, self.events_per_put_max(cell.api));
        match cell.row.repeated {
            Repeated::Nothing => assert_eq!(repeated, 0, "{self:#?}"),
            Repeated::InFlight => assert!(repeated <= CONCURRENCY * per_put, "{self:#?}"),
            Repeated::Unanswered => {
                assert!((1..=UNANSWERED_MAX).contains(&self.unanswered), "{self:#?}");
                assert!((1..=self.unanswered * per_put).contains(&repeated), "{self:#?}");
            }
        }
        assert!(repeated <= self.counted.repeated, "{self:#?}");
    }

    fn events_per_put_max(&self, api: Api) -> u64 {
        match api {
            Api::PutRecord => self.batch_max,
            Api::PutRecords => millpond_kinesis::limits::REQUEST_RECORDS_MAX as u64,
        }
    }

    fn check_dead_letters(&self, cell: &Cell) {
        let dead = self.counted.dead_letters;
        match (cell.row.dead_letters, cell.api) {
            (DeadLetters::None, _) => assert_eq!((dead, self.dead_records), (0, 0), "{self:#?}"),
            (DeadLetters::OneRecord, Api::PutRecord) => {
                assert!(dead > 1 && self.dead_records == 1, "a record of several events: {self:#?}");
            }
            (DeadLetters::OneRecord, Api::PutRecords) => {
                assert_eq!((dead, self.dead_records), (1, 1), "{self:#?}");
            }
        }
    }

    /// Only `drop` drops, only `queue` queues, and both only where nothing can be sent.
    fn check_policy(&self, cell: &Cell) {
        let (dropped, spooled) = (self.counted.dropped, self.counted.spooled_batches);
        let down = cell.row.worst == Worst::Unhealthy;
        assert_eq!(dropped > 0, down && cell.policy == Policy::Drop, "{self:#?}");
        match cell.policy {
            // Before it is healthy for the first time it queues too.
            Policy::Queue => assert!(spooled > 0 || !down, "{self:#?}"),
            Policy::Block | Policy::Drop => assert_eq!(spooled, 0, "{self:#?}"),
        }
    }
}

/// The figures.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counted { events, delivered, dropped, dead_letters, repeated, .. } = self.counted;
        let (twice, struck) = (self.proof.repeated, self.struck);
        write!(
            f,
            "{events} = {delivered} delivered + {dropped} dropped + {dead_letters} dead letters; {twice} repeated \
             ({repeated} said); struck {struck} times; {:?}",
            self.worst()
        )
    }
}

/// All there is to see when something is not as it should be.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcome")
            .field("counted", &self.counted)
            .field("proof", &self.proof)
            .field("struck", &self.struck)
            .field("unanswered", &self.unanswered)
            .field("clock_refused", &self.clock_refused)
            .field("batch_max", &self.batch_max)
            .field("dead_records", &self.dead_records)
            .field("said", &self.said)
            .finish()
    }
}
