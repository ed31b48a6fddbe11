//! Time passes, and states that differ in what cannot matter any more are made one.

use larder::testing::lock_rules::{Common, Holder, SEEN};

use super::holder::{parts, token};
use super::state::{Phase, Place, State, Wish};
use super::{LEASE, NOW, millis};

impl<const N: usize> State<N> {
    /// Lets seconds pass: all times are so much earlier.
    pub(crate) fn pass(&mut self, seconds: u8) {
        let back = |time: &mut u8| *time = if *time == 0 { 0 } else { time.saturating_sub(seconds).max(1) };
        back(&mut self.since);
        for process in &mut self.processes {
            back(&mut process.seen.1);
            match &mut process.phase {
                Phase::Holds { until, .. } => back(until),
                Phase::Wants { waits: Some((sent, _)) } => back(sent),
                Phase::Wants { waits: None } | Phase::Idle => {}
            }
            if let Some(ask) = &mut process.ask {
                back(&mut ask.sent);
                if let Wish::Renew { believes, .. } = &mut ask.wish {
                    back(believes);
                }
            }
        }
        let saved = self.saved.as_deref_mut();
        for place in [&mut self.primary, &mut self.fallback].into_iter().chain(saved) {
            place.empty_since.iter_mut().for_each(back);
            let back = |time: &mut u64| *time = time.saturating_sub(millis(seconds));
            back(&mut place.common.born);
            if let Some(Holder { until, since, .. }) = &mut place.row.holder {
                back(until);
                back(since);
            }
            place.row.queue.iter_mut().for_each(|waiter| back(&mut waiter.seen));
        }
    }

    /// The state without what cannot matter any more, and its processes in order. Says which
    /// process stands where now.
    pub(crate) fn canonical(mut self) -> (Self, [usize; N]) {
        self.since = self.since.max(NOW - LEASE - 1);
        for process in &mut self.processes {
            process.seen.1 =
                if process.seen.0 == self.stage { NOW } else { process.seen.1.max(NOW - LEASE - 1) };
            let over = |until: &mut u8| *until = if *until == 0 || *until > NOW { *until } else { 1 };
            match &mut process.phase {
                Phase::Holds { until, .. } => over(until),
                Phase::Wants { waits: Some((sent, _)) } => *sent = (*sent).max(NOW - LEASE),
                Phase::Wants { waits: None } | Phase::Idle => {}
            }
            if !matches!(process.phase, Phase::Wants { .. }) {
                process.woken = None;
            }
            if let Some(ask) = &mut process.ask {
                ask.sent = ask.sent.max(NOW - LEASE);
                if let Wish::Renew { believes, .. } = &mut ask.wish {
                    over(believes);
                }
            }
        }
        let saved = self.saved.as_deref_mut();
        [&mut self.primary, &mut self.fallback].into_iter().chain(saved).for_each(Place::simplify);
        let mut order: [usize; N] = std::array::from_fn(|at| at);
        order.sort_by(|&a, &b| self.processes[a].cmp(&self.processes[b]));
        self.processes.sort();
        let saved = self.saved.as_deref_mut();
        for place in [&mut self.primary, &mut self.fallback].into_iter().chain(saved) {
            let holder = place.row.holder.iter_mut().map(|holder| &mut holder.who);
            for who in holder.chain(place.row.queue.iter_mut().map(|waiter| &mut waiter.who)) {
                let (process, attempt) = parts(who.token);
                let now = order.iter().position(|was| *was == process).unwrap_or(0);
                who.token = token(now, attempt);
            }
        }
        (self, order)
    }
}

impl Place {
    fn simplify(&mut self) {
        self.empty_since = self.empty_since.map(|since| since.max(NOW - LEASE));
        let Common { born, .. } = &mut self.common;
        let is_old = self.row.holder.as_ref().is_some_and(|holder| holder.since < *born);
        *born = (*born).max(millis(NOW - LEASE));
        if let Some(holder) = &mut self.row.holder {
            holder.until = holder.until.max(millis(NOW));
            holder.since = if is_old { *born - 1 } else { *born };
        }
        // These are passed over.
        self.row.queue.retain(|waiter| waiter.seen + SEEN >= millis(NOW));
    }
}
