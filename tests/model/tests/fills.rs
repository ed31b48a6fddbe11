//! Every state that fill leases can reach, within bounds. `docs/protocol.md`, R26, has the rules.

use larder_model::{FillRule, check_fills};

#[test]
fn nobody_waits_in_vain_and_nothing_old_is_given() {
    for found in [check_fills::<2>(None), check_fills::<3>(None)] {
        println!("{} states", found.states);
        assert!(found.counterexample.is_none(), "{}", found.counterexample.unwrap_or_default());
    }
}

#[test]
fn without_any_one_rule_of_fill_leases_something_breaks() {
    for rule in FillRule::ALL {
        let found = check_fills::<3>(Some(rule)).counterexample;
        println!("Without {rule:?}: {}", found.as_deref().unwrap_or_default());
        assert!(found.is_some(), "nothing happens without {rule:?}");
    }
}
