//! Every state that the failover protocol can reach, within bounds. `docs/failover.md` says what
//! the model is.

use larder_model::{Rule, SCENARIOS, check};

fn all_pass<const N: usize>() {
    for bounds in SCENARIOS {
        let found = check::<N>(bounds, None);
        println!("{N} processes, {}: {} states", bounds.name, found.states);
        assert!(found.counterexample.is_none(), "{}", found.counterexample.unwrap_or_default());
    }
}

#[test]
fn no_read_of_two_processes_gives_what_was_invalidated() {
    all_pass::<2>();
}

/// Minutes and some GiB: `cargo test --release -p larder-model -- --ignored --nocapture`.
#[test]
#[ignore = "the large one"]
fn no_read_of_three_processes_gives_what_was_invalidated() {
    all_pass::<3>();
}

#[test]
fn without_any_one_rule_a_read_gives_what_was_invalidated() {
    for rule in Rule::ALL {
        let found = SCENARIOS.into_iter().find_map(|bounds| check::<2>(bounds, Some(rule)).counterexample);
        println!("Without {rule:?}: {}", found.as_deref().unwrap_or_default());
        assert!(found.is_some(), "nothing happens without {rule:?}");
    }
}
