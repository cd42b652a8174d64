//! What a key means. Pure.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Key, Message};

/// What an event of the terminal means, if it means anything.
pub(super) fn read(event: &Event) -> Option<Message> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => of(key).map(Message::Key),
        // What was drawn is gone, or has another size.
        Event::Resize(..) | Event::FocusGained => Some(Message::Redraw),
        _ => None,
    }
}

fn of(key: &KeyEvent) -> Option<Key> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return matches!(key.code, KeyCode::Char('c' | 'd')).then_some(Key::Quit);
    }
    Some(match key.code {
        KeyCode::Char('q') => Key::Quit,
        KeyCode::Esc => Key::Back,
        KeyCode::Up | KeyCode::Left | KeyCode::BackTab | KeyCode::Char('k') => Key::Previous,
        KeyCode::Down | KeyCode::Right | KeyCode::Tab | KeyCode::Char('j') => Key::Next,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Key::PageDown,
        KeyCode::Enter | KeyCode::Char('l') => Key::Queue,
        KeyCode::Char('d') => Key::Letters,
        KeyCode::Char('p') => Key::Pause,
        KeyCode::Char('r') => Key::Resume,
        KeyCode::Char('y') => Key::Yes,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Key::Help,
        KeyCode::Char('n') => Key::Back,
        _ => return None,
    })
}
