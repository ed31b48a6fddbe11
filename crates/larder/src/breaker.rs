//! Keeps the processes of a node from waiting for a backend again and again while it is away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{boot_millis, boottime, millis, wall_clock};
use crate::error::{Blame, Error, ErrorKind, Result};
use crate::node_state::NodeState;

/// How long calls fail at once after one that failed, at the most.
const OPEN_FOR: Duration = Duration::from_secs(1);
/// The same at the least.
const LEAST_OPEN: Duration = Duration::from_millis(100);
/// A call that failed soon has cost little, as one that was refused: the next may try after so many
/// times as long.
const TIMES: u64 = 10;
/// The most lines that are kept for a log that nobody writes.
const MAX_EVENTS: usize = 16;

/// Open for ten times as long as it took to find the backend unavailable, a second at the most;
/// then one call tries again, of all the processes that share the node's numbers.
///
/// Others are kept away only by what says something of the backend: what is this process's own
/// trouble keeps this process away, and what is the trouble of one call keeps nobody away.
pub(crate) struct Breaker {
    node: NodeState,
    /// How long this process waits for a connection, and for an answer, in milliseconds.
    waits: Waits,
    /// [`LEAST_OPEN`]; tests that are interrupted must not find it over.
    least: Duration,
    /// Until when this process leaves the backend alone for reasons of its own; 0 = it has none.
    own_until: AtomicU64,
    own_reason: Mutex<String>,
    events: Mutex<Vec<String>>,
}

/// How long a process waits for a backend, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    connect: u64,
    answer: u64,
}

impl Waits {
    pub(crate) fn new(connect: Duration, answer: Duration) -> Self {
        Self { connect: millis(connect), answer: millis(answer) }
    }

    /// Whether what was found by somebody who waited as long as `word` says concerns who waits so
    /// long.
    fn are_within(self, word: u64) -> bool {
        match word & 3 {
            CONNECT => self.connect <= word >> 2,
            ANSWER => self.answer <= word >> 2,
            _ => true,
        }
    }
}

/// The lowest bits of the word that says whom a failure concerns; the others say how long was
/// waited.
const CONNECT: u64 = 1;
const ANSWER: u64 = 2;
const EVERYBODY: u64 = 0;

fn word_of(blame: Blame) -> u64 {
    match blame {
        Blame::SlowToConnect(waited) => millis(waited) << 2 | CONNECT,
        Blame::SlowToAnswer(waited) => millis(waited) << 2 | ANSWER,
        Blame::Server | Blame::Process | Blame::Call => EVERYBODY,
    }
}

fn blame_of(word: u64) -> Blame {
    let waited = Duration::from_millis(word >> 2);
    match word & 3 {
        CONNECT => Blame::SlowToConnect(waited),
        ANSWER => Blame::SlowToAnswer(waited),
        _ => Blame::Server,
    }
}

/// A call that may be made.
pub(crate) struct Pass {
    began: u64,
    /// The breaker is open until then, and this call tries whether the backend is back; 0 = it is
    /// not open.
    until: u64,
    /// What the backend refused to forget, see [`Words`](crate::node_state::Words).
    pub(crate) refused: u64,
    /// Until when it is not asked for that again.
    retry: u64,
}

impl Pass {
    /// Whether it is too early to ask the backend again for what it refused.
    pub(crate) fn waits(&self) -> bool {
        self.began < self.retry && self.retry <= self.began + millis(OPEN_FOR)
    }
}

impl Breaker {
    pub(crate) fn new(node: NodeState, waits: Waits) -> Self {
        Self {
            node,
            waits,
            least: LEAST_OPEN,
            own_until: AtomicU64::new(0),
            own_reason: Mutex::default(),
            events: Mutex::default(),
        }
    }

    /// The numbers that it shares.
    pub(crate) fn node(&self) -> &NodeState {
        &self.node
    }

    /// Whether calls fail at once.
    pub(crate) fn is_open(&self) -> bool {
        let (words, now) = (self.node.read(), boot_millis());
        let ahead = |until| until != 0 && is_ahead(until, now);
        ahead(self.own_until.load(Ordering::Relaxed))
            || ahead(words.open_until) && self.waits.are_within(words.concerned)
    }

    /// Since when the backend has been away, in milliseconds since 1970.
    pub(crate) fn away_since(&self) -> Option<u64> {
        Some(self.node.read().away_since).filter(|since| *since != 0)
    }

    /// Why the backend was last found away, by whichever process of the node; empty if nobody could
    /// say.
    pub(crate) fn reason(&self) -> String {
        self.node.reason()
    }

    /// Takes what there is to log: one line for the first failure of an outage and one for its end,
    /// given to one process of the node.
    pub(crate) fn events(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.events))
    }

    /// Adds a line to the events.
    pub(crate) fn tell(&self, line: String) {
        let mut events = lock(&self.events);
        if events.len() < MAX_EVENTS {
            events.push(line);
        }
    }

    /// Makes the call, or fails at once while the breaker is open.
    pub(crate) fn call<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let pass = self.begin()?;
        let answer = call();
        self.end(&pass, &answer);
        answer
    }

    /// Whether a call may be made now; if so, [`end`](Self::end) is due after it.
    ///
    /// # Errors
    /// While the breaker is open, with the reason.
    pub(crate) fn begin(&self) -> Result<Pass> {
        let (began, words) = (boot_millis(), self.node.read());
        let own = self.own_until.load(Ordering::Relaxed);
        if own != 0 && is_ahead(own, began) {
            return Err(left_alone(lock(&self.own_reason).clone()).blaming(Blame::Process));
        }
        let until = words.open_until;
        if until == 0 || !self.waits.are_within(words.concerned) {
            return Ok(Pass { began, until: 0, refused: words.refused, retry: words.retry });
        }
        if self.may_try(until) {
            return Ok(Pass { began, until, refused: words.refused, retry: words.retry });
        }
        Err(left_alone(self.node.reason()).blaming(blame_of(words.concerned)))
    }

    /// The call that may be made in any case, for who wants to know now.
    pub(crate) fn past(&self) -> Pass {
        let words = self.node.read();
        let (refused, retry) = (words.refused, words.retry);
        Pass { began: boot_millis(), until: words.open_until, refused, retry }
    }

    /// The call was answered.
    pub(crate) fn end<T>(&self, pass: &Pass, answer: &Result<T>) {
        let failure = answer.as_ref().err();
        match failure.map(|error| (error.blame(), error.kind(), error)) {
            Some((Blame::Process, _, error)) => self.own_trouble(error),
            Some((Blame::Call, ..)) => {}
            Some((_, ErrorKind::Unavailable, error)) => return self.failed(pass.began, error),
            _ => {
                if self.own_until.load(Ordering::Relaxed) != 0 {
                    self.own_until.store(0, Ordering::Relaxed);
                }
                if pass.until != 0 {
                    self.close();
                }
                return;
            }
        }
        if pass.until != 0 {
            // That said nothing of the backend: let another try.
            let _: Option<()> = self.node.update(|page| {
                (page.open_until != 0).then(|| page.open_until = pass.until.min(boot_millis()))
            });
        }
    }

    /// One caller makes the numbers its own and tries; the others fail until it has an answer.
    fn may_try(&self, until: u64) -> bool {
        let now = boot_millis();
        let claim = || {
            self.node.update(|words| {
                let free = words.open_until == until;
                words.open_until = now + millis(OPEN_FOR);
                free.then_some(())
            })
        };
        !is_ahead(until, now) && claim().is_some()
    }

    /// The backend is to be left alone by everybody, whatever it said.
    pub(crate) fn open(&self, error: &Error) {
        self.shut(boot_millis(), OPEN_FOR, EVERYBODY, error);
    }

    /// A call that began at that time found the backend away. It may since have come back.
    fn failed(&self, began: u64, error: &Error) {
        let spent = boot_millis().saturating_sub(began);
        if self.shut(began, open_for(spent, self.least), word_of(error.blame()), error) {
            self.tell(format!("nothing is cached: {error}"));
        }
    }

    /// Whether an outage began with that.
    fn shut(&self, began: u64, open_for: Duration, concerned: u64, error: &Error) -> bool {
        let now = boot_millis();
        let first = self.node.update(|words| {
            // A time in the future is of another boot.
            if began < words.back && words.back <= now {
                return None;
            }
            // What concerned more stays in force.
            let waited = Waits { connect: concerned >> 2, answer: concerned >> 2 };
            let open = words.open_until != 0 && is_ahead(words.open_until, now);
            if concerned == EVERYBODY || !open || !waited.are_within(words.concerned) {
                words.concerned = concerned;
            }
            words.open_until = now + millis(open_for);
            words.set_reason(&error.to_string());
            let first = words.away_since == 0;
            if first {
                words.away_since = wall_clock();
            }
            Some(first)
        });
        first == Some(true)
    }

    /// This process cannot use the backend; others may.
    fn own_trouble(&self, error: &Error) {
        *lock(&self.own_reason) = error.to_string();
        if self.own_until.swap(millis(boottime() + OPEN_FOR), Ordering::Relaxed) == 0 {
            self.tell(format!("this process cannot use the cache: {error}"));
        }
    }

    /// The backend answers.
    pub(crate) fn close(&self) {
        let was_away = self.node.update(|words| {
            let was_away = words.away_since != 0;
            (words.open_until, words.away_since, words.back) = (0, 0, boot_millis());
            Some(was_away)
        });
        if was_away == Some(true) {
            self.tell("the cache answers again".to_owned());
        }
    }
}

fn left_alone(reason: String) -> Error {
    Error::left_alone(if reason.is_empty() { "the backend did not answer".to_owned() } else { reason })
}

/// How long the backend is left alone after it took so many milliseconds to find it away.
fn open_for(spent: u64, least: Duration) -> Duration {
    Duration::from_millis(spent.saturating_mul(TIMES)).clamp(least, OPEN_FOR)
}

/// Whether a time is still to come. One further ahead than the breaker ever sets it is of another
/// boot.
fn is_ahead(until: u64, now: u64) -> bool {
    now < until && until <= now + millis(OPEN_FOR)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone() -> Breaker {
        let waits = Waits::new(Duration::from_millis(250), Duration::from_millis(500));
        Breaker { least: OPEN_FOR, ..Breaker::new(NodeState::alone(), waits) }
    }

    fn away() -> Error {
        Error::unavailable("x", "y")
    }

    fn set(breaker: &Breaker, open_until: u64) {
        breaker.node.update(|words| {
            words.open_until = open_until;
            Some(())
        });
    }

    #[test]
    fn after_a_failure_the_backend_is_left_alone() {
        let breaker = alone();
        let mut calls = 0;
        for _ in 0..100 {
            let _ = breaker.call(|| {
                calls += 1;
                Err::<(), _>(Error::unavailable("x", "y"))
            });
        }
        assert_eq!(calls, 1);
        assert!(breaker.is_open() && breaker.away_since().is_some());
        set(&breaker, 1);
        breaker.call(|| Ok(())).unwrap();
        assert!(!breaker.is_open() && breaker.away_since().is_none());
    }

    #[test]
    fn who_was_refused_at_once_asks_again_soon_and_who_waited_does_not() {
        let millis = |spent| open_for(spent, LEAST_OPEN).as_millis();
        assert_eq!([0, 10, 11, 50, 100, 500, u64::MAX].map(millis), [100, 100, 110, 500, 1000, 1000, 1000]);
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let breaker = alone();
        let _ = breaker.call(|| Err::<(), _>(Error::refused("x", "no space")));
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_call_from_before_the_return_says_nothing_of_after() {
        let breaker = alone();
        let late = breaker.call(|| {
            breaker.open(&away());
            set(&breaker, 1);
            let began = boot_millis();
            while boot_millis() == began {}
            breaker.call(|| Ok(())).unwrap();
            Err::<(), _>(away())
        });
        assert!(late.is_err() && !breaker.is_open() && breaker.away_since().is_none());
        let _ = breaker.call(|| Err::<(), _>(away()));
        assert!(breaker.is_open(), "one from after it does");
    }

    #[test]
    fn a_time_of_another_boot_is_none() {
        let breaker = alone();
        set(&breaker, u64::MAX);
        assert!(!breaker.is_open());
        breaker.call(|| Ok(())).unwrap();
        assert_eq!(breaker.node.read().open_until, 0);
        breaker.node.update(|words| {
            words.back = u64::MAX;
            Some(())
        });
        breaker.open(&away());
        assert!(breaker.is_open());
    }

    /// Two processes that share their numbers, and wait for answers so many milliseconds.
    fn processes(test: &str, answer: [u64; 2]) -> [Breaker; 2] {
        let name = format!("breaker {test} {}", std::process::id());
        answer.map(|answer| {
            let waits = Waits::new(Duration::from_millis(250), Duration::from_millis(answer));
            Breaker { least: OPEN_FOR, ..Breaker::new(NodeState::shared(&name), waits) }
        })
    }

    fn fail(breaker: &Breaker, error: Error) {
        let _ = breaker.call(|| Err::<(), _>(error));
    }

    #[test]
    fn the_reason_and_one_line_are_the_nodes() {
        let [a, b] = processes("reason", [500, 500]);
        for _ in 0..3 {
            fail(&a, Error::unavailable("x", "port refused"));
            let said = b.call(|| Ok(())).unwrap_err().to_string();
            assert!(said.contains("port refused"), "{said}");
            set(&a, 1);
        }
        set(&b, 1);
        b.call(|| Ok(())).unwrap();
        assert_eq!((a.events().len(), b.events().len()), (1, 1));
        a.call(|| Ok(())).unwrap();
    }

    #[test]
    fn own_trouble_keeps_nobody_else_away_and_that_of_a_call_nobody() {
        let [a, b] = processes("own", [500, 500]);
        for error in [Error::unavailable("x", "certificate"), Error::refused("x", "WRONGPASS")] {
            fail(&a, error.blaming(Blame::Process));
            assert!(a.call(|| Ok(())).is_err(), "itself for a moment");
            b.call(|| Ok(())).unwrap();
            a.own_until.store(1, Ordering::Relaxed);
            a.call(|| Ok(())).unwrap();
        }
        fail(&a, away().blaming(Blame::Call));
        a.call(|| Ok(())).unwrap();
        b.call(|| Ok(())).unwrap();
        assert_eq!((a.events().len(), b.events().len()), (2, 0));
    }

    #[test]
    fn silence_concerns_those_who_wait_no_longer() {
        let [hasty, patient] = processes("silence", [2, 500]);
        let silent = |waited| away().blaming(Blame::SlowToAnswer(Duration::from_millis(waited)));
        fail(&hasty, silent(2));
        assert!(hasty.call(|| Ok(())).is_err());
        patient.call(|| Ok(())).unwrap();
        fail(&patient, silent(500));
        fail(&hasty, silent(2));
        assert!(hasty.call(|| Ok(())).is_err() && patient.call(|| Ok(())).is_err());
        set(&patient, 1);
        patient.call(|| Ok(())).unwrap();
        hasty.call(|| Ok(())).unwrap();
    }

    #[test]
    fn who_tries_for_all_and_fails_for_reasons_of_its_own_lets_another_try() {
        let [a, b] = processes("try", [500, 500]);
        fail(&a, away());
        set(&a, 1);
        fail(&a, away().blaming(Blame::Call));
        b.call(|| Ok(())).unwrap();
        assert!(b.away_since().is_none());
    }
}
