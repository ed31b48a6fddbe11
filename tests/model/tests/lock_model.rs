//! Every state that locks can reach, within bounds. `docs/failover.md` says what the model is.

use larder_model::locks::{RULES, SCENARIOS, check};

fn all_pass<const N: usize>() {
    for bounds in SCENARIOS {
        let found = check::<N>(bounds, None);
        println!("{N} processes, {}: {} states", bounds.name, found.states);
        assert!(found.counterexample.is_none(), "{}", found.counterexample.unwrap_or_default());
    }
}

#[test]
fn two_processes_never_hold_a_named_lock_and_no_late_write_takes_effect() {
    all_pass::<2>();
}

/// Minutes and some GiB: `cargo test --release -p larder-model -- --ignored --nocapture`.
#[test]
#[ignore = "the large one"]
fn three_processes_never_hold_a_named_lock_and_no_late_write_takes_effect() {
    all_pass::<3>();
}

#[test]
fn without_any_one_rule_of_locks_two_hold_one_or_a_late_write_takes_effect() {
    for (rule, bounds) in RULES {
        let found = check::<2>(bounds, Some(rule)).counterexample;
        println!("Without {rule:?}: {}", found.as_deref().unwrap_or_default());
        assert!(found.is_some(), "nothing happens without {rule:?}");
    }
}
