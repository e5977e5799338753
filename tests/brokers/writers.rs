//! Writers on real brokers: what was acknowledged is in the store once, whoever takes over and when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::disk::real_disk::RealDisk;
use forebay::kafka::begin::{Began, Term};
use forebay::kafka::cache::CacheDeps;
use forebay::kafka::owner::{End, Kept, Looked, Owner};
use forebay::kafka::records::Records;
use forebay::kafka::settings::Sees;
use forebay::kafka::trim::delete_notes_before;
use forebay::log::{Parked, Seal};
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, S3Location};
use forebay::partition::answer::TransactionError;
use forebay::partition::days::GRACE;
use forebay::partition::opening::Stop;
use forebay::partition::position::{before, position};
use forebay::runtime::SystemRandom;
use forebay::time::UnixMillis;
use rdkafka::admin::AdminOptions;
use tempfile::TempDir;

use crate::cluster::{Cluster, cluster, cluster_alone};
use crate::partition::{Collector, Partition};
use crate::support::{CALL, admin, delete_before, until, wait_for};

/// Bytes of an object's lines.
const OBJECT: u64 = 1_000_000;

/// A store that keeps what it has.
#[derive(Debug, Default)]
struct Store(Mutex<BTreeMap<String, Vec<String>>>);

impl Store {
    /// Whether the store has exactly this object now.
    fn put(&self, key: &str, lines: &[String]) -> bool {
        let mut objects = self.0.lock().unwrap();
        objects.entry(key.to_owned()).or_insert_with(|| lines.to_vec()) == lines
    }

    /// The calls of all objects, in the order of their keys.
    fn calls(&self) -> Vec<String> {
        let objects = self.0.lock().unwrap();
        let id = |line: &String| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["messageId"].as_str().unwrap().to_owned()
        };
        objects.values().flatten().map(id).collect()
    }

    fn objects(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// A writer that owns the partition, and its disk.
#[derive(Debug)]
struct Writer {
    owner: Owner,
    partition: Partition,
    folder: Arc<TempDir>,
}

impl Writer {
    fn of(partition: &Partition, term: Term, kept: Option<(Kept, Arc<TempDir>)>) -> Self {
        Self::with_cache(partition, term, kept, 150_000_000)
    }

    fn with_cache(
        partition: &Partition,
        term: Term,
        kept: Option<(Kept, Arc<TempDir>)>,
        max_bytes: u64,
    ) -> Self {
        let (kept, folder) = kept.map_or_else(
            || (None, Arc::new(tempfile::tempdir().unwrap())),
            |(kept, folder)| (Some(kept), folder),
        );
        let deps = || CacheDeps {
            disk: Arc::new(RealDisk::open(folder.path()).unwrap()),
            max_bytes,
            clock: Arc::clone(&partition.clock),
            random: Arc::new(SystemRandom),
            metrics: Arc::new(Metrics::new()),
        };
        let owner = Owner::new(&partition.settings, term, kept, deps).unwrap();
        Self { owner, partition: partition.clone(), folder }
    }

    fn begin(partition: &Partition) -> Self {
        Self::of(partition, partition.begin(), None)
    }

    /// Reads to the end of the log as it is now.
    fn read(&mut self) {
        let settings = &self.partition.settings;
        let log = Records::new(settings, &settings.topic, 0, Sees::All).unwrap();
        let (_, end) = log.bounds().unwrap();
        until("the end of the log", CALL, || {
            self.owner.read(Duration::from_millis(200)).unwrap();
            (self.owner.read_before() >= before(end)).then_some(())
        });
    }

    /// Seals every open batch.
    fn seal(&mut self) -> Result<Vec<Seal>, End> {
        let mut seals = Vec::new();
        for batch in self.owner.open() {
            let to = S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
            seals.extend(self.owner.seal(&batch.key, OBJECT, &to, "test")?);
        }
        Ok(seals)
    }

    /// The objects that wait.
    fn pending(&self) -> Vec<Seal> {
        self.owner.state().calls.seals.values().map(|pending| pending.seal.clone()).collect()
    }

    fn put(&self, seal: &Seal, store: &Store) {
        let mut lines = Vec::new();
        let mut keep = |line: &[u8]| lines.push(String::from_utf8(line.to_vec()).unwrap());
        assert!(self.owner.lines(seal.number, &mut keep).unwrap(), "its lines are those of the seal");
        assert!(store.put(seal.object_key.as_str(), &lines), "another object has this key");
    }

    /// Delivers everything that the log has.
    fn deliver(&mut self, store: &Store) {
        self.read();
        loop {
            self.seal().unwrap();
            let pending = self.pending();
            if pending.is_empty() {
                return;
            }
            for seal in pending {
                self.put(&seal, store);
                self.owner.stored(seal.number).unwrap();
            }
        }
    }
}

fn is_over<T: std::fmt::Debug>(answer: Result<T, End>) -> bool {
    matches!(answer, Err(End::Over(TransactionError::Fenced | TransactionError::Unknown)))
}

/// A partition with some calls.
fn with_calls(cluster: &Cluster) -> (Partition, Collector, UnixMillis) {
    let partition = Partition::make(cluster, &[]);
    let mut collector = Collector::new(cluster, &partition, 1);
    let now = partition.clock.wall();
    collector.send("web", &["a", "b"], now);
    collector.send("web", &["c"], now);
    (partition, collector, now)
}

#[test]
fn calls_are_stored_once_repeats_and_second_copies_not() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    collector.send("web", &["d", "a"], now);
    collector.send_again("web", &["d", "a"], now);
    collector.send("ios", &["e"], now);
    let store = Store::default();
    let mut writer = Writer::begin(&partition);
    writer.deliver(&store);
    assert_eq!(store.calls(), ["e", "a", "b", "c", "d"]);
    assert!(writer.owner.base().unwrap());
    let state = writer.owner.state();
    assert_eq!(state.base.read_from, position(5, 1), "everything is released");
    assert_eq!(state.copies, [3].into());
    assert_eq!(state.calls.ledger_report().differences, []);
    // The next owner finds the repeat of a call that is delivered long ago.
    collector.send("web", &["b", "f"], now);
    let mut next = Writer::begin(&partition);
    next.deliver(&store);
    let mut calls = store.calls();
    calls.sort();
    assert_eq!(calls, ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn of_two_writers_that_contend_only_the_last_one_seals() {
    let Some(cluster) = cluster() else { return };
    let (partition, ..) = with_calls(&cluster);
    let store = Store::default();
    let mut first = Writer::begin(&partition);
    first.read();
    let mut second = Writer::begin(&partition);
    second.read();
    assert!(is_over(first.seal()));
    assert_eq!(first.pending(), [], "nothing may be put on the strength of it");
    second.deliver(&store);
    assert_eq!(store.calls(), ["a", "b", "c"]);
}

/// The first writer sleeps at one of the two places where it would do harm, another one takes over and
/// finishes, and the first one wakes.
fn sleeps(has_put: bool, offsets_are_deleted: bool) {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = Store::default();
    let mut first = Writer::begin(&partition);
    first.read();
    let seals = first.seal().unwrap();
    assert_eq!(seals.len(), 1);
    if has_put {
        first.put(&seals[0], &store);
    }
    collector.send("web", &["d"], now);
    if offsets_are_deleted {
        let reader = crate::support::reader(
            &cluster,
            &partition.settings.topic,
            rdkafka::Offset::Beginning,
            &[("group.id", &partition.settings.group)],
        );
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(&partition.settings.topic, 0, rdkafka::Offset::Offset(2)).unwrap();
        rdkafka::consumer::Consumer::commit(&reader, &list, rdkafka::consumer::CommitMode::Sync).unwrap();
        drop(reader);
        let groups = [partition.settings.group.as_str()];
        let deleted = wait_for(admin(&cluster).delete_groups(&groups, &AdminOptions::new())).unwrap();
        assert!(deleted[0].is_ok(), "{deleted:?}");
    }
    let mut second = Writer::begin(&partition);
    second.deliver(&store);
    assert_eq!(store.objects(), 2);
    // It wakes: the same object again, and no note.
    first.put(&seals[0], &store);
    assert!(is_over(first.owner.stored(seals[0].number)));
    assert_eq!((store.objects(), store.calls()), (2, ["a", "b", "c", "d"].map(str::to_owned).into()));
    assert_eq!(second.pending(), []);
}

#[test]
fn a_writer_that_sleeps_between_seal_and_put_makes_no_second_object() {
    sleeps(false, false);
}

#[test]
fn a_writer_that_sleeps_between_put_and_commit_makes_no_second_object() {
    sleeps(true, false);
}

#[test]
fn the_same_if_the_offsets_of_the_group_are_deleted() {
    sleeps(false, true);
    sleeps(true, true);
}

#[test]
fn a_writer_that_is_lost_with_its_disk_loses_and_doubles_nothing() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = Store::default();
    let mut expected: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    for round in 0..4 {
        let mut writer = Writer::begin(&partition);
        if round % 2 == 0 {
            writer.deliver(&store);
            writer.owner.base().unwrap();
        }
        let calls: Vec<String> = (0..20).map(|n| format!("call {round} {n}")).collect();
        // Each of them twice.
        for call in calls.chunks(4).flat_map(|some| [some, some]) {
            let call: Vec<&str> = call.iter().map(String::as_str).collect();
            collector.send("web", &call, now);
        }
        expected.extend(calls);
        writer.read();
        writer.seal().unwrap();
        // It dies here, sometimes after a put that it could not note.
        if round < 3 {
            writer.pending().iter().for_each(|seal| writer.put(seal, &store));
        }
    }
    let mut last = Writer::begin(&partition);
    last.deliver(&store);
    let (mut found, _) = (store.calls(), expected.sort());
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(last.owner.state().calls.ledger_report().differences, []);
}

/// The log has more than the cache has room for, and the store takes nothing at first.
#[test]
fn a_full_cache_pauses_reading_and_nothing_is_dropped() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let now = partition.clock.wall();
    let mut expected = Vec::new();
    for n in 0..100 {
        let calls: Vec<String> = (0..2).map(|one| format!("call {n:03} {one}")).collect();
        let source = if n % 10 == 0 { "ios" } else { "web" };
        collector.send_long(source, &calls.iter().map(String::as_str).collect::<Vec<_>>(), now, 400_000);
        expected.extend(calls);
    }
    let store = Store::default();
    let mut writer = Writer::with_cache(&partition, partition.begin(), None, 64_000_000);
    let mut pauses = 0;
    until("everything to be delivered", CALL * 3, || {
        match writer.owner.read(Duration::from_millis(100)).unwrap() {
            Looked::Full => {
                pauses += 1;
                assert!(writer.owner.is_under_pressure());
                writer.seal().unwrap();
                for seal in writer.pending() {
                    writer.put(&seal, &store);
                    writer.owner.stored(seal.number).unwrap();
                }
                None
            }
            _ => (writer.owner.read_before() >= before(100)).then_some(()),
        }
    });
    writer.deliver(&store);
    let mut found = store.calls();
    found.sort();
    assert_eq!((found == expected, pauses > 0), (true, true));
    assert_eq!(writer.owner.state().calls.ledger_report().differences, []);
}

/// The brokers did not answer a note, and the process begins another term with its cache.
#[test]
fn a_process_goes_on_with_its_cache_after_a_term_of_its_own() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = Store::default();
    let mut first = Writer::begin(&partition);
    first.read();
    first.seal().unwrap();
    let folder = Arc::clone(&first.folder);
    let kept = first.owner.end().unwrap();
    let Began::Live(term) = partition.begin_with(None, Some(&kept.token)) else { panic!("it begins") };
    assert!(term.keeps_cache);
    let mut second = Writer::of(&partition, *term, Some((kept, folder)));
    collector.send("web", &["d", "c"], now);
    let before_reading = second.owner.read_before();
    assert_eq!(before_reading, before(2), "what is in the cache is not read again");
    second.deliver(&store);
    assert_eq!(store.calls(), ["a", "b", "c", "d"]);
}

#[test]
fn an_object_that_was_left_in_the_log_is_built_from_it_by_another_writer() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = Store::default();
    let mut first = Writer::begin(&partition);
    first.read();
    let seal = first.seal().unwrap().remove(0);
    assert!(first.owner.leave(seal.number, Parked { len: 1, crc32: 2 }).unwrap());
    assert!(!first.owner.lines(seal.number, &mut |_| {}).unwrap(), "the cache has forgotten it");
    collector.send("web", &["d", "a"], now);
    first.read();
    first.owner.base().unwrap();
    let state = first.owner.state();
    assert_eq!((state.base.read_from, state.kept_from()), (position(2, 1), 0));
    let mut second = Writer::begin(&partition);
    second.read();
    assert_eq!(second.owner.build_left(|_| false, &|| true).unwrap().len(), 0);
    let built = second.owner.build_left(|_| true, &|| true).unwrap().remove(0);
    let lines: Vec<String> =
        built.frames.unwrap().iter().map(|frame| String::from_utf8(frame.line().to_vec()).unwrap()).collect();
    assert!(store.put(built.seal.object_key.as_str(), &lines));
    second.owner.stored(seal.number).unwrap();
    second.deliver(&store);
    assert_eq!(store.calls(), ["a", "b", "c", "d"]);
    assert_eq!(second.owner.state().left, BTreeMap::new());
}

#[test]
fn what_retention_deleted_before_it_was_read_is_named_and_the_rest_is_stored() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let mut first = Writer::begin(&partition);
    first.read();
    first.owner.base().unwrap();
    collector.send("web", &["lost"], now);
    collector.send("web", &["d"], now);
    drop(first);
    delete_before(&cluster, &partition.settings.topic, 3);
    let store = Store::default();
    let mut second = Writer::begin(&partition);
    second.deliver(&store);
    assert_eq!(store.calls(), ["d"]);
    let lost: Vec<_> = second.owner.state().calls.lost.iter().map(|lost| (lost.first, lost.last)).collect();
    assert_eq!(lost, [(position(0, 1), before(3) - 1)], "all that was not delivered");
}

#[test]
fn a_record_that_is_no_block_is_named_once_and_passed() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    collector.send_bytes(b"no block");
    collector.send("web", &["d"], now);
    let store = Store::default();
    let mut first = Writer::begin(&partition);
    first.read();
    assert_eq!(first.owner.state().unread.len(), 1);
    let mut second = Writer::begin(&partition);
    second.deliver(&store);
    assert_eq!((store.calls().len(), second.owner.state().unread.len()), (4, 1));
}

/// The first frame of a day stands in the log after the day has ended there.
#[test]
fn a_day_ends_at_an_offset_and_what_comes_later_belongs_to_the_day_after() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let today = partition.clock.wall().day();
    let yesterday = UnixMillis(today.start().0 - 5_000);
    collector.send("web", &["a"], yesterday);
    let mut writer = Writer::begin(&partition);
    writer.read();
    let store = Store::default();
    writer.deliver(&store);
    // Nothing is known of the clocks before the first note: now they agree.
    let grace = GRACE.min(partition.clock.wall().since(today.start()));
    assert_eq!(writer.owner.day_to_end(grace), Some(yesterday.day()));
    collector.send("web", &["b"], yesterday);
    assert!(writer.owner.end_day(yesterday.day()).unwrap());
    collector.send("web", &["late"], yesterday);
    assert!(writer.owner.closable().is_empty(), "the log is not read to the day's end");
    writer.deliver(&store);
    let closable = writer.owner.closable();
    assert_eq!(closable.len(), 1);
    writer.owner.closed(&closable[0]).unwrap();
    let days: Vec<bool> =
        store.0.lock().unwrap().keys().map(|key| key.contains(&format!("/{}/", yesterday.day()))).collect();
    assert_eq!((store.calls().len(), days), (3, vec![true, true, false]));
}

#[test]
fn a_snapshot_is_all_that_a_new_owner_needs() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = Store::default();
    let mut first = Writer::begin(&partition);
    first.deliver(&store);
    first.owner.base().unwrap();
    let from = first.owner.snapshot(UnixMillis(0)).unwrap().unwrap();
    delete_notes_before(&partition.settings, 0, from).unwrap();
    let notes = Records::new(&partition.settings, &partition.settings.notes_topic, 0, Sees::All).unwrap();
    assert_eq!(notes.bounds().unwrap().0, from);
    collector.send("web", &["a", "d"], now);
    let mut second = Writer::begin(&partition);
    second.deliver(&store);
    assert_eq!(store.calls(), ["a", "b", "c", "d"]);
}

#[test]
fn a_log_that_was_cut_while_it_is_read_stops_the_partition() {
    let Some(cluster) = cluster() else { return };
    let (partition, _, now) = with_calls(&cluster);
    let mut writer = Writer::begin(&partition);
    writer.read();
    writer.seal().unwrap();
    let topic = &partition.settings.topic;
    wait_for(admin(&cluster).delete_topics(&[topic], &AdminOptions::new())).unwrap();
    until("the topic to be gone", CALL, || {
        let metadata = admin(&cluster).inner().fetch_metadata(Some(topic), CALL).ok()?;
        metadata.topics()[0].error().map(drop)
    });
    crate::support::make_topic(&cluster, topic, 1, &[]);
    let mut anew = Collector::new(&cluster, &partition, 2);
    anew.send("web", &["x"], now);
    assert!(matches!(partition.begin_with(None, None), Began::Stopped(Stop::LogCut(_))));
    // As long as the old one, with other blocks.
    anew.send("web", &["y"], now);
    anew.send("web", &["z"], now);
    assert!(matches!(partition.begin_with(None, None), Began::Stopped(Stop::LogCut(_))));
}

/// Brokers die under a writer: what it was told counts, and what it was not told is found by its next term.
#[test]
fn brokers_that_are_killed_and_stopped_under_a_writer_lose_and_double_nothing() {
    let Some(mut cluster) = cluster_alone() else { return };
    let (mut partition, mut collector, now) = with_calls(&cluster);
    partition.settings.transaction_timeout = Duration::from_secs(10);
    let store = Store::default();
    let mut expected: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let mut ended = 0;
    for round in 0..3 {
        let mut writer = Writer::begin(&partition);
        let victim = round % 3 + 1;
        if round == 1 {
            cluster.stop(victim);
        } else {
            cluster.kill(victim);
        }
        for n in 0..10 {
            let call = format!("call {round} {n}");
            collector.send("web", &[&call], now);
            expected.push(call);
        }
        // Its term may end at any of these.
        let mut goes_on = || -> Result<(), End> {
            until("the end of the log", CALL * 2, || match writer.owner.read(Duration::from_millis(200)) {
                Ok(Looked::End) => Some(Ok(())),
                Ok(_) => None,
                Err(end) => Some(Err(end)),
            })?;
            writer.seal()?;
            for seal in writer.pending() {
                writer.put(&seal, &store);
                writer.owner.stored(seal.number)?;
            }
            Ok(())
        };
        ended += usize::from(goes_on().is_err());
        cluster.make_whole();
    }
    let mut last = Writer::begin(&partition);
    last.deliver(&store);
    let mut found = store.calls();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{ended} terms ended");
    assert_eq!(last.owner.state().calls.ledger_report().differences, []);
}
