//! What became of the calls of a replay.

use serde_json::json;

use crate::cli::destinations::args::ReplayArgs;
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::destinations::replay::{ReplayFrom, Sent};
use crate::words::{counted, outside_text, rfc3339};

/// The result for people.
pub(super) fn text(sent: &Sent, args: &ReplayArgs) -> String {
    let calls = |count| counted(count, "call", "calls");
    let name = &args.name;
    let mut text = match (args.dry_run, sent.given, sent.not_taken) {
        (true, ..) => format!("{name}: would send {}\n", calls(sent.given)),
        (false, 0, 0) => format!("{name}: nothing to send\n"),
        (false, ..) => format!("{name}: {} delivered\n", calls(sent.delivered)),
    };
    let mut line = |said: String| {
        text.push_str("  ");
        text.push_str(&said);
        text.push('\n');
    };
    for (class, count, what) in &sent.failed {
        line(format!("failed: {} with {class}; the first: {}", calls(*count), outside_text(what)));
    }
    if sent.not_taken > 0 {
        line(format!("not for this destination, as it is configured now: {}", calls(sent.not_taken)));
    }
    for one in &sent.unreadable {
        line(format!("unreadable: {}", outside_text(one)));
    }
    match sent.failed_file.as_ref().map(|file| file.display()) {
        Some(file) => {
            line(format!(
                "calls that failed are in {file}: fix the cause, then send them with --from {file}"
            ));
        }
        None if sent.failures() > 0 => {
            line("calls that failed stay dead letters: fix the cause, then run this again".to_owned());
        }
        None => {}
    }
    if let Some(why) = &sent.not_noted {
        line(format!(
            "note: the next replay sends these calls again, because they could not be noted: {why}"
        ));
    }
    text
}

/// The result for programs.
pub(super) fn json(sent: &Sent, args: &ReplayArgs) -> serde_json::Value {
    let failed = sent
        .failed
        .iter()
        .map(|(class, count, what)| json!({ "class": class.to_string(), "count": count, "first": what }));
    json!({
        "destination": args.name.as_str(),
        "dryRun": args.dry_run,
        "calls": sent.given,
        "delivered": sent.delivered,
        "failed": failed.collect::<Vec<_>>(),
        "failedFile": sent.failed_file,
        "notTaken": sent.not_taken,
        "objects": sent.objects,
        "unreadable": sent.unreadable,
        "notNoted": sent.not_noted,
        "stoppedIn": sent.stopped_in,
    })
}

/// How the command ends.
/// Errors: [`Failure`]: the replay was stopped, a call failed, or something could not be read.
pub(super) fn result(sent: &Sent, args: &ReplayArgs) -> Result<(), Failure> {
    if let Some(place) = &sent.stopped_in {
        let how = match args.from {
            ReplayFrom::Dlq => "run it again: what was delivered is noted".to_owned(),
            ReplayFrom::Time(from) => format!(
                "run it again; what was delivered since {} is then sent again, unless you narrow it with --source \
                 and --from",
                rfc3339(from)
            ),
            ReplayFrom::File(_) => "run it again; it then sends all calls of the file".to_owned(),
        };
        return Err(Failure::with_code(INTERRUPTED, format!("stopped in {place}; {how}")));
    }
    match (sent.failures(), sent.unreadable.len()) {
        (0, 0) => Ok(()),
        (0, many) => Err(Failure::failed(format!("{many} could not be read whole"))),
        (failed, _) => Err(Failure::failed(format!("{} failed", counted(failed, "call", "calls")))),
    }
}
