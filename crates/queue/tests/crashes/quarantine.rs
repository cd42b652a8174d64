//! Every crash point of setting damage aside: whatever happens, the damaged bytes are somewhere, and the good batches
//! around them are delivered.

use bytes::Bytes;
use millpond_queue::{
    BatchInfo, Queue, Sequence, repair,
    storage::mem::{Choose as _, Mem},
};

use crate::{
    points::{Odometer, say},
    world::{CAPACITY, options},
};

const SEGMENT: &str = "00000000000000000001.seg";
const BATCHES: u64 = 6;
const DAMAGED: u64 = 2;
const FRAME_HEADER_LEN: usize = 80;

fn payload(sequence: u64) -> Bytes {
    let mut random = fastrand::Rng::with_seed(sequence);
    std::iter::repeat_with(|| random.u8(..)).take(1_500).collect()
}

fn append(queue: &mut Queue<Mem>, sequence: u64) {
    if queue.append(BatchInfo::default(), &[payload(sequence)]).is_ok() {
        drop(queue.commit());
    }
}

/// Three closed segments; a bit of batch 2, in the first one, is flipped. Gives the bytes of that frame as well.
fn damaged() -> (Mem, Vec<u8>) {
    let mem = Mem::new(CAPACITY);
    let (mut queue, _) = Queue::open(mem.clone(), options()).unwrap();
    (1..=BATCHES).for_each(|sequence| append(&mut queue, sequence));
    assert_eq!(queue.durable(), Sequence(BATCHES + 1));
    queue.close(0).unwrap();
    let mut bytes = mem.content(SEGMENT).unwrap();
    let frame_len = FRAME_HEADER_LEN + payload(DAMAGED).len();
    let at = 4096 + frame_len;
    bytes[at + FRAME_HEADER_LEN + 700] ^= 4;
    let frame = bytes[at..at + frame_len].to_vec();
    mem.put(SEGMENT, bytes);
    (mem.copy(), frame)
}

/// Reads everything, acknowledges it, and lets the segment go. Gives the low-water mark that is promised to survive.
fn deliver(mem: &Mem) -> u64 {
    let Ok((mut queue, _)) = Queue::open(mem.clone(), options()) else { return 1 };
    let mut saved = queue.acked().0;
    let mut reader = queue.reader(queue.acked());
    while let Ok(Some(frame)) = reader.next() {
        queue.ack(frame.sequence);
        if frame.sequence.0 % 2 == 1
            && let Ok(outcome) = queue.checkpoint(0)
        {
            saved = outcome.acked.0;
        }
    }
    append(&mut queue, BATCHES + 1);
    if let Ok(outcome) = queue.checkpoint(0) {
        saved = outcome.acked.0;
    }
    saved
}

fn repair_and_deliver(mem: &Mem) -> u64 {
    drop(repair::repair(mem));
    deliver(mem)
}

/// Opens what a crash left.
fn check_state(mem: &Mem, saved: u64, frame: &[u8]) {
    let holds = |name: &String| mem.content(name).is_some_and(|content| content == frame);
    let in_place = || {
        let bytes = mem.content(SEGMENT)?;
        Some(bytes.windows(frame.len()).any(|bytes| bytes == frame))
    };
    let quarantined = mem.names().iter().any(|name| name.starts_with("quarantine/") && holds(name));
    assert!(quarantined || in_place() == Some(true), "the damaged bytes are gone: {:?}", mem.names());

    let (queue, recovery) = Queue::open(mem.clone(), options()).unwrap();
    let (low, end) = (recovery.acked.0, recovery.durable.0);
    assert!(low >= saved && end > BATCHES, "{recovery:?}, {saved} was promised");
    let mut reader = queue.reader(recovery.acked);
    for sequence in (low..end).filter(|&sequence| sequence != DAMAGED) {
        let frame = reader.next().unwrap().unwrap();
        assert_eq!((frame.sequence, frame.payload), (Sequence(sequence), payload(sequence)));
    }
    assert_eq!(reader.next().unwrap(), None);
}

fn check(name: &str, script: fn(&Mem) -> u64) {
    let (start, frame) = damaged();
    let whole = start.copy();
    script(&whole);
    let calls = whole.calls() - start.calls();
    assert!(mem_has_quarantine(&whole) && whole.content(SEGMENT).is_none(), "{:?}", whole.names());
    let mut states = 0;
    for stop_after in 0..=calls {
        let mem = start.copy();
        mem.stop_after(start.calls() + stop_after);
        let saved = script(&mem);
        let mut odometer = Odometer::default();
        loop {
            check_state(&mem.crash(&mut odometer), saved, &frame);
            states += 1;
            if !odometer.next() {
                break;
            }
        }
    }
    say(name, calls, states);
    assert!(calls > 15 && states > calls, "the script did not run");
}

fn mem_has_quarantine(mem: &Mem) -> bool {
    mem.names().iter().any(|name| name.starts_with("quarantine/"))
}

#[test]
fn damage_is_set_aside() {
    check("quarantine", deliver);
    check("repair", repair_and_deliver);
}

#[test]
fn the_odometer_visits_every_combination() {
    let mut odometer = Odometer::default();
    let mut seen = Vec::new();
    loop {
        let first = odometer.choose(2);
        // What is asked next may depend on what was answered before.
        let second = if first == 0 { odometer.choose(3) } else { 9 };
        seen.push((first, second));
        if !odometer.next() {
            break;
        }
    }
    assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 9)]);
}
