//! What a person sees, as golden files.

use super::*;
use crate::golden;

fn status(name: &str) -> Status {
    let path = format!("{}/../../fixtures/status/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn screens() {
    for name in ["outage", "drain", "healthy"] {
        let lines = screen(&status(name), 80);
        let text: String = lines.iter().map(|line| line.text().trim_end().to_owned() + "\n").collect();
        golden::check(&format!("status/{name}.screen"), &text);
        assert!(lines.iter().all(|line| line.text().chars().count() <= 80), "{name}");
    }
}

#[test]
fn colours_tell_good_from_bad() {
    let tones = |name: &str, words: &str| {
        let lines = screen(&status(name), 80);
        let pieces = lines.into_iter().flat_map(|line| line.0);
        pieces.filter(|(text, _)| text.contains(words)).map(|(_, tone)| tone).collect::<Vec<_>>()
    };
    assert_eq!(tones("outage", "not ready"), [Tone::Bad]);
    assert_eq!(tones("outage", "unhealthy"), [Tone::Bad]);
    assert_eq!(tones("outage", "inactive"), [Tone::Faint]);
    assert_eq!(tones("outage", "has reached max_size"), [Tone::Bad]);
    assert_eq!(tones("outage", "in the dead letters"), [Tone::Warning]);
    assert_eq!(tones("drain", "recovering"), [Tone::Warning]);
    assert_eq!(tones("healthy", "healthy"), [Tone::Good]);
}

#[test]
fn what_a_drain_is_waiting_for() {
    let output = |state: &str, change: fn(&mut Held)| {
        let mut output = status("drain").outputs.remove(0);
        output.state = state.to_owned();
        let Some(QueueStatus::Known(held)) = &mut output.running.as_mut().unwrap().queue else { panic!() };
        change(held);
        output
    };
    let words = |output: &OutputStatus| drain(output, held(output.running.as_ref().unwrap()).unwrap());
    let unknown = |held: &mut Held| held.drain = None;
    assert_eq!(words(&output("healthy", |_| ())), "through in 15 min, 4,000 events/s fewer");
    assert_eq!(words(&output("healthy", unknown)), "not in sight: the queue does not become shorter");
    assert_eq!(words(&output("paused", unknown)), "begins when the output is resumed");
    assert_eq!(words(&output("unhealthy", unknown)), "begins when the output is healthy again");
    // Only a second look tells.
    assert!(may_drain(&output("healthy", unknown)));
    assert!(!may_drain(&output("healthy", |_| ())), "known");
    assert!(!may_drain(&output("unhealthy", unknown)), "nothing is sent");
    assert!(!may_drain(&output("healthy", |held| (held.drain, held.events) = (None, 0))), "empty");
}
