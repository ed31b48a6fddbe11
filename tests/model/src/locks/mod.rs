//! Locks as a model that is checked exhaustively: rules R22 to R25, with what failover does to
//! locks. What becomes of a lock is decided by the same functions as in the product
//! (`larder::testing::lock_rules`).

mod action;
mod canonical;
mod holder;
mod places;
mod scenario;
mod state;

use std::fmt::Write;

use larder::contract::LockKind;
use stateright::{Checker, HasDiscoveries, Model, Property};

use self::action::{Action, OF_PROCESS, OF_WORLD};
pub use self::scenario::{Bounds, RULES, Rule, SCENARIOS};
use self::state::{Phase, Place, Process, State};
use super::Found;

/// How long a lease is, in seconds.
const LEASE: u8 = 2;
/// What time it is, always. What is older than a lease does not matter, and is made the same.
const NOW: u8 = 10;

const EXCLUSIVE: &str = "no two hold a named lock";
const WRITES: &str =
    "no write of a holder whose lock was granted to another takes effect, and fencing numbers grow";

/// The rules of locks under the bounds of a scenario, all of them or all but one.
#[derive(Clone, Debug)]
struct World<const N: usize> {
    bounds: Bounds,
    without: Option<Rule>,
}

impl<const N: usize> World<N> {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// The state after a step; `None` if the step is not possible.
    fn step(&self, state: &State<N>, action: Action) -> Option<State<N>> {
        if state.broken.is_some() {
            return None;
        }
        let mut next = state.clone();
        let possible = match action {
            Action::Ask(i) => self.ask(&mut next, i),
            Action::Release(i) => self.release(&mut next, i),
            Action::Execute(i) => self.execute(&mut next, i),
            Action::Receive(i) => self.receive(&mut next, i),
            Action::Wake(i) => self.wake(&mut next, i),
            Action::Write(i) => self.write(&mut next, i),
            Action::Land(i) => self.land(&mut next, i),
            Action::Read(i) => self.read(&mut next, i),
            Action::Tick => {
                next.pass(1);
                Some(())
            }
            Action::Save => self.save(&mut next),
            Action::RestartEmpty => self.replace(&mut next, Some(Place::empty())),
            Action::RestartOld => self.replace(&mut next, state.saved.as_deref().cloned()),
            Action::Promote => self.replace(&mut next, Some(state.primary.clone())),
            Action::Certify => self.certify(&mut next),
            Action::Enter => self.enter(&mut next),
            Action::Prepare => self.prepare(&mut next),
            Action::Leave => Self::leave(&mut next),
            Action::Distrust => self.distrust(&mut next),
            Action::Serve => self.serve(&mut next),
        };
        possible.map(|()| next)
    }
}

impl<const N: usize> State<N> {
    /// How many believe to hold the lock.
    fn holders(&self) -> usize {
        let holds = |process: &&Process| matches!(process.phase, Phase::Holds { until, .. } if NOW < until);
        self.processes.iter().filter(holds).count()
    }

    /// Whether the tier that serves has what is older than what was written.
    fn lost_a_write(&self) -> bool {
        let place = match self.stage.tier() {
            state::Tier::Primary => &self.primary,
            state::Tier::Fallback => &self.fallback,
        };
        place.certified && place.stored.is_some_and(|stored| stored < self.written)
    }
}

impl<const N: usize> Model for World<N> {
    type State = State<N>;
    type Action = Action;

    fn init_states(&self) -> Vec<State<N>> {
        vec![State::start(&self.bounds)]
    }

    fn actions(&self, _: &State<N>, actions: &mut Vec<Action>) {
        actions.extend(OF_PROCESS.iter().flat_map(|action| (0..N).map(action)).chain(OF_WORLD));
    }

    fn next_state(&self, last: &State<N>, action: Action) -> Option<State<N>> {
        self.step(last, action).map(|next| next.canonical().0)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(EXCLUSIVE, |world, state: &State<N>| {
                world.bounds.kind == LockKind::Cache || state.holders() < 2
            }),
            Property::always(WRITES, |_, state: &State<N>| state.broken.is_none() && !state.lost_a_write()),
        ]
    }
}

/// Looks at every state that `N` processes can reach in a scenario, under all rules or all but one.
pub fn check<const N: usize>(bounds: Bounds, without: Option<Rule>) -> Found {
    let world = World::<N> { bounds, without };
    let checker = world.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let paths = checker.discoveries().into_iter().map(|(broken, path)| (broken, path.into_vec()));
    let shortest = paths.min_by_key(|(_, steps)| steps.len());
    Found {
        states: checker.unique_state_count(),
        counterexample: shortest.map(|(broken, steps)| checker.model().tell(broken, &steps)),
    }
}

impl<const N: usize> World<N> {
    /// A path in words, a line a step. Processes keep their letters, though the checker sorts them.
    fn tell(&self, broken: &str, steps: &[(State<N>, Option<Action>)]) -> String {
        let mut text = format!("{N} processes, {}: {broken}\n", self.bounds.name);
        let mut names: [char; N] = std::array::from_fn(|i| char::from(b'A' + u8::try_from(i).unwrap_or(0)));
        for (number, (state, action)) in steps.iter().enumerate() {
            let Some((action, next)) = action.and_then(|action| Some((action, self.step(state, action)?)))
            else {
                break;
            };
            let (who, what) = action.told();
            let who = who.map_or(String::new(), |i| format!("{} ", names[i]));
            let (next, order) = next.canonical();
            names = order.map(|i| names[i]);
            let line = format!("{:>2}. {who}{what}", number + 1);
            let _ = writeln!(text, "{line:<64}{}", next.tell(&names));
        }
        let last = steps.last().and_then(|(state, _)| state.broken);
        text + last.unwrap_or("two hold the lock, or what was written before serves") + "\n"
    }
}

impl<const N: usize> State<N> {
    /// Who believes to hold the lock, and what the places say.
    fn tell(&self, names: &[char; N]) -> String {
        let holds = |i: &usize| matches!(self.processes[*i].phase, Phase::Holds { until, .. } if NOW < until);
        let holders: String = (0..N).filter(holds).map(|i| names[i]).collect();
        let row = |place: &Place| place.row.holder.as_ref().map_or(0, |holder| holder.fence);
        format!("holds: {holders:2} rows: {} {}", row(&self.primary), row(&self.fallback))
    }
}

/// Seconds in the unit of the rules.
fn millis(seconds: u8) -> u64 {
    u64::from(seconds) * 1_000
}
