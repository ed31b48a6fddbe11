//! Whether the nodes of the fleet are alike.

use larder::Store;

use super::checks::{Check, refused};
use crate::nodes::{differences, seconds};

/// Clocks may differ by so much from the server's, in milliseconds.
const MAX_SKEW_MS: u64 = 1000;

/// Names the nodes whose version, configuration or clock is another than that of the others. On
/// Redis two round trips.
pub(super) fn examine(store: &Store) -> Vec<Check> {
    let nodes = match store.statistics() {
        Ok(nodes) => nodes,
        Err(error) => return vec![refused("nodes", &error)],
    };
    let mut checks: Vec<Check> = differences(&nodes)
        .into_iter()
        .map(|found| Check::warning("nodes", found, "give all nodes the same version and configuration"))
        .collect();
    let wrong = nodes.iter().filter(|node| node.clock_ahead_ms.unsigned_abs() > MAX_SKEW_MS);
    checks.extend(wrong.map(|node| {
        let found = format!(
            "the clock of {} is {:+.1} s ahead of the server's",
            node.node,
            seconds(node.clock_ahead_ms)
        );
        Check::problem("nodes", found, "run NTP (chrony, systemd-timesyncd) there")
    }));
    if checks.is_empty() && !nodes.is_empty() {
        let names: Vec<&str> = nodes.iter().map(|node| &*node.node).collect();
        checks.push(Check::ok("nodes", names.join(", ")));
    }
    checks
}
