//! How the topics of a log are made and grow on real brokers.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay::kafka::create::{CreateDeps, Creating, NotCreated, Outcome, Step, Wanted, create};
use forebay::kafka::first_notes;
use forebay::kafka::group::Offsets;
use forebay::kafka::lock::Lock;
use forebay::kafka::owner::End;
use forebay::kafka::topics::Topics;
use forebay::partition::answer::TransactionError;
use forebay::partition::note::Note;
use forebay::partition::state::State;
use forebay::partition::topics::{Standing, Topic, judge};
use forebay::runtime::SystemRandom;
use forebay::store::fake::FakeStore;
use forebay::time::UnixMillis;

use crate::cluster::{Cluster, cluster};
use crate::delivered::{Made, state};
use crate::partition::{Collector, Partition};
use crate::served::Served;
use crate::support::{CALL, delete_before, delete_topic, run_program, unique, until};

pub(crate) fn wanted(partitions: u32) -> Wanted {
    Wanted { partitions, replication: 3, new_log: false }
}

fn deps(partition: &Partition) -> CreateDeps {
    CreateDeps { clock: Arc::clone(&partition.clock), random: Arc::new(SystemRandom) }
}

fn new(cluster: &Cluster) -> Partition {
    Partition::named(&cluster.brokers(), &unique("made"))
}

/// Does all steps. Returns them, and what came of them.
pub(crate) fn make(partition: &Partition, wanted: Wanted) -> Result<(Vec<Step>, Outcome), NotCreated> {
    let mut steps = Vec::new();
    let outcome = create(&partition.settings, wanted, deps(partition), &mut |step| steps.push(step.clone()))?;
    Ok((steps, outcome))
}

/// The log ids in the first notes of each partition.
fn log_ids(partition: &Partition, partitions: u32) -> BTreeMap<u32, String> {
    let found = first_notes::read(&partition.settings, partitions, &partition.clock).unwrap();
    found.into_iter().map(|(partition, first)| (partition, first.identity.log_id)).collect()
}

fn counts(partition: &Partition) -> [u32; 2] {
    let topics = Topics::new(&partition.settings, &partition.clock).unwrap();
    let settings = &partition.settings;
    [&settings.notes_topic, &settings.topic]
        .map(|topic| topics.describe(topic).unwrap().map_or(0, |found| found.partitions))
}

#[test]
fn topics_are_made_once_and_grow() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    let settings = &partition.settings;
    let (steps, made) = make(&partition, wanted(3)).unwrap();
    let first = |partition| Step::FirstNotes { partition, of: 3 };
    assert_eq!(
        steps,
        [
            Step::Made { topic: settings.notes_topic.clone(), partitions: 3 },
            first(0),
            first(1),
            first(2),
            Step::Made { topic: settings.topic.clone(), partitions: 3 },
            Step::LogIdTold,
        ]
    );
    assert!(made.differences.is_empty());
    let topics = Topics::new(settings, &partition.clock).unwrap();
    for topic in Topic::ALL {
        let name = topic.name(&settings.names()).to_owned();
        assert_eq!(topics.describe(&name).unwrap().unwrap().replication, 3);
        let reported = topics.reported(&name).unwrap();
        for (setting, standing) in judge(topic, 3, &reported) {
            assert!(matches!(standing, Standing::Right(_)), "{name} {setting}: {standing:?}");
        }
    }
    let ids = log_ids(&partition, 3);
    assert!(ids.len() == 3 && ids.values().all(|id| *id == made.log_id), "{ids:?}");

    let (steps, again) = make(&partition, wanted(3)).unwrap();
    assert!(steps.is_empty(), "{steps:?}");
    assert_eq!(again, made);
    assert!(matches!(make(&partition, wanted(2)), Err(NotCreated::Fewer { has: 3 })));
    let new_log = Wanted { new_log: true, ..wanted(3) };
    assert_eq!(make(&partition, new_log).unwrap().1.log_id, made.log_id, "nothing is gone");

    // An owner keeps its term: only the locks of new partitions are taken.
    let term = partition.begin();
    let (steps, grown) = make(&partition, wanted(5)).unwrap();
    assert_eq!(steps[0], Step::Grown { topic: settings.notes_topic.clone(), partitions: 5 });
    assert_eq!(steps[3], Step::Grown { topic: settings.topic.clone(), partitions: 5 });
    assert_eq!((steps.len(), grown.log_id), (4, made.log_id));
    assert_eq!((counts(&partition), log_ids(&partition, 5).len()), ([5, 5], 5));
    term.lock.note(&[Note::Base(Box::default())]).unwrap();
}

#[test]
fn a_collector_learns_the_log_id_before_any_writer_runs() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    make(&partition, wanted(2)).unwrap();
    let served = Served::start(&partition);
    served.knows_log_id();
    served.end();
}

#[test]
fn an_interrupted_run_is_finished_by_the_next_one() {
    let Some(cluster) = cluster() else { return };
    for done in 0..6 {
        let partition = new(&cluster);
        let mut creating = Creating::begin(&partition.settings, wanted(2), deps(&partition)).unwrap();
        let steps = (0..done).map_while(|_| creating.step().unwrap()).count();
        drop(creating);
        let had = log_ids(&partition, counts(&partition)[0]);
        let (rest, made) = make(&partition, wanted(2)).unwrap();
        assert_eq!(steps + rest.len(), 5, "after {done} steps");
        let ids = log_ids(&partition, 2);
        assert!(ids.len() == 2 && ids.values().all(|id| *id == made.log_id));
        assert!(had.values().all(|id| *id == made.log_id), "the log id is made once");
        assert_eq!(counts(&partition), [2, 2]);
        partition.begin();
    }
}

/// A process is killed while it writes first notes: its transaction stays open.
#[test]
fn first_notes_that_were_not_committed_are_written_again() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    let mut creating = Creating::begin(&partition.settings, wanted(2), deps(&partition)).unwrap();
    creating.step().unwrap();
    let id = format!("{}-create", partition.settings.name);
    let lock = Lock::new(&partition.settings, &id, 0, Arc::clone(&partition.clock)).unwrap();
    until("the lock", CALL, || lock.take().ok());
    let mut identity = partition.identity(0);
    identity.log_id = "ab".repeat(16);
    lock.write(&State::new(identity).snapshot(UnixMillis(0)).unwrap()).unwrap();
    let (_, made) = make(&partition, wanted(2)).unwrap();
    assert_ne!(made.log_id, "ab".repeat(16));
    assert!(lock.commit().is_err(), "it was fenced");
    assert_eq!(log_ids(&partition, 2).into_values().collect::<Vec<_>>(), [made.log_id.as_str(); 2]);
}

#[test]
fn two_runs_at_once_make_one_log() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    let runs: Vec<_> = (0..3)
        .map(|_| {
            let partition = partition.clone();
            std::thread::spawn(move || make(&partition, wanted(3)).map(|(_, made)| made.log_id))
        })
        .collect();
    let ended: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
    // One that was fenced is run again, as its text says.
    let (_, made) = make(&partition, wanted(3)).unwrap();
    assert!(ended.iter().all(|one| one.as_ref().ok().is_none_or(|id| *id == made.log_id)), "{ended:?}");
    assert!(log_ids(&partition, 3).values().all(|id| *id == made.log_id));
    assert_eq!(counts(&partition), [3, 3]);
}

#[test]
fn notes_that_are_gone_are_not_made_again_by_themselves() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    let (_, made) = make(&partition, wanted(2)).unwrap();
    partition.begin();
    Collector::new(&cluster, &partition, 7).send("web", &["a"], UnixMillis(1));
    delete_topic(&cluster, &partition.settings.notes_topic);
    let refused = make(&partition, wanted(2)).unwrap_err();
    assert!(matches!(refused, NotCreated::NotesGone { partition: 0, .. }), "{refused:?}");
    assert_eq!(counts(&partition), [0, 2], "nothing was changed");

    // Interrupted after the first notes of a partition.
    let new_log = Wanted { new_log: true, ..wanted(2) };
    let mut creating = Creating::begin(&partition.settings, new_log, deps(&partition)).unwrap();
    (0..2).for_each(|_| assert!(creating.step().unwrap().is_some()));
    drop(creating);
    let begun = log_ids(&partition, 2);
    let (_, new) = make(&partition, new_log).unwrap();
    assert_ne!(new.log_id, made.log_id);
    assert_eq!(begun.into_values().collect::<Vec<_>>(), [new.log_id.as_str()]);
    let told = Offsets::of_outsider(&partition.settings).unwrap().told_of(0..2).unwrap();
    assert_eq!(told[&0].1.log_id, new.log_id, "collectors learn the new id");
    partition.begin();
}

/// It was believed dead. Its notes would have stood among those of the new log.
#[test]
fn a_writer_of_the_log_before_that_wakes_writes_nothing_into_the_notes_of_a_new_one() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    make(&partition, wanted(1)).unwrap();
    let mut collector = Collector::new(&cluster, &partition, 7);
    let now = partition.clock.wall();
    collector.send("web", &["a"], now);
    let writer = Made::of(&partition, &FakeStore::new()).begin();
    writer.read();
    let turns = Arc::clone(&writer.turns);
    let sleeps = turns.lock().unwrap();
    delete_topic(&cluster, &partition.settings.notes_topic);
    let (_, new) = make(&partition, Wanted { new_log: true, ..wanted(1) }).unwrap();
    drop(sleeps);
    writer.flush(CALL);
    until("the term to end", CALL, || writer.is_over().then_some(()));
    let ended = writer.end().0;
    assert!(matches!(ended, Err(End::Over(TransactionError::Fenced))), "{ended:?}");
    let state = state(&partition);
    assert_eq!((state.identity.log_id, state.calls.seals.len()), (new.log_id, 0));
}

/// It looked for ever.
#[test]
fn notes_that_do_not_begin_with_a_first_one_are_named() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    Topics::new(&partition.settings, &partition.clock).unwrap().make(Topic::Notes, 1, 3).unwrap();
    let lock = Lock::new(&partition.settings, &unique("stranger"), 0, Arc::clone(&partition.clock)).unwrap();
    until("the lock", CALL, || lock.take().ok());
    lock.note(&[Note::LogCut(1)]).unwrap();
    let refused = make(&partition, wanted(1)).unwrap_err();
    assert!(matches!(refused, NotCreated::HasNotes { partition: 0, .. }), "{refused:?}");
}

/// By hand, and in the wrong order. What collectors wrote there meanwhile waits for its first notes.
#[test]
fn a_log_that_was_grown_before_its_notes_is_mended() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    let (_, made) = make(&partition, wanted(1)).unwrap();
    partition.begin();
    Topics::new(&partition.settings, &partition.clock).unwrap().grow(Topic::Log, 3).unwrap();
    Collector::new(&cluster, &partition, 7).in_partition(2).send("web", &["a"], UnixMillis(1));
    let (steps, mended) = make(&partition, wanted(3)).unwrap();
    let first = |partition| Step::FirstNotes { partition, of: 3 };
    let grown = Step::Grown { topic: partition.settings.notes_topic.clone(), partitions: 3 };
    assert_eq!((steps.as_slice(), mended.log_id), ([grown, first(1), first(2)].as_slice(), made.log_id));
    partition.begin_number(2);
}

#[test]
fn notes_that_are_gone_in_one_partition_give_no_new_log() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    make(&partition, wanted(2)).unwrap();
    partition.begin_number(1);
    // The snapshot and the marker of its transaction, as brokers would lose them.
    delete_before(&cluster, &partition.settings.notes_topic, 2);
    let refused = make(&partition, wanted(2)).unwrap_err();
    assert!(matches!(refused, NotCreated::NotesGone { partition: 0, .. }), "{refused:?}");
    let refused = make(&partition, Wanted { new_log: true, ..wanted(2) }).unwrap_err();
    assert!(matches!(refused, NotCreated::HasNotes { partition: 1, .. }), "{refused:?}");
    assert!(refused.to_string().contains(&format!("--delete --topic {}", partition.settings.notes_topic)));
}

/// It looked and began again for ever.
#[test]
fn a_new_log_over_deleted_notes_needs_another_topic() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    make(&partition, wanted(1)).unwrap();
    delete_before(&cluster, &partition.settings.notes_topic, 2);
    let refused = make(&partition, Wanted { new_log: true, ..wanted(1) }).unwrap_err();
    assert!(matches!(refused, NotCreated::HasNotes { partition: 0, .. }), "{refused:?}");
    assert!(refused.to_string().contains(&format!("--delete --topic {}", partition.settings.notes_topic)));
}

#[test]
fn topics_of_another_name_are_refused_and_weak_settings_are_named() {
    let Some(cluster) = cluster() else { return };
    let mut partition = Partition::make(&cluster, &[("unclean.leader.election.enable", "true")]);
    let (_, made) = make(&partition, wanted(1)).unwrap();
    let wrong: Vec<_> = made.differences.iter().map(|one| (one.topic, one.setting)).collect();
    assert!(wrong.contains(&(Topic::Log, "unclean.leader.election.enable")), "{wrong:?}");
    partition.settings.name = "other".to_owned();
    let refused = make(&partition, wanted(1)).unwrap_err();
    assert!(matches!(refused, NotCreated::OtherLog { partition: 0, .. }), "{refused:?}");
}

/// As users run it.
#[test]
fn the_command_says_what_it_did_and_ends_with_the_right_code() {
    let Some(cluster) = cluster() else { return };
    let partition = new(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let brokers: Vec<String> = cluster.brokers().split(',').map(|one| format!("{one:?}")).collect();
    let text = format!(
        "[kafka]\nrole = \"collector\"\nbrokers = [{}]\nname = \"{}\"\n[[source]]\nid = \"web\"\nwrite_keys = [\"web\"]\n",
        brokers.join(", "),
        partition.settings.name
    );
    std::fs::write(folder.path().join("forebay.toml"), text).unwrap();
    let run = |words: &[&str]| run_program(folder.path(), &[&["kafka"], words].concat(), "");
    let (code, printed, _) = run(&["create", "--partitions", "2", "--print"]);
    assert!(code == 0 && printed.contains("kafka-acls.sh"), "{printed}");
    assert_eq!(counts(&partition), [0, 0], "nothing was done");
    let (code, _, _) = run(&["check"]);
    assert_eq!(code, 1, "there are no topics");
    let (code, made, said) = run(&["create", "--partitions", "2"]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(made.contains("wrote the first notes of 2 partitions"), "{made}");
    let (code, again, _) = run(&["create", "--partitions", "2"]);
    assert!(code == 0 && again.starts_with("there was nothing to do"), "{again}");
    let (code, _, said) = run(&["create", "--partitions", "1"]);
    assert!(code == 2 && said.contains("give --partitions 2 or more"), "{said}");
    let (code, text, said) = run(&["check"]);
    crate::delivers::say(&text);
    assert_eq!(code, 0, "{text}{said}");
    assert_eq!(run(&["create"]).0, 2, "the number of partitions is a decision");
}
