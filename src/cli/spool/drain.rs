//! `forebay spool drain`: delivers everything in a spool, with the same code as a running collector.

use std::io::Write;
use std::path::Path;

use crate::cli::args::SpoolDrainArgs;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_json;
use crate::cli::serve::loaded;
use crate::node::drain::{Days, DrainTo, Drained, Left, drain};
use crate::node::spool_dir::is_closed_spool;
use crate::runtime::meter::Meter;
use crate::words::counted;

/// Delivers until the spool is empty. Errors: [`Failure`] if something is left, with what it waits for.
pub async fn run(args: &SpoolDrainArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // A wrong directory is reported before a wrong configuration.
    is_closed_spool(&args.dir)?;
    let to = match (&args.to, &args.config) {
        (Some(to), _) => DrainTo::Directory(to),
        (None, Some(config)) => DrainTo::Buckets(Box::new(loaded(config)?.config)),
        (None, None) => return Err(Failure::usage("give a target: --to DIR or --config FILE")),
    };
    let mut meter = Meter::new("delivered");
    let drained = drain(&args.dir, to, args.drop_destinations, &mut |left| meter.show(&shown(left))).await;
    drop(meter);
    let drained = drained?;
    let failure = failure(&drained);
    if args.json {
        print_json(out, &drained)?;
    } else if failure.is_none() {
        out.write_all(render(&drained, &args.dir).as_bytes())?;
    }
    failure.map_or(Ok(()), Err)
}

fn shown(left: Left) -> String {
    match left.batches {
        0 => format!("{} to close", counted(left.days as u64, "day", "days")),
        batches => {
            let batches = counted(batches as u64, "batch", "batches");
            format!("{batches} left, {}", counted(left.lines, "line", "lines"))
        }
    }
}

fn objects(drained: &Drained) -> String {
    counted(drained.objects, "object", "objects")
}

/// The failure if something is left.
fn failure(drained: &Drained) -> Option<Failure> {
    let objects = objects(drained);
    let Some(why) = drained.waiting_for.as_deref() else { return waits_for_functions(drained) };
    Some(Failure::failed(match drained.batches_left {
        0 => {
            let days = counted(drained.days.over as u64, "day that is over is", "days that are over are");
            format!("{objects} delivered, and {days} not closed; {why}")
        }
        left => {
            let batches = counted(left as u64, "batch is", "batches are");
            format!("{batches} left in the spool ({objects} delivered); {why}")
        }
    }))
}

/// The failure if the archive has everything, but functions have not.
fn waits_for_functions(drained: &Drained) -> Option<Failure> {
    if let Some(why) = &drained.destinations_lost {
        return Some(Failure::failed(format!(
            "{} delivered, and the archive has everything; but {why}, so it is not known which calls wait for functions. \
             Run the collector on this spool, which sends what it still has again, or drop that with --drop-destinations",
            objects(drained)
        )));
    }
    let waiting = drained.waiting_for_functions.iter().map(|waiting| {
        let calls = counted(waiting.calls, "call waits", "calls wait");
        format!("{calls} for {} of the destination {}", waiting.function, waiting.destination)
    });
    let waiting = waiting.collect::<Vec<_>>().join("; ");
    let what = format!(
        "{} delivered, and the archive has everything; but {waiting}: run the collector on this spool until they \
         are sent, or drop them with --drop-destinations",
        objects(drained)
    );
    (!waiting.is_empty()).then(|| Failure::failed(what))
}

/// The text for people after a drain that left nothing.
fn render(drained: &Drained, dir: &Path) -> String {
    let (days, dir) = (|number: usize| counted(number as u64, "day is", "days are"), dir.display());
    let Days { open, unsure, closed_by_drain, .. } = drained.days;
    let mut text = format!("{} delivered; the spool is empty\n", objects(drained));
    if !closed_by_drain && open + unsure > 0 {
        let days = days(open + unsure);
        text.push_str(&format!("{days} not closed: draining to a directory closes no days\n"));
    }
    if closed_by_drain && open > 0 {
        let days = days(open);
        text.push_str(&format!("{days} not closed yet: run this again after midnight (UTC)\n"));
    }
    if closed_by_drain && unsure > 0 {
        let days = days(unsure);
        text += &format!("{days} never closed, because it is not certain which objects are in the store\n");
    }
    text.push_str(&match drained.quarantined_files {
        None | Some(0) => format!("{dir} can be removed\n"),
        Some(kept) => {
            let files = counted(kept as u64, "file there is", "files there are");
            format!("{dir} can be removed, except `quarantine`: {files} not in any object\n")
        }
    });
    text
}
