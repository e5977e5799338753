//! What an import does, and what its queue brought, in words. Pure.

use super::bucket_imports::{BucketImportStatus, FilesInJournal, ImportTotals};
use super::notifications::{NotificationsStatus, QueueDepth};
use crate::words::{about_seconds, counted, grouped, if_any, outside_text, outside_text_within};

/// The most files that are named whose messages went back to the queue.
const FILES_MAX: usize = 5;
/// The most columns that are named, and the most bytes of a name.
const COLUMNS_MAX: usize = 8;
const COLUMN_BYTES_MAX: usize = 64;
/// The most bytes of an error that are shown.
const ERROR_MAX: usize = 2_048;

fn between(later_ms: i64, earlier_ms: i64) -> String {
    about_seconds(u64::try_from(later_ms.saturating_sub(earlier_ms) / 1_000).unwrap_or(0))
}

impl BucketImportStatus {
    /// What it does now.
    pub fn doing(&self, now_ms: i64) -> String {
        match &self.in_journal {
            None => self.now(now_ms),
            Some(files) if self.paused || !self.enabled => format!("{}; {}", self.now(now_ms), files.text()),
            Some(files) => files.text(),
        }
    }

    /// What its listings cost. `None`: it lists nothing.
    pub fn listings(&self) -> Option<String> {
        let requests = counted(self.list_requests_hour, "LIST request", "LIST requests");
        (self.list_requests_hour > 0).then(|| format!("{requests} in the last hour"))
    }

    /// The columns that the converter does not read. `None`: it reads all.
    pub fn unused(&self) -> Option<String> {
        let first: Vec<String> = self
            .unused_first
            .iter()
            .take(COLUMNS_MAX)
            .map(|name| outside_text_within(name, COLUMN_BYTES_MAX).to_string())
            .collect();
        let more = self.unused_columns.saturating_sub(first.len() as u64);
        let more = if_any(more, |more| format!(" and {} more", grouped(more)));
        (!first.is_empty()).then(|| format!("{}{more}", first.join(", ")))
    }

    /// What a node does with it.
    fn now(&self, now_ms: i64) -> String {
        match (self.enabled, self.pass_since_ms, self.next_ms) {
            (false, ..) => "paused, because enabled = false".to_owned(),
            _ if self.paused => {
                format!("paused until `forebay import resume {}`", outside_text(&self.name))
            }
            (true, Some(since), _) => format!(
                "a pass is under way for {}, {}",
                between(now_ms, since),
                counted(self.pass_rows, "row", "rows")
            ),
            (true, None, Some(next)) => format!("the next pass in {}", between(next, now_ms)),
            (true, None, None) if self.notifications.is_some() => "reads notifications".to_owned(),
            (true, None, None) => "no pass has begun since the start".to_owned(),
        }
    }
}

impl FilesInJournal {
    fn text(&self) -> String {
        format!(
            "no node runs: {} done, {} given up, {} begun (journal)",
            counted(self.done, "file", "files"),
            grouped(self.given_up),
            grouped(self.begun)
        )
    }
}

impl ImportTotals {
    /// What they are, in a line. `import`: its name.
    pub fn text(&self, import: &str) -> String {
        let list = format!("; `forebay import list --import {}` shows what is left", outside_text(import));
        let since = [
            if_any(self.settled, |rows| {
                let stored = counted(self.stored_again, "call", "calls");
                format!("; {} no longer rejected ({stored} stored)", counted(rows, "row is", "rows are"))
            }),
            if_any(self.accepted, |rows| {
                format!("; {} accepted", counted(rows, "rejected row", "rejected rows"))
            }),
        ];
        format!(
            "{} done; {}: {} stored, {}{} rejected, {} left out by the converter{}{}",
            counted(self.done, "file", "files"),
            counted(self.rows, "row", "rows"),
            counted(self.stored, "call", "calls"),
            if_any(self.repeats, |rows| format!("{} dropped as repeats, ", grouped(rows))),
            grouped(self.rejected),
            grouped(self.skipped_rows),
            since.concat(),
            if_any(self.rejected, |_| list)
        )
    }
}

impl NotificationsStatus {
    /// What is known: labels and texts, in lines. A line without a label belongs to the one before it.
    pub fn lines(&self, now_ms: i64) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if let Some(failing) = &self.failing {
            let since = self.failing_since_ms.map_or_else(String::new, |at| between(now_ms, at));
            let what = outside_text_within(failing, ERROR_MAX);
            lines.push(("  FAILING", format!(" for {since}: {what}")));
        }
        let last =
            self.last_ms.map_or_else(String::new, |at| format!(", the last {} ago", between(now_ms, at)));
        let of: Vec<String> =
            self.messages.iter().map(|(became, count)| format!("{} {became}", grouped(*count))).collect();
        let of = if of.is_empty() { String::new() } else { format!(": {}", of.join(", ")) };
        let hand = match self.oldest_ms {
            Some(oldest) => {
                format!(
                    "; {} in hand, the oldest sent {} ago",
                    grouped(self.in_hand),
                    between(now_ms, oldest)
                )
            }
            None => String::new(),
        };
        lines.push(("  messages: ", format!("{} received{last}{of}{hand}", grouped(self.received))));
        lines.extend(self.depth.as_ref().map(|depth| ("  queue: ", depth.text(now_ms))));
        // While nothing can be received, that says more.
        if let Some(why) = self.not_counted.as_ref().filter(|_| self.failing.is_none()) {
            lines.push(("  queue: ", outside_text_within(why, ERROR_MAX).to_string()));
        }
        for file in self.not_done.iter().take(FILES_MAX) {
            let name = outside_text(&file.name);
            let why = file
                .error
                .as_deref()
                .map_or_else(String::new, |error| format!(": {}", outside_text_within(error, ERROR_MAX)));
            lines.push(("    given back ", format!("{name} {}{why}", outside_text(&file.became))));
        }
        lines
    }
}

impl QueueDepth {
    fn text(&self, now_ms: i64) -> String {
        let (waiting, in_flight) = (grouped(self.waiting), grouped(self.in_flight));
        format!("about {waiting} waiting and {in_flight} in flight, {} ago", between(now_ms, self.read_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::FileNotDone;

    #[test]
    fn columns_that_are_not_read_and_requests_of_listings_are_shown() {
        let status = BucketImportStatus::default();
        assert_eq!((status.listings(), status.unused()), (None, None));
        let first = (0..9).map(|number| format!("c{number}")).collect();
        let status = BucketImportStatus {
            list_requests_hour: 1_200,
            unused_columns: 12,
            unused_first: first,
            ..status
        };
        assert_eq!(status.listings().unwrap(), "1,200 LIST requests in the last hour");
        assert_eq!(status.unused().unwrap(), "c0, c1, c2, c3, c4, c5, c6, c7 and 4 more");
    }

    #[test]
    fn totals_name_the_command_that_shows_rejected_rows() {
        let totals = ImportTotals {
            done: 22,
            rows: 439,
            stored: 400,
            rejected: 37,
            skipped_rows: 2,
            ..ImportTotals::default()
        };
        assert_eq!(
            totals.text("orders"),
            "22 files done; 439 rows: 400 calls stored, 37 rejected, 2 left out by the converter; `forebay import list --import \
             orders` shows what is left"
        );
        let text = ImportTotals { rejected: 0, repeats: 1, ..totals }.text("orders");
        assert!(text.ends_with("1 dropped as repeats, 0 rejected, 2 left out by the converter"), "{text}");
        let since = ImportTotals { rejected: 0, settled: 37, stored_again: 30, accepted: 1, ..totals };
        let text = since.text("orders");
        assert!(
            text.ends_with(
                "0 rejected, 2 left out by the converter; 37 rows are no longer rejected (30 calls stored); 1 rejected row \
                 accepted"
            ),
            "{text}"
        );
    }

    #[test]
    fn an_import_says_what_it_does_and_what_its_queue_brought() {
        let notifications = NotificationsStatus {
            received: 1_205,
            last_ms: Some(58_000),
            in_hand: 2,
            oldest_ms: Some(50_000),
            messages: [("done".to_owned(), 1_200), ("foreign".to_owned(), 3)].into(),
            depth: Some(QueueDepth { waiting: 1_204, in_flight: 2, read_ms: 40_000 }),
            not_counted: Some("the queue does not say".to_owned()),
            failing: Some("the queue refuses".to_owned()),
            failing_since_ms: Some(0),
            not_done: vec![FileNotDone {
                name: "s3://lake/a".to_owned(),
                became: "poison".to_owned(),
                error: Some("E-FORMAT: a list".to_owned()),
            }],
            ..NotificationsStatus::default()
        };
        let lines = |notifications: &NotificationsStatus| -> Vec<String> {
            notifications.lines(60_000).iter().map(|(label, text)| format!("{label}{text}")).collect()
        };
        assert_eq!(
            lines(&notifications),
            [
                "  FAILING for 1 min: the queue refuses",
                "  messages: 1,205 received, the last 2 s ago: 1,200 done, 3 foreign; 2 in hand, the oldest sent 10 s ago",
                "  queue: about 1,204 waiting and 2 in flight, 20 s ago",
                "    given back s3://lake/a poison: E-FORMAT: a list",
            ]
        );
        let receives = NotificationsStatus { failing: None, ..notifications.clone() };
        assert_eq!(lines(&receives)[2], "  queue: the queue does not say");
        let mut import = BucketImportStatus { enabled: true, ..BucketImportStatus::default() };
        assert_eq!(import.doing(0), "no pass has begun since the start");
        import.in_journal = Some(FilesInJournal { done: 1_200, given_up: 1, begun: 2 });
        let files = "no node runs: 1,200 files done, 1 given up, 2 begun (journal)";
        assert_eq!(import.doing(0), files);
        let paused = BucketImportStatus { name: "orders".to_owned(), paused: true, ..import.clone() };
        assert_eq!(paused.doing(0), format!("paused until `forebay import resume orders`; {files}"));
        import.in_journal = None;
        import.notifications = Some(notifications);
        assert_eq!(import.doing(0), "reads notifications");
        import.next_ms = Some(30_000);
        assert_eq!(import.doing(0), "the next pass in 30 s");
    }
}
