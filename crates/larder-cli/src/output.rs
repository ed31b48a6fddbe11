//! Tables and JSON on standard output.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::failure::Failure;
use crate::text::is_printable;

/// Prints rows under a heading, in columns without borders: good to read and to cut.
pub(crate) fn table<const N: usize>(
    out: &mut dyn Write,
    head: Option<[&str; N]>,
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(head) = head {
        table.set_header(head);
    }
    for row in rows {
        table.add_row(row.map(|cell| cell.replace(|c| !is_printable(c), " ")));
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim())?;
    }
    Ok(())
}

/// Prints JSON, readable, with nothing in it that a terminal would obey.
pub(crate) fn json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)?;
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c| c != '\n' && !is_printable(c)) {
        let (before, after) = rest.split_at(at);
        let mut after = after.chars();
        out.write_all(before.as_bytes())?;
        // Outside of ASCII the serializer leaves such a character, which occurs in strings only, as
        // it is.
        if let Some(character) = after.next() {
            write!(out, "\\u{:04x}", u32::from(character))?;
        }
        rest = after.as_str();
    }
    writeln!(out, "{rest}")?;
    Ok(())
}
