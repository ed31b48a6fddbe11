//! `log`, and what the command itself adds to the audit log.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use larder::Store;
use larder::engine::observe::AuditRecord;
use serde_json::json;

use crate::failure::Failure;
use crate::{output, text};

/// Lists the records of the audit log.
pub(crate) fn list(store: &Store, as_json: bool, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let records = store.audit_log()?;
    if as_json {
        let records: Vec<_> = records
            .iter()
            .map(|record| json!({ "time_ms": record.time_ms, "action": record.action, "details": record.details }))
            .collect();
        output::json(out, &json!({ "records": records }))?;
    } else if records.is_empty() {
        writeln!(out, "Nobody has recorded anything yet.")?;
    } else {
        let rows = records.iter().map(|record| [time(record), record.action.clone(), details(record)]);
        output::table(out, Some(["TIME (UTC)", "ACTION", "DETAILS"]), rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Records what this command did. The log is no reason to fail: what it is about has been done.
pub(crate) fn note(store: &Store, action: &str, what: &str) {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let details = [("caches", what), ("script", "larder"), ("user", &user)];
    let details = details.into_iter().filter(|(_, value)| !value.is_empty());
    let details: BTreeMap<_, _> = details.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let _ = store.audit(action, details);
}

fn details(record: &AuditRecord) -> String {
    let details =
        record.details.iter().map(|(name, value)| format!("{name}={}", text::escape(value.as_bytes())));
    details.collect::<Vec<_>>().join(" ")
}

fn time(record: &AuditRecord) -> String {
    let time = i64::try_from(record.time_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| record.time_ms.to_string(), |time| format!("{time:.0}"))
}
