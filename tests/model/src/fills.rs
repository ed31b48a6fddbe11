//! Fill leases (R26) as a model: processes of one node read the same keys after a purge, compute
//! what they miss and store it, and wait for each other by the very rules that the engine acts on.
//! What is not checked here is time: a wait may end at any moment.

use std::fmt::Write as _;
use std::time::Duration;

use larder::testing::fill_rules::{self, Ask, LIFE, Lease, State as Mark};
use stateright::{Checker, HasDiscoveries, Model, Property};

use super::check::Found;

/// How many keys there are.
const KEYS: usize = 2;
/// A moment: how long ago something was matters only where a rule asks for it.
const NOW: Duration = Duration::from_secs(1000);

/// Rules that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillRule {
    /// Who would close a circle of waits computes.
    Circle,
    /// Whether there is a circle is seen in the same step that announces the wait.
    AnnounceAtOnce,
    /// The lease of a dead process is free.
    Death,
    /// A fill ends the lease.
    EndByFill,
    /// The end of the request ends the lease.
    EndByRequest,
    /// What has been waited for is read from the backend.
    ReadAgain,
    /// A lease that ended is remembered: who knew the key to be missing before that looks again.
    RememberEnds,
    /// Who waits itself is waited for, unless that closes a circle.
    WaitForWaiters,
}

impl FillRule {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Circle,
        Self::AnnounceAtOnce,
        Self::Death,
        Self::EndByFill,
        Self::EndByRequest,
        Self::ReadAgain,
        Self::RememberEnds,
        Self::WaitForWaiters,
    ];
}

/// What a process did with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    /// It was not asked for yet; memory knows it to be missing.
    Unread,
    /// Nothing speaks against waiting for it; that is announced next. Only without
    /// [`FillRule::AnnounceAtOnce`].
    AboutToWait,
    /// It is waited for.
    Awaited,
    /// It is missing as of so many purges, and to be computed.
    Missed(u8),
    /// It was found, or stored.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Life {
    InRequest,
    Ended,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Process {
    life: Life,
    keys: [Key; KEYS],
    /// How many purges there had been when it last asked the backend.
    synced: u8,
    /// The keys of which it heard then that they were stored: it asks the backend for them.
    told: [bool; KEYS],
}

/// A lease with what the real one tells by times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    who: usize,
    mark: Mark,
    /// Older than a lease is waited for.
    late: bool,
    /// The processes, as bits, that have not asked the backend since it ended.
    unaware: u8,
    /// After how many purges the value was computed that ended it.
    value: u8,
}

/// A state of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State<const N: usize> {
    processes: [Process; N],
    leases: [Option<Held>; KEYS],
    /// What the backend has: after how many purges a value was computed.
    values: [Option<u8>; KEYS],
    purges: u8,
    /// How often each key was computed.
    computed: [u8; KEYS],
    kills: u8,
    /// Somebody was killed, too late, or stored nothing: then more may compute.
    excused: bool,
    /// An old value was given.
    broken: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Read(usize, usize),
    Announce(usize, usize),
    Look(usize, usize),
    GiveUp(usize, usize),
    Fill(usize, usize),
    End(usize),
    Kill(usize),
    Late(usize),
    Purge,
}

struct World<const N: usize> {
    without: Option<FillRule>,
}

impl<const N: usize> World<N> {
    fn has(&self, rule: FillRule) -> bool {
        self.without != Some(rule)
    }

    /// What the rules tell a process about a key.
    fn ask(&self, s: &State<N>, i: usize, key: usize) -> Ask {
        let lease = s.leases[key].map(|held| {
            let at = if held.late { NOW.saturating_sub(LIFE) } else { NOW };
            Lease { who: name(held.who), state: held.mark, at }
        });
        let unaware = s.leases[key].is_some_and(|held| held.unaware >> i & 1 == 1);
        let known = if unaware { Duration::ZERO } else { NOW + LIFE };
        let is_dead = |who| self.has(FillRule::Death) && s.dead(who);
        fill_rules::ask(lease, name(i), known, NOW, is_dead)
    }

    /// Whether a process may wait for a key.
    fn may_wait(&self, s: &State<N>, i: usize, key: usize) -> bool {
        let holder = |key| s.holder(index(key)).map(name);
        let waits =
            |who| s.processes.iter().enumerate().find(|(at, _)| name(*at) == who)?.1.awaits().map(name);
        let waits_itself = || holder(name(key)).and_then(waits).is_some();
        (self.has(FillRule::WaitForWaiters) || !waits_itself())
            && (!self.has(FillRule::Circle) || !fill_rules::closes_circle(name(i), name(key), holder, waits))
    }

    /// A process that misses a key asks for its lease.
    fn miss(&self, s: &mut State<N>, i: usize, key: usize) {
        let state = match self.ask(s, i, key) {
            Ask::Take => {
                s.leases[key] =
                    Some(Held { who: i, mark: Mark::Computing, late: false, unaware: 0, value: 0 });
                Key::Missed(s.processes[i].synced)
            }
            Ask::Wait if !self.may_wait(s, i, key) => Key::Missed(s.processes[i].synced),
            Ask::Wait if self.has(FillRule::AnnounceAtOnce) => Key::Awaited,
            Ask::Wait => Key::AboutToWait,
            Ask::Look => return self.look(s, i, key),
            Ask::Compute => Key::Missed(s.processes[i].synced),
        };
        s.processes[i].keys[key] = state;
    }

    /// A process reads a key that it has waited for.
    fn look(&self, s: &mut State<N>, i: usize, key: usize) {
        let given = match s.leases[key] {
            Some(Held { mark: Mark::Ended, value, .. }) if !self.has(FillRule::ReadAgain) => Some(value),
            _ => {
                s.sync(i);
                s.values[key]
            }
        };
        match given {
            Some(value) => {
                s.broken |= value < s.purges;
                s.processes[i].keys[key] = Key::Done;
            }
            None => self.miss(s, i, key),
        }
    }

    fn fill(&self, s: &mut State<N>, i: usize, key: usize, missed: u8) {
        s.computed[key] += 1;
        // The guard (R6).
        if missed == s.purges {
            s.values[key] = Some(missed);
        }
        s.processes[i].keys[key] = Key::Done;
        if self.has(FillRule::EndByFill) {
            let others = (1 << N) - 1;
            let ended = Held { who: i, mark: Mark::Ended, late: false, unaware: others, value: missed };
            s.leases[key] = self.has(FillRule::RememberEnds).then_some(ended);
        }
    }

    fn end(&self, s: &mut State<N>, i: usize) {
        let process = &mut s.processes[i];
        process.life = Life::Ended;
        s.excused |= process.keys.iter().any(|key| matches!(key, Key::Missed(_)));
        if self.has(FillRule::EndByRequest) {
            let taken = |held: &&mut Held| held.who == i && held.mark == Mark::Computing;
            s.leases.iter_mut().flatten().filter(taken).for_each(|held| held.mark = Mark::Barren);
        }
    }

    fn step(&self, last: &State<N>, action: Action) -> Option<State<N>> {
        let mut s = *last;
        match action {
            Action::Read(i, key) => {
                (s.runs(i) && s.processes[i].keys[key] == Key::Unread).then_some(())?;
                if s.processes[i].told[key] { self.look(&mut s, i, key) } else { self.miss(&mut s, i, key) }
            }
            Action::Announce(i, key) => {
                (s.processes[i].keys[key] == Key::AboutToWait && s.lives(i)).then_some(())?;
                s.processes[i].keys[key] = Key::Awaited;
            }
            Action::Look(i, key) => {
                (s.processes[i].keys[key] == Key::Awaited && s.lives(i)).then_some(())?;
                match self.ask(&s, i, key) {
                    Ask::Wait => return None,
                    Ask::Compute => s.give_up(i, key),
                    Ask::Look | Ask::Take => self.look(&mut s, i, key),
                }
            }
            Action::GiveUp(i, key) => {
                (s.processes[i].keys[key] == Key::Awaited && s.lives(i)).then_some(())?;
                s.excused = true;
                s.give_up(i, key);
            }
            Action::Fill(i, key) => {
                let Key::Missed(missed) = s.processes[i].keys[key] else { return None };
                s.runs(i).then_some(())?;
                self.fill(&mut s, i, key, missed);
            }
            Action::End(i) => {
                s.runs(i).then_some(())?;
                self.end(&mut s, i);
            }
            Action::Kill(i) => {
                (s.lives(i) && s.kills == 0).then_some(())?;
                s.kills += 1;
                s.processes[i].life = Life::Dead;
                s.excused = true;
            }
            Action::Late(key) => {
                let held =
                    s.leases[key].as_mut().filter(|held| held.mark == Mark::Computing && !held.late)?;
                held.late = true;
                s.excused = true;
            }
            Action::Purge => {
                (s.purges == 0).then_some(())?;
                s.purges += 1;
                s.values = [None; KEYS];
                s.excused = true;
            }
        }
        Some(s)
    }

    /// Whether somebody waits, and nothing that has to happen can happen but that it gives up.
    fn stuck(&self, s: &State<N>) -> bool {
        let waits = |i| s.lives(i) && s.processes[i].awaits().is_some();
        (0..N).any(waits) && !Self::moves().any(|action| self.step(s, action).is_some())
    }

    /// What happens by itself.
    fn moves() -> impl Iterator<Item = Action> {
        let of_key = |i, key| {
            [Action::Read(i, key), Action::Announce(i, key), Action::Look(i, key), Action::Fill(i, key)]
        };
        (0..N).flat_map(move |i| {
            (0..KEYS).flat_map(move |key| of_key(i, key)).chain(std::iter::once(Action::End(i)))
        })
    }
}

/// What processes and keys are called in the rules.
fn name(number: usize) -> u64 {
    number as u64
}

fn index(name: u64) -> usize {
    usize::try_from(name).unwrap_or(usize::MAX)
}

impl Process {
    fn awaits(self) -> Option<usize> {
        self.keys.iter().position(|key| *key == Key::Awaited)
    }
}

impl<const N: usize> State<N> {
    fn start() -> Self {
        let process =
            Process { life: Life::InRequest, keys: [Key::Unread; KEYS], synced: 0, told: [false; KEYS] };
        Self {
            processes: [process; N],
            leases: [None; KEYS],
            values: [None; KEYS],
            purges: 0,
            computed: [0; KEYS],
            kills: 0,
            excused: false,
            broken: false,
        }
    }

    /// The state with its processes in order, and without what ended requests did.
    fn canonical(mut self) -> Self {
        for process in &mut self.processes {
            if process.life == Life::Ended {
                *process =
                    Process { life: Life::Ended, keys: [Key::Done; KEYS], synced: 0, told: [false; KEYS] };
            }
        }
        let unaware = |held: Held, i: usize| held.unaware >> i & 1 == 1;
        let of = |i: usize| {
            let leases = self.leases.map(|held| held.map(|held| (held.who == i, unaware(held, i))));
            (self.processes[i], leases)
        };
        let mut order: [usize; N] = std::array::from_fn(|i| i);
        order.sort_by_key(|&i| of(i));
        let leases = self.leases.map(|held| {
            let held = held?;
            let who = order.iter().position(|&i| i == held.who)?;
            let bits = order.iter().enumerate().filter(|(_, i)| unaware(held, **i));
            Some(Held { who, unaware: bits.fold(0, |bits, (at, _)| bits | 1 << at), ..held })
        });
        Self { processes: order.map(|i| self.processes[i]), leases, ..self }
    }

    fn lives(&self, i: usize) -> bool {
        self.processes[i].life == Life::InRequest
    }

    fn dead(&self, who: u64) -> bool {
        self.processes[index(who)].life == Life::Dead
    }

    /// Whether a process is in a request and waits for nothing.
    fn runs(&self, i: usize) -> bool {
        self.lives(i)
            && !self.processes[i].keys.iter().any(|key| matches!(key, Key::Awaited | Key::AboutToWait))
    }

    fn holder(&self, key: usize) -> Option<usize> {
        self.leases[key].filter(|held| held.mark == Mark::Computing).map(|held| held.who)
    }

    fn give_up(&mut self, i: usize, key: usize) {
        self.processes[i].keys[key] = Key::Missed(self.processes[i].synced);
    }

    /// A process asks the backend.
    fn sync(&mut self, i: usize) {
        self.processes[i].synced = self.purges;
        self.processes[i].told = self.values.map(|value| value.is_some());
        self.leases.iter_mut().flatten().for_each(|held| held.unaware &= !(1 << i));
    }

    fn tell(&self) -> String {
        let mut text = String::new();
        for (process, letter) in self.processes.iter().zip('A'..) {
            let _ = write!(text, "{letter} {:?} {:?}; ", process.life, process.keys);
        }
        let leases = self.leases.map(|held| held.map(|held| (held.who, held.mark, held.late)));
        text + &format!("leases {leases:?}, values {:?}", self.values)
    }
}

impl<const N: usize> Model for World<N> {
    type State = State<N>;
    type Action = Action;

    fn init_states(&self) -> Vec<State<N>> {
        vec![State::start()]
    }

    fn actions(&self, _: &State<N>, actions: &mut Vec<Action>) {
        actions.extend(Self::moves());
        actions.extend((0..N).flat_map(|i| (0..KEYS).map(move |key| Action::GiveUp(i, key))));
        actions.extend((0..N).map(Action::Kill));
        actions.extend((0..KEYS).map(Action::Late));
        actions.push(Action::Purge);
    }

    fn next_state(&self, last: &State<N>, action: Action) -> Option<State<N>> {
        self.step(last, action).map(State::canonical)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no read gives what was invalidated", |_, s: &State<N>| !s.broken),
            Property::always("nobody waits for what cannot come", |world, s| !world.stuck(s)),
            Property::always("a key is computed at most twice", |_, s: &State<N>| {
                s.excused || s.computed.iter().all(|computed| *computed <= 2)
            }),
        ]
    }
}

/// Looks at every state that `N` processes of a node can reach after a purge, under all rules of
/// fill leases or all but one.
pub fn check_fills<const N: usize>(without: Option<FillRule>) -> Found {
    let world = World::<N> { without };
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let paths = checker.discoveries().into_iter().map(|(broken, path)| (broken, path.into_vec()));
    let shortest = paths.min_by_key(|(_, steps)| steps.len());
    let counterexample = shortest.map(|(broken, steps)| {
        let mut text = format!("{N} processes: {broken}\n");
        for (state, action) in &steps {
            let _ = writeln!(text, "{}", state.tell());
            if let Some(action) = action {
                let _ = writeln!(text, "  {action:?}");
            }
        }
        text
    });
    Found { states: checker.unique_state_count(), counterexample }
}
