//! What the design of partitions takes for granted of Kafka and of its client. A release that changes one of
//! these facts fails here, beside the fact's name, before it loses anything.
//!
//! None of these tests uses a line of the program.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use crate::cluster::{Cluster, cluster, cluster_alone};
use crate::support::{
    CALL, commit, committed, delete_before, has_leaders, make_anew, make_topic, next, owner, producer,
    reader, send, unique, until, values,
};

const NO_RECORDS: [&str; 0] = [];

fn is_end(found: &Result<(i64, String), KafkaError>) -> bool {
    matches!(found, Err(KafkaError::PartitionEOF(_)))
}

fn is_reset(found: &Result<(i64, String), KafkaError>) -> bool {
    matches!(found, Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)))
}

/// The code of a refused call, and whether the library says that the call can be repeated.
fn refusal(answer: Result<(), KafkaError>) -> (RDKafkaErrorCode, bool) {
    match answer.unwrap_err() {
        KafkaError::Transaction(error) => (error.code(), error.is_retriable()),
        error => (error.rdkafka_error_code().unwrap(), false),
    }
}

/// The lock: whoever takes a transactional id last is the owner, and the brokers refuse the one before.
#[test]
fn who_takes_a_transactional_id_fences_the_owner_before_and_aborts_its_transaction() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("fence");
    make_topic(&cluster, &topic, 1, &[]);
    let first = owner(&cluster, &topic, "60000");
    commit(&first, &topic, &["counts"]).unwrap();
    first.begin_transaction().unwrap();
    send(&first, &topic, "open").unwrap();
    let second = owner(&cluster, &topic, "60000");
    commit(&second, &topic, &["of the second"]).unwrap();
    let (code, repeats) = refusal(first.commit_transaction(CALL));
    assert_eq!((code, repeats), (RDKafkaErrorCode::Fenced, false));
    assert_eq!(refusal(first.begin_transaction()).0, RDKafkaErrorCode::Fenced);
    assert_eq!(values(&cluster, &topic), ["counts", "of the second"]);
}

/// An owner that had nothing open when it lost the id finds out at its next note.
#[test]
fn an_owner_that_was_idle_is_refused_too() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("idle");
    make_topic(&cluster, &topic, 1, &[]);
    let first = owner(&cluster, &topic, "60000");
    let second = owner(&cluster, &topic, "60000");
    assert!(commit(&first, &topic, &["late"]).is_err());
    commit(&second, &topic, &["in time"]).unwrap();
    assert_eq!(values(&cluster, &topic), ["in time"]);
}

/// Offsets decide nothing because of this: a live member that has lost a partition can still commit for it.
fn a_group_accepts_commits_of_who_lost_the_partition(settings: &[(&str, &str)]) {
    let Some(cluster) = cluster() else { return };
    let topic = unique("group");
    make_topic(&cluster, &topic, 2, &[]);
    let member = || {
        let mut config = cluster.config();
        config.set("group.id", &topic).set("enable.auto.commit", "false").set("auto.offset.reset", "error");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let member: BaseConsumer = config.create().unwrap();
        member.subscribe(&[&topic]).unwrap();
        member
    };
    let has = |member: &BaseConsumer| -> Vec<i32> {
        let assigned = member.assignment().unwrap();
        assigned
            .elements()
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition)
            .collect()
    };
    let turn = |member: &BaseConsumer| drop(member.poll(Duration::from_millis(20)));
    let loser = member();
    until("both partitions", CALL, || {
        turn(&loser);
        (has(&loser).len() == 2).then_some(())
    });
    let winner = member();
    let moved = until("one of them to move", CALL, || {
        turn(&loser);
        turn(&winner);
        let (kept, won) = (has(&loser), has(&winner));
        (kept.len() == 1 && won.len() == 1 && kept != won).then(|| won[0])
    });
    let commit = |member: &BaseConsumer, offset| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, moved, Offset::Offset(offset)).unwrap();
        member.commit(&list, CommitMode::Sync)
    };
    commit(&winner, 7).unwrap();
    commit(&loser, 3).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(&topic, moved);
    let stands = winner.committed_offsets(list, CALL).unwrap();
    assert_eq!(stands.elements()[0].offset(), Offset::Offset(3), "the loser's commit replaced the owner's");
}

#[test]
fn a_group_accepts_the_commit_of_a_member_that_lost_the_partition_eager() {
    a_group_accepts_commits_of_who_lost_the_partition(&[("partition.assignment.strategy", "range")]);
}

#[test]
fn a_group_accepts_the_commit_of_a_member_that_lost_the_partition_cooperative() {
    a_group_accepts_commits_of_who_lost_the_partition(&[(
        "partition.assignment.strategy",
        "cooperative-sticky",
    )]);
}

#[test]
fn a_group_accepts_the_commit_of_a_member_that_lost_the_partition_new_protocol() {
    a_group_accepts_commits_of_who_lost_the_partition(&[("group.protocol", "consumer")]);
}

/// Collectors and new owners read what the last owner said there.
#[test]
fn offsets_and_their_metadata_are_committed_and_read_without_joining() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("metadata");
    make_topic(&cluster, &topic, 1, &[]);
    let stranger = || {
        let mut config = cluster.config();
        config.set("group.id", &topic).set("enable.auto.commit", "false");
        let stranger: BaseConsumer = config.create().unwrap();
        stranger
    };
    let mut list = TopicPartitionList::new();
    let said = "x".repeat(4_096);
    let mut partition = list.add_partition(&topic, 0);
    partition.set_offset(Offset::Offset(5)).unwrap();
    partition.set_metadata(said.as_str());
    stranger().commit(&list, CommitMode::Sync).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(&topic, 0);
    let found = stranger().committed_offsets(list, CALL).unwrap();
    assert_eq!(found.elements()[0].metadata(), said);
}

/// Why a term reads the notes until its own and not to their end: the end for committed records is where the
/// oldest open transaction began, and what others have committed after it is not seen.
#[test]
fn the_end_for_committed_records_trails_what_is_acknowledged() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("trails");
    make_topic(&cluster, &topic, 1, &[]);
    let slow = owner(&cluster, &format!("{topic}-slow"), "60000");
    slow.begin_transaction().unwrap();
    send(&slow, &topic, "open").unwrap();
    let quick = owner(&cluster, &format!("{topic}-quick"), "60000");
    commit(&quick, &topic, &["acknowledged"]).unwrap();
    assert_eq!(values(&cluster, &topic), NO_RECORDS);
    slow.abort_transaction(CALL).unwrap();
    until("the end to move", CALL, || (values(&cluster, &topic) == ["acknowledged"]).then_some(()));
}

/// Positions come from offsets, so gaps are allowed: markers and aborted records take offsets.
#[test]
fn offsets_of_committed_records_have_gaps() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("gaps");
    make_topic(&cluster, &topic, 1, &[]);
    let owner = owner(&cluster, &topic, "60000");
    commit(&owner, &topic, &["a", "b"]).unwrap();
    owner.begin_transaction().unwrap();
    send(&owner, &topic, "aborted").unwrap();
    owner.abort_transaction(CALL).unwrap();
    commit(&owner, &topic, &["c"]).unwrap();
    let found = until("the last marker", CALL, || {
        let found = committed(&cluster, &topic, Offset::Beginning);
        (found.len() == 3).then_some(found)
    });
    let record = |offset, value: &str| (offset, value.to_owned());
    assert_eq!(found, [record(0, "a"), record(1, "b"), record(5, "c")]);
}

/// Records of the log are not transactional: each stands at the offset that its report named, without gaps.
#[test]
fn reports_of_records_name_successive_offsets() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("reports");
    make_topic(&cluster, &topic, 1, &[]);
    let producer = producer(&cluster, &[("enable.idempotence", "true"), ("message.timeout.ms", "0")]);
    let offsets: Vec<i64> =
        ["a", "b", "c"].iter().map(|value| send(&producer, &topic, value).unwrap()).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!(values(&cluster, &topic), ["a", "b", "c"]);
}

/// A process that stops between two calls of a transaction: the brokers abort it, and the process is refused.
#[test]
fn a_transaction_that_is_open_for_too_long_is_aborted_and_its_owner_refused() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("too-long");
    make_topic(&cluster, &topic, 1, &[]);
    let slow = owner(&cluster, &topic, "1500");
    slow.begin_transaction().unwrap();
    send(&slow, &topic, "too late").unwrap();
    let reader = reader(&cluster, &topic, Offset::Beginning, &[]);
    // The marker of the abort is the second record.
    until("the brokers to abort it", CALL, || {
        assert!(is_end(&next(&reader)));
        let (_, end) = reader.fetch_watermarks(&topic, 0, CALL).unwrap();
        (end == 2).then_some(())
    });
    let (_, repeats) = refusal(slow.commit_transaction(CALL));
    assert!(!repeats);
    assert_eq!(values(&cluster, &topic), NO_RECORDS);
}

/// Nothing but success is an answer: a commit that was not answered may count, whatever the library said.
#[test]
fn a_commit_without_an_answer_may_count() {
    let Some(cluster) = cluster_alone() else { return };
    let topic = unique("unknown");
    make_topic(&cluster, &topic, 1, &[]);
    let owner = owner(&cluster, &topic, "60000");
    commit(&owner, &topic, &["first"]).unwrap();
    owner.begin_transaction().unwrap();
    send(&owner, &topic, "unknown").unwrap();
    (1..=3).for_each(|id| cluster.stop(id));
    let (code, repeats) = refusal(owner.commit_transaction(Duration::from_secs(2)));
    (1..=3).for_each(|id| cluster.wake(id));
    assert_eq!((code, repeats), (RDKafkaErrorCode::OperationTimedOut, true));
    // The process ends without having asked again.
    drop(owner);
    has_leaders(&cluster, &topic, 1);
    until("the commit", CALL, || (values(&cluster, &topic) == ["first", "unknown"]).then_some(()));
}

/// A reader that finds its records gone says so, and goes on nowhere.
#[test]
fn a_reader_before_the_start_or_after_the_end_of_the_log_reports_it_and_does_not_move() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("start");
    make_topic(&cluster, &topic, 1, &[]);
    let producer = producer(&cluster, &[]);
    for value in ["a", "b", "c", "d"] {
        send(&producer, &topic, value).unwrap();
    }
    delete_before(&cluster, &topic, 2);
    let at = |offset| reader(&cluster, &topic, Offset::Offset(offset), &[]);
    let before = at(1);
    assert!(is_reset(&next(&before)));
    assert!(before.poll(Duration::from_secs(2)).is_none(), "it does not go on by itself");
    assert_eq!(next(&at(2)).unwrap(), (2, "c".to_owned()));
    assert!(is_end(&next(&at(4))), "the end itself is no error");
    assert!(is_reset(&next(&at(5))));
    assert_eq!(before.fetch_watermarks(&topic, 0, CALL).unwrap(), (2, 4));
}

/// The offset in the group stays where it was, however far the log's start has moved.
#[test]
fn retention_moves_the_start_of_the_log_and_no_offset_of_a_group() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("retention");
    let settings =
        [("retention.ms", "1000"), ("segment.bytes", "1048576"), ("message.timestamp.type", "LogAppendTime")];
    make_topic(&cluster, &topic, 1, &settings);
    let producer = producer(&cluster, &[]);
    let of_group = reader(&cluster, &topic, Offset::Beginning, &[("group.id", &topic)]);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(1)).unwrap();
    of_group.commit(&list, CommitMode::Sync).unwrap();
    let value = "x".repeat(600_000);
    for _ in 0..4 {
        send(&producer, &topic, &value).unwrap();
    }
    until("the start to move", CALL * 2, || {
        let (start, _) = of_group.fetch_watermarks(&topic, 0, CALL).ok()?;
        (start > 1).then_some(())
    });
    assert!(is_reset(&next(&reader(&cluster, &topic, Offset::Offset(1), &[]))));
    let stands = of_group.committed_offsets(list, CALL).unwrap();
    assert_eq!(stands.elements()[0].offset(), Offset::Offset(1));
}

/// Why an owner compares the block that its notes name: a reader does not notice that a log was made anew.
#[test]
fn a_reader_does_not_notice_that_a_topic_was_made_anew_if_the_new_one_is_long_enough() {
    let Some(cluster) = cluster() else { return };
    let topic = unique("anew");
    make_topic(&cluster, &topic, 1, &[]);
    let fill = |what: &str| {
        let producer = producer(&cluster, &[]);
        for n in 0..4 {
            send(&producer, &topic, &format!("{what} {n}")).unwrap();
        }
    };
    fill("old");
    make_anew(&cluster, &topic);
    let shorter = reader(&cluster, &topic, Offset::Offset(2), &[]);
    assert!(is_reset(&next(&shorter)), "an empty one is noticed");
    fill("new");
    let found = next(&reader(&cluster, &topic, Offset::Offset(2), &[]));
    assert_eq!(found.unwrap(), (2, "new 2".to_owned()));
}

/// A produce during the loss of a leader: with no time-out of its own, nothing is lost and nothing doubled.
#[test]
fn no_acknowledged_record_is_lost_or_doubled_when_the_leader_is_killed() {
    let Some(mut cluster) = cluster_alone() else { return };
    let topic = unique("leader");
    make_topic(&cluster, &topic, 1, &[]);
    let of_log = [("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", "0")];
    let producer = producer(&cluster, &of_log);
    let mut acknowledged = Vec::new();
    for n in 0..300 {
        if n == 100 {
            let leader = crate::support::leader(&cluster, &topic, 0);
            cluster.kill(leader);
        }
        let value = format!("record {n}");
        // As a collector: one is in flight.
        send(&producer, &topic, &value).unwrap();
        acknowledged.push(value);
    }
    assert_eq!(values(&cluster, &topic), acknowledged);
    cluster.make_whole();
}

/// Without a quorum of copies nothing is acknowledged, and nothing that was is gone afterwards.
fn stopped_copies(cluster: &Cluster, topic: &str) -> Vec<usize> {
    let leader = crate::support::leader(cluster, topic, 0);
    (1..=3).filter(|id| *id != leader).collect()
}

#[test]
fn a_record_is_not_acknowledged_while_two_of_three_copies_are_stopped() {
    let Some(cluster) = cluster_alone() else { return };
    let topic = unique("copies");
    make_topic(&cluster, &topic, 1, &[]);
    let producer = producer(&cluster, &[("enable.idempotence", "true"), ("message.timeout.ms", "0")]);
    send(&producer, &topic, "before").unwrap();
    let stopped = stopped_copies(&cluster, &topic);
    stopped.iter().for_each(|id| cluster.stop(*id));
    let record = rdkafka::producer::BaseRecord::<(), str>::to(&topic).partition(0).payload("meanwhile");
    producer.send(record).unwrap();
    for _ in 0..40 {
        producer.poll(Duration::from_millis(100));
        assert!(producer.context().take().is_empty());
    }
    stopped.iter().for_each(|id| cluster.wake(*id));
    let report = until("the report", CALL * 2, || {
        producer.poll(Duration::from_millis(50));
        producer.context().take().pop()
    });
    assert_eq!(report, Ok(1));
    assert_eq!(values(&cluster, &topic), ["before", "meanwhile"]);
}
