//! `forebay spool inspect`: shows the content of a spool.

use std::io::Write;

use crate::cli::args::SpoolReadArgs;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::node::closed_spool::{
    BatchAbout, Functions, Inspection, Range, SealAbout, SegmentIs, SpoolAbout, inspect,
};
use crate::time::UnixMillis;
use crate::words::table::table;
use crate::words::{about_bytes, counted, date, grouped, outside_key, outside_text};

/// The most segments that are listed. If there are more, the first and the last ones are listed.
const SEGMENTS_SHOWN: usize = 20;

/// Reads a spool and prints its content.
/// Errors: [`Failure`] if there is no spool, a process uses it, or it cannot be read.
pub fn run(args: &SpoolReadArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let shown = inspect(&args.dir)?;
    let text = || render(&shown.spool) + &render_functions(&shown);
    Ok(print_either(out, args.json, &shown, text)?)
}

fn render_functions(shown: &SpoolAbout) -> String {
    let functions = match &shown.functions {
        Functions::Kept(functions) if functions.is_empty() => return String::new(),
        Functions::Kept(functions) => functions,
        Functions::Unreadable { error } => {
            return format!("\nwhat is kept of destinations cannot be read: {}\n", outside_text(error));
        }
    };
    let last =
        shown.spool.segments.iter().filter_map(|segment| segment.positions).map(|range| range.last).max();
    let mut text = "\nfunctions of destinations, beside the archive:\n".to_owned();
    for function in functions {
        let state =
            format!("has finished up to position {} of {}", function.finished, last.unwrap_or_default());
        let queued = function
            .queued
            .map_or_else(String::new, |queued| format!("; what waits up to {queued} is queued"));
        let removed = if function.removed { " (no longer configured)" } else { "" };
        let (name, arn) = (&function.destination, outside_text(&function.function));
        text += &format!("  {name}, {arn}{removed}: {state}{queued}\n");
    }
    text
}

/// The text of an inspection for people.
pub(crate) fn render(of: &Inspection) -> String {
    let mut text = format!("spool {}, node {}, format {}\n", of.spool_id, of.node, of.format);
    text.push_str(&manifest(of));
    text.push_str(&segments(of));
    text.push_str(&batches(&of.batches));
    text.push_str(&seals(&of.seals));
    text.push_str(&rest(of));
    text
}

fn manifest(of: &Inspection) -> String {
    let manifest = &of.manifest;
    match manifest.number {
        Some(number) => {
            let damaged = if manifest.sound { "" } else { ", DAMAGED: see `forebay spool verify SPOOL`" };
            let (notes, bytes) = (manifest.notes, about_bytes(manifest.bytes));
            format!("manifest {number}: {notes} notes, {bytes}{damaged}\n")
        }
        None => "manifest: none\n".to_owned(),
    }
}

fn segments(of: &Inspection) -> String {
    let mut rows = vec![["segment", "state", "positions", "bytes"].map(str::to_owned)];
    let hidden = of.segments.len().saturating_sub(SEGMENTS_SHOWN);
    for (index, segment) in of.segments.iter().enumerate() {
        let half = SEGMENTS_SHOWN / 2;
        if hidden > 0 && index == half {
            rows.push([format!("… {hidden} more"), String::new(), String::new(), String::new()]);
        }
        if hidden > 0 && (half..half + hidden).contains(&index) {
            continue;
        }
        let state = match segment.state {
            SegmentIs::Closed => "closed",
            SegmentIs::Open => "open",
            SegmentIs::Empty => "empty",
            SegmentIs::Missing => "MISSING",
        };
        let positions = segment.positions.map_or_else(|| "-".to_owned(), range);
        rows.push([segment.number.to_string(), state.to_owned(), positions, about_bytes(segment.bytes)]);
    }
    paragraph(&rows, &[])
}

fn batches(batches: &[BatchAbout]) -> String {
    if batches.is_empty() {
        return "\nno undelivered lines in the segments\n".to_owned();
    }
    let columns = ["source", "received-day", "stream", "calls", "of them sealed", "bytes", "first received"];
    let mut rows = vec![columns.map(str::to_owned)];
    rows.extend(batches.iter().map(|batch| {
        [
            batch.source.clone(),
            day(batch.day),
            batch.stream.to_string(),
            grouped(batch.calls),
            grouped(batch.sealed),
            about_bytes(batch.bytes),
            batch.first_received_at.clone(),
        ]
    }));
    paragraph(&rows, &[3, 4, 5])
}

fn seals(seals: &[SealAbout]) -> String {
    if seals.is_empty() {
        return String::new();
    }
    let mut text = "\nsealed, not delivered yet:\n".to_owned();
    for seal in seals {
        let mut state = Vec::new();
        if let Some(bytes) = seal.parked_bytes {
            state.push(format!("parked ({})", about_bytes(bytes)));
        }
        if seal.amended {
            state.push("frames were lost after it was sealed".to_owned());
        }
        if seal.overwrite {
            state.push("will replace the object in the bucket".to_owned());
        }
        if seal.conflict {
            let how = format!("`forebay spool resolve SPOOL --seal {} --action ACTION`", seal.number);
            state.push(format!("CONFLICT: another object has its key; decide with {how}"));
        }
        let state = if state.is_empty() { String::new() } else { format!("; {}", state.join("; ")) };
        text += &format!(
            "  seal {}: {}, positions {}{state}\n    s3://{}/{}\n",
            seal.number,
            counted(seal.calls, "call", "calls"),
            range(seal.positions),
            seal.bucket,
            outside_key(&seal.object_key),
        );
    }
    text
}

fn rest(of: &Inspection) -> String {
    let mut text = String::new();
    if !of.locations.is_empty() {
        text.push_str("\nbuckets of sources:\n");
    }
    for known in &of.locations {
        let region =
            known.region.as_ref().map_or_else(String::new, |region| format!(" ({})", outside_text(region)));
        let (source, from, bucket) = (&known.source, known.from, outside_text(&known.bucket));
        text += &format!("  {source}, from position {from}: {bucket}{region}\n");
    }
    for lost in &of.lost {
        text += &format!("lost: positions {}\n", range(*lost));
    }
    let mut rows = vec![["on disk", "files", "bytes"].map(str::to_owned)];
    rows.extend(
        of.disk.iter().map(|(sort, use_)| [(*sort).to_owned(), grouped(use_.files), about_bytes(use_.bytes)]),
    );
    text.push_str(&paragraph(&rows, &[1, 2]));
    text
}

fn range(range: Range) -> String {
    format!("{}–{}", range.first, range.last)
}

/// `2015-05-27 (1432684800000)`
fn day(start: i64) -> String {
    format!("{} ({start})", date(UnixMillis(start).day()))
}

/// A table after an empty line.
fn paragraph<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    table(rows, right).iter().fold("\n".to_owned(), |text, line| text + line + "\n")
}
