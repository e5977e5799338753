//! What `forebay verify` tells a person: findings, a table of days, the verdict.

use crate::archive::day::Sum;
use crate::archive::verify::Around;
use crate::archive::{DayReport, DayState, Finding};
use crate::cli::numbers::{counted, grouped};
use crate::config::units::about_bytes;
use crate::object::Stream;
use crate::object::tags::date;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// Rows of the table. What is above is counted.
const ROWS_MAX: usize = 100;
/// Notes on days that are open.
const NOTES_MAX: usize = 10;

/// All days together, in bounded memory.
#[derive(Debug)]
pub struct Summary {
    /// What stands beside the days.
    pub around: Around,
    /// Everything, together.
    pub totals: Totals,
    rows: Vec<Row>,
    rows_left_out: u64,
    notes: Vec<String>,
    /// Open days from the first marker on.
    open_since_markers: u64,
}

/// Everything, together.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Totals {
    /// Days of sources.
    pub days: u64,
    /// Days that are closed.
    pub closed: u64,
    /// Days of which nothing is wrong and the end is not proved.
    pub open: u64,
    /// Days with findings.
    pub broken: u64,
    /// Days with nothing of Forebay's.
    pub foreign_days: u64,
    /// Objects of calls.
    pub calls: Sum,
    /// Objects of what was rejected.
    pub rejected: Sum,
    /// Objects that are not Forebay's, within the folders of sources.
    pub foreign: u64,
    /// Findings.
    pub findings: u64,
    /// Lines that were read and not looked at for repeats.
    pub lines_not_compared: u64,
}

/// Days of one source that follow each other and stand alike.
#[derive(Clone, Debug)]
struct Row {
    source: SourceId,
    first: Option<ReceivedDay>,
    last: Option<ReceivedDay>,
    state: DayState,
    days: u64,
    calls: Sum,
    rejected: Sum,
}

impl Summary {
    /// Nothing yet but what stands beside the days.
    pub fn new(around: Around) -> Self {
        let findings = around.findings.len() as u64 + around.findings_left_out;
        Self {
            around,
            totals: Totals { findings, ..Totals::default() },
            rows: Vec::new(),
            rows_left_out: 0,
            notes: Vec::new(),
            open_since_markers: 0,
        }
    }

    /// Findings so far.
    pub fn findings(&self) -> u64 {
        self.totals.findings
    }

    /// Days so far.
    pub fn days(&self) -> u64 {
        self.totals.days
    }

    /// Takes in a day.
    pub fn day(&mut self, day: &DayReport) {
        let of = |stream| day.streams.get(&stream).copied().unwrap_or_default();
        let (calls, rejected) = (of(Stream::Calls), of(Stream::Rejected));
        let totals = &mut self.totals;
        totals.days += 1;
        totals.calls.add(&calls);
        totals.rejected.add(&rejected);
        totals.foreign += day.foreign;
        totals.findings += day.findings();
        totals.lines_not_compared += day.lines_not_compared;
        match day.state {
            DayState::Closed => totals.closed += 1,
            DayState::Open => totals.open += 1,
            DayState::Broken => totals.broken += 1,
            DayState::Foreign => totals.foreign_days += 1,
        }
        self.note(day);
        // Once days are left out, the last row is not that of the day before.
        if let Some(row) = self.rows.last_mut().filter(|_| self.rows_left_out == 0)
            && row.source == day.source
            && row.state == day.state
        {
            row.last = day.day;
            row.days += 1;
            row.calls.add(&calls);
            row.rejected.add(&rejected);
        } else if self.rows.len() < ROWS_MAX {
            let (source, state) = (day.source.clone(), day.state);
            self.rows.push(Row { source, first: day.day, last: day.day, state, days: 1, calls, rejected });
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
            let date = day.date.as_deref().unwrap_or_default();
            self.notes.push(format!("{} {date} is open: no marker yet of {}", day.source, spools.join("; ")));
        }
    }
}

/// Findings as they are printed while it goes on.
pub fn findings(findings: &[Finding], left_out: u64) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!("{finding}\n  {}\n", finding.problem.advice()));
    }
    if left_out > 0 {
        text.push_str(&format!("… and {} more of this day\n", grouped(left_out)));
    }
    text
}

/// The rest: notes, table, verdict.
pub fn render(summary: &Summary, bytes_read: u64) -> String {
    let mut text = findings(&summary.around.findings, 0);
    let left_out = summary.around.findings_left_out;
    if left_out > 0 {
        text.push_str(&format!("… and {} more that stand in no source's folder\n", grouped(left_out)));
    }
    for note in notes(summary) {
        text.push_str(&format!("note: {note}\n"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&table(summary));
    text.push_str(&verdict(summary, bytes_read));
    text
}

fn notes(summary: &Summary) -> Vec<String> {
    let totals = &summary.totals;
    let mut notes = Vec::new();
    match summary.around.markers_since {
        None if totals.open + totals.closed > 0 => notes
            .push("the ends of days cannot be proved: the bucket has no markers of closed days".to_owned()),
        None => {}
        Some(since) => {
            let before = totals.open - summary.open_since_markers;
            if before > 0 {
                let days = counted(before, "open day is", "open days are");
                notes.push(format!("{days} from before the first marker ({})", date(since)));
            }
            notes.extend(summary.notes.iter().cloned());
            let more = summary.open_since_markers - summary.notes.len() as u64;
            if more > 0 {
                notes
                    .push(format!("{} open (--json has all)", counted(more, "more day is", "more days are")));
            }
        }
    }
    if totals.lines_not_compared > 0 {
        let lines = counted(totals.lines_not_compared, "line was", "lines were");
        notes.push(format!("{lines} not looked at for repeats: their objects have more than 8,388,608"));
    }
    if !summary.around.beside.is_empty() {
        notes.push(format!("not looked into, for no calls are there: {}", summary.around.beside.join(", ")));
    }
    notes
}

fn table(summary: &Summary) -> String {
    if summary.rows.is_empty() {
        return String::new();
    }
    let header = ["source", "days", "", "state", "objects", "calls", "rejected", "stored"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(header).chain(summary.rows.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Names to the left, numbers to the right.
            let cell = if matches!(column, 0 | 1 | 3) {
                format!("{cell:<width$}  ")
            } else {
                format!("{cell:>width$}  ")
            };
            line.push_str(&cell);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if summary.rows_left_out > 0 {
        let left_out = counted(summary.rows_left_out, "more day is", "more days are");
        text.push_str(&format!("… {left_out} not shown (--json has all)\n"));
    }
    text.push('\n');
    text
}

fn cells(row: &Row) -> [String; 8] {
    let day = |day: Option<ReceivedDay>| day.map_or_else(|| "outside of days".to_owned(), date);
    let days = if row.first == row.last {
        day(row.first)
    } else {
        format!("{} – {}", day(row.first), day(row.last))
    };
    let state = match row.state {
        DayState::Closed => "closed",
        DayState::Open => "open",
        DayState::Broken => "BROKEN",
        DayState::Foreign => "foreign",
    };
    [
        row.source.to_string(),
        days,
        grouped(row.days),
        state.to_owned(),
        grouped(row.calls.objects + row.rejected.objects),
        grouped(row.calls.calls),
        grouped(row.rejected.calls),
        about_bytes(row.calls.stored_bytes.saturating_add(row.rejected.stored_bytes)),
    ]
}

fn verdict(summary: &Summary, bytes_read: u64) -> String {
    let totals = &summary.totals;
    let objects = totals.calls.objects + totals.rejected.objects;
    let seen = format!(
        "{} of {} with {} and {} rejected{}",
        counted(objects, "object", "objects"),
        counted(totals.days, "day", "days"),
        counted(totals.calls.calls, "call", "calls"),
        grouped(totals.rejected.calls),
        if bytes_read > 0 {
            format!(", {} read to the last line", about_bytes(bytes_read))
        } else {
            String::new()
        }
    );
    let foreign = match totals.foreign {
        0 => String::new(),
        foreign => format!("; {}", counted(foreign, "object is not Forebay's", "objects are not Forebay's")),
    };
    let days = format!(
        "{} closed, {} open, {} broken",
        grouped(totals.closed),
        grouped(totals.open),
        grouped(totals.broken)
    );
    match totals.findings {
        0 if totals.days == 0 => "nothing is there\n".to_owned(),
        0 => format!("sound: {seen}; days: {days}{foreign}\n"),
        found => {
            format!("NOT SOUND: {} in {seen}; days: {days}{foreign}\n", counted(found, "finding", "findings"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::archive::day::Unclosed;
    use crate::archive::{Place, Problem};
    use crate::object::ObjectKey;
    use crate::time::UnixMillis;

    fn day(source: &str, day: i64, state: DayState, findings: u64) -> DayReport {
        let day = UnixMillis(day * 86_400_000).day();
        let sum = Sum { objects: 24, calls: 1_000, bytes: 1_000_000, stored_bytes: 100_000 };
        let finding = Finding {
            place: Place { key: Some(ObjectKey::listed("k")), ..Place::default() },
            problem: Problem::Foreign,
        };
        DayReport {
            source: SourceId::new(source).unwrap(),
            day: Some(day),
            date: Some(date(day)),
            state,
            streams: BTreeMap::from([(Stream::Calls, sum)]),
            unclosed: vec![Unclosed { node: "n1".into(), spool: "00ff".into() }],
            foreign: 0,
            findings: vec![finding],
            findings_left_out: findings.saturating_sub(1),
            lines_not_compared: 0,
        }
    }

    fn sound(source: &str, at: i64, state: DayState) -> DayReport {
        DayReport { findings: vec![], findings_left_out: 0, ..day(source, at, state, 0) }
    }

    #[test]
    fn days_that_stand_alike_are_one_row() {
        let since = Some(UnixMillis(16_582 * 86_400_000).day());
        let around = Around { markers_since: since, beside: vec!["_check/".into()], ..Around::default() };
        let mut summary = Summary::new(around);
        summary.day(&sound("ios", 16_581, DayState::Open));
        for at in 16_582..16_600 {
            summary.day(&sound("web", at, DayState::Closed));
        }
        summary.day(&day("web", 16_600, DayState::Broken, 12));
        summary.day(&sound("web", 16_601, DayState::Open));
        assert_eq!(
            render(&summary, 0),
            "note: 1 open day is from before the first marker (2015-05-27)
note: web 2015-06-15 is open: no marker yet of node n1, spool 00ff
note: not looked into, for no calls are there: _check/

source  days                         state   objects   calls  rejected    stored
ios     2015-05-26                1  open         24   1,000         0  100.0 KB
web     2015-05-27 – 2015-06-13  18  closed      432  18,000         0    1.8 MB
web     2015-06-14                1  BROKEN       24   1,000         0  100.0 KB
web     2015-06-15                1  open         24   1,000         0  100.0 KB

NOT SOUND: 12 findings in 504 objects of 21 days with 21,000 calls and 0 rejected; days: 18 closed, 2 open, 1 broken
"
        );
    }

    #[test]
    fn what_is_printed_is_bounded() {
        let mut summary =
            Summary::new(Around { markers_since: Some(UnixMillis(0).day()), ..Around::default() });
        for at in 0..1_000 {
            let state = if at % 2 == 0 { DayState::Open } else { DayState::Closed };
            summary.day(&sound("web", at, state));
        }
        let text = render(&summary, 1_000_000);
        assert!(text.lines().count() < 120, "{text}");
        assert!(
            text.contains("… 900 more days are not shown") && text.contains("490 more days are open"),
            "{text}"
        );
        assert!(text.contains("1.0 MB read to the last line"), "{text}");
    }

    #[test]
    fn a_bucket_without_markers_is_told_so_once() {
        let mut summary = Summary::new(Around::default());
        assert_eq!(render(&summary, 0), "nothing is there\n");
        summary.day(&sound("web", 1, DayState::Open));
        summary.day(&sound("web", 2, DayState::Open));
        let text = render(&summary, 0);
        assert_eq!(text.matches("note:").count(), 1, "{text}");
        assert!(
            text.contains("no markers of closed days") && text.contains("\nsound: 48 objects of 2 days"),
            "{text}"
        );
    }
}
