//! The least rights of collectors and writers, on a broker that checks them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use forebay::kafka::create::{CreateDeps, Wanted, create};
use forebay::kafka::probe::{ProbeDeps, probe};
use forebay::kafka::trim::delete_notes_before;
use forebay::partition::note::{Base, Note};
use forebay::partition::seen::{FirstNotesSeen, Seen, Tried};
use forebay::partition::topics::{On, User};
use forebay::runtime::SystemRandom;

use crate::delivers::{Delivers, say};
use crate::partition::Partition;
use crate::secured_broker::{Acl, Secured};
use crate::served::{Client, Served};
use crate::support::{CALL, run_program, until};

/// The program with these words, and the configuration of a process.
fn run(folder: &Path, words: &[&str]) -> (i32, String, String) {
    run_program(folder, words, &fs::read_to_string(folder.join("password")).unwrap())
}

/// A folder with the configuration of a process with this role.
fn configured(broker: &Secured, name: &str, role: &str, user: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[s3]\nbucket = \"bucket\"\n[kafka]\nrole = \"{role}\"\nbrokers = [\"{}\"]\nname = \"{name}\"\ncache_dir = \"cache\"\n\
         group = \"{name}-writers\"\nsecurity = {{ sasl = \"plain\", username = \"{user}\", password = \"env:KAFKA_PASSWORD\" }}\n\
         [[source]]\nid = \"web\"\nwrite_keys = [\"web\"]\n",
        broker.address()
    );
    fs::write(folder.path().join("forebay.toml"), text).unwrap();
    fs::write(folder.path().join("password"), user).unwrap();
    folder
}

fn granted(folder: &Path, policy: &str) -> Vec<Acl> {
    let (code, commands, said) = run(folder, &["policy", policy]);
    assert_eq!((code, said.as_str()), (0, ""));
    commands.lines().flat_map(Acl::of).collect()
}

fn probed(partition: &Partition, user: User) -> Seen {
    let deps = ProbeDeps { clock: Arc::clone(&partition.clock), random: Arc::new(SystemRandom) };
    probe(&partition.settings, user, &deps).unwrap()
}

/// The rights that a probe finds missing.
fn denied(partition: &Partition, user: User) -> Vec<(On, &'static str)> {
    let seen = probed(partition, user);
    let denied = seen.rights.iter().filter(|(_, tried)| *tried == Tried::Denied);
    denied.map(|(right, _)| (right.on, right.operation)).collect()
}

fn make(partition: &Partition) {
    let wanted = Wanted { partitions: 2, replication: 1, new_log: false };
    let deps = CreateDeps { clock: Arc::clone(&partition.clock), random: Arc::new(SystemRandom) };
    create(&partition.settings, wanted, deps, &mut |_| {}).unwrap();
}

#[test]
fn a_collector_and_a_writer_work_with_exactly_the_printed_rights_and_a_missing_one_is_named() {
    let Some(broker) = Secured::start() else { return };
    let of = |user| broker.partition("shop", user);
    make(&of("admin"));
    let (collects, writes) = (of("collects"), of("writes"));
    let of_collector = configured(&broker, "shop", "collector", "collects");
    let of_writer = configured(&broker, "shop", "writer", "writes");
    assert_ne!(run(of_collector.path(), &["kafka", "check"]).0, 0, "without any right");

    let collector_rights = granted(of_collector.path(), "kafka-collector");
    let writer_rights = granted(of_writer.path(), "kafka-writer");
    broker.grant(&collector_rights);
    broker.grant(&writer_rights);
    until("the rights to be in force", CALL, || {
        let all = [denied(&collects, User::Collector), denied(&writes, User::Writer)];
        all.iter().all(Vec::is_empty).then_some(())
    });

    let served = Served::start(&collects);
    served.knows_log_id();
    let delivers = Delivers::start(&writes);
    let mut client = Client::new(served.at);
    let calls: Vec<String> = (0..40).map(|number| format!("call-{number}")).collect();
    for call in &calls {
        assert_eq!(client.send("web", std::slice::from_ref(call), 9).unwrap().status, 200);
    }
    // An empty block stands between calls that are delivered.
    let seen = probed(&collects, User::Collector);
    assert_eq!(seen.empty_block, Tried::Found(()));
    let after = ["after".to_owned()];
    assert_eq!(client.send("web", &after, 9).unwrap().status, 200);
    let stored = delivers.has(&[&calls[..], &after].concat());
    assert_eq!(stored.len(), 41);
    let lost: usize =
        delivers.writer.partitions().values().filter_map(|one| Some(one.progress.as_ref()?.lost)).sum();
    assert_eq!(lost, 0, "the empty block is none");
    // While an owner works, a check ends no term.
    let terms = || delivers.writer.partitions().values().map(|one| one.terms).sum::<u64>();
    let before =
        until("both partitions to have an owner", CALL, || Some(terms()).filter(|terms| *terms >= 2));
    let seen = probed(&writes, User::Writer);
    assert!(seen.rights.iter().all(|(_, tried)| *tried == Tried::Found(())), "{:?}", seen.rights);
    assert_eq!((seen.first_notes, terms()), (Tried::Found(FirstNotesSeen::default()), before));
    served.end();
    delivers.end();

    let term = writes.begin();
    let base = Note::Base(Box::new(Base { read_from: 1, ..Base::default() }));
    let noted = term.lock.note(&[base]).unwrap();
    delete_notes_before(&writes.settings, 1, 0).unwrap();
    assert!(noted[0].offset > 0);

    let (code, text, said) = run(of_writer.path(), &["kafka", "check", "--rate", "1000"]);
    say(&text);
    assert_eq!(code, 0, "{text}{said}");
    assert!(text.contains("0 failed"), "{text}");
    let (code, text, said) = run(of_collector.path(), &["kafka", "check", "--json"]);
    assert_eq!(code, 0, "{text}{said}");

    for (user, partition, folder, rights) in [
        (User::Collector, &collects, &of_collector, &collector_rights),
        (User::Writer, &writes, &of_writer, &writer_rights),
    ] {
        for acl in rights {
            broker.revoke(acl);
            // Who may read, write or delete may describe.
            if acl.operation != "Describe" || acl.is_of_group() {
                until(&format!("{acl:?} to be named as missing"), CALL * 3, || {
                    let denied = denied(partition, user);
                    denied.into_iter().find(|(_, operation)| *operation == acl.operation)
                });
                let (code, text, _) = run(folder.path(), &["kafka", "check"]);
                let is_warning = ["DescribeConfigs", "Delete"].contains(&acl.operation.as_str());
                assert_eq!(code, i32::from(!is_warning), "{acl:?}: {text}");
                assert!(text.contains(&format!("--operation {}", acl.operation)), "{acl:?}: {text}");
            }
            broker.grant(std::slice::from_ref(acl));
            until("the right to be back", CALL, || denied(partition, user).is_empty().then_some(()));
        }
    }
    let wrong = configured(&broker, "shop", "writer", "writes");
    fs::write(wrong.path().join("password"), "wrong").unwrap();
    let (code, text, said) = run(wrong.path(), &["kafka", "check"]);
    assert_eq!(code, 1, "{text}{said}");
    assert!(!text.contains("wrong\"") && !said.contains("env"), "{text}{said}");
}

#[test]
fn a_writer_that_may_begin_no_term_says_so_after_a_minute_and_goes_on_once_it_may() {
    let Some(broker) = Secured::start() else { return };
    let of = |user| broker.partition("begins", user);
    make(&of("admin"));
    let (collects, writes) = (of("admin"), of("writes"));
    let of_writer = configured(&broker, "begins", "writer", "writes");
    let rights = granted(of_writer.path(), "kafka-writer");
    let (kept, taken): (Vec<Acl>, Vec<Acl>) = rights.into_iter().partition(|acl| !acl.is_of_transactions());
    broker.grant(&kept);
    assert!(!taken.is_empty());

    let served = Served::start(&collects);
    served.knows_log_id();
    let calls = ["waits".to_owned()];
    assert_eq!(Client::new(served.at).send("web", &calls, 9).unwrap().status, 200);
    let delivers = Delivers::start(&writes);
    let why = until("both partitions to say that no term can begin", CALL * 6, || {
        let all = delivers.writer.partitions();
        let mut said = all.values().filter_map(|one| one.stopped.clone());
        said.next().filter(|_| all.len() == 2 && said.next().is_some())
    });
    assert!(why.contains("no term of it can begin") && why.contains("forebay kafka check"), "{why}");
    let raised = delivers.alarms.standing();
    assert!(raised.iter().any(|alarm| alarm.what == why), "{raised:?}");
    let (code, text, _) = run(of_writer.path(), &["kafka", "check"]);
    assert!(code == 1 && text.contains("--transactional-id"), "{text}");

    broker.grant(&taken);
    assert_eq!(delivers.has(&calls), calls);
    until("no alarm to be left", CALL * 3, || delivers.alarms.standing().is_empty().then_some(()));

    // A group takes offsets only of those who may read the topic.
    let reads: Vec<Acl> = kept.into_iter().filter(|acl| acl.is_of_topic(&writes.settings.topic)).collect();
    assert!(!reads.is_empty());
    reads.iter().filter(|acl| acl.operation == "Read").for_each(|acl| broker.revoke(acl));
    let what = until("the alarm that the group takes nothing", CALL * 6, || {
        let raised = delivers.alarms.standing();
        raised.into_iter().find(|alarm| alarm.subject == "what is told to the group").map(|alarm| alarm.what)
    });
    assert!(what.contains("uthoriz") && what.contains("forebay kafka check"), "{what}");
    broker.grant(&reads);
    until("no alarm to be left", CALL * 2, || delivers.alarms.standing().is_empty().then_some(()));
    served.end();
    delivers.end();
}
