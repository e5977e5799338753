//! The output of `forebay verify` for people: findings, a table of days, the verdict.

use crate::archive::summary::{Summary, SummaryRow};
use crate::archive::{BucketFinding, DayState};
use crate::time::ReceivedDay;
use crate::words::table::table;
use crate::words::{about_bytes, counted, date, grouped, if_any};

/// Findings, as printed during the run.
pub fn findings(findings: &[BucketFinding], left_out: u64) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!("{finding}\n  {}\n", finding.problem.advice()));
    }
    if left_out > 0 {
        text.push_str(&format!("… and {} more of this day\n", grouped(left_out)));
    }
    text
}

/// The text after the findings: notes, table, verdict.
pub fn render(summary: &Summary, bytes_read: u64) -> String {
    let mut text = findings(&summary.around.findings, 0);
    let left_out = summary.around.findings_left_out;
    if left_out > 0 {
        text.push_str(&format!("… and {} more outside the folders of sources\n", grouped(left_out)));
    }
    for note in notes(summary) {
        text.push_str(&format!("note: {note}\n"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&days(summary));
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
        notes.push(format!("{lines} not compared for repeats: their objects have more than 8,388,608 lines"));
    }
    if totals.letters_twice > 0 {
        let letters = counted(totals.letters_twice, "dead letter is", "dead letters are");
        notes.push(format!(
            "{letters} stored a second time, which a crash can cause: take one line for each destination, function, source \
             and messageId of the call"
        ));
    }
    if !summary.around.beside.is_empty() {
        notes.push(format!(
            "not examined, because nothing there is part of a day: {}",
            summary.around.beside.join(", ")
        ));
    }
    notes
}

fn days(summary: &Summary) -> String {
    if summary.rows.is_empty() {
        return String::new();
    }
    let header = ["source", "days", "", "state", "objects", "calls", "rejected", "stored"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(header).chain(summary.rows.iter().map(cells)).collect();
    // Names are left-aligned, numbers right-aligned.
    let mut text: String = table(&rows, &[2, 4, 5, 6, 7]).iter().map(|line| format!("{line}\n")).collect();
    if summary.rows_left_out > 0 {
        let left_out = counted(summary.rows_left_out, "more day is", "more days are");
        text.push_str(&format!("… {left_out} not shown (--json has all)\n"));
    }
    text.push('\n');
    text
}

fn cells(row: &SummaryRow) -> [String; 8] {
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
        DayState::Imported => "imported",
        DayState::Foreign => "foreign",
    };
    let stored = [&row.calls, &row.rejected, &row.others].into_iter().map(|sum| sum.stored_bytes);
    [
        row.source.to_string(),
        days,
        grouped(row.days),
        state.to_owned(),
        grouped(row.calls.objects + row.rejected.objects + row.others.objects),
        grouped(row.calls.calls),
        grouped(row.rejected.calls),
        about_bytes(stored.fold(0, u64::saturating_add)),
    ]
}

fn verdict(summary: &Summary, bytes_read: u64) -> String {
    let totals = &summary.totals;
    let (sets, dead) = (&totals.object_sets, &totals.dead_letters);
    let objects = totals.calls.objects + totals.rejected.objects + sets.objects + dead.objects;
    let others = [(sets.calls, ["object set", "object sets"]), (dead.calls, ["dead letter", "dead letters"])];
    let others = others.into_iter().filter(|(lines, _)| *lines > 0);
    let others: String =
        others.map(|(lines, [one, many])| format!(", {}", counted(lines, one, many))).collect();
    let seen = format!(
        "{} of {} with {} and {} rejected{others}{}",
        counted(objects, "object", "objects"),
        counted(totals.days, "day", "days"),
        counted(totals.calls.calls, "call", "calls"),
        grouped(totals.rejected.calls),
        if_any(bytes_read, |bytes| format!(", {} read to the last line", about_bytes(bytes)))
    );
    let foreign = if_any(totals.foreign, |foreign| {
        format!("; {}", counted(foreign, "object is not Forebay's", "objects are not Forebay's"))
    });
    let imported = if_any(totals.imported.objects, |parts| {
        format!(
            "; beside them {} of imports without a collector with {} ({}): nothing shows whether one is missing",
            counted(parts, "part", "parts"),
            counted(totals.imported.calls, "row", "rows"),
            about_bytes(totals.imported.stored_bytes)
        )
    });
    let foreign = imported + &foreign;
    let [closed, open, broken] = [totals.closed, totals.open, totals.broken].map(grouped);
    let days = format!("{closed} closed, {open} open, {broken} broken");
    match totals.findings {
        0 if totals.days == 0 => "there are no objects\n".to_owned(),
        0 if bytes_read == 0 => {
            format!("sound: {seen}; days: {days}{foreign}; contents were not read (--deep reads them)\n")
        }
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
    use crate::archive::day::{Sum, Unclosed};
    use crate::archive::verify_bucket::Around;
    use crate::archive::{BucketPlace, BucketProblem, DayReport};
    use crate::object::{ObjectKey, Stream};
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    fn day(source: &str, day: i64, state: DayState, findings: u64) -> DayReport {
        let day = UnixMillis(day * 86_400_000).day();
        let sum = Sum { objects: 24, calls: 1_000, bytes: 1_000_000, stored_bytes: 100_000 };
        let finding = BucketFinding {
            place: BucketPlace { key: Some(ObjectKey::listed("k")), ..BucketPlace::default() },
            problem: BucketProblem::Foreign,
        };
        DayReport {
            source: SourceId::new(source).unwrap(),
            day: Some(day),
            date: Some(date(day)),
            state,
            streams: BTreeMap::from([(Stream::Calls, sum)]),
            unclosed: vec![Unclosed { node: "n1".into(), spool: "00ff".into() }],
            imported: Sum::default(),
            foreign: 0,
            findings: vec![finding],
            findings_left_out: findings.saturating_sub(1),
            lines_not_compared: 0,
            letters_twice: 0,
        }
    }

    fn sound(source: &str, at: i64, state: DayState) -> DayReport {
        DayReport { findings: vec![], findings_left_out: 0, ..day(source, at, state, 0) }
    }

    #[test]
    fn consecutive_days_with_the_same_state_are_one_row() {
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
note: web 2015-06-15 is open: no marker yet from node n1, spool 00ff
note: not examined, because nothing there is part of a day: _check/

source  days                         state   objects   calls  rejected  stored
ios     2015-05-26                1  open         24   1,000         0  100 KB
web     2015-05-27 – 2015-06-13  18  closed      432  18,000         0  1.8 MB
web     2015-06-14                1  BROKEN       24   1,000         0  100 KB
web     2015-06-15                1  open         24   1,000         0  100 KB

NOT SOUND: 12 findings in 504 objects of 21 days with 21,000 calls and 0 rejected; days: 18 closed, 2 open, 1 broken
"
        );
    }

    #[test]
    fn the_output_is_bounded() {
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
        assert!(text.contains("1 MB read to the last line"), "{text}");
    }

    #[test]
    fn missing_markers_are_noted_once() {
        let mut summary = Summary::new(Around::default());
        assert_eq!(render(&summary, 0), "there are no objects\n");
        summary.day(&sound("web", 1, DayState::Open));
        summary.day(&sound("web", 2, DayState::Open));
        let text = render(&summary, 0);
        assert_eq!(text.matches("note:").count(), 1, "{text}");
        assert!(
            text.contains("no markers of closed days") && text.contains("\nsound: 48 objects of 2 days"),
            "{text}"
        );
        assert!(text.ends_with("; contents were not read (--deep reads them)\n"), "{text}");
        let deep = render(&summary, 1);
        assert!(!deep.contains("--deep"), "{deep}");
    }
}
