//! `forebay status`: the state of a running collector: problems, spool, waiting calls, latest deliveries.

use std::io::Write;
use std::time::Duration;

use http::Method;

use crate::admin::{LedgerCounts, LedgerStatus, SourceStatus, Status};
use crate::words::count::percent;
use crate::words::table::table;
use crate::words::{
    about_bytes, about_seconds, counted, grouped, outside_key, outside_text, outside_text_within,
};

use super::admin_client::AskError;
use super::args::StatusArgs;

/// The most bytes of an alarm's text that are shown. Its advice is at the end.
const ALARM_TEXT_MAX: usize = 2_048;
/// The most object and dead-letter streams of a source that are shown.
const STREAMS_SHOWN_MAX: usize = 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Queries the status and prints it.
///
/// # Errors
/// [`AskError`].
pub async fn run(args: &StatusArgs, out: &mut dyn Write) -> Result<(), AskError> {
    let client = args.admin.client()?;
    let printed = if args.json {
        // Not parsed into `Status`, so that fields that this version does not know are printed, too.
        let value: serde_json::Value = client.ask(Method::GET, "/api/status", PATIENCE).await?;
        serde_json::to_writer_pretty(&mut *out, &value)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        let status: Status = client.ask(Method::GET, "/api/status", PATIENCE).await?;
        out.write_all(render(&status).as_bytes())
    };
    printed.map_err(AskError::Print)
}

/// The status for people: problems first, then the totals, then a line for each source.
pub fn render(status: &Status) -> String {
    let mut lines = vec![format!(
        "forebay {}, node {}, spool {}, up {}",
        outside_text(&status.version),
        outside_text(&status.node),
        outside_text(&status.spool_id),
        about_seconds(status.uptime_seconds),
    )];
    lines.extend(troubles(status));
    lines.extend(whole(status));
    if !status.sources.is_empty() {
        lines.push(String::new());
        lines.extend(sources(status));
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn troubles(status: &Status) -> Vec<String> {
    let mut lines = vec![if status.ready { "ready".to_owned() } else { "NOT READY".to_owned() }];
    lines.extend(status.not_ready.iter().map(|why| format!("  {}", outside_text(why))));
    // An older collector may report a degradation without an alarm.
    let is_alarm = |why: &&String| status.alarms.iter().any(|alarm| alarm.what.ends_with(why.as_str()));
    let others = status.degraded.iter().filter(|why| !is_alarm(why));
    lines.extend(others.map(|why| format!("degraded: {}", outside_text_within(why, ALARM_TEXT_MAX))));
    lines.extend(status.alarms.iter().map(|alarm| {
        let age = about_seconds(seconds_since(status.now_ms, alarm.since_ms));
        let what = outside_text_within(&alarm.what, ALARM_TEXT_MAX);
        format!("ALARM {} for {age}: {what}", outside_text(&alarm.kind))
    }));
    lines
}

fn whole(status: &Status) -> Vec<String> {
    let (spool, totals) = (&status.spool, &status.totals);
    let percent = percent(spool.used_bytes, spool.max_bytes);
    let parked = match spool.parked_bytes {
        0 => String::new(),
        bytes => format!(", {} parked", about_bytes(bytes)),
    };
    let left = match spool.seconds_left {
        Some(seconds) => format!(", full in {} without deliveries", about_seconds(seconds)),
        None => String::new(),
    };
    let waiting = match status.oldest_undelivered_seconds {
        Some(seconds) => {
            let pending = status.sources.iter().fold(0_u64, |sum, s| sum.saturating_add(s.pending_calls));
            let places = [
                (status.open_batches, ["batch", "batches"]),
                (status.sealed_objects, ["sealed object", "sealed objects"]),
            ];
            let places = places.into_iter().filter(|(count, _)| *count > 0);
            let places: Vec<String> = places.map(|(count, [one, many])| counted(count, one, many)).collect();
            let within =
                if places.is_empty() { String::new() } else { format!(" in {}", places.join(" and ")) };
            format!(
                "waiting  {}{within}, the oldest for {}",
                counted(pending, "call", "calls"),
                about_seconds(seconds)
            )
        }
        None => "waiting  nothing: everything is delivered".to_owned(),
    };
    let mut lines = vec![
        format!(
            "calls    {} received since the start: {} stored, {} repeats, {} rejected; {} delivered",
            grouped(totals.received),
            grouped(totals.stored),
            grouped(totals.repeated),
            grouped(totals.rejected),
            grouped(totals.delivered)
        ),
        waiting,
        format!(
            "spool    {} of {} ({percent} %), {}{parked}{left}",
            about_bytes(spool.used_bytes),
            about_bytes(spool.max_bytes),
            counted(spool.segments, "segment", "segments")
        ),
    ];
    lines.extend(status.s3_proxy.iter().map(|proxy| {
        format!(
            "proxy    S3 is reached through {}, set in the environment (HTTPS_PROXY, NO_PROXY)",
            outside_text(proxy)
        )
    }));
    lines.extend(status.ledger.iter().flat_map(ledger));
    lines
}

/// The ledger's two equations, and whether they hold.
fn ledger(ledger: &LedgerStatus) -> Vec<String> {
    let totals = &ledger.totals;
    let suppressed = match totals.suppressed {
        0 => String::new(),
        calls => format!(" + {} suppressed", grouped(calls)),
    };
    let mut lines = vec![format!(
        "ledger   {} received = {} stored + {} rejected + {} repeated{suppressed}; {} stored = {} delivered + {} pending + {} \
         lost: {}",
        grouped(totals.received),
        grouped(totals.stored),
        grouped(totals.rejected),
        grouped(totals.repeated),
        grouped(totals.stored),
        grouped(totals.delivered),
        grouped(totals.pending),
        grouped(totals.lost),
        if ledger.balanced { "balanced" } else { "NOT BALANCED" }
    )];
    let others = [("object sets", &ledger.object_sets), ("dead letters", &ledger.dead_letters)];
    let others = others.into_iter().filter(|(_, counts)| **counts != LedgerCounts::default());
    lines.extend(others.map(|(what, counts)| format!("         {what}: {}", stream_counts(counts))));
    lines.extend(ledger.differences.iter().map(|what| format!("  difference: {}", outside_text(what))));
    lines
}

/// What became of the lines of an object or dead-letter stream.
fn stream_counts(counts: &LedgerCounts) -> String {
    let repeated = match counts.repeated {
        0 => String::new(),
        repeated => format!(" + {} repeated", grouped(repeated)),
    };
    format!(
        "{} received = {} stored{repeated}; {} delivered + {} pending + {} lost",
        grouped(counts.received),
        grouped(counts.stored),
        grouped(counts.delivered),
        grouped(counts.pending),
        grouped(counts.lost)
    )
}

const COLUMNS: [&str; 6] = ["source", "received", "delivered", "waiting", "oldest", "last object"];

fn sources(status: &Status) -> Vec<String> {
    let rows: Vec<[String; 6]> = std::iter::once(COLUMNS.map(str::to_owned))
        .chain(status.sources.iter().map(|source| row(source, status.now_ms)))
        .collect();
    let mut rows = table(&rows, &[1, 2, 3, 4]).into_iter();
    let mut lines: Vec<String> = rows.by_ref().take(1).collect();
    for (source, row) in status.sources.iter().zip(rows) {
        lines.push(row);
        lines.extend(
            source.streams.iter().take(STREAMS_SHOWN_MAX).map(|stream| {
                format!("  {}: {}", outside_text(&stream.stream), stream_counts(&stream.ledger))
            }),
        );
        let more = source.streams.len().saturating_sub(STREAMS_SHOWN_MAX);
        if more > 0 {
            lines.push(format!(
                "  and {} more: `forebay status --json`",
                counted(more as u64, "stream", "streams")
            ));
        }
        // If all calls are refused, a line above says so.
        lines.extend(source.refused.iter().filter(|_| status.ready).map(|refused| {
            let requests = counted(source.requests_refused, "request", "requests");
            format!("  REFUSED ({requests} since the start): {}", outside_text(&refused.why))
        }));
        let trouble = [("waits for", &source.waiting), ("last error", &source.last_error)];
        for (what, text) in trouble {
            lines.extend(text.iter().map(|text| format!("  {what}: {}", outside_text(text))));
        }
    }
    lines
}

fn row(source: &SourceStatus, now_ms: i64) -> [String; 6] {
    let last = source.last_object.as_ref().map_or_else(
        || "none yet".to_owned(),
        |object| {
            let encryption = object.encryption.as_ref().and_then(|applied| applied.algorithm.as_deref());
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
    [
        outside_text(&source.id).to_string(),
        grouped(source.totals.received),
        grouped(source.totals.delivered),
        grouped(source.pending_calls),
        source.oldest_undelivered_seconds.map_or_else(|| "-".to_owned(), about_seconds),
        last,
    ]
}

fn seconds_since(now_ms: i64, then_ms: i64) -> u64 {
    u64::try_from(now_ms.saturating_sub(then_ms) / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Alarm, Applied, LastObject, Refused, SpoolStatus, Totals};

    #[test]
    fn an_alarm_is_shown_whole_and_once() {
        let what =
            format!("AES256 was applied, for {}; check the bucket's default encryption", "k/".repeat(300));
        let alarm = Alarm { kind: "encryption".into(), what: what.clone(), since_ms: 0 };
        let status = Status { degraded: vec![what.clone()], alarms: vec![alarm], ..Status::default() };
        let text = render(&status);
        assert_eq!(text.matches("check the bucket's default encryption").count(), 1, "{text}");
        assert!(text.contains(&what), "{text}");
    }

    #[test]
    fn the_waiting_line_omits_zero_counts() {
        let check = |batches: u64, sealed: u64, expected: &str| {
            let web = SourceStatus { id: "web".into(), pending_calls: 2_000, ..SourceStatus::default() };
            let status = Status {
                open_batches: batches,
                sealed_objects: sealed,
                oldest_undelivered_seconds: Some(3_700),
                sources: vec![web],
                ..Status::default()
            };
            let text = render(&status);
            let line = text.lines().find(|line| line.starts_with("waiting")).unwrap();
            assert_eq!(line, format!("waiting  2,000 calls{expected}, the oldest for 1 h 1 min"));
        };
        check(1, 0, " in 1 batch");
        check(0, 6, " in 6 sealed objects");
        check(2, 1, " in 2 batches and 1 sealed object");
        check(0, 0, "");
    }

    #[test]
    fn a_quiet_collector_fits_five_lines() {
        let status = Status {
            version: "0.1.0".into(),
            node: "n1".into(),
            spool_id: "00ff".into(),
            uptime_seconds: 61,
            ready: true,
            spool: SpoolStatus { max_bytes: 20_000_000_000, ..SpoolStatus::default() },
            ..Status::default()
        };
        assert_eq!(
            render(&status),
            "forebay 0.1.0, node n1, spool 00ff, up 1 min 1 s
ready
calls    0 received since the start: 0 stored, 0 repeats, 0 rejected; 0 delivered
waiting  nothing: everything is delivered
spool    0 B of 20 GB (0 %), 0 segments
"
        );
    }

    #[test]
    fn a_source_that_is_refused_says_why_and_what_to_do() {
        let why = "503 destination_full: nowhere accepts no objects; fix the destination".to_owned();
        let refused = SourceStatus {
            id: "web".into(),
            refused: Some(Refused { code: "destination_full".into(), why }),
            requests_refused: 1_234,
            ..SourceStatus::default()
        };
        let status = Status { ready: true, sources: vec![refused], ..Status::default() };
        let expected = "  REFUSED (1,234 requests since the start): 503 destination_full: nowhere accepts no objects; fix the \
                        destination\n";
        assert!(render(&status).ends_with(expected), "{}", render(&status));
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
                what: "put refused".into(),
                since_ms: now_ms - 65_000,
            }],
            spool: SpoolStatus {
                used_bytes: 19_000_000_000,
                max_bytes: 20_000_000_000,
                segments: 280,
                parked_bytes: 1_000_000,
                seconds_left: Some(600),
            },
            open_batches: 2,
            sealed_objects: 3,
            oldest_undelivered_seconds: Some(3_700),
            s3_proxy: Some("http://proxy:3128".to_owned()),
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
            render(&status),
            "forebay 0.1.0, node n1, spool 00ff, up 2 h 5 min
NOT READY
  the spool is full
degraded: positions 3 to 9 are lost\\u{1b}[31m
ALARM refused for 1 min 5 s: put refused
calls    12,345 received since the start: 12,000 stored, 300 repeats, 45 rejected; 10,000 delivered
waiting  2,000 calls in 2 batches and 3 sealed objects, the oldest for 1 h 1 min
spool    19 GB of 20 GB (95 %), 280 segments, 1 MB parked, full in 10 min without deliveries
proxy    S3 is reached through http://proxy:3128, set in the environment (HTTPS_PROXY, NO_PROXY)
ledger   12,345 received = 12,000 stored + 45 rejected + 299 repeated + 1 suppressed; 12,000 stored = 9,999 delivered + 2,000 \
pending + 1 lost: NOT BALANCED
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
