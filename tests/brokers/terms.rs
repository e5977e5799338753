//! How terms begin and end on real brokers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

use forebay::kafka::begin::{Began, Term};
use forebay::kafka::create::Created;
use forebay::kafka::group::Member;
use forebay::partition::answer::TransactionError;
use forebay::partition::block::{BlockAt, CollectorId};
use forebay::partition::group::{Metadata, OwnerSays};
use forebay::partition::note::{Base, Covered, Note};
use forebay::partition::opening::Stop;
use forebay::time::UnixMillis;
use rdkafka::producer::Producer as _;

use crate::cluster::{cluster, cluster_alone};
use crate::partition::{Collector, Partition};
use crate::support::{CALL, delete_before, owner, send, until};

/// A note that can be told from others of its kind.
fn base(read_from: u64) -> Note {
    Note::Base(Box::new(Base { read_from, ..Base::default() }))
}

fn is_over(term: &Term) -> bool {
    term.lock.note(&[base(99)]) == Err(TransactionError::Fenced)
}

#[test]
fn a_partition_is_created_once_and_its_terms_follow_each_other() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    assert_eq!(partition.create(), Created::HasNotes);
    let first = partition.begin();
    assert_eq!(first.state.base.read_from, 1, "the first position");
    let noted = first.lock.note(&[base(5), base(7)]).unwrap();
    assert_eq!(noted[1].offset, noted[0].offset + 1);
    let wall = partition.clock.wall();
    assert!(noted.iter().all(|noted| noted.at.unwrap().0.abs_diff(wall.0) < 30_000), "{noted:?}");
    first.lock.note(&[base(8)]).unwrap();
    let second = partition.begin();
    assert_eq!(second.state.base.read_from, 8);
    assert!(is_over(&first));
    assert_eq!(partition.begin().state.base.read_from, 8, "what was refused is not there");
}

#[test]
fn a_cache_is_kept_only_if_no_other_term_stood_between() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let begin = |cache_of: Option<&str>| match partition.begin_with(None, cache_of) {
        Began::Live(term) => (term.state.term.clone().unwrap(), term.keeps_cache),
        other => panic!("{other:?}"),
    };
    let (first, kept) = begin(None);
    assert!(!kept);
    let (second, kept) = begin(Some(&first));
    assert!(kept);
    assert!(!begin(Some(&first)).1, "the second term stands between");
    assert!(!begin(Some(&second)).1);
}

/// The term of another process began while this one was about to note.
#[test]
fn a_transaction_that_is_open_when_the_lock_is_taken_does_not_count() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let first = partition.begin();
    first.lock.write(&[base(5)]).unwrap();
    let second = partition.begin();
    assert_eq!(first.lock.commit(), Err(TransactionError::Fenced));
    assert_eq!(second.state.base.read_from, 1);
    second.lock.note(&[base(6)]).unwrap();
    assert_eq!(partition.begin().state.base.read_from, 6);
}

/// The end that a reader sees is where a stranger's transaction began. What the owner before has noted since
/// then counts nevertheless.
#[test]
fn a_term_waits_for_its_own_note_and_reads_what_stands_before_it() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let first = partition.begin();
    let stranger = owner(&cluster, &format!("{}-stranger", partition.settings.name), "60000");
    stranger.begin_transaction().unwrap();
    send(&stranger, &partition.settings.notes_topic, "no note").unwrap();
    first.lock.note(&[base(5)]).unwrap();
    let (sender, begun) = mpsc::channel();
    let begins = partition.clone();
    let thread = std::thread::spawn(move || sender.send(begins.begin().state.base.read_from).unwrap());
    assert!(begun.recv_timeout(Duration::from_secs(4)).is_err(), "it began without having read its note");
    stranger.abort_transaction(CALL).unwrap();
    assert_eq!(begun.recv_timeout(CALL), Ok(5));
    thread.join().unwrap();
}

#[test]
fn a_commit_without_an_answer_ends_the_term_and_the_next_one_reads_whether_it_counts() {
    let Some(cluster) = cluster_alone() else { return };
    let mut partition = Partition::make(&cluster, &[]);
    partition.settings.transaction_timeout = Duration::from_secs(4);
    let first = partition.begin();
    first.lock.write(&[base(5)]).unwrap();
    (1..=3).for_each(|id| cluster.stop(id));
    let answer = first.lock.commit();
    (1..=3).for_each(|id| cluster.wake(id));
    assert_eq!(answer, Err(TransactionError::Retriable), "the library would repeat it");
    drop(first);
    let read = partition.begin().state.base.read_from;
    // Either is right; what matters is that the next term agrees with every later one.
    assert!([1, 5].contains(&read), "{read}");
    assert_eq!(partition.begin().state.base.read_from, read);
}

#[test]
fn notes_that_are_gone_stop_the_partition() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let noted = partition.begin().lock.note(&[base(5)]).unwrap();
    let metadata = |base_at| {
        Some(Metadata { log_id: "0123456789abcdef".repeat(2), base_at: Some(base_at), ..Metadata::default() })
    };
    let at = noted[0].offset;
    assert!(matches!(partition.begin_with(metadata(at), None), Began::Live(_)));
    assert!(matches!(partition.begin_with(metadata(at + 1), None), Began::Stopped(Stop::NotesCut)));
}

#[test]
fn another_name_does_not_take_the_lock() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let term = partition.begin();
    let mut other = partition.clone();
    other.settings.name = "other".into();
    assert!(matches!(other.begin_with(None, None), Began::Stopped(Stop::OtherName { .. })));
    term.lock.note(&[base(5)]).unwrap();
}

#[test]
fn a_log_that_was_cut_stops_the_partition_and_one_that_retention_cut_does_not() {
    let Some(cluster) = cluster() else { return };
    let at = UnixMillis(1_700_000_000_000);
    // A partition with three blocks, of which the notes name one that `change` makes of the last.
    let covers = |change: fn(BlockAt) -> BlockAt| {
        let partition = Partition::make(&cluster, &[]);
        let mut collector = Collector::new(&cluster, &partition, 1);
        let blocks: Vec<BlockAt> = (0..3).map(|_| collector.send("web", &["a"], at)).collect();
        let covered = Covered { last: Some(change(blocks[2])), copies: Vec::new() };
        partition.begin().lock.note(&[Note::Covered(covered)]).unwrap();
        partition
    };
    let is_cut = |partition: &Partition, at: u64| {
        let began = partition.begin_with(None, None);
        assert!(matches!(began, Began::Stopped(Stop::LogCut(offset)) if offset == at), "{began:?}");
    };
    let whole = covers(|block| block);
    drop(whole.begin());
    delete_before(&cluster, &whole.settings.topic, 3);
    drop(whole.begin());
    let of_another = covers(|block| BlockAt { collector: CollectorId(2), ..block });
    is_cut(&of_another, 2);
    delete_before(&cluster, &of_another.settings.topic, 3);
    is_cut(&of_another, 2);
    // What comes in behind the end is new, not only what comes where the block stood.
    is_cut(&covers(|block| BlockAt { offset: 7, ..block }), 3);
}

#[test]
fn members_share_the_partitions_and_say_what_the_next_owner_reads() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut first = Member::join(&partition.settings, None).unwrap();
    until("the partition", CALL, || {
        (first.turn(Duration::from_millis(100)) == BTreeSet::from([0])).then_some(())
    });
    assert_eq!(first.offsets().told(0).unwrap(), None);
    let metadata = Metadata {
        log_id: "0123456789abcdef".repeat(2),
        base_at: Some(7),
        refuses_all: true,
        refused: vec!["12345678".into()],
        owner: Some(OwnerSays {
            host: "writer-1".into(),
            at: UnixMillis(1_700_000_000_123),
            ..OwnerSays::default()
        }),
    };
    first.offsets().tell(&BTreeMap::from([(0, (5, metadata.clone()))])).unwrap();
    until("what was told", CALL, || {
        first.turn(Duration::from_millis(50));
        (first.offsets().told(0).unwrap() == Some((5, metadata.clone()))).then_some(())
    });
    drop(first);
    let mut second = Member::join(&partition.settings, None).unwrap();
    until("the partition to move", CALL * 2, || {
        (second.turn(Duration::from_millis(100)) == BTreeSet::from([0])).then_some(())
    });
    assert_eq!(second.offsets().told(0).unwrap(), Some((5, metadata)));
}
