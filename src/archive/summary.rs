//! What all days of a bucket add up to, in bounded memory.

use super::day::Sum;
use super::verify_bucket::Around;
use super::{DayReport, DayState};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// The most rows. The days of further rows are counted.
const ROWS_MAX: usize = 100;
/// The most notes on open days.
const NOTES_MAX: usize = 10;

/// The sum of all days, in bounded memory.
#[derive(Debug, Default)]
pub struct Summary {
    /// What is outside the folders of days.
    pub around: Around,
    /// The totals.
    pub totals: Totals,
    /// Days with the same state, source by source.
    pub rows: Vec<SummaryRow>,
    /// Days that are in no row, because there were too many.
    pub rows_left_out: u64,
    /// What is said of open days since the first marker.
    pub notes: Vec<String>,
    /// Open days since the first marker.
    pub open_since_markers: u64,
}

/// The totals.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Totals {
    /// Days of sources.
    pub days: u64,
    /// Days that are closed.
    pub closed: u64,
    /// Days without findings whose end is not proved.
    pub open: u64,
    /// Days with findings.
    pub broken: u64,
    /// Days with parts of imports only.
    pub imported_days: u64,
    /// Days without objects of Forebay.
    pub foreign_days: u64,
    /// Objects of calls.
    pub calls: Sum,
    /// Objects of rejected items.
    pub rejected: Sum,
    /// Objects of object sets, of all collections.
    pub object_sets: Sum,
    /// Objects of dead letters, of all destinations.
    pub dead_letters: Sum,
    /// Parts of imports. Nothing shows whether one is missing.
    pub imported: Sum,
    /// Objects of other writers in the folders of sources.
    pub foreign: u64,
    /// Findings.
    pub findings: u64,
    /// Lines that were read but not compared for repeats.
    pub lines_not_compared: u64,
    /// Dead letters that are there a second time.
    pub letters_twice: u64,
}

/// Consecutive days of one source with the same state.
#[derive(Clone, Debug)]
pub struct SummaryRow {
    /// The source.
    pub source: SourceId,
    /// The first day; `None` is what is outside of days.
    pub first: Option<ReceivedDay>,
    /// The last day.
    pub last: Option<ReceivedDay>,
    /// Their state.
    pub state: DayState,
    /// How many there are.
    pub days: u64,
    /// Objects of calls.
    pub calls: Sum,
    /// Objects of rejected items.
    pub rejected: Sum,
    /// Object sets and dead letters.
    pub others: Sum,
}

impl Summary {
    /// A summary with nothing but what is outside the folders of days.
    pub fn new(around: Around) -> Self {
        let findings = around.findings.len() as u64 + around.findings_left_out;
        Self { around, totals: Totals { findings, ..Totals::default() }, ..Self::default() }
    }

    /// Adds a day.
    pub fn day(&mut self, day: &DayReport) {
        let of = |stream| day.streams.get(&stream).copied().unwrap_or_default();
        let (calls, rejected) = (of(Stream::Calls), of(Stream::Rejected));
        let totals = &mut self.totals;
        totals.days += 1;
        totals.calls.add(&calls);
        totals.rejected.add(&rejected);
        totals.imported.add(&day.imported);
        let mut others = Sum::default();
        for (stream, sum) in day.streams.iter().filter(|(stream, _)| !stream.is_plain()) {
            others.add(sum);
            match stream {
                Stream::Dead(_) => totals.dead_letters.add(sum),
                _ => totals.object_sets.add(sum),
            }
        }
        totals.foreign += day.foreign;
        totals.findings += day.findings();
        totals.lines_not_compared += day.lines_not_compared;
        totals.letters_twice += day.letters_twice;
        match day.state {
            DayState::Closed => totals.closed += 1,
            DayState::Open => totals.open += 1,
            DayState::Broken => totals.broken += 1,
            DayState::Imported => totals.imported_days += 1,
            DayState::Foreign => totals.foreign_days += 1,
        }
        self.note(day);
        // Once rows are left out, the last row is not that of the previous day.
        if let Some(row) = self.rows.last_mut().filter(|_| self.rows_left_out == 0)
            && row.source == day.source
            && row.state == day.state
        {
            row.last = day.day;
            row.days += 1;
            row.calls.add(&calls);
            row.rejected.add(&rejected);
            row.others.add(&others);
        } else if self.rows.len() < ROWS_MAX {
            let (source, state) = (day.source.clone(), day.state);
            self.rows.push(SummaryRow {
                source,
                first: day.day,
                last: day.day,
                state,
                days: 1,
                calls,
                rejected,
                others,
            });
        } else {
            self.rows_left_out += 1;
        }
    }

    fn note(&mut self, day: &DayReport) {
        let since = self.around.markers_since;
        if day.state != DayState::Open || since.is_none_or(|since| day.day.is_none_or(|day| day < since)) {
            return;
        }
        self.open_since_markers += 1;
        if self.notes.len() < NOTES_MAX {
            let spools: Vec<String> =
                day.unclosed.iter().map(|of| format!("node {}, spool {}", of.node, of.spool)).collect();
            let (source, date) = (&day.source, day.date.as_deref().unwrap_or_default());
            self.notes.push(format!("{source} {date} is open: no marker yet from {}", spools.join("; ")));
        }
    }
}
