//! The totals, what waits, the spool and the ledger of a [`Status`], in words. Pure.

use super::ledger::{LedgerCounts, LedgerStatus};
use super::status::{SpoolStatus, Status};
use crate::words::count::percent;
use crate::words::{about_bytes, about_seconds, counted, grouped, if_any, outside_text};

/// The seconds of a year: a longer time is not worth an exact number.
const YEAR_SECONDS: u64 = 365 * 86_400;

/// The label of a line, and its text.
pub type Labelled = (&'static str, String);

impl Status {
    /// Calls since the process started.
    pub fn calls_words(&self) -> String {
        let totals = &self.totals;
        let [received, stored, repeated, rejected, delivered] =
            [totals.received, totals.stored, totals.repeated, totals.rejected, totals.delivered].map(grouped);
        match &self.kafka {
            Some(kafka) if kafka.is_collector() => format!(
                "{received} received since this start: {stored} stored, {rejected} rejected; writers find the repeats"
            ),
            // What it reads of earlier terms was counted before.
            Some(kafka) if kafka.is_writer() => format!("{delivered} delivered since this start"),
            _ => format!(
                "{received} received since this start: {stored} stored, {repeated} repeats, {rejected} rejected; \
                 {delivered} delivered"
            ),
        }
    }

    /// What waits, and where: a line for each, below that of the calls.
    pub fn waiting_lines(&self) -> Vec<Labelled> {
        let now_ms = self.now_ms;
        match &self.kafka {
            None => vec![("waiting", self.waiting_words()), ("spool", self.spool.words())],
            Some(kafka) if kafka.is_collector() => kafka.lines(now_ms),
            Some(kafka) => {
                std::iter::once(("waiting", self.waiting_words())).chain(kafka.lines(now_ms)).collect()
            }
        }
    }

    fn waiting_words(&self) -> String {
        let Some(seconds) = self.oldest_undelivered_seconds else {
            // What a writer has not read is no part of this.
            let read = if self.kafka.is_some() { " that is read" } else { "" };
            return format!("nothing: everything{read} is delivered");
        };
        let pending = self.sources.iter().fold(0_u64, |sum, source| sum.saturating_add(source.pending_calls));
        let places = [
            (self.open_batches, ["batch", "batches"]),
            (self.sealed_objects, ["sealed object", "sealed objects"]),
        ];
        let places = places.into_iter().filter(|(count, _)| *count > 0);
        let places: Vec<String> = places.map(|(count, [one, many])| counted(count, one, many)).collect();
        let within = if places.is_empty() { String::new() } else { format!(" in {}", places.join(" and ")) };
        let pending = counted(pending, "call", "calls");
        format!("{pending}{within}, the oldest for {}", about_seconds(seconds))
    }

    /// The ledger's two equations, and whether they hold. None if the process keeps no ledger.
    pub fn ledger_lines(&self) -> Vec<Labelled> {
        let since = match self.kafka {
            None => "since the spool was made",
            Some(_) => "in the partitions that are here, since the log was made",
        };
        self.ledger.as_ref().map_or_else(Vec::new, |ledger| ledger.lines(since))
    }
}

/// A part of a whole in per cent; `<1` if it is less than one, and not nothing.
pub(super) fn percent_words(part: u64, whole: u64) -> String {
    match percent(part, whole) {
        0 if part > 0 => "<1".to_owned(),
        percent => percent.to_string(),
    }
}

impl SpoolStatus {
    fn words(&self) -> String {
        let percent = percent_words(self.used_bytes, self.max_bytes);
        let (used, max) = (about_bytes(self.used_bytes), about_bytes(self.max_bytes));
        let segments = counted(self.segments, "segment", "segments");
        let parked = if_any(self.parked_bytes, |bytes| format!(", {} parked", about_bytes(bytes)));
        let left = match self.seconds_left {
            Some(seconds) if seconds > YEAR_SECONDS => ", full in over a year without deliveries".to_owned(),
            Some(seconds) => format!(", full in {} without deliveries", about_seconds(seconds)),
            None => String::new(),
        };
        format!("{used} of {max} ({percent} %), {segments}{parked}{left}")
    }
}

impl LedgerStatus {
    fn lines(&self, since: &str) -> Vec<Labelled> {
        let totals = &self.totals;
        let suppressed = if_any(totals.suppressed, |calls| format!(" + {} suppressed", grouped(calls)));
        let equations = format!(
            "{since}: {} received = {} stored + {} rejected + {} repeated{suppressed}; {} stored = {} delivered + {} pending + {} \
             lost: {}",
            grouped(totals.received),
            grouped(totals.stored),
            grouped(totals.rejected),
            grouped(totals.repeated),
            grouped(totals.stored),
            grouped(totals.delivered),
            grouped(totals.pending),
            grouped(totals.lost),
            if self.balanced { "balanced" } else { "NOT BALANCED" }
        );
        let mut lines = vec![("ledger", equations)];
        let others = [("object sets", &self.object_sets), ("dead letters", &self.dead_letters)];
        let others = others.into_iter().filter(|(_, counts)| **counts != LedgerCounts::default());
        lines.extend(others.map(|(what, counts)| ("", format!("{what}: {}", counts.stream_words()))));
        let differences = self.differences.iter();
        lines.extend(differences.map(|what| ("  difference: ", outside_text(what).to_string())));
        lines
    }
}

impl LedgerCounts {
    /// What became of the lines of an object or dead-letter stream.
    pub fn stream_words(&self) -> String {
        let repeated = if_any(self.repeated, |repeated| format!(" + {} repeated", grouped(repeated)));
        format!(
            "{} received = {} stored{repeated}; {} delivered + {} pending + {} lost",
            grouped(self.received),
            grouped(self.stored),
            grouped(self.delivered),
            grouped(self.pending),
            grouped(self.lost)
        )
    }
}
