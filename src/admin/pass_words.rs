//! What a pass over a bucket found, in words. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bucket_imports::{PassPlanned, PassStatus};
use crate::words::{
    about_duration, counted, grouped, if_any, outside_message, outside_text, outside_text_within,
};

/// The most bytes that are shown of a text with what to do.
const TEXT_BYTES_MAX: usize = 4_096;

/// What became of a file, in the words of `import list`.
fn words(became: &str) -> String {
    if became == "poison" { "given up".to_owned() } else { became.replace('_', " ") }
}

/// `3 done, 1 given up`; empty if there are none.
fn list(counts: &BTreeMap<String, u64>) -> String {
    let some = counts.iter().filter(|(_, count)| **count > 0);
    let shown = some.map(|(what, count)| format!("{} {}", grouped(*count), outside_text(&words(what))));
    shown.collect::<Vec<_>>().join(", ")
}

/// What a pass found, in a few lines without their beginning.
pub fn pass_lines(pass: &PassStatus, named_max: usize) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(failed) = &pass.failed {
        lines.push(("failed:", outside_text_within(&failed.what, TEXT_BYTES_MAX).to_string()));
        return lines;
    }
    let skipped: u64 = pass.skipped.values().sum();
    // Those of other instances are not imported here.
    let elsewhere = pass.claims.as_ref().map_or(0, |claims| claims.claimed + claims.unknown);
    let (one, many) = if pass.part { ("new object", "new objects") } else { ("object", "objects") };
    lines.push((
        "listed:",
        format!(
            "{}: {} known, {} skipped, {}{} to import",
            counted(pass.listed, one, many),
            grouped(pass.known),
            grouped(skipped),
            if_any(pass.given_up, |objects| format!("{} given up, ", grouped(objects))),
            grouped(pass.listed.saturating_sub(pass.known + pass.given_up + skipped + elsewhere))
        ),
    ));
    let (files, skips) = (list(&pass.files), list(&pass.skipped));
    if !skips.is_empty() {
        lines.push(("skipped:", skips));
    }
    if !files.is_empty() {
        lines.push(("files:", files));
    }
    if !pass.files.is_empty() && pass.planned.is_none() {
        let rows = format!(
            "{}: {} stored, {}{} rejected, {} left out by the converter",
            counted(pass.rows, "row", "rows"),
            counted(pass.stored, "call", "calls"),
            if_any(pass.repeats, |rows| format!("{} dropped as repeats, ", grouped(rows))),
            grouped(pass.rejected),
            grouped(pass.skipped_rows)
        );
        lines.push(("read:", rows));
    }
    if let Some(planned) = &pass.planned {
        let would = list(&planned.would);
        lines.push(("would:", if would.is_empty() { "import nothing".to_owned() } else { would }));
        if planned.rows_again > 0 {
            lines.push(("again:", again(planned)));
        }
        for file in planned.first.iter().take(named_max) {
            let text = format!("{} {}", file.would.replace('_', " "), file.name);
            lines.push(("first:", outside_message(&text).to_string()));
        }
        lines.extend(pass.claims.iter().flat_map(|claims| claims.lines(named_max)));
        return lines;
    }
    lines.extend(pass.after.iter().flat_map(|after| after.lines(named_max)));
    if pass.not_begun > 0 {
        lines.push(("not begun:", counted(pass.not_begun, "object", "objects")));
    }
    for file in pass.not_done.iter().take(named_max) {
        let error = file.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        let text = format!("{} {}{error}", file.name, words(&file.became));
        lines.push(("not done:", outside_message(&text).to_string()));
    }
    for warning in &pass.warnings {
        lines.push(("warning:", outside_text_within(warning, TEXT_BYTES_MAX).to_string()));
    }
    if let Some(rejects) = &pass.rejects {
        lines.push(("rejects:", outside_text_within(rejects, TEXT_BYTES_MAX).to_string()));
    }
    lines.extend(pass.claims.iter().flat_map(|claims| claims.lines(named_max)));
    if let Some(remedy) = &pass.remedy {
        lines.push(("to fix it:", outside_text_within(remedy, TEXT_BYTES_MAX).to_string()));
    }
    let more = (pass.not_done.len() as u64).saturating_sub(named_max as u64);
    if more > 0 {
        lines.push(("", format!("and {}", counted(more, "more file", "more files"))));
    }
    lines
}

/// What is stored again.
pub fn again(planned: &PassPlanned) -> String {
    let files = planned.would.get("again").copied().unwrap_or(0);
    let dropped = if_any(planned.insert_id_window_ms, |window| {
        let window = about_duration(Duration::from_millis(window));
        format!(
            ", but for rows with an insert_id that were stored within {window}: insert_id_window = \"0 s\" stores them, too"
        )
    });
    format!(
        "{} with {} will be stored again, with the same messageIds{dropped}",
        counted(files, "imported file", "imported files"),
        counted(planned.rows_again, "row", "rows")
    )
}
