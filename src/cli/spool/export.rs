//! `forebay spool export`: writes the lines of a spool that are not yet in an object in the store.

use std::io::{self, Write};

use super::verify::finding;
use crate::cli::args::SpoolExportArgs;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_json;
use crate::node::closed_spool::{ExportError, Exported, View, Wanted, export, export_to_file};
use crate::object::Stream;
use crate::runtime::meter::Meter;
use crate::words::{about_bytes, counted, grouped, if_any};

/// Writes the lines, and reports on standard error what was written and what could not be read.
/// Errors: [`Failure`] if something could not be read or written; everything readable is written
/// nevertheless.
pub fn run(args: &SpoolExportArgs) -> Result<(), Failure> {
    let view = View::open(&args.dir)?;
    let stream = if args.rejected { Stream::Rejected } else { args.stream.clone() };
    let wanted = Wanted { source: args.source.as_ref(), stream };
    let mut meter = Meter::new("exported from");
    let mut progress = |done, total| meter.bytes(done, total);
    let exported = match &args.out {
        Some(path) => export_to_file(&view, wanted, path, &mut progress)?,
        None => match export(&view, wanted, &mut io::stdout().lock(), &mut progress) {
            // The reader, such as `head`, has seen enough.
            Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            exported => exported?,
        },
    };
    meter.clear();
    report(&exported, args.json)?;
    match exported.unread.len() {
        0 => Ok(()),
        _ => Err(Failure::failed("some lines could not be written; they are named above")),
    }
}

fn report(exported: &Exported, json: bool) -> io::Result<()> {
    let mut err = io::stderr().lock();
    if json {
        return print_json(&mut err, exported);
    }
    for unread in &exported.unread {
        err.write_all(finding(unread).as_bytes())?;
    }
    let (lines, bytes) = (counted(exported.lines, "line", "lines"), about_bytes(exported.bytes));
    let parked =
        if_any(exported.from_parked, |parked| format!(", {} of them from parked objects", grouped(parked)));
    writeln!(err, "{lines}, {bytes}{parked}")?;
    for (stream, lines) in &exported.others {
        let lines = counted(*lines, "line", "lines");
        writeln!(err, "not exported: {lines} of {stream} (--stream {stream})")?;
    }
    let Some(first) = exported.sealed_keys.first() else { return Ok(()) };
    writeln!(
        err,
        "{} from sealed objects, which may already be in the bucket if only the answer to a put was lost; check before you load \
         them again ({} in all): {first}{}",
        counted(exported.sealed_lines, "line is", "lines are"),
        counted(exported.sealed_keys.len() as u64, "object", "objects"),
        if exported.sealed_keys.len() > 1 { ", … (--json lists all)" } else { "" },
    )
}
