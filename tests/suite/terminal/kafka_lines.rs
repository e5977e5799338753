//! The lines of `forebay status` for a process with a log over Kafka.

use forebay::admin::{ElsewhereStatus, History, SendingStatus, Status};
use forebay::admin_client::activity::Activity;
use forebay::cli::status::render::{View, lines, render};
use forebay::words::columns;

use crate::support::kafka_status::{
    NOW_MS, collector, elsewhere, partition, silent, troubled_writer, writer,
};

#[test]
fn a_collector_says_what_it_sends_and_nothing_of_a_disk() {
    let quiet = collector(SendingStatus { blocks: 1_234, ..SendingStatus::default() });
    assert_eq!(
        render(&quiet, &View::default()),
        "forebay 0.9.0, collector lake, log 00ff, up 2 h 5 min
ready
calls    12,345 received since this start: 12,300 stored, 45 rejected; writers find the repeats
log      topic lake-calls, 12 partitions, kept for 7 d
sending  nothing waits for the brokers; 1,234 blocks acknowledged since this start

source  received  stored  rejected
web       12,345  12,300        45
"
    );

    let mut troubled = collector(silent());
    troubled.ready = false;
    let kafka = troubled.kafka.as_mut().unwrap();
    (kafka.partitions, kafka.retention_seconds, kafka.log_id) = (None, None, None);
    assert_eq!(
        render(&Status { sources: Vec::new(), ..troubled }, &View::default()),
        "forebay 0.9.0, collector lake, log not known yet, up 2 h 5 min
NOT READY
calls    12,345 received since this start: 12,300 stored, 45 rejected; writers find the repeats
log      topic lake-calls; no broker has said yet how many partitions it has
sending  1.2 MB wait for the brokers; 1,234 blocks acknowledged since this start
  SILENT: no broker acknowledges blocks of partitions 3, 7, so their calls are answered 503: check that brokers run, \
and that min.insync.replicas of them have each partition
503      12 requests without an answer of the brokers, which may be stored, and 1 request of which nothing was sent, \
since this start; clients send them again
client   replaced 2 times since this start, after errors of the brokers
"
    );
}

#[test]
fn a_writer_says_what_each_partition_waits_for() {
    let well = writer(vec![partition(0, "delivers"), partition(3, "delivers")]);
    assert_eq!(
        render(&Status { sources: Vec::new(), ..well }, &View::default()),
        "forebay 0.9.0, writer lake, log 00ff, up 2 h 5 min
ready
calls    10,000 delivered since this start
waiting  nothing: everything that is read is delivered
log      topic lake-calls, group lake-writers, 12 partitions, of which 2 are here, kept for 7 d
lag      none: these partitions are read to their ends
cache    6 GB of 50 GB (12 %); small sources get 6 objects an hour
kept     everything that is needed for 6 d 23 h more (partition 0 is the first to lose calls)
repeats  found if they come within 32 s, the shortest time (partition 0)

partition  state     terms  lag  time left  cache            left  pinned by
        0  delivers  1        -  6 d 23 h   1.2 GB of 10 GB     0  web for 12 min: age or size
        3  delivers  1        -  6 d 23 h   1.2 GB of 10 GB     0  web for 12 min: age or size
"
    );
}

#[test]
fn owners_elsewhere_are_named_by_collectors_and_writers() {
    let nobody = ElsewhereStatus { partition: 2, ..ElsewhereStatus::default() };
    let others = vec![elsewhere(1, 4), nobody, elsewhere(5, 120)];
    let mut writer = writer(vec![partition(0, "delivers")]);
    let kafka = writer.kafka.as_mut().unwrap();
    (kafka.elsewhere, kafka.heard_ms) = (others.clone(), Some(NOW_MS));
    let shown = render(&Status { sources: Vec::new(), ..writer }, &View::default());
    let table = "
partition  state        terms  lag  time left  cache            left  pinned by
        0  delivers     1        -  6 d 23 h   1.2 GB of 10 GB     0  web for 12 min: age or size
        1  on writer-2  -      3 s  6 d        -                   -  tv for 1 min 5 s
        2  no owner     -        -  -          -                   -  -
        5  silent       -      3 s  6 d        -                   -  tv for 1 min 5 s
  SILENT: writer-2 had it, and has said nothing of it for 2 min: look at the status of all writers, for one may have stopped it; if none has it, start one
";
    assert!(shown.ends_with(table), "{shown}");
    let mut collector = collector(SendingStatus::default());
    collector.kafka.as_mut().unwrap().elsewhere = others;
    let shown = render(&collector, &View::default());
    assert!(shown.contains("\n        1  on writer-2  -      3 s"), "{shown}");
}

/// It receives no calls, so there is no rate of them.
#[test]
fn sources_of_a_writer_have_what_waits() {
    let history = History { received: [1.0, 2.0].into(), ..History::default() };
    let history: Activity = serde_json::from_value(serde_json::to_value(history).unwrap()).unwrap();
    let activity = Activity::of_history(history);
    let view = View { activity: activity.as_ref(), ..View::default() };
    let text = render(&writer(Vec::new()), &view);
    let sources =
        "\n\nsource  delivered  waiting  oldest  last object\nweb        10,000        0  -       none yet\n";
    assert!(text.ends_with(sources) && text.contains("\ncalls    10,000 delivered"), "{text}");
}

#[test]
fn what_is_wrong_with_a_partition_stands_below_it_with_what_to_do() {
    let status = Status { sources: Vec::new(), ..troubled_writer() };
    assert_eq!(
        render(&status, &View::default()),
        "forebay 0.9.0, writer lake, log 00ff, up 2 h 5 min
ready
ALARM refusing for 1 min 1 s: retention of partition 6: the log deletes calls
calls    10,000 delivered since this start
waiting  0 calls in 2 batches, the oldest for 5 d 18 h
log      topic lake-calls, group lake-writers, 12 partitions, of which 4 are here, 1 begins, 1 waits, 1 is stopped, kept for 7 d
lag      48,200 records to be read, the oldest for 3 min 12 s
cache    6 GB of 50 GB (12 %); small sources get 6 objects an hour
early    3 batches were cut because the cache was full to 70 %; for fewer and larger objects, raise kafka.cache_bytes
left     17 objects wait in the log for buckets that refuse them; they are built and put once the buckets take them
kept     everything that is needed for 5 h more (partition 6 is the first to lose calls)
repeats  found if they come within 32 s, the shortest time (partition 0)
late     1 call came after the end of its day, and counts for the next one
twice    2 blocks stand in the log twice; each counts once
ledger   in the partitions that are here, since the log was made: 10 received = 10 stored + 0 rejected + 0 repeated; \
10 stored = 8 delivered + 2 pending + 0 lost: balanced

partition  state     terms                       lag  time left  cache            left  pinned by
        0  begins    1                             -  6 d 23 h   1.2 GB of 10 GB     0  web for 12 min: age or size
        4  stopped   1                             -  -          1.2 GB of 10 GB     0  -
  STOPPED: the log was cut at offset 812: make a new log
        5  waits     1                             -  6 d 23 h   1.2 GB of 10 GB     0  web for 12 min: age or size
  WAITS: a transaction hangs in its notes: end it with kafka-transactions.sh abort
        6  delivers  3 (2 ended)  48,200, 3 min 12 s  5 h        1.2 GB of 10 GB    17  ios for 5 d 18 h: its bucket refuses
  TIME SHORT: in 5 h Kafka deletes calls that are not delivered yet: fix what pins the partition, or raise retention.ms of lake-calls
  waits for: a configuration of new-app: add each to all writers, or its calls fill the cache
"
    );
    // On a screen, rows are cut and texts are wrapped.
    let view = View { columns: Some(80), rows: Some(24), ..View::default() };
    let shown = lines(&status, &view);
    assert!(shown.iter().all(|line| columns(line) <= 80), "{shown:#?}");
}

#[test]
fn a_screen_has_a_few_of_many_partitions() {
    let owned = (0..40).map(|one| partition(one, "delivers")).collect();
    let status = Status { sources: Vec::new(), ..writer(owned) };
    let view = View { columns: Some(120), rows: Some(40), ..View::default() };
    let shown = lines(&status, &view);
    assert_eq!(shown.last().unwrap(), "and 28 more partitions: --all or --json", "{shown:#?}");
    let all = lines(&status, &View { rows: None, ..view });
    assert!(all.last().unwrap().trim_start().starts_with("39 "), "{all:#?}");
}
