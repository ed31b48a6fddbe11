//! Runs the checker, and tells what it found.

use std::fmt::Write;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::action::Action;
use super::scenario::{Bounds, Rule};
use super::state::State;
use super::world::World;

/// What must never happen: a value is read whose invalidation was acknowledged before the read's
/// sync point.
const COHERENT: &str = "no read gives what was invalidated";
/// What must never happen either.
const ONE_TIER: &str = "no two tiers serve at once";

impl<const N: usize> Model for World<N> {
    type State = State<N>;
    type Action = Action;

    fn init_states(&self) -> Vec<State<N>> {
        vec![State::start(&self.bounds)]
    }

    fn actions(&self, _: &State<N>, actions: &mut Vec<Action>) {
        actions.extend(Self::all_actions());
    }

    fn next_state(&self, last: &State<N>, action: Action) -> Option<State<N>> {
        self.step(last, action).map(|next| next.canonical().0)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(COHERENT, |_, state: &State<N>| state.broken.is_none()),
            Property::always(ONE_TIER, |world, state| {
                let by_primary = (0..N).any(|i| world.answers(state, i) && world.counts(state, i));
                !by_primary || !(0..N).any(|i| world.served_by_fallback(state, i))
            }),
        ]
    }
}

/// What a run found.
pub struct Found {
    /// Different states.
    pub states: usize,
    /// The shortest way to a state that must not be, in words.
    pub counterexample: Option<String>,
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
        let mut text = format!("{} processes, scenario {}: {broken}\n", N, self.bounds.name);
        let mut names: [char; N] = std::array::from_fn(|i| char::from(b'A' + u8::try_from(i).unwrap_or(0)));
        for (number, (state, action)) in steps.iter().enumerate() {
            let Some((action, next)) = action.and_then(|action| Some((action, self.step(state, action)?)))
            else {
                break;
            };
            let who = action.process().map_or("the primary".to_owned(), |i| names[i].to_string());
            let (next, order) = next.canonical();
            let line = format!("{:>2}. {who} {action}", number + 1);
            let _ = writeln!(text, "{line:<72}{}", next.tell());
            names = order.map(|i| names[i]);
        }
        let last = steps.last().and_then(|(state, _)| state.broken);
        text + last.unwrap_or("two tiers serve") + "\n"
    }
}

impl<const N: usize> State<N> {
    /// The shared part in few words.
    fn tell(&self) -> String {
        let value = |value: Option<u8>| value.map_or("-".to_owned(), |value| value.to_string());
        let up = if self.primary.up { "" } else { " (away)" };
        let dead: Vec<_> =
            (0..8).filter(|value| self.dead >> value & 1 == 1).map(|value| value.to_string()).collect();
        format!(
            "primary{up} {} log {}, fallback {} {:?}, dead {}",
            value(self.primary.now.value),
            self.primary.now.log.len(),
            value(self.fallback.value),
            self.fallback.log,
            dead.join(" ")
        )
    }
}
