//! The status for people: problems first, then the totals, then a line for each source. Pure.

use crate::admin::{BucketImportStatus, KafkaStatus, PartitionTable, SourceStatus, Status, pass_lines};
use crate::admin_client::activity::{Activity, sparkline};
use crate::sources::SourceId;
use crate::words::table::{table, wrapped_within};
use crate::words::{
    about_bytes, about_seconds, counted, grouped, outside_key, outside_text, outside_text_within,
    seconds_since, within_columns,
};

use super::steering::{Order, has};
use crate::runtime::paint::{BAD, FAINT, GOOD, Mark, WARNING};

/// The most bytes of an alarm's text that are shown: enough for the advice at its end.
const ALARM_TEXT_MAX: usize = 2_048;
/// The most object and dead-letter streams of a source that are shown.
const STREAMS_SHOWN_MAX: usize = 20;
/// The most files of an import that are not done, and are named.
const IMPORT_FILES_SHOWN_MAX: usize = 5;
/// Sources that are shown even if the screen has no space for them.
const SOURCES_MIN: usize = 3;
/// The most partitions of a log over Kafka that a screen shows.
const PARTITIONS_SHOWN_MAX: usize = 12;
/// The width of a label such as `calls`, in columns.
const LABEL: usize = 9;

/// Words at the beginnings of lines, for [`painted`](crate::runtime::paint::painted).
pub const MARKS: [Mark; 14] = [
    ("ready", GOOD),
    ("NOT READY", BAD),
    ("degraded:", WARNING),
    ("ALARM", BAD),
    ("  difference:", BAD),
    ("  REFUSED", BAD),
    ("  FAILING", BAD),
    ("  waits for:", WARNING),
    ("  last error:", WARNING),
    ("  STOPPED", BAD),
    ("  TIME SHORT", BAD),
    ("  SILENT", BAD),
    ("partition ", FAINT),
    ("source ", FAINT),
];

/// What of a status is shown, and where.
#[derive(Clone, Copy, Debug, Default)]
pub struct View<'a> {
    /// The only source that is shown, if one is named.
    pub source: Option<&'a SourceId>,
    /// How many calls came in lately, if that is known.
    pub activity: Option<&'a Activity>,
    /// Whether the last minutes are drawn.
    pub sparklines: bool,
    /// The columns of a terminal, to which texts are wrapped and rows are cut.
    pub columns: Option<usize>,
    /// The lines that there is space for.
    pub rows: Option<usize>,
    /// The order of the sources.
    pub order: Order,
    /// What the ids of the sources shown have in them.
    pub filter: &'a str,
    /// Sources above the first one shown.
    pub skip: usize,
}

/// What a process does with calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Collector,
    Writer,
    Both,
}

fn role(status: &Status) -> Role {
    match &status.kafka {
        Some(kafka) if kafka.is_collector() => Role::Collector,
        Some(kafka) if kafka.is_writer() => Role::Writer,
        _ => Role::Both,
    }
}

/// A line before it is wrapped.
struct Line {
    beginning: String,
    text: String,
}

impl Line {
    fn new(beginning: &str, text: String) -> Self {
        Self { beginning: beginning.to_owned(), text }
    }

    fn labelled(label: &str, text: String) -> Self {
        Self { beginning: format!("{label:LABEL$}"), text }
    }

    fn wrapped(&self, columns: Option<usize>) -> Vec<String> {
        match columns {
            Some(width) => wrapped_within(width, &self.beginning, &self.text),
            None => vec![format!("{}{}", self.beginning, self.text)],
        }
    }
}

/// The lines of the status.
pub fn lines(status: &Status, view: &View<'_>) -> Vec<String> {
    // A writer receives no calls.
    let activity = view.activity.filter(|_| role(status) != Role::Writer);
    let view = &View { activity, ..*view };
    let of_spool =
        || format!("node {}, spool {}", outside_text(&status.node), outside_text(&status.spool_id));
    let first = format!(
        "forebay {}, {}, up {}",
        outside_text(&status.version),
        status.kafka.as_ref().map_or_else(of_spool, |kafka| kafka.process_words(&status.node)),
        about_seconds(status.uptime_seconds),
    );
    let head = std::iter::once(Line::new("", first)).chain(troubles(status)).chain(whole(status, view));
    let mut lines: Vec<String> = head.flat_map(|line| line.wrapped(view.columns)).collect();
    let kafka = status.kafka.iter().filter(|kafka| view.source.is_none() && kafka.has_table());
    lines.extend(kafka.flat_map(|kafka| partitions(kafka, status.now_ms, view)));
    let imports =
        status.imports.iter().filter(|import| view.source.is_none_or(|id| id.as_str() == import.source));
    lines.extend(
        imports
            .flat_map(|import| of_import(import, status.now_ms))
            .flat_map(|line| line.wrapped(view.columns)),
    );
    let wanted = |source: &&SourceStatus| view.source.is_none_or(|id| id.as_str() == source.id);
    let wanted = status.sources.iter().filter(wanted).filter(|source| has(source, view.filter));
    let mut wanted: Vec<&SourceStatus> = wanted.collect();
    view.order.sort(&mut wanted, view.activity);
    if !wanted.is_empty() {
        // Three more lines: an empty one, the names of the columns, and the one about further sources.
        let space = view.rows.map(|rows| rows.saturating_sub(lines.len() + 3));
        lines.push(String::new());
        lines.extend(sources(status, &wanted, view, space));
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// The whole status as a text.
pub fn render(status: &Status, view: &View<'_>) -> String {
    lines(status, view).iter().map(|line| format!("{line}\n")).collect()
}

fn troubles(status: &Status) -> Vec<Line> {
    let mut lines =
        vec![Line::new("", if status.ready { "ready".to_owned() } else { "NOT READY".to_owned() })];
    lines.extend(status.not_ready.iter().map(|why| Line::new("  ", outside_text(why).to_string())));
    // An older collector may report a degradation without an alarm.
    let is_alarm = |why: &&String| status.alarms.iter().any(|alarm| alarm.what.ends_with(why.as_str()));
    let others = status.degraded.iter().filter(|why| !is_alarm(why));
    lines.extend(
        others.map(|why| Line::new("degraded: ", outside_text_within(why, ALARM_TEXT_MAX).to_string())),
    );
    lines.extend(status.alarms.iter().map(|alarm| {
        let age = about_seconds(seconds_since(status.now_ms, alarm.since_ms));
        let what = outside_text_within(&alarm.what, ALARM_TEXT_MAX);
        // The text of an alarm is long, so it is not indented by the beginning.
        Line::new("", format!("ALARM {} for {age}: {what}", outside_text(&alarm.kind)))
    }));
    lines
}

fn whole(status: &Status, view: &View<'_>) -> Vec<Line> {
    let rate = view.activity.map_or_else(String::new, |activity| {
        let drawn =
            if view.sparklines { format!(" {}", sparkline(activity.of_all())) } else { String::new() };
        format!("{}/s{drawn}; ", rate(activity.rate_of_all()))
    });
    let mut lines = vec![Line::labelled("calls", format!("{rate}{}", status.calls_words()))];
    lines.extend(status.waiting_lines().into_iter().map(|(label, text)| Line::labelled(label, text)));
    lines.extend(status.behind_words().map(|text| Line::labelled("behind", text)));
    let refused = status.refused_lately(view.source).into_iter().enumerate();
    lines.extend(refused.map(|(index, text)| Line::labelled(if index == 0 { "refused" } else { "" }, text)));
    lines.extend(status.s3_proxy.iter().map(|proxy| {
        let proxy = outside_text(proxy);
        let text = format!("S3 is reached through {proxy}, set in the environment (HTTPS_PROXY, NO_PROXY)");
        Line::labelled("proxy", text)
    }));
    lines.extend(status.ledger_lines().into_iter().map(|(label, text)| Line::labelled(label, text)));
    lines
}

/// The table of partitions, with what is wrong below each.
fn partitions(kafka: &KafkaStatus, now_ms: i64, view: &View<'_>) -> Vec<String> {
    let max = view.rows.map_or(usize::MAX, |_| PARTITIONS_SHOWN_MAX);
    let PartitionTable { names, rows, more } = kafka.partition_table(now_ms, max);
    let cut = |row: String| view.columns.map_or(row.clone(), |width| within_columns(&row, width));
    let mut lines = vec![String::new(), cut(names)];
    for (row, troubles) in rows {
        lines.push(cut(row));
        let troubles = troubles.into_iter().map(|(beginning, text)| Line::new(beginning, text));
        lines.extend(troubles.flat_map(|line| line.wrapped(view.columns)));
    }
    lines.extend((more > 0).then(|| {
        format!("and {}: --all or --json", counted(more as u64, "more partition", "more partitions"))
    }));
    lines
}

/// The imports of buckets as a text: its lines.
pub fn import_lines(imports: &[BucketImportStatus], now_ms: i64, columns: Option<usize>) -> Vec<String> {
    let lines = imports.iter().flat_map(|import| of_import(import, now_ms));
    lines.flat_map(|line| line.wrapped(columns)).map(|line| line.trim_end().to_owned()).collect()
}

/// An import of a bucket: what its last pass found, and when the next one begins.
fn of_import(import: &BucketImportStatus, now_ms: i64) -> Vec<Line> {
    let ago = |at: i64| about_seconds(seconds_since(now_ms, at));
    let doing = import.doing(now_ms);
    let [name, place, source] =
        [&import.name, &import.place, &import.source].map(|text| outside_text(text).to_string());
    let mut lines = vec![Line::labelled("import", format!("{name}, {place} into {source}: {doing}"))];
    if let Some(failing) = &import.failing {
        let since = import.failing_since_ms.map_or_else(String::new, |at| format!(" for {}", ago(at)));
        let what = outside_text_within(failing, ALARM_TEXT_MAX);
        lines.push(Line::new("  FAILING", format!("{since}: {what}")));
    }
    lines.extend(
        import.warnings.iter().map(|warning| {
            Line::new("  warning: ", outside_text_within(warning, ALARM_TEXT_MAX).to_string())
        }),
    );
    for (label, text) in import.notifications.iter().flat_map(|brought| brought.lines(now_ms)) {
        lines.push(Line::new(label, text));
    }
    lines.extend(import.since_start.map(|sum| Line::new("  since the start: ", sum.text(&import.name))));
    lines.extend(import.listings().map(|text| Line::new("  listings: ", text)));
    lines.extend(import.unused().map(|text| Line::new("  columns that no call uses: ", text)));
    for (pass, label) in [(&import.last, "  last pass: "), (&import.whole, "  last full: ")] {
        let Some(pass) = pass else { continue };
        lines.push(Line::new(label, format!("ended {} ago", ago(pass.ended_ms))));
        let found = pass_lines(pass, IMPORT_FILES_SHOWN_MAX).into_iter();
        lines.extend(found.map(|(name, text)| Line::new(&format!("  {name:<11}"), text)));
    }
    lines
}

/// The table of sources, with what is wrong below each. If there is no space for all, those with problems
/// come first, then the most active ones.
fn sources(status: &Status, wanted: &[&SourceStatus], view: &View<'_>, space: Option<usize>) -> Vec<String> {
    let mut shown: Vec<(&SourceStatus, Vec<String>)> =
        wanted.iter().skip(view.skip).map(|source| (*source, details(source, status, view))).collect();
    if let Some(space) = space {
        let height = |shown: &[(_, Vec<String>)]| {
            shown.len() + shown.iter().map(|(_, lines)| lines.len()).sum::<usize>()
        };
        // Without the line about further sources there is space for one more.
        if height(&shown) > space + 1 {
            if view.order == Order::Interest && view.skip == 0 {
                shown.sort_by(|(a, _), (b, _)| by_interest(a, b, view.activity));
            }
            while shown.len() > SOURCES_MIN && height(&shown) > space {
                shown.pop();
            }
        }
    }
    let role = role(status);
    let rows: Vec<Vec<String>> = std::iter::once(names(view, role))
        .chain(shown.iter().map(|(source, _)| row(source, status.now_ms, view, role)))
        .collect();
    let numbers: &[usize] = match (view.activity, view.sparklines) {
        (None, _) if role == Role::Writer => &[1, 2],
        (None, _) => &[1, 2, 3, 4],
        (Some(_), false) => &[1, 2, 3, 4, 5],
        (Some(_), true) => &[1, 3, 4, 5, 6],
    };
    let rows = table(&rows, numbers).into_iter();
    let mut rows = rows.map(|row| view.columns.map_or(row.clone(), |width| within_columns(&row, width)));
    let mut lines: Vec<String> = rows.by_ref().take(1).collect();
    for ((_, details), row) in shown.iter().zip(rows) {
        lines.push(row);
        lines.extend_from_slice(details);
    }
    let more = wanted.len().saturating_sub(view.skip + shown.len());
    if more > 0 {
        lines.push(format!("and {} more: --source ID, --all or --json", grouped(more as u64)));
    }
    lines
}

fn by_interest(a: &SourceStatus, b: &SourceStatus, activity: Option<&Activity>) -> std::cmp::Ordering {
    let has_problem = |source: &SourceStatus| {
        source.refused.is_some() || source.waiting.is_some() || source.last_error.is_some()
    };
    let mean = |source: &SourceStatus| activity.map_or(0.0, |activity| activity.mean(&source.id));
    has_problem(b)
        .cmp(&has_problem(a))
        .then_with(|| mean(b).total_cmp(&mean(a)))
        .then_with(|| b.totals.received.cmp(&a.totals.received))
        .then_with(|| b.pending_calls.cmp(&a.pending_calls))
        .then_with(|| a.id.cmp(&b.id))
}

/// The lines below a source's row: its other streams, and what is wrong.
fn details(source: &SourceStatus, status: &Status, view: &View<'_>) -> Vec<String> {
    let streams = source.streams.iter().take(STREAMS_SHOWN_MAX);
    let mut lines: Vec<Line> = streams
        .map(|stream| {
            let name = format!("  {}: ", outside_text(&stream.stream));
            Line::new(&name, stream.ledger.stream_words())
        })
        .collect();
    let more = source.streams.len().saturating_sub(STREAMS_SHOWN_MAX);
    if more > 0 {
        let more = counted(more as u64, "stream", "streams");
        lines.push(Line::new("  ", format!("and {more} more: `forebay status --json`")));
    }
    // If all calls are refused, a line above says so, and the source needs none.
    lines.extend(source.refused.iter().filter(|_| status.ready).map(|refused| {
        let requests = counted(source.requests_refused, "request", "requests");
        let beginning = format!("  REFUSED ({requests} since this start): ");
        Line::new(&beginning, outside_text(&refused.why).to_string())
    }));
    let trouble = [("waits for", &source.waiting), ("last error", &source.last_error)];
    for (what, text) in trouble {
        let line = |text: &String| {
            Line::new(&format!("  {what}: "), outside_text_within(text, ALARM_TEXT_MAX).to_string())
        };
        lines.extend(text.iter().map(line));
    }
    lines.iter().flat_map(|line| line.wrapped(view.columns)).collect()
}

fn names(view: &View<'_>, role: Role) -> Vec<String> {
    let activity: &[&str] = match (view.activity, view.sparklines) {
        (None, _) => &[],
        (Some(_), false) => &["calls/s"],
        (Some(_), true) => &["calls/s", "lately"],
    };
    let counts: &[&str] = match role {
        Role::Both => &["received", "delivered", "waiting", "oldest", "last object"],
        Role::Collector => &["received", "stored", "rejected"],
        Role::Writer => &["delivered", "waiting", "oldest", "last object"],
    };
    [&["source"], activity, counts].concat().into_iter().map(str::to_owned).collect()
}

fn row(source: &SourceStatus, now_ms: i64, view: &View<'_>, role: Role) -> Vec<String> {
    let last = source.last_object.as_ref().map_or_else(
        || "none yet".to_owned(),
        |object| {
            let encryption = object.encryption.as_ref().and_then(|applied| applied.algorithm.as_deref());
            // S3 gives the name of the cipher, which SSE-KMS uses, too.
            let encryption = encryption.map(|name| if name == "AES256" { "SSE-S3" } else { name });
            format!(
                "{} ago, {}, {}, {}{}",
                about_seconds(seconds_since(now_ms, object.delivered_at_ms)),
                counted(object.calls, "call", "calls"),
                about_bytes(object.bytes),
                encryption.map_or_else(String::new, |applied| format!("{}, ", outside_text(applied))),
                outside_key(&object.key)
            )
        },
    );
    let mut row = vec![outside_text(&source.id).to_string()];
    if let Some(activity) = view.activity {
        row.push(rate(activity.rate(&source.id)));
        if view.sparklines {
            row.push(sparkline(activity.of(&source.id)));
        }
    }
    if role == Role::Collector {
        let totals = &source.totals;
        row.extend([totals.received, totals.stored, totals.rejected].map(grouped));
        return row;
    }
    row.extend((role == Role::Both).then(|| grouped(source.totals.received)));
    row.extend([
        grouped(source.totals.delivered),
        grouped(source.pending_calls),
        source.oldest_undelivered_seconds.map_or_else(|| "-".to_owned(), about_seconds),
        last,
    ]);
    row
}

/// Calls a second: with a decimal below ten.
fn rate(rate: f64) -> String {
    match rate {
        rate if rate <= 0.0 => "0".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate => format!("{rate:.0}").parse().map_or_else(|_| format!("{rate:.0}"), grouped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{
        Alarm, Applied, LastObject, LedgerCounts, LedgerStatus, Refused, SpoolStatus, Totals,
    };
    use crate::live::{RefusedKind, RefusedList};
    use crate::time::UnixMillis;

    fn source(id: &str, received: u64) -> SourceStatus {
        let totals = Totals { received, ..Totals::default() };
        SourceStatus { id: id.into(), totals, ..SourceStatus::default() }
    }

    #[test]
    fn a_screen_has_the_problems_and_the_most_active_sources() {
        let mut all: Vec<SourceStatus> = (0..500).map(|n| source(&format!("s{n:03}"), n)).collect();
        all[7].last_error = Some("403 AccessDenied: ".to_owned() + &"long ".repeat(30));
        let status = Status { ready: true, sources: all, ..Status::default() };
        let view = View { columns: Some(80), rows: Some(24), ..View::default() };
        let shown = lines(&status, &view);
        assert_eq!(shown.len(), 24, "{shown:#?}");
        assert!(shown.iter().all(|line| crate::words::columns(line) <= 80), "{shown:#?}");
        let rows = shown.iter().skip_while(|line| !line.starts_with("source ")).skip(1);
        let names: Vec<&str> = rows.filter_map(|line| line.strip_prefix('s')?.get(..3)).collect();
        assert_eq!(&names[..3], ["007", "499", "498"], "{shown:#?}");
        assert!(shown.iter().any(|line| line.starts_with("  last error: 403 AccessDenied")), "{shown:#?}");
        assert_eq!(shown[23], format!("and {} more: --source ID, --all or --json", 500 - names.len()));

        // All sources are shown, in their own order.
        let everything = lines(&status, &View { rows: None, ..view });
        assert!(everything.len() > 500 && everything.last().unwrap().starts_with("s499"), "{everything:#?}");
        let id = SourceId::new("s123").unwrap();
        let one = lines(&status, &View { source: Some(&id), ..view });
        assert!(one.last().unwrap().starts_with("s123 ") && one.len() < 10, "{one:#?}");
        // Sources that just fit are shown without a last line.
        let few = Status { sources: status.sources[400..420].to_vec(), ..status.clone() };
        let head = lines(&Status { sources: Vec::new(), ..status.clone() }, &view).len();
        let exact = lines(&few, &View { rows: Some(head + 2 + 20), ..view });
        assert_eq!((exact.len(), exact.last().unwrap().get(..4)), (head + 22, Some("s419")), "{exact:#?}");
    }

    #[test]
    fn rates_and_the_last_minutes_are_shown_if_they_are_known() {
        let mut snapshots = crate::admin_client::activity::Snapshots::default();
        let mut status = Status { ready: true, sources: vec![source("web", 0)], ..Status::default() };
        for (second, received) in [(0, 0), (2, 10), (4, 4_010)] {
            status.sources[0].totals.received = received;
            status.totals.received = received;
            snapshots.add(std::time::Duration::from_secs(second), &status);
        }
        let activity = snapshots.activity();
        let view = View { activity: activity.as_ref(), ..View::default() };
        let text = render(&status, &view);
        assert!(text.contains("calls    2,000/s; 4,010 received"), "{text}");
        assert!(
            text.ends_with(
                "\nsource  calls/s  received  delivered  waiting  oldest  last object
web       2,000     4,010          0        0       -  none yet\n"
            ),
            "{text}"
        );
        let text = render(&status, &View { sparklines: true, ..view });
        assert!(text.contains("calls    2,000/s ▂█; 4,010 received"), "{text}");
        assert!(text.contains("\nweb       2,000  ▂█         4,010"), "{text}");
    }

    #[test]
    fn rates_have_a_decimal_below_ten() {
        let check = |of: f64, shown: &str| assert_eq!(rate(of), shown);
        check(0.0, "0");
        check(0.25, "0.2");
        check(9.94, "9.9");
        check(9.97, "10");
        check(12_345.6, "12,346");
    }

    #[test]
    fn problems_come_first_and_each_source_has_a_line() {
        let now_ms = 1_700_000_000_000;
        let status = Status {
            version: "0.1.0".into(),
            now_ms,
            node: "n1".into(),
            spool_id: "00ff".into(),
            uptime_seconds: 7_505,
            ready: false,
            not_ready: vec!["the spool is full".into()],
            degraded: vec!["positions 3 to 9 are lost\u{1b}[31m".into()],
            alarms: vec![Alarm {
                kind: "refused".into(),
                subject: "lake".into(),
                what: "put refused".into(),
                since_ms: now_ms - 65_000,
            }],
            spool: SpoolStatus {
                used_bytes: 19_000_000_000,
                max_bytes: 20_000_000_000,
                segments: 280,
                parked_bytes: 1_000_000,
                seconds_left: Some(600),
                ..SpoolStatus::default()
            },
            open_batches: 2,
            sealed_objects: 3,
            oldest_undelivered_seconds: Some(3_700),
            destinations: Vec::new(),
            imports: Vec::new(),
            kafka: None,
            refusals: vec![
                RefusedKind {
                    code: "invalid_write_key".into(),
                    status: 401,
                    message: "the write key belongs to no source".into(),
                    requests: 3,
                    last: UnixMillis(now_ms - 5_000),
                    ..RefusedKind::default()
                },
                RefusedKind {
                    code: "overloaded".into(),
                    status: 503,
                    message: "too many requests are being read".into(),
                    requests: 1,
                    last: UnixMillis(now_ms - 9_000),
                    ..RefusedKind::default()
                },
                RefusedKind { code: "spool_full".into(), last: UnixMillis(now_ms), ..RefusedKind::default() },
                RefusedKind {
                    code: "invalid_json".into(),
                    status: 400,
                    last: UnixMillis(0),
                    ..RefusedKind::default()
                },
            ],
            refused_requests: RefusedList::default(),
            s3_proxy: Some("http://proxy:3128".to_owned()),
            dev_s3: None,
            ledger: Some(LedgerStatus {
                balanced: false,
                differences: vec!["web, earlier: 3 stored, but 4 of them delivered + 0 lost".into()],
                totals: LedgerCounts {
                    received: 12_345,
                    stored: 12_000,
                    rejected: 45,
                    repeated: 299,
                    suppressed: 1,
                    delivered: 9_999,
                    pending: 2_000,
                    lost: 1,
                    ..LedgerCounts::default()
                },
                object_sets: LedgerCounts {
                    received: 40,
                    stored: 30,
                    repeated: 10,
                    delivered: 20,
                    pending: 10,
                    ..LedgerCounts::default()
                },
                ..LedgerStatus::default()
            }),
            totals: Totals {
                received: 12_345,
                stored: 12_000,
                repeated: 300,
                rejected: 45,
                delivered: 10_000,
            },
            sources: vec![
                SourceStatus {
                    id: "checkout-web".into(),
                    totals: Totals { received: 12_345, delivered: 10_000, ..Totals::default() },
                    pending_calls: 2_000,
                    oldest_undelivered_seconds: Some(3_700),
                    last_object: Some(LastObject {
                        key: "segment-logs/checkout-web/1/x.gz".into(),
                        delivered_at_ms: now_ms - 5_000,
                        bytes: 99_000_000,
                        calls: 1_000,
                        encryption: Some(Applied {
                            algorithm: Some("aws:kms".into()),
                            kms_key: Some("arn:aws:kms:us-east-1:111122223333:key/k".into()),
                            bucket_key: true,
                        }),
                    }),
                    waiting: Some("the next attempt in 60 s".into()),
                    last_error: Some("403 AccessDenied".into()),
                    // All calls are refused, which is reported above.
                    refused: Some(Refused { code: "spool_full".into(), why: "the spool is full".into() }),
                    ..SourceStatus::default()
                },
                SourceStatus { id: "ios".into(), ..SourceStatus::default() },
            ],
        };
        assert_eq!(
            render(&status, &View::default()),
            "forebay 0.1.0, node n1, spool 00ff, up 2 h 5 min
NOT READY
  the spool is full
degraded: positions 3 to 9 are lost\\u{1b}[31m
ALARM refused for 1 min 5 s: put refused
calls    12,345 received since this start: 12,000 stored, 300 repeats, 45 rejected; 10,000 delivered
waiting  2,000 calls in 2 batches and 3 sealed objects, the oldest for 1 h 1 min
spool    19 GB of 20 GB (95 %), 280 segments, 1 MB parked, full in 10 min without deliveries
refused  3 requests with 401 invalid_write_key (the write key belongs to no source), the last 5 s ago
         1 request with 503 overloaded (too many requests are being read), the last 9 s ago
proxy    S3 is reached through http://proxy:3128, set in the environment (HTTPS_PROXY, NO_PROXY)
ledger   since the spool was made: 12,345 received = 12,000 stored + 45 rejected + 299 repeated + 1 suppressed; 12,000 stored = \
9,999 delivered + 2,000 pending + 1 lost: NOT BALANCED
         object sets: 40 received = 30 stored + 10 repeated; 20 delivered + 10 pending + 0 lost
  difference: web, earlier: 3 stored, but 4 of them delivered + 0 lost

source        received  delivered  waiting     oldest  last object
checkout-web    12,345     10,000    2,000  1 h 1 min  5 s ago, 1,000 calls, 99 MB, aws:kms, segment-logs/checkout-web/1/x.gz
  waits for: the next attempt in 60 s
  last error: 403 AccessDenied
ios                  0          0        0          -  none yet
"
        );
    }
}
