//! The lines of `forebay status`, for statuses that tests make.

use forebay::admin::{Alarm, DestinationBehind, Refused, SourceStatus, SpoolStatus, Status};
use forebay::cli::status::render::{View, render};

#[test]
fn an_alarm_is_shown_whole_and_once() {
    let what = format!("AES256 was applied, for {}; check the bucket's default encryption", "k/".repeat(300));
    let alarm = Alarm { kind: "encryption".into(), what: what.clone(), ..Alarm::default() };
    let status = Status { degraded: vec![what.clone()], alarms: vec![alarm], ..Status::default() };
    let text = render(&status, &View::default());
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
        let text = render(&status, &View::default());
        let line = text.lines().find(|line| line.starts_with("waiting")).unwrap();
        assert_eq!(line, format!("waiting  2,000 calls{expected}, the oldest for 1 h 1 min"));
    };
    check(1, 0, " in 1 batch");
    check(0, 6, " in 6 sealed objects");
    check(2, 1, " in 2 batches and 1 sealed object");
    check(0, 0, "");
}

/// "everything is delivered" was all that the status said.
#[test]
fn destinations_that_are_behind_have_a_line() {
    let behind = |name: &str, waiting, dead_left| DestinationBehind { name: name.into(), waiting, dead_left };
    let destinations = vec![behind("crm", 1_200, 0), behind("mail", 1, 3)];
    let text = render(&Status { ready: true, destinations, ..Status::default() }, &View::default());
    let line = "\nbehind   crm: 1,200 calls wait, mail: 1 call waits and 3 dead letters (`forebay destinations status`)\n";
    assert!(text.contains(line), "{text}");
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
        render(&status, &View::default()),
        "forebay 0.1.0, node n1, spool 00ff, up 1 min 1 s
ready
calls    0 received since this start: 0 stored, 0 repeats, 0 rejected; 0 delivered
waiting  nothing: everything is delivered
spool    0 B of 20 GB (0 %), 0 segments
"
    );
}

#[test]
fn a_source_that_is_refused_says_why_and_what_to_do() {
    let why = "503 destination_full: nowhere accepts no objects; fix the bucket".to_owned();
    let refused = SourceStatus {
        id: "web".into(),
        refused: Some(Refused { code: "destination_full".into(), why }),
        requests_refused: 1_234,
        ..SourceStatus::default()
    };
    let status = Status { ready: true, sources: vec![refused], ..Status::default() };
    let expected = "  REFUSED (1,234 requests since this start): 503 destination_full: nowhere accepts no objects; fix the \
                    bucket\n";
    let text = render(&status, &View::default());
    assert!(text.ends_with(expected), "{text}");
}
