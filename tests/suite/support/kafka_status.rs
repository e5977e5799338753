//! Statuses of processes with a log over Kafka, as tests of their texts and of the console need them.

use forebay::admin::{
    Alarm, ElsewhereStatus, KafkaCacheStatus, KafkaStatus, LedgerCounts, LedgerStatus, PartitionStatus,
    PinStatus, SendingStatus, SourceStatus, Status, Totals,
};

pub(crate) const NOW_MS: i64 = 1_700_000_000_000;
const GB: u64 = 1_000_000_000;

fn process(kafka: KafkaStatus) -> Status {
    Status {
        version: "0.9.0".into(),
        now_ms: NOW_MS,
        uptime_seconds: 7_505,
        node: "lake".into(),
        ready: true,
        kafka: Some(KafkaStatus {
            topic: "lake-calls".into(),
            group: "lake-writers".into(),
            log_id: Some("00ff".into()),
            partitions: Some(12),
            retention_seconds: Some(7 * 86_400),
            ..kafka
        }),
        ..Status::default()
    }
}

/// A collector of one source.
pub(crate) fn collector(sending: SendingStatus) -> Status {
    let kafka = KafkaStatus { role: "collector".into(), sending: Some(sending), ..KafkaStatus::default() };
    let totals = Totals { received: 12_345, stored: 12_300, rejected: 45, ..Totals::default() };
    let web = SourceStatus { id: "web".into(), totals, ..SourceStatus::default() };
    Status { totals, sources: vec![web], ..process(kafka) }
}

/// What a collector sends while two of its partitions are silent.
pub(crate) fn silent() -> SendingStatus {
    SendingStatus {
        waiting_bytes: 1_200_000,
        silent: vec![3, 7],
        blocks: 1_234,
        unknown: 12,
        refused: 1,
        producers_failed: 2,
    }
}

/// A partition that is read to its end, with a batch that waits.
pub(crate) fn partition(partition: u32, standing: &str) -> PartitionStatus {
    PartitionStatus {
        partition,
        standing: standing.into(),
        terms: 1,
        read_offset: 900,
        end_offset: Some(900),
        time_left_seconds: Some(6 * 86_400 + 23 * 3_600),
        cache_used_bytes: 1_200_000_000,
        cache_max_bytes: 10 * GB,
        window_seconds: Some(32),
        pinned_by: Some(PinStatus {
            source: "web".into(),
            since_ms: NOW_MS - 720_000,
            waits_for: "age or size".into(),
        }),
        ..PartitionStatus::default()
    }
}

/// A partition of another process, as it told the group so many seconds ago.
pub(crate) fn elsewhere(partition: u32, ago: i64) -> ElsewhereStatus {
    ElsewhereStatus {
        partition,
        owner: Some("writer-2".into()),
        told_ms: Some(NOW_MS - ago * 1_000),
        lag_seconds: Some(3),
        time_left_seconds: Some(6 * 86_400),
        pinned_by: Some(PinStatus { source: "tv".into(), since_ms: NOW_MS - 65_000, ..PinStatus::default() }),
    }
}

/// A writer that has these partitions.
pub(crate) fn writer(owned: Vec<PartitionStatus>) -> Status {
    let cache = KafkaCacheStatus { used_bytes: 6 * GB, max_bytes: 50 * GB, objects_an_hour: Some(6) };
    let kafka = KafkaStatus { role: "writer".into(), cache: Some(cache), owned, ..KafkaStatus::default() };
    let totals = Totals { delivered: 10_000, ..Totals::default() };
    let web =
        SourceStatus { id: "web".into(), totals, bucket: "lake-events".into(), ..SourceStatus::default() };
    Status { totals, sources: vec![web], ..process(kafka) }
}

/// A writer with a partition in each kind of trouble.
pub(crate) fn troubled_writer() -> Status {
    let stopped = PartitionStatus {
        why: Some("the log was cut at offset 812: make a new log".into()),
        time_left_seconds: None,
        pinned_by: None,
        ..partition(4, "stopped")
    };
    let waits = PartitionStatus {
        why: Some("a transaction hangs in its notes: end it with kafka-transactions.sh abort".into()),
        ..partition(5, "waits")
    };
    let behind = PartitionStatus {
        terms: 3,
        ended: 2,
        end_offset: Some(49_100),
        lag_seconds: 192,
        time_left_seconds: Some(5 * 3_600),
        time_is_short: true,
        pinned_by: Some(PinStatus {
            source: "ios".into(),
            since_ms: NOW_MS - 500_000_000,
            waits_for: "its bucket refuses".into(),
        }),
        left_objects: 17,
        cut_early: 3,
        second_copies: 2,
        late: 1,
        without_bucket: vec!["new-app".into()],
        ..partition(6, "delivers")
    };
    let alarm = Alarm {
        kind: "refusing".into(),
        subject: "retention of partition 6".into(),
        what: "retention of partition 6: the log deletes calls".into(),
        since_ms: NOW_MS - 61_000,
    };
    let totals =
        LedgerCounts { received: 10, stored: 10, delivered: 8, pending: 2, ..LedgerCounts::default() };
    let ledger = LedgerStatus { balanced: true, totals, ..LedgerStatus::default() };
    Status {
        oldest_undelivered_seconds: Some(500_000),
        open_batches: 2,
        alarms: vec![alarm],
        ledger: Some(ledger),
        ..writer(vec![partition(0, "begins"), stopped, waits, behind])
    }
}
