//! Shows the progress of an import on standard error.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::args::ProgressArg;
use crate::cli::meter::Meter;
use crate::import::{Counters, Snapshot};
use crate::words::count::whole;
use crate::words::{about_bytes, about_duration, counted, grouped};

/// How often a bar is measured, a JSON object is written, and a line is written.
const BAR_EVERY: Duration = Duration::from_millis(100);
const JSON_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);
/// The time over which a rate is measured.
const RATE_OVER: Duration = Duration::from_secs(5);

/// What is shown.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) counters: Counters,
    /// The number of inputs.
    pub(super) files: u64,
}

/// Runs an import, and shows its progress meanwhile.
pub(super) async fn while_shown<T>(import: impl Future<Output = T>, shown: &Shown, how: ProgressArg) -> T {
    let stop = CancellationToken::new();
    let importing = async {
        let done = import.await;
        stop.cancel();
        done
    };
    tokio::join!(importing, show(shown, how, &stop)).0
}

/// Shows progress until `stop`.
async fn show(shown: &Shown, how: ProgressArg, stop: &CancellationToken) {
    let is_terminal = std::io::stderr().is_terminal();
    match how {
        ProgressArg::None => {}
        ProgressArg::Auto | ProgressArg::Bar if is_terminal => bar(shown, stop).await,
        ProgressArg::Auto | ProgressArg::Bar | ProgressArg::Plain => {
            each(LINE_EVERY, stop, shown, |now, rate| line(shown, now, rate)).await;
        }
        ProgressArg::Json => {
            each(JSON_EVERY, stop, shown, |now, rate| json(shown, now, rate)).await;
        }
    }
}

/// Writes a line at each interval.
async fn each(
    every: Duration,
    stop: &CancellationToken,
    shown: &Shown,
    text: impl Fn(&Snapshot, f64) -> String,
) {
    let mut rate = Rate::new();
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let now = shown.counters.snapshot();
        eprint_line(&text(&now, rate.of(now.rows)));
    }
}

async fn bar(shown: &Shown, stop: &CancellationToken) {
    let (mut meter, mut rate) = (Meter::with_bar(), Rate::new());
    loop {
        let now = shown.counters.snapshot();
        let rate = rate.of(now.rows);
        meter.bar(now.bytes_read, now.bytes_total, place(shown, &now, rate), rows(&now, rate));
        if stop.run_until_cancelled(tokio::time::sleep(BAR_EVERY)).await.is_none() {
            return;
        }
    }
}

/// The whole progress in one line.
fn line(shown: &Shown, now: &Snapshot, rate: f64) -> String {
    format!("{}, {}", place(shown, now, rate), rows(now, rate))
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

/// The estimated seconds until the end, at least one, at this rate and with rows of the same length.
fn seconds_left(now: &Snapshot, rows_per_second: f64) -> Option<u64> {
    if now.rows == 0 || now.bytes_read == 0 || now.bytes_read >= now.bytes_total || rows_per_second <= 0.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    let seconds = {
        let per_row = now.bytes_read as f64 / now.rows as f64;
        (now.bytes_total - now.bytes_read) as f64 / per_row / rows_per_second
    };
    Duration::try_from_secs_f64(seconds.round()).ok().map(|left| left.as_secs().max(1))
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

/// Prints a line on standard error.
pub(super) fn eprint_line(text: &str) {
    use std::io::Write as _;
    if let Err(error) = writeln!(std::io::stderr().lock(), "{text}") {
        tracing::debug!(%error, "standard error cannot be written");
    }
}

/// Measures rows per second over the last few seconds.
struct Rate {
    seen: std::collections::VecDeque<(Instant, u64)>,
}

impl Rate {
    fn new() -> Self {
        Self { seen: [(Instant::now(), 0)].into() }
    }

    fn of(&mut self, rows: u64) -> f64 {
        let now = Instant::now();
        self.seen.push_back((now, rows));
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(at, _)| now - *at > RATE_OVER) {
            self.seen.pop_front();
        }
        let Some((since, before)) = self.seen.front().copied() else { return 0.0 };
        let seconds = (now - since).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        if seconds > 0.0 { rows.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_bytes_and_rate() {
        let now = Snapshot { bytes_read: 1_000, bytes_total: 4_000, rows: 100, ..Snapshot::default() };
        assert_eq!(seconds_left(&now, 10.0), Some(30));
        assert_eq!(seconds_left(&now, 10_000.0), Some(1));
        assert_eq!(seconds_left(&now, 0.0), None);
        assert_eq!(seconds_left(&Snapshot { bytes_total: 0, ..now }, 10.0), None);
    }

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
