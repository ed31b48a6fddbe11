//! The model: which step leads from which state to which. One file each for the reader's steps, the
//! writer's, those between the tiers, and faults.

use larder::testing::failover::rules::{Mode, Verdict};

use super::action::{Action, OF_PRIMARY, OF_PROCESS};
use super::canonical::{bit, byte};
use super::scenario::{Bounds, Rule};
use super::state::{Contents, Entry, Invalidation, Kind, Position, Process, State, Values, Write};

/// The protocol under the bounds of a scenario, with all rules or all but one.
#[derive(Clone, Debug)]
pub(crate) struct World<const N: usize> {
    pub(crate) bounds: Bounds,
    pub(crate) without: Option<Rule>,
}

impl<const N: usize> World<N> {
    pub(crate) fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Everything that might happen; most of it is not possible in a given state.
    pub(crate) fn all_actions() -> impl Iterator<Item = Action> {
        OF_PROCESS.iter().flat_map(|action| (0..N).map(action)).chain(OF_PRIMARY)
    }

    /// The state after a step, processes where they were; `None` if the step is not possible.
    pub(crate) fn step(&self, state: &State<N>, action: Action) -> Option<State<N>> {
        if state.broken.is_some() {
            return None;
        }
        let mut next = state.clone();
        let possible = match action {
            Action::Renew(i) => self.renew(&mut next, i),
            Action::Expire(i) => Self::expire(&mut next, i),
            Action::Sync(i) => self.sync(&mut next, i),
            Action::BeginFetch(i) => self.begin_fetch(&mut next, i),
            Action::EndFetch(i) => self.end_fetch(&mut next, i),
            Action::FetchInFallback(i) => self.fetch_in_fallback(&mut next, i),
            Action::TellMissing(i) => self.tell_missing(&mut next, i),
            Action::Compute(i) => self.compute(&mut next, i),
            Action::Commit(i) => self.commit(&mut next, i),
            Action::BeginSet(i) => self.begin_set(&mut next, i),
            Action::Land(i) => self.land(&mut next, i),
            Action::GiveUp(i) => self.give_up(&mut next, i),
            Action::Lapse(i) => self.lapse(&mut next, i),
            Action::FillFallback(i) => self.fill_fallback(&mut next, i),
            Action::BeginDelete(i) => self.begin_invalidation(&mut next, i, false),
            Action::BeginPurge(i) => self.begin_invalidation(&mut next, i, true),
            Action::SendInvalidation(i) => self.send_invalidation(&mut next, i),
            Action::Note(i) => Self::note(&mut next, i),
            Action::AcknowledgeNote(i) => self.acknowledge_note(&mut next, i),
            Action::Enter(i) => self.enter(&mut next, i),
            Action::Absorb(i) => self.absorb(&mut next, i),
            Action::Return(i) => self.go_back(&mut next, i),
            Action::Certify(i) => self.certify(&mut next, i),
            Action::Cut(i) => self.cut(&mut next, i),
            Action::Heal(i) => Self::heal(&mut next, i),
            Action::Crash(i) => self.crash(&mut next, i),
            Action::ChangeElsewhere => self.change_elsewhere(&mut next),
            Action::Snapshot => self.snapshot(&mut next),
            Action::Stall => self.stall(&mut next),
            Action::Resume => Self::resume(&mut next),
            Action::RestartEmpty => Self::restart_empty(&mut next),
            Action::RestartOld => Self::restart_old(&mut next),
            Action::Promote => self.promote(&mut next, false),
            Action::PromoteLagging => self.promote(&mut next, true),
        };
        possible.map(|()| next)
    }

    /// Whether the lease of a process covers this moment.
    pub(crate) fn leased(&self, state: &State<N>, i: usize) -> bool {
        let process = &state.processes[i];
        !self.has(Rule::Lease)
            || if self.bounds.timed_lease { process.leased } else { process.read == state.fallback.length() }
    }

    /// Whether the primary answers this process, and is the server that was certified.
    pub(crate) fn answers(&self, state: &State<N>, i: usize) -> bool {
        state.reaches(i) && self.certified(state)
    }

    pub(crate) fn certified(&self, state: &State<N>) -> bool {
        !self.has(Rule::Certify) || state.primary.now.certified == state.primary.identity
    }

    /// How far the primary has absorbed the control log, for all that a process can know.
    pub(crate) fn absorbed(&self, state: &State<N>) -> Option<u8> {
        if self.has(Rule::Absorb) {
            Some(state.primary.now.absorbed).filter(|at| *at > 0)
        } else {
            Some(u8::MAX)
        }
    }

    /// Whether an answer of the primary counts now, if it comes.
    pub(crate) fn counts(&self, state: &State<N>, i: usize) -> bool {
        let control = state.fallback.control(state.processes[i].read);
        control.judge(self.leased(state, i), self.absorbed(state)) == Verdict::Counts
    }

    /// Whether a process may ask the primary and be answered with what counts.
    pub(crate) fn served(&self, state: &State<N>, i: usize) -> bool {
        !state.processes[i].busy() && self.answers(state, i) && self.counts(state, i)
    }

    /// Whether every other node has read the control log up to `at`, or has waited out its lease.
    pub(crate) fn drained(&self, state: &State<N>, i: usize, at: u8) -> bool {
        let waits = |(j, other): (usize, &Process)| j != i && other.leased && other.read < at;
        !self.has(Rule::LeaseAck)
            || !self.bounds.timed_lease
            || !state.processes.iter().enumerate().any(waits)
    }

    /// Whether a process that has read the whole control log is served by the fallback.
    pub(crate) fn served_by_fallback(&self, state: &State<N>, i: usize) -> bool {
        let length = state.fallback.length();
        let control = state.fallback.control(length);
        control.mode() == Mode::Fallback
            && state.processes[i].read == length
            && self.drained(state, i, control.entered().unwrap_or(0))
    }

    /// What the primary tells one who stands at a position.
    pub(crate) fn told<'s>(&self, now: &'s Contents, position: Position) -> Told<'s> {
        let (at, tail) = (usize::from(position.id), now.tail());
        let Some(listed) = now.log.get(at..) else { return Told::Gap };
        if listed.len() > self.bounds.listed.into() {
            // The record at the position may have been trimmed.
            let known = position.incarnation == now.incarnation || !self.has(Rule::Incarnation);
            let from = if self.has(Rule::NotePosition) { position.id } else { tail.id };
            return if known { Told::Unlisted { changed: now.last_change > from } } else { Told::Gap };
        }
        let anchor = at.checked_sub(1).and_then(|at| now.log.get(at));
        let known = anchor.is_some_and(|entry| entry.nonce == position.nonce || !self.has(Rule::Nonce));
        if known { Told::Listed(listed) } else { Told::Gap }
    }

    /// The primary's log goes on by one record, which is noted as the last change of its cache.
    pub(crate) fn log(&self, s: &mut State<N>, kind: Kind) {
        let nonce = s.fresh_nonce();
        let now = &mut s.primary.now;
        let before =
            now.log.iter().rposition(|entry| entry.kind != Kind::Elsewhere).map_or(0, |at| byte(at + 1));
        now.log.push(Entry { nonce, kind });
        if kind != Kind::Elsewhere && self.has(Rule::Noted) {
            now.last_change = if self.has(Rule::NotedAtOnce) { byte(now.log.len()) } else { before };
        }
    }

    /// Somebody changes another cache.
    pub(crate) fn change_elsewhere(&self, s: &mut State<N>) -> Option<()> {
        let possible = s.primary.up && self.certified(s) && s.spent.elsewhere < self.bounds.elsewhere;
        possible.then_some(())?;
        s.spent.elsewhere += 1;
        self.log(s, Kind::Elsewhere);
        Some(())
    }
}

/// What an answer says of what followed a position.
pub(crate) enum Told<'s> {
    /// These records.
    Listed(&'s [Entry]),
    /// Whether the key's cache was changed (R29).
    Unlisted { changed: bool },
    /// The position is none of this history (R1).
    Gap,
}

impl<const N: usize> State<N> {
    pub(crate) fn reaches(&self, i: usize) -> bool {
        self.primary.up && self.processes[i].linked
    }

    /// What an invalidation that begins now ends: all values but those of sets by others that run
    /// at the same time.
    pub(crate) fn kills(&self, i: usize) -> Values {
        let running = |(j, process): (usize, &Process)| match process.write {
            Some(Write::Set { value, .. }) if j != i => bit(value),
            Some(Write::Orphan { value, .. }) => bit(value),
            _ => 0,
        };
        let concurrent = self.processes.iter().enumerate().map(running).fold(0, |all, values| all | values);
        !concurrent & (bit(self.values) - 1)
    }

    pub(crate) fn invalidation(&self, i: usize, purge: bool) -> Invalidation {
        Invalidation { kills: self.kills(i), purge, noted: None }
    }

    /// Somebody is given a value.
    pub(crate) fn yields(&mut self, value: Option<u8>, dead: Values, what: &'static str) {
        if value.is_some_and(|value| dead & bit(value) != 0) {
            self.broken = Some(what);
        }
    }
}

impl Process {
    /// Whether it waits for an answer of the primary: one call at a time.
    pub(crate) fn busy(&self) -> bool {
        self.fetch.is_some() || matches!(self.write, Some(Write::Set { .. } | Write::Invalidate { .. }))
    }
}
