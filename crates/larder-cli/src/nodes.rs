//! `nodes`, and which of them differ.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use larder::Store;
use larder::engine::observe::NodeStatistics;
use serde_json::json;

use crate::failure::Failure;
use crate::output;

/// Lists the nodes that use the namespace, and says which of them differ from the others.
pub(crate) fn list(store: &Store, as_json: bool, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let nodes = store.statistics()?;
    if as_json {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|node| {
                let options: BTreeMap<_, _> = node.options.iter().cloned().collect();
                json!({
                    "node": node.node,
                    "version": node.version,
                    "configuration": node.fingerprint(),
                    "options": options,
                    "seen_ms": node.seen_ms,
                    "clock_ahead_ms": node.clock_ahead_ms,
                    "tier": node.tier,
                    "reason": node.reason,
                    "processes": node.processes,
                    "near_bytes": node.near_bytes,
                })
            })
            .collect();
        output::json(out, &json!({ "nodes": nodes }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if nodes.is_empty() {
        writeln!(out, "No node has told anything yet: each does so once a minute, at the end of a page.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = store.backend().now();
    let rows = nodes.iter().map(|node| {
        [
            node.node.clone(),
            node.version.clone(),
            node.fingerprint(),
            format!("{:+.1} s", seconds(node.clock_ahead_ms)),
            format!("{} s ago", now.saturating_sub(node.seen_ms) / 1000),
            node.tier.clone(),
            node.processes.to_string(),
            format!("{} MB", node.near_bytes >> 20),
        ]
    });
    let head = ["NODE", "VERSION", "CONFIGURATION", "CLOCK", "SEEN", "SERVED BY", "PROCESSES", "MEMORY"];
    output::table(out, Some(head), rows)?;
    let differences = differences(&nodes);
    if !differences.is_empty() {
        writeln!(out)?;
        differences.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds fit for 285,000 years")]
pub(crate) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// What single nodes have that most others have not: one line each.
pub(crate) fn differences(nodes: &[NodeStatistics]) -> Vec<String> {
    let facts = |node: &NodeStatistics| {
        let version = ("version".to_owned(), node.version.clone());
        std::iter::once(version).chain(node.options.iter().cloned()).collect::<BTreeMap<_, _>>()
    };
    let facts: Vec<_> = nodes.iter().map(facts).collect();
    let names: Vec<&String> = facts.first().map(|facts| facts.keys().collect()).unwrap_or_default();
    let mut lines = Vec::new();
    for name in names {
        let value = |facts: &BTreeMap<String, String>| facts.get(name).cloned().unwrap_or_default();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for facts in &facts {
            *counts.entry(value(facts)).or_default() += 1;
        }
        let Some((usual, _)) = counts.iter().max_by_key(|(_, count)| **count) else { continue };
        for (node, facts) in nodes.iter().zip(&facts) {
            let own = value(facts);
            if own != *usual {
                let (name, node) = (name.as_str(), &node.node);
                lines.push(format!("{node} differs: {name} is '{own}', on others '{usual}'"));
            }
        }
    }
    lines
}
