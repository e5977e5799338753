//! Shows the progress of an import on standard error.

use std::time::Duration;

use crate::import::row_rate::{RowRate, seconds_left};
use crate::import::{Counters, Snapshot};
use crate::runtime::progress::{self, Progress, ProgressArg};
use crate::words::count::whole;
use crate::words::{about_bytes, about_duration, counted, grouped};

/// What is shown.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) counters: Counters,
    /// The number of inputs.
    pub(super) files: u64,
}

/// Runs an import, and shows its progress meanwhile.
pub(super) async fn while_shown<T>(import: impl Future<Output = T>, shown: &Shown, how: ProgressArg) -> T {
    let mut rate = RowRate::default();
    let now = || {
        let now = shown.counters.snapshot();
        let rate = rate.of(now.rows);
        ShownNow { shown, now, rate }
    };
    progress::while_shown(import, now, how).await
}

/// How far an import is.
struct ShownNow<'a> {
    shown: &'a Shown,
    now: Snapshot,
    /// Rows per second.
    rate: f64,
}

impl Progress for ShownNow<'_> {
    fn done_of(&self) -> (u64, u64) {
        (self.now.bytes_read, self.now.bytes_total)
    }

    fn place(&self) -> String {
        place(self.shown, &self.now, self.rate)
    }

    fn below(&self) -> String {
        rows(&self.now, self.rate)
    }

    fn json(&self) -> String {
        json(self.shown, &self.now, self.rate)
    }
}

/// Files, bytes and the time left.
fn place(shown: &Shown, now: &Snapshot, rate: f64) -> String {
    let file = (now.files + 1).min(shown.files);
    let mut text = format!("file {file}/{}, {}", shown.files, about_bytes(now.bytes_read));
    if let Some(seconds) = seconds_left(now, rate) {
        text += &format!(", about {} left", about_duration(Duration::from_secs(seconds)));
    }
    text
}

/// Rows, their rate, and those that were rejected or repeated.
fn rows(now: &Snapshot, rate: f64) -> String {
    let mut text = format!("{}, {} rows/s", counted(now.rows, "row", "rows"), grouped(whole(rate)));
    if now.rejected > 0 {
        text += &format!(", {} rejected", grouped(now.rejected));
    }
    if now.repeats > 0 {
        text += &format!(", {} repeated", grouped(now.repeats));
    }
    text
}

fn json(shown: &Shown, now: &Snapshot, rate: f64) -> String {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        now: &'a Snapshot,
        files_total: u64,
        rows_per_second: u64,
        seconds_left: Option<u64>,
    }
    let line = Line {
        now,
        files_total: shown.files,
        rows_per_second: whole(rate),
        seconds_left: seconds_left(now, rate),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_bar_fits_a_terminal_of_80_columns() {
        let now = Snapshot {
            bytes_read: 123_456_789_012,
            bytes_total: 987_654_321_098,
            rows: 123_456_789,
            rejected: 12_345_678,
            repeats: 12_345_678,
            files: 1_234,
            ..Snapshot::default()
        };
        let shown = Shown { counters: Counters::default(), files: 10_000 };
        let (place, rows) = (place(&shown, &now, 1_234_567.0), rows(&now, 1_234_567.0));
        let bar = "━".repeat(16) + " 100 %  ";
        assert!((bar + &place).chars().count() <= 80, "{place}");
        assert_eq!(rows, "123,456,789 rows, 1,234,567 rows/s, 12,345,678 rejected, 12,345,678 repeated");
        assert!(rows.len() <= 80, "{rows}");
    }
}
