//! Up to where a file is acknowledged, when its chunks are sent in order and their receipts come back in any order.
//!
//! Pure: no file, no clock, no channel. What it holds is bounded by the chunks that are in flight.

use std::collections::VecDeque;

/// A place in a file at which reading can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Bytes from the beginning of the file.
    pub offset: u64,
    /// The place lies inside a line that was cut: what comes up to the next line end belongs to nobody.
    pub in_cut_line: bool,
}

impl Position {
    /// The place at this many bytes from the beginning, where a line begins.
    #[must_use]
    pub fn at(offset: u64) -> Self {
        Self { offset, in_cut_line: false }
    }
}

/// The chunks of one file that are on their way, and the position before which everything is acknowledged.
///
/// A chunk that was lost (its receipt says that it is neither delivered nor durable) holds the position where it is for
/// good. Then [`has_lost`](Self::has_lost) is true, nothing more may be sent, and once no receipt is awaited any more
/// the owner makes a new window at [`acked`](Self::acked) and reads from there again.
#[derive(Debug)]
pub struct AckWindow {
    acked: Position,
    /// Number of the chunk in `slots.front()`.
    first: u64,
    slots: VecDeque<Slot>,
    awaited: usize,
    has_lost: bool,
}

#[derive(Debug)]
struct Slot {
    end: Position,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Awaited,
    Settled,
    Lost,
}

impl AckWindow {
    /// A window in which everything before `start` is acknowledged and nothing is on its way.
    #[must_use]
    pub fn new(start: Position) -> Self {
        Self { acked: start, first: 0, slots: VecDeque::new(), awaited: 0, has_lost: false }
    }

    /// A chunk that ends at `end` is on its way; its number, to be given back with its receipt.
    ///
    /// # Panics
    /// If `end` is not behind what was sent before, or a chunk was lost.
    pub fn sent(&mut self, end: Position) -> u64 {
        assert!(end.offset > self.sent_to().offset, "a chunk ends before it begins");
        assert!(!self.has_lost, "sent although a chunk before it is lost");
        let number = self.first + self.slots.len() as u64;
        self.slots.push_back(Slot { end, fate: Fate::Awaited });
        self.awaited += 1;
        number
    }

    /// The bytes up to `end` hold nothing to deliver: they are acknowledged together with what was sent before them.
    ///
    /// # Panics
    /// If `end` lies before what was sent.
    pub fn passed(&mut self, end: Position) {
        assert!(end.offset >= self.sent_to().offset, "passed over what was sent");
        match self.slots.back_mut() {
            Some(last) => last.end = end,
            None => self.acked = end,
        }
    }

    /// A receipt has come back: `ok` if the chunk is delivered or durable. Returns whether the position went on.
    ///
    /// # Panics
    /// If no receipt of this number is awaited.
    pub fn receipt(&mut self, number: u64, ok: bool) -> bool {
        let slot = number
            .checked_sub(self.first)
            .and_then(|index| self.slots.get_mut(usize::try_from(index).ok()?))
            .filter(|slot| slot.fate == Fate::Awaited);
        let slot = slot.expect("each receipt comes back once, and only for a chunk that was sent");
        slot.fate = if ok { Fate::Settled } else { Fate::Lost };
        self.has_lost |= !ok;
        self.awaited -= 1;
        self.advance()
    }

    fn advance(&mut self) -> bool {
        let before = self.first;
        while self.slots.front().is_some_and(|slot| slot.fate == Fate::Settled) {
            if let Some(slot) = self.slots.pop_front() {
                self.acked = slot.end;
                self.first += 1;
            }
        }
        self.first > before
    }

    /// The position before which everything is delivered or durable.
    #[must_use]
    pub fn acked(&self) -> Position {
        self.acked
    }

    /// The position up to which everything was sent.
    #[must_use]
    pub fn sent_to(&self) -> Position {
        self.slots.back().map_or(self.acked, |last| last.end)
    }

    /// Receipts that have not come back yet.
    #[must_use]
    pub fn awaited(&self) -> usize {
        self.awaited
    }

    /// A chunk is neither delivered nor durable and will not be: it has to be read again.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        self.has_lost
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the window must say, by definition: the end of the longest run of settled chunks.
    fn expected(start: u64, ends: &[u64], fates: &[Option<bool>]) -> u64 {
        let settled = fates.iter().take_while(|fate| **fate == Some(true)).count();
        settled.checked_sub(1).map_or(start, |last| ends[last])
    }

    /// Sends `ends.len()` chunks and gives receipts back in `order`, each as `ok` says, checking after each step.
    fn check(ends: &[u64], order: &[usize], ok: &[bool]) {
        let mut window = AckWindow::new(Position::at(10));
        let numbers: Vec<u64> = ends.iter().map(|end| window.sent(Position::at(*end))).collect();
        let mut fates = vec![None; ends.len()];
        for (step, index) in order.iter().enumerate() {
            let before = window.acked();
            let advanced = window.receipt(numbers[*index], ok[*index]);
            fates[*index] = Some(ok[*index]);
            assert_eq!(window.acked().offset, expected(10, ends, &fates), "{order:?} {ok:?} step {step}");
            assert_eq!(advanced, window.acked() != before);
            assert_eq!(window.awaited(), ends.len() - step - 1);
            assert_eq!(window.has_lost(), fates.contains(&Some(false)));
        }
        let all_ok = ok.iter().all(|ok| *ok);
        assert_eq!(window.slots.is_empty(), all_ok, "nothing is held once everything is acknowledged");
    }

    fn permutations(items: &mut Vec<usize>, from: usize, each: &mut dyn FnMut(&[usize])) {
        if from == items.len() {
            return each(items);
        }
        for i in from..items.len() {
            items.swap(from, i);
            permutations(items, from + 1, each);
            items.swap(from, i);
        }
    }

    #[test]
    fn every_order_of_up_to_six_receipts_and_every_fate() {
        for n in 1..=6_usize {
            let ends: Vec<u64> = (1..=n as u64).map(|i| 10 + 7 * i).collect();
            permutations(&mut (0..n).collect(), 0, &mut |order| {
                for mask in 0..1_u32 << n {
                    let ok: Vec<bool> = (0..n).map(|i| mask & (1 << i) != 0).collect();
                    check(&ends, order, &ok);
                }
            });
        }
    }

    #[derive(Debug, Clone)]
    enum Op {
        Send(u8),
        Pass(u8),
        Receipt(u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (1..=u8::MAX).prop_map(Op::Send),
            any::<u8>().prop_map(Op::Pass),
            any::<u8>().prop_map(Op::Receipt),
        ]
    }

    proptest! {
        #[test]
        fn sending_passing_and_receipts_in_any_mixture(ops in prop::collection::vec(op(), 0..200)) {
            let mut window = AckWindow::new(Position::default());
            // Each element: where the chunk ends (with what was passed over behind it), and whether it is settled.
            let mut model: Vec<(u64, bool)> = vec![(0, true)];
            for op in ops {
                let end = model.last().unwrap().0;
                match op {
                    Op::Send(by) => {
                        let number = window.sent(Position::at(end + u64::from(by)));
                        prop_assert_eq!(number, model.len() as u64 - 1);
                        model.push((end + u64::from(by), false));
                    }
                    Op::Pass(by) => {
                        let place = Position { offset: end + u64::from(by), in_cut_line: true };
                        window.passed(place);
                        model.last_mut().unwrap().0 = place.offset;
                    }
                    Op::Receipt(pick) => {
                        let open: Vec<usize> = (0..model.len()).filter(|i| !model[*i].1).collect();
                        if let Some(index) = open.get(usize::from(pick) % open.len().max(1)) {
                            window.receipt(*index as u64 - 1, true);
                            model[*index].1 = true;
                        }
                    }
                }
                let settled = model.iter().take_while(|(_, settled)| *settled).count();
                prop_assert_eq!(window.acked().offset, model[settled - 1].0);
                prop_assert_eq!(window.sent_to().offset, model.last().unwrap().0);
                prop_assert_eq!(window.awaited(), model.iter().filter(|(_, settled)| !settled).count());
            }
        }
    }

    #[test]
    fn a_place_inside_a_cut_line_stays_one() {
        let mut window = AckWindow::new(Position::default());
        let cut = Position { offset: 8, in_cut_line: true };
        let number = window.sent(cut);
        assert!(window.receipt(number, true));
        assert_eq!(window.acked(), cut);
        window.passed(Position::at(20));
        assert_eq!(window.acked(), Position::at(20));
    }

    #[test]
    #[should_panic(expected = "comes back once")]
    fn a_receipt_that_comes_back_twice_is_a_bug() {
        let mut window = AckWindow::new(Position::default());
        let number = window.sent(Position::at(1));
        window.sent(Position::at(2));
        window.receipt(number, false);
        window.receipt(number, true);
    }
}
