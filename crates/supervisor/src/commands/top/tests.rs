//! The screen as golden files, and what keys and answers do.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::draw::draw;
use super::model::{Deed, Effect, Key, Message, Model, Over};
use crate::admin::Status;
use crate::admin::look::{Code, Letters, NewestLetter, QueueLook, SegmentLook};
use crate::golden;

fn status(name: &str) -> Status {
    let path = format!("{}/../../fixtures/status/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A model that has seen the drain go on for a minute.
fn draining() -> Model {
    let mut model = Model::new("http://127.0.0.1:9650");
    for second in 0..60 {
        let mut status = status("drain");
        let running = status.outputs[0].running.as_mut().unwrap();
        running.received_events += second * 100;
        running.delivered_events += second * second * 40;
        if let Some(crate::admin::status::QueueStatus::Known(held)) = &mut running.queue {
            held.events -= second * 3_000;
        }
        seen(&mut model, status, second);
    }
    model
}

fn seen(model: &mut Model, status: Status, second: u64) {
    let at = Duration::from_secs(second);
    assert_eq!(model.update(Message::Tick, at), [Effect::AskStatus]);
    assert_eq!(model.update(Message::Status(Ok(status)), at), []);
}

fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    model.update(Message::Key(key), model.now)
}

fn screen(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, true, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(width.max(1).into());
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(|cell| cell.symbol()).collect::<String>();
    rows.map(|cells| row(cells).trim_end().to_owned() + "\n").collect()
}

fn queue_look() -> QueueLook {
    let now = status("drain").now_ms;
    let segment = |number: u64, state: &str| SegmentLook {
        file: format!("{:020}.seg", number * 1000 + 1),
        first_sequence: number * 1000 + 1,
        end_sequence: number * 1000 + 1001,
        batches: 1000,
        events: 500_000,
        payload_bytes: 15 << 20,
        disk_bytes: 16 << 20,
        first_time_ms: Some(now - 160_000_000 + number as i64 * 1_000_000),
        last_time_ms: Some(now - 159_000_000 + number as i64 * 1_000_000),
        state: state.to_owned(),
    };
    let mut segments: Vec<_> = (1..30).map(|number| segment(number, "sealed")).collect();
    segments[0].state = "delivered".to_owned();
    segments[3].state = "damaged".to_owned();
    segments[28].state = "active".to_owned();
    QueueLook {
        output: "main".to_owned(),
        acked_sequence: Some(2_345),
        pending_batches: 27_000,
        disk_bytes: 470 << 20,
        quarantined_files: 2,
        consumers: vec![crate::admin::look::ConsumerLook { name: "replay-copy".to_owned(), sequence: 5_000 }],
        segments_total: 40,
        segments,
        oldest_event_ms: Some(now - 159_000_000),
        newest_event_ms: Some(now - 130_000_000),
    }
}

fn letters() -> Letters {
    let now = status("drain").now_ms;
    let message = "1 validation error detected: Value at 'partitionKey' failed to satisfy constraint: Member must have \
                   length less than or equal to 256";
    Letters {
        output: "main".to_owned(),
        letters: 3,
        events: 3,
        unreadable: 1,
        by_code: vec![Code {
            code: "ValidationException".to_owned(),
            letters: 3,
            events: 3,
            last_refused_ms: now - 7_200_000,
            last_message: message.to_owned(),
        }],
        newest: vec![NewestLetter {
            sequence: 3,
            refused_ms: now - 7_200_000,
            events: 1,
            code: "ValidationException".to_owned(),
            message: message.to_owned(),
            stream: "logs".to_owned(),
            partition_key: None,
            format: "event".to_owned(),
            body_bytes: 2_048,
        }],
    }
}

#[test]
fn screens() {
    let check = |name: &str, model: &Model| {
        golden::check(&format!("top/{name}-80x24.txt"), &screen(model, 80, 24));
        golden::check(&format!("top/{name}-120x40.txt"), &screen(model, 120, 40));
    };
    check("begin", &Model::new("http://127.0.0.1:9650"));
    let mut model = draining();
    check("drain", &model);
    press(&mut model, Key::Help);
    check("help", &model);
    press(&mut model, Key::Pause);
    check("pause", &model);
    press(&mut model, Key::Back);
    press(&mut model, Key::Queue);
    model.update(Message::Queue(Ok(queue_look()), "main".to_owned()), model.now);
    check("queue", &model);
    press(&mut model, Key::Letters);
    model.update(Message::Letters(Ok(letters()), "main".to_owned()), model.now);
    check("dead-letters", &model);
    press(&mut model, Key::Back);
    model.update(
        Message::Status(Err("nobody answers at http://127.0.0.1:9650".to_owned())),
        Duration::from_secs(60),
    );
    model.update(
        Message::Status(Err("nobody answers at http://127.0.0.1:9650".to_owned())),
        Duration::from_secs(75),
    );
    check("gone", &model);
    let mut outage = Model::new("http://127.0.0.1:9650");
    seen(&mut outage, status("outage"), 0);
    press(&mut outage, Key::Next);
    check("outage", &outage);
}

/// Whatever the terminal's size is, and whatever lies over the outputs.
#[test]
fn no_terminal_is_too_small() {
    let mut model = draining();
    let overs = [Key::Back, Key::Help, Key::Pause, Key::Queue, Key::Letters];
    for key in overs {
        press(&mut model, key);
        model.update(Message::Queue(Ok(queue_look()), "main".to_owned()), model.now);
        model.update(Message::Letters(Ok(letters()), "main".to_owned()), model.now);
        press(&mut model, Key::PageDown);
        for (width, height) in [(0, 0), (1, 1), (2, 3), (10, 4), (33, 9), (40, 12), (500, 2), (3, 200)] {
            assert_eq!(
                screen(&model, width, height).lines().count(),
                if width == 0 { 0 } else { height.into() }
            );
        }
    }
}

#[test]
fn an_output_is_chosen_and_stays_chosen() {
    let mut model = draining();
    assert_eq!(model.chosen(), 0);
    press(&mut model, Key::Next);
    assert_eq!(model.chosen(), 1);
    let mut fewer = status("drain");
    fewer.outputs.remove(0);
    seen(&mut model, fewer, 100);
    assert_eq!((model.chosen(), &*model.outputs()[0].id), (0, "slow"));
    assert!(model.history("main").is_none() && model.history("slow").is_some());
    seen(&mut model, status("drain"), 101);
    assert_eq!(model.chosen(), 1);
    press(&mut model, Key::Next);
    assert_eq!(model.chosen(), 0);
    press(&mut model, Key::Previous);
    assert_eq!(model.chosen(), 1);
}

#[test]
fn nothing_is_done_unasked() {
    let mut model = draining();
    assert_eq!(press(&mut model, Key::Yes), []);
    assert_eq!(press(&mut model, Key::Pause), []);
    assert_eq!(press(&mut model, Key::Back), []);
    assert_eq!(press(&mut model, Key::Yes), [], "it was taken back");
    press(&mut model, Key::Pause);
    assert_eq!(press(&mut model, Key::Yes), [Effect::Order(Deed::Pause, "main".to_owned())]);
    press(&mut model, Key::Resume);
    assert_eq!(press(&mut model, Key::Yes), [], "one order at a time");
    model.update(Message::Ordered(Ok("main: paused".to_owned())), model.now);
    assert_eq!(model.notice, Some(Ok("main: paused".to_owned())));
    press(&mut model, Key::Resume);
    assert_eq!(press(&mut model, Key::Yes), [Effect::Order(Deed::Resume, "main".to_owned())]);
    assert_eq!(press(&mut model, Key::Quit), [Effect::Quit]);
}

#[test]
fn questions_are_not_piled_up() {
    let mut model = Model::new("http://127.0.0.1:9650");
    assert_eq!(press(&mut model, Key::Queue), [], "there is no output yet");
    assert_eq!(model.update(Message::Tick, Duration::ZERO), [Effect::AskStatus]);
    assert_eq!(model.update(Message::Tick, Duration::from_secs(1)), [], "it is being asked");
    model.update(Message::Status(Err("gone".to_owned())), Duration::from_secs(2));
    assert_eq!(model.update(Message::Tick, Duration::from_secs(3)), [Effect::AskStatus], "it goes on asking");
    model.update(Message::Status(Ok(status("drain"))), Duration::from_secs(3));
    assert!(model.trouble.is_none());
    assert_eq!(press(&mut model, Key::Queue), [Effect::AskQueue("main".to_owned())]);
    assert_eq!(press(&mut model, Key::Letters), [], "one look at a time");
    // What was looked at is shown only to whoever still wants it.
    press(&mut model, Key::Back);
    model.update(Message::Queue(Ok(queue_look()), "main".to_owned()), model.now);
    assert!(matches!(model.over, Over::Nothing));
    assert_eq!(press(&mut model, Key::Letters), [Effect::AskLetters("main".to_owned())]);
}
