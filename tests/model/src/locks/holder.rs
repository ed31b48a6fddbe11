//! Steps of a process that wants the lock or has it.

use std::time::Duration;

use larder::contract::{Attempt, Handed, LockKind, LockProof, Token};
use larder::testing::lock_rules::{Party, Turn};

use super::scenario::Rule;
use super::state::{Answer, Ask, Leaving, Phase, Place, Stage, State, Tier, Wish};
use super::{LEASE, NOW, World, millis};

/// There are fewer processes.
const ATTEMPT: usize = 16;

impl<const N: usize> World<N> {
    /// Asks for the lock, for the first time or again, or renews it.
    pub(crate) fn ask(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let stage = self.stage_to_use(s, i)?;
        let process = &mut s.processes[i];
        process.ask.is_none().then_some(())?;
        let wish = match process.phase {
            Phase::Idle => {
                (s.attempts < self.bounds.attempts).then_some(())?;
                s.attempts += 1;
                process.attempts += 1;
                process.woken = None;
                process.phase = Phase::Wants { waits: None };
                Wish::Acquire
            }
            Phase::Wants { .. } => Wish::Acquire,
            Phase::Holds { fence, until } => {
                // What is lost is not renewed.
                (until > 0 && self.bounds.renews).then_some(())?;
                Wish::Renew { fence, believes: until, believed: NOW < until }
            }
        };
        process.ask = Some(Ask { wish, attempt: process.attempts, sent: NOW, stage, answer: None });
        if self.bounds.prompt { self.execute(s, i) } else { Some(()) }
    }

    /// Gives the lock back, and does not wait for the answer.
    pub(crate) fn release(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let stage = self.stage_to_use(s, i)?;
        let process = &mut s.processes[i];
        let holds = matches!(process.phase, Phase::Holds { .. });
        (self.bounds.line && holds && process.ask.is_none()).then_some(())?;
        process.ask =
            Some(Ask { wish: Wish::Release, attempt: process.attempts, sent: NOW, stage, answer: None });
        process.phase = Phase::Idle;
        if self.bounds.prompt { self.execute(s, i) } else { Some(()) }
    }

    /// The place executes a request. It may have been on its way for long, and meant for another
    /// server.
    pub(crate) fn execute(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let ask = s.processes[i].ask.filter(|ask| ask.answer.is_none())?;
        let tier = ask.stage.tier();
        (s.place(tier).certified || !self.has(Rule::Certify)).then_some(())?;
        let before = s.place(tier).row.holder.clone();
        let mut handed = None;
        let who = Party { token: token(i, ask.attempt), owner: Box::default(), process: () };
        let answer = match ask.wish {
            Wish::Acquire => {
                if self.has(Rule::Drain) {
                    s.processes[i].woken = None;
                }
                let turn = |turn: &mut Turn<'_, ()>| {
                    if !self.has(Rule::OldRow)
                        && let Some(own) = turn.row.holder.as_mut().filter(|own| own.who.token == who.token)
                    {
                        own.since = turn.now;
                    }
                    if !self.has(Rule::Grace) {
                        turn.kind = LockKind::Cache;
                    }
                    turn.acquire(&who, millis(LEASE), self.bounds.line)
                };
                let (attempt, to) = self.turn(s, tier, turn);
                handed = to;
                match attempt {
                    Attempt::Mine { fence } => Answer::Mine(fence),
                    Attempt::Wait { .. } | Attempt::Grace { .. } => Answer::Wait,
                }
            }
            Wish::Renew { fence, believes, believed } => {
                let in_time = NOW < believes || (!self.has(Rule::BelievedNow) && believed);
                let believed = in_time || !self.has(Rule::Believed);
                let proof = LockProof { token: who.token, fence };
                let turn = |turn: &mut Turn<'_, ()>| {
                    if !self.has(Rule::Void) {
                        turn.kind = LockKind::Named;
                    }
                    turn.renew(&who, proof, believed, millis(LEASE))
                };
                Answer::Held(self.turn(s, tier, turn))
            }
            Wish::Release => {
                let token = self.has(Rule::Release).then_some(who.token);
                (_, handed) = self.turn(s, tier, |turn| turn.release(token, millis(LEASE)));
                Answer::Released
            }
        };
        if let Some((to, Handed { fence, lease })) = handed {
            wake(s, to, (tier, fence, seconds(lease)));
        }
        if !matches!(ask.wish, Wish::Renew { .. }) {
            let holder = s.place(tier).row.holder.clone();
            if let Some(new) = holder.filter(|new| before.is_none_or(|old| old.who.token != new.who.token)) {
                self.granted(s, tier, new.fence);
            }
        }
        s.processes[i].ask = (answer != Answer::Released).then_some(Ask { answer: Some(answer), ..ask });
        Some(())
    }

    fn turn<T>(&self, s: &mut State<N>, tier: Tier, decide: impl FnOnce(&mut Turn<'_, ()>) -> T) -> T {
        // The clock of the primary goes on, whatever it loses; that of the fallback may be behind.
        let stamp = if self.has(Rule::Clock) && tier == Tier::Primary { s.newest + 1 } else { 0 };
        let Place { common, row, .. } = s.place(tier);
        decide(&mut Turn { common, row, kind: self.bounds.kind, now: millis(NOW), stamp, alive: &|_| true })
    }

    /// A grant counts where it can be received: its tier serves, or some node may still think so.
    fn granted(&self, s: &mut State<N>, tier: Tier, fence: u64) {
        let entering = s.stage.0 % 4 == 1 && !self.drained(s);
        if s.stage.tier() != tier && !(entering && tier == Tier::Primary) {
            return;
        }
        if fence <= s.newest {
            s.broken = Some("a fencing number is not larger than all before");
        }
        s.newest = s.newest.max(fence);
    }

    /// Hears an answer.
    pub(crate) fn receive(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let Ask { wish, sent, stage, answer, .. } = s.processes[i].ask?;
        let answer = answer?;
        let counts = self.counts(s, i, stage);
        let from = if self.has(Rule::Sent) { sent } else { NOW };
        let process = &mut s.processes[i];
        process.ask = None;
        if !counts {
            return Some(());
        }
        match (answer, wish) {
            (Answer::Mine(fence), _) => process.phase = Phase::Holds { fence, until: from + LEASE },
            (Answer::Wait, _) => process.phase = Phase::Wants { waits: Some((sent, stage)) },
            (Answer::Held(held), Wish::Renew { fence, believes, .. }) => {
                let until = if held { believes.max(from + LEASE) } else { 0 };
                process.phase = Phase::Holds { fence, until };
            }
            (Answer::Held(_) | Answer::Released, _) => {}
        }
        Some(())
    }

    /// Who stands in line is told that it has the lock.
    pub(crate) fn wake(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let Phase::Wants { waits: Some((sent, stage)) } = s.processes[i].phase else { return None };
        let (tier, fence, lease) = s.processes[i].woken.filter(|_| s.processes[i].ask.is_none())?;
        let counts = tier == stage.tier() && self.counts(s, i, stage);
        let from = if self.has(Rule::Woken) { sent } else { NOW };
        let process = &mut s.processes[i];
        process.woken = None;
        if counts && from + lease > NOW {
            process.phase = Phase::Holds { fence, until: from + lease };
        }
        Some(())
    }

    /// Sends a write that shows the lock.
    pub(crate) fn write(&self, s: &mut State<N>, i: usize) -> Option<()> {
        (self.bounds.kind == LockKind::Cache).then_some(())?;
        let tier = self.stage_to_use(s, i)?.tier();
        let process = &mut s.processes[i];
        let Phase::Holds { fence, .. } = process.phase else { return None };
        process.write.is_none().then_some(())?;
        process.write = Some((tier, process.attempts, fence));
        Some(())
    }

    /// A tier executes a write, or refuses it: nobody knows how long it was on its way.
    pub(crate) fn land(&self, s: &mut State<N>, i: usize) -> Option<()> {
        let (tier, attempt, fence) = s.processes[i].write.take()?;
        let place = s.place(tier);
        (place.certified || !self.has(Rule::Certify)).then_some(())?;
        let proof = LockProof { token: token(i, attempt), fence };
        let born = if self.has(Rule::OldProof) { place.common.born } else { 0 };
        if self.has(Rule::Proof) && !place.row.allows(proof, born) {
            return Some(());
        }
        place.stored = Some(fence);
        if tier == Tier::Fallback && s.leaving == Leaving::Absorbed && self.has(Rule::Absorb) {
            // That is not the tail of the control log any more (R13).
            s.leaving = Leaving::No;
        }
        if s.stage.tier() == tier {
            if fence < s.newest {
                s.broken = Some("a write takes effect though the lock was granted to another since");
            }
            s.written = s.written.max(fence);
        }
        Some(())
    }

    /// Reads the control log.
    pub(crate) fn read(&self, s: &mut State<N>, i: usize) -> Option<()> {
        (self.bounds.trust > 0 && s.processes[i].seen.0 != s.stage).then_some(())?;
        s.processes[i].seen = (s.stage, NOW);
        Some(())
    }

    /// The stage that a process may act on, if locks are granted in it.
    fn stage_to_use(&self, s: &State<N>, i: usize) -> Option<Stage> {
        let stage = if self.bounds.trust == 0 { s.stage } else { s.processes[i].seen.0 };
        (stage.grants() && self.trusts(s, i)).then_some(stage)
    }

    /// Whether a process may act on what it read in the control log (R8). As long as that is still
    /// so, it reads it again.
    fn trusts(&self, s: &State<N>, i: usize) -> bool {
        let (stage, read) = s.processes[i].seen;
        let holds = stage == s.stage || NOW <= read + self.bounds.trust;
        self.bounds.trust == 0 || holds || !self.has(Rule::Lease)
    }

    /// Whether an answer to what was sent in `stage` counts now. That of a fallback is followed by
    /// a reading of its log.
    fn counts(&self, s: &State<N>, i: usize, stage: Stage) -> bool {
        let fresh = self.bounds.trust == 0 || stage.tier() == Tier::Fallback;
        let known = if fresh { s.stage } else { s.processes[i].seen.0 };
        !self.has(Rule::Tier) || (known == stage && (fresh || self.trusts(s, i)))
    }
}

/// A wake-up says where, which number, and how long the lease is. It reaches a process that still
/// makes that attempt.
fn wake<const N: usize>(s: &mut State<N>, to: Token, woken: (Tier, u64, u8)) {
    for (i, process) in s.processes.iter_mut().enumerate() {
        if token(i, process.attempts) == to && matches!(process.phase, Phase::Wants { .. }) {
            process.woken = Some(woken);
        }
    }
}

/// The token of a process's attempt, which no other has.
pub(crate) fn token(i: usize, attempt: u8) -> Token {
    Token::from_number((i + ATTEMPT * usize::from(attempt)) as u128)
}

/// The process and its attempt.
pub(crate) fn parts(token: Token) -> (usize, u8) {
    let number = usize::try_from(token.number()).unwrap_or(0);
    (number % ATTEMPT, u8::try_from(number / ATTEMPT).unwrap_or(0))
}

fn seconds(time: Duration) -> u8 {
    u8::try_from(time.as_secs()).unwrap_or(u8::MAX)
}
