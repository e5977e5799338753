//! How commands print JSON.

use std::io::{self, Write};

use serde::Serialize;

/// Prints one value over several lines, and ends the last one.
/// Errors: the value cannot be encoded, or `out` fails.
pub fn print_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// Prints a value as JSON, or its text for people. Errors: as [`print_json`].
pub fn print_either(
    out: &mut dyn Write,
    json: bool,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> io::Result<()> {
    if json { print_json(out, value) } else { out.write_all(text().as_bytes()) }
}

/// Prints one value of a stream of values on a line of its own.
/// Errors: the value cannot be encoded, or `out` fails.
pub fn print_json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
