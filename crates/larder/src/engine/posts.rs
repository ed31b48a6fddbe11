//! Fills that are not waited for (R31).
//!
//! A fill is guarded: if its key changed since the miss it is dropped, however late it comes. So it
//! is sent at once, and what became of it is learned with the answer to whatever is asked next, or
//! at the end of the request. One that was lost may have left another's older value in place: its
//! key is deleted.

use std::sync::atomic::Ordering;

use super::calls::Engine;
use super::handle::Decode;
use crate::breaker::Breaker;
use crate::coherence::Ticket;
use crate::contract::{Guard, Op, Outcome, Settled};
use crate::refusals::holds_any;

impl<D: Decode> Engine<D> {
    /// Sends what is nothing but a fill without waiting, if there is a request whose end will see
    /// to it. No round trip.
    pub(super) fn post(&self, ops: &[Op<'_>]) -> bool {
        let [fill @ Op::Set { cache, guard: Some(Guard::Fill { .. }), lock: None, .. }] = ops else {
            return false;
        };
        if !cache.logged()
            || holds_any(self.refused.load(Ordering::Relaxed))
            || self.breaker.as_ref().is_some_and(Breaker::is_open)
        {
            return false;
        }
        let (since, in_request) = {
            let state = self.state();
            (state.position(), state.serves_requests())
        };
        let posted = in_request && self.backend.post(since, fill);
        if posted {
            self.lost_fills.any.store(true, Ordering::Relaxed);
        }
        posted
    }

    /// Learns what became of fills, without the changes around them: an answer that tells of those
    /// is about to be taken in.
    pub(super) fn learn_settled(&self) {
        if self.lost_fills.any.load(Ordering::Relaxed) {
            let settled = self.backend.settled(None, false);
            self.take_settled(None, settled);
        }
    }

    /// Takes in what has come so far, so that the guards of what is sent next stand as far on as
    /// can be known.
    pub(super) fn follow_settled(&self) {
        if self.lost_fills.any.load(Ordering::Relaxed) {
            self.ask_settled(false);
        }
    }

    /// At the end of a request: waits for what became of its fills. A round trip if that is not
    /// known, and one more if any was lost.
    pub(super) fn await_settled(&self) {
        if self.lost_fills.any.swap(false, Ordering::Relaxed) {
            self.ask_settled(true);
            self.delete_lost();
        }
    }

    fn ask_settled(&self, wait: bool) {
        let ticket = self.state().ticket();
        let settled = self.backend.settled(ticket.position(), wait);
        self.take_settled(Some(ticket), settled);
    }

    fn take_settled(&self, ticket: Option<Ticket>, settled: Vec<Settled>) {
        let (mut lost, mut dropped) = (Vec::new(), 0);
        let mut state = self.state();
        let mut ticket = ticket.filter(|ticket| state.is_current(*ticket));
        for Settled { cache, key, outcome, delta } in settled {
            if outcome != Some(Outcome::Stored) {
                let number = state.number(cache.name());
                state.forget(number, &key);
                match outcome {
                    Some(_) => dropped += 1,
                    None => lost.push((cache, Some(key))),
                }
            }
            if let (Some(current), Some(delta)) = (ticket, delta) {
                state.advance(current, &delta);
                ticket = Some(state.ticket());
            }
        }
        drop(state);
        self.counters().dropped_fills.fetch_add(dropped, Ordering::Relaxed);
        self.lost_fills.add(lost);
    }

    /// Deletes the keys of lost fills. One round trip if there are any.
    pub(super) fn delete_lost(&self) {
        let lost = self.lost_fills.take();
        if lost.is_empty() {
            return;
        }
        let ops: Vec<Op<'_>> = lost
            .iter()
            .map(|(cache, key)| match key {
                Some(key) => Op::Delete { cache, key },
                None => Op::Purge { cache },
            })
            .collect();
        if let Err(error) = self.guarded(|| self.backend.apply(None, &ops)) {
            self.counters().errors.fetch_add(1, Ordering::Relaxed);
            self.note_refused(&ops, &error);
            self.lost_fills.add(lost);
            self.lost_fills.any.store(true, Ordering::Relaxed);
        }
    }
}
