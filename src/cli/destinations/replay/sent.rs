//! What became of the calls of a replay.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::destinations::args::{ReplayArgs, ReplayFrom};
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::words::{counted, outside_text, rfc3339};

/// What became of the calls.
#[derive(Debug)]
pub(super) struct Sent {
    /// Calls that functions took.
    pub(super) delivered: u64,
    /// Calls that were sent, or would be.
    pub(super) given: u64,
    /// Calls that the destination does not take.
    pub(super) not_taken: u64,
    /// Objects and files that were read.
    pub(super) objects: u64,
    /// Calls that failed: the class, how many, and the first text.
    pub(super) failed: Vec<(String, u64, String)>,
    /// The file with calls that failed.
    pub(super) failed_file: Option<PathBuf>,
    /// Objects that could not be read, or not to their end.
    pub(super) unreadable: Vec<String>,
    /// Why what was delivered could not be noted.
    pub(super) not_noted: Option<String>,
    /// Where a signal stopped it.
    pub(super) stopped_in: Option<String>,
}

impl Sent {
    fn failed(&self) -> u64 {
        self.failed.iter().map(|(_, count, _)| count).sum()
    }

    /// For people.
    pub(super) fn text(&self, args: &ReplayArgs) -> String {
        let calls = |count| counted(count, "call", "calls");
        let name = &args.name;
        let mut text = match (args.dry_run, self.given, self.not_taken) {
            (true, ..) => format!("{name}: would send {}\n", calls(self.given)),
            (false, 0, 0) => format!("{name}: nothing to send\n"),
            (false, ..) => format!("{name}: {} delivered\n", calls(self.delivered)),
        };
        let mut line = |said: String| {
            text.push_str("  ");
            text.push_str(&said);
            text.push('\n');
        };
        for (class, count, what) in &self.failed {
            line(format!("failed: {} with {class}; the first: {}", calls(*count), outside_text(what)));
        }
        if self.not_taken > 0 {
            line(format!("not for this destination, as it is configured now: {}", calls(self.not_taken)));
        }
        for one in &self.unreadable {
            line(format!("unreadable: {}", outside_text(one)));
        }
        match &self.failed_file {
            Some(file) => line(format!(
                "calls that failed are in {}: fix the cause, then send them with --from {}",
                file.display(),
                file.display()
            )),
            None if self.failed() > 0 => {
                line("calls that failed stay dead letters: fix the cause, then run this again".to_owned());
            }
            None => {}
        }
        if let Some(why) = &self.not_noted {
            line(format!(
                "note: the next replay sends these calls again, because they could not be noted: {why}"
            ));
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self, args: &ReplayArgs) -> serde_json::Value {
        let failed = self
            .failed
            .iter()
            .map(|(class, count, what)| json!({ "class": class, "count": count, "first": what }));
        json!({
            "destination": args.name.as_str(),
            "dryRun": args.dry_run,
            "calls": self.given,
            "delivered": self.delivered,
            "failed": failed.collect::<Vec<_>>(),
            "failedFile": self.failed_file,
            "notTaken": self.not_taken,
            "objects": self.objects,
            "unreadable": self.unreadable,
            "notNoted": self.not_noted,
            "stoppedIn": self.stopped_in,
        })
    }

    /// How the command ends.
    ///
    /// # Errors
    /// [`Failure`]: it was stopped, a call failed, or something could not be read.
    pub(super) fn result(&self, args: &ReplayArgs) -> Result<(), Failure> {
        if let Some(place) = &self.stopped_in {
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
        match (self.failed(), self.unreadable.len()) {
            (0, 0) => Ok(()),
            (0, many) => Err(Failure::failed(format!("{many} could not be read whole"))),
            (failed, _) => Err(Failure::failed(format!("{} failed", counted(failed, "call", "calls")))),
        }
    }
}
