//! The course of a run: weather, inputs, time.

use std::time::Duration;

use millpond::config::checked::QueueMode;
use millpond::forwarder::Event;

use crate::world::World;

impl World {
    /// Runs until the machine has finished.
    pub(crate) fn run(&mut self) {
        // Some stops are patient, some run out of time at once.
        let patience = Duration::from_secs(self.rng.u64(..5));
        let stops = self.plan.may_stop && self.rng.bool();
        let stop_at = stops.then(|| Duration::from_millis(self.rng.u64(1..60_000)));
        let (mut ended, mut live_at, mut flap_at) = (false, Duration::ZERO, Duration::ZERO);
        for _ in 0..self.plan.steps_max {
            if self.finished {
                return;
            }
            self.weather(&mut flap_at);
            self.take_parked();
            self.stop(stop_at, patience);
            let gives = !self.stopped && self.given < self.plan.batches && self.now >= live_at;
            if gives && self.machine.wants_live() {
                let every = self.plan.live_every_ms;
                live_at = self.now + Duration::from_millis(self.rng.u64(..=every));
                self.watch.given_at.insert(self.given, self.now);
                self.watch.live += 1;
                self.step(Event::Live(self.given));
                self.given += 1;
            }
            if !ended && (self.stopped || self.given == self.plan.batches) {
                ended = true;
                self.step(Event::InputsEnded);
            }
            self.advance();
        }
        panic!("no end after {} steps: {:?}", self.plan.steps_max, self.machine);
    }

    fn stop(&mut self, stop_at: Option<Duration>, patience: Duration) {
        let Some(stop_at) = stop_at else { return };
        if !self.stopped && self.now >= stop_at {
            self.stopped = true;
            self.step(Event::Stop);
        }
        if self.stopped && !self.out_of_time && self.now >= stop_at + patience {
            self.out_of_time = true;
            let untold = self.agenda.values().any(|event| matches!(event, Event::QueueRoom(_)));
            assert!(self.told_room || untold || self.parked.is_empty(), "it waits for room without end");
            // The queue goes on; what it says of its room is heard.
            self.agenda.retain(|_, event| matches!(event, Event::QueueRoom(_)));
            self.watch.flying.clear();
            self.step(Event::GiveUp);
        }
    }

    /// The link, the disk and people have their moods, and then are well, so that a drain must end.
    fn weather(&mut self, flap_at: &mut Duration) {
        let calm = self.now > self.plan.calm_from;
        match self.plan.flaps_every_ms {
            _ if calm => self.link_up = true,
            None if self.rng.u8(..50) == 0 => self.link_up = self.rng.bool(),
            Some(every_ms) if self.now >= *flap_at => {
                self.link_up = !self.link_up;
                *flap_at = self.now + Duration::from_millis(self.rng.u64(500..=every_ms));
            }
            _ => {}
        }
        if !self.plan.moods {
            return;
        }
        if (calm && self.paused) || self.rng.u8(..100) == 0 {
            self.paused = !calm && self.rng.bool();
            self.step(Event::Pause(self.paused));
        }
        if self.rng.u8(..100) == 0 {
            self.give_up_oldest();
        }
        if calm || self.rng.u8(..50) == 0 {
            let memory = (calm || self.rng.bool(), calm || self.rng.bool());
            if std::mem::replace(&mut self.memory, memory) != memory {
                let (puts, reads) = memory;
                self.step(Event::Memory { puts, reads });
            }
        }
        if calm || self.rng.u8(..50) == 0 {
            // Where every batch must go through a queue without room, there is no end but a stop.
            let for_good = self.full_from.is_some_and(|from| self.now >= from)
                && (self.stopped || self.plan.policy.queue_mode != QueueMode::Always);
            self.room = (calm || self.rng.bool()) && !for_good;
            self.tell_room();
        }
    }

    fn advance(&mut self) {
        let event_at = self.agenda.first_key_value().map(|((due, _), _)| *due);
        let timer_at = self.machine.deadline();
        let tick = self.now + Duration::from_millis(self.rng.u64(1..200));
        let next = event_at.into_iter().chain(timer_at).chain([tick]).min().unwrap_or(tick);
        self.now = self.now.max(next);
        if event_at.is_some_and(|at| at <= self.now) {
            if let Some((_, event)) = self.agenda.pop_first() {
                self.happen(event);
            }
        } else if timer_at == Some(next) {
            self.step(Event::Time);
        }
    }
}
