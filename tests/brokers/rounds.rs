//! Writers in processes of their own, in a group, with a store that loses answers: they, their disks and
//! brokers are killed, stopped for longer than any time-out and woken, while calls come in. In the end every
//! acknowledged call is in the store once.
//!
//! `tests/kafka 200` runs 200 rounds.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forebay::batch::DueRule;
use forebay::delivery::DeliverySettings;
use forebay::store::fake::FakeStore;
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::cluster_alone;
use crate::delivered::{CACHE, Made, settings, state, wanted};
use crate::folder_store::{FolderStore, stored};
use crate::partition::{Collector, Partition};
use crate::process::start;
use crate::support::until;

/// What a writer's process is told: brokers, name, the store's folder, its cache's folder.
const WRITER: &str = "FOREBAY_KAFKA_WRITER";
/// Time-outs of the group and of transactions. A writer is stopped for longer than both.
const TIME_OUT: Duration = Duration::from_secs(6);
/// How long everything may take to be delivered once all is well again.
const DELIVERED_WITHIN: Duration = Duration::from_secs(180);

fn settings_of_rounds(partition: &mut Partition) {
    partition.settings.transaction_timeout = TIME_OUT;
    let more = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1000")];
    partition.settings.more = more.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
}

/// The work of one process. It does nothing unless it was started by a round.
#[test]
fn a_writer_delivers_until_it_is_killed() {
    let Some(told) = std::env::var_os(WRITER) else { return };
    let told = told.into_string().unwrap();
    let told: Vec<&str> = told.split('|').collect();
    let [brokers, name, store, cache] = told[..] else { panic!("{told:?}") };
    let mut partition = Partition::named(brokers, name);
    settings_of_rounds(&mut partition);
    let (store, cache) = (Path::new(store), Path::new(cache));
    let rule = DueRule { max_bytes: 2_000, max_age: Duration::from_millis(200), align_minute: None };
    let settings = DeliverySettings { rule, ..settings(2_000) };
    let wanted = wanted(&[("web", "bucket"), ("ios", "bucket")]);
    let writer = start(&partition, Arc::new(FolderStore::new(store)), settings, wanted, (cache, CACHE));
    let (mut term, mut ended, failed) = (String::new(), 0, writer.failed());
    // A word for who counts them.
    let says = |what: &str| fs::write(store.join(what), std::process::id().to_string()).unwrap();
    loop {
        assert_eq!(*failed.borrow(), None);
        for status in writer.partitions().into_values() {
            assert_eq!(status.stopped, None);
            if status.ended > ended {
                says(&format!("ended by brokers {term}"));
            }
            ended = status.ended;
            if let Some(progress) = status.progress.filter(|progress| progress.term != term) {
                term = progress.term;
                says(&format!("term {term}"));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The process that began the last term.
fn owner(store: &Path) -> u32 {
    until("a term", DELIVERED_WITHIN, || {
        let files = fs::read_dir(store).unwrap().map(|file| file.unwrap());
        let terms = files.filter(|file| file.file_name().to_str().unwrap().starts_with("term "));
        let last = terms.max_by_key(|file| file.metadata().unwrap().modified().unwrap())?;
        fs::read_to_string(last.path()).unwrap().parse().ok()
    })
}

struct Started {
    process: Child,
    cache: tempfile::TempDir,
}

fn signal(process: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn whatever_is_killed_or_stopped_every_acknowledged_call_is_stored_once() {
    let Some(mut cluster) = cluster_alone() else { return };
    let mut partition = Partition::make(&cluster, &[]);
    settings_of_rounds(&mut partition);
    let store = tempfile::tempdir().unwrap();
    let start = || {
        let cache = tempfile::tempdir().unwrap();
        let (settings, store, place) = (&partition.settings, store.path().display(), cache.path().display());
        let told = format!("{}|{}|{store}|{place}/cache", settings.brokers, settings.name);
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "rounds::a_writer_delivers_until_it_is_killed", "--nocapture"])
            .env(WRITER, told)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Started { process, cache }
    };
    let mut writers: Vec<Started> = (0..2).map(|_| start()).collect();
    let ends = Arc::new(AtomicBool::new(false));
    let mut collector = Collector::new(&cluster, &partition, 1);
    let (clock, stops) = (Arc::clone(&partition.clock), Arc::clone(&ends));
    let sending = std::thread::spawn(move || {
        let mut acknowledged = 0_u64;
        while !stops.load(Ordering::Acquire) {
            let calls: Vec<String> = (0..10).map(|n| format!("call {}", acknowledged + n)).collect();
            let mut calls: Vec<&str> = calls.iter().map(String::as_str).collect();
            // A client that did not hear the answer.
            let again = format!("call {}", acknowledged.saturating_sub(7));
            calls.push(&again);
            let at = clock.wall();
            collector.send(if acknowledged.is_multiple_of(3) { "ios" } else { "web" }, &calls, at);
            acknowledged += 10;
            std::thread::sleep(Duration::from_millis(50));
        }
        acknowledged
    });
    let rounds = std::env::var_os("FOREBAY_KAFKA_ROUNDS")
        .map_or(2, |rounds| rounds.into_string().unwrap().parse::<usize>().unwrap());
    let began = Instant::now();
    for round in 0..rounds {
        // The owner sleeps until another one has taken over, and wakes while that one works.
        let owner = owner(store.path());
        let one = usize::from(writers[1].process.id() == owner);
        let other = 1 - one;
        let broker = round % 3 + 1;
        match round % 4 {
            1 => cluster.kill(broker),
            3 => cluster.stop(broker),
            _ => {}
        }
        signal(&writers[one].process, Signal::STOP);
        std::thread::sleep(TIME_OUT * 2);
        signal(&writers[one].process, Signal::CONT);
        std::thread::sleep(Duration::from_secs(2));
        let Started { mut process, cache } = std::mem::replace(&mut writers[other], start());
        process.kill().unwrap();
        process.wait().unwrap();
        drop(cache);
        std::thread::sleep(Duration::from_secs(3));
        if round % 2 == 1 {
            cluster.make_whole();
        }
        for writer in &mut writers {
            assert_eq!(writer.process.try_wait().unwrap(), None, "a writer ended by itself");
        }
    }
    cluster.make_whole();
    ends.store(true, Ordering::Release);
    let acknowledged = sending.join().unwrap();
    let calls = until("all calls to be delivered", DELIVERED_WITHIN, || {
        std::thread::sleep(Duration::from_secs(1));
        let (calls, _) = stored(store.path());
        (calls.len() as u64 == acknowledged).then_some(calls)
    });
    for writer in &mut writers {
        writer.process.kill().unwrap();
        writer.process.wait().unwrap();
    }
    let twice: Vec<_> = calls.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
    let last = Made::of(&partition, &FakeStore::new()).begin();
    // Its ledger is even.
    last.deliver();
    last.end().0.unwrap();
    let state = state(&partition);
    assert!(state.calls.lost.is_empty() && state.unread.is_empty(), "{:?}", state.calls.lost);
    let names: Vec<String> = fs::read_dir(store.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let count = |what: &dyn Fn(&str) -> bool| names.iter().filter(|name| what(name)).count();
    let said = format!(
        "{rounds} rounds in {:.0?}: {acknowledged} calls acknowledged, 0 missing, 0 doubled, in {} objects; \
         {} terms, of which brokers ended {}",
        began.elapsed(),
        count(&|name| name.ends_with(".gz")),
        count(&|name| name.starts_with("term ")),
        count(&|name| name.starts_with("ended by brokers")),
    );
    // A partition that stayed with one writer would prove nothing.
    assert!(count(&|name| name.starts_with("term ")) > 1, "{said}");
    writeln!(io::stderr(), "{said}").unwrap_or(());
}
