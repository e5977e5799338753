//! Writers in processes of their own, in a group, with a store that loses answers: they, their disks and
//! brokers are killed, stopped for longer than any time-out and woken, while calls come in. In the end every
//! acknowledged call is in the store once.
//!
//! `tests/kafka 200` runs 200 rounds.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forebay::store::fake::FakeStore;
use rustix::process::Signal;

use crate::cluster::cluster_alone;
use crate::delivered::{Made, state};
use crate::folder_store::stored;
use crate::partition::{Collector, Partition};
use crate::process::{Started, Told, impatient, owner, said};
use crate::support::{number, until};

/// How long everything may take to be delivered once all is well again.
const DELIVERED_WITHIN: Duration = Duration::from_secs(180);

/// Waits until a process whose id is none of these owns the partition. Returns its place among the writers.
fn owned_by_another(store: &Path, writers: &[Started], not: Option<u32>) -> usize {
    until("a writer to own the partition", DELIVERED_WITHIN, || {
        let owner = owner(store).filter(|owner| Some(*owner) != not)?;
        writers.iter().position(|writer| writer.id() == owner && !writer.owns().is_empty())
    })
}

#[test]
fn whatever_is_killed_or_stopped_every_acknowledged_call_is_stored_once() {
    let Some(mut cluster) = cluster_alone() else { return };
    let mut partition = Partition::make(&cluster, &[]);
    impatient(&mut partition);
    let store = tempfile::tempdir().unwrap();
    let told = Told::of(&partition, store.path());
    let mut writers: Vec<Started> = (0..2).map(|_| told.start()).collect();
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
    let rounds = number("FOREBAY_KAFKA_ROUNDS", 2);
    let began = Instant::now();
    for round in 0..rounds {
        let one = owned_by_another(store.path(), &writers, None);
        let other = 1 - one;
        let broker = usize::try_from(round % 3 + 1).unwrap();
        match round % 4 {
            1 => cluster.kill(broker),
            3 => cluster.stop(broker),
            _ => {}
        }
        // The owner sleeps until another one has taken over, and wakes while that one works.
        writers[one].signal(Signal::STOP);
        assert_eq!(owned_by_another(store.path(), &writers, Some(writers[one].id())), other);
        writers[one].signal(Signal::CONT);
        until("the one that woke to learn that it is not the owner", DELIVERED_WITHIN, || {
            (writers[one].owns().is_empty() || owner(store.path()) == Some(writers[one].id())).then_some(())
        });
        // The new owner is lost with its disk.
        let lost = std::mem::replace(&mut writers[other], told.start());
        let id = lost.id();
        drop(lost);
        owned_by_another(store.path(), &writers, Some(id));
        if round % 2 == 1 {
            cluster.make_whole();
        }
        let by_themselves = writers.iter_mut().filter_map(|one| one.has_ended().then_some(one.id()));
        let by_themselves: Vec<u32> = by_themselves.collect();
        assert!(by_themselves.is_empty(), "writers ended: {:?}", said(store.path(), "failed"));
        assert!(said(store.path(), "stopped").is_empty(), "{:?}", said(store.path(), "stopped"));
        if (round + 1) % 10 == 0 {
            writeln!(io::stderr(), "{} rounds after {:.0?}", round + 1, began.elapsed()).unwrap_or(());
        }
    }
    cluster.make_whole();
    ends.store(true, Ordering::Release);
    let acknowledged = sending.join().unwrap();
    let (calls, objects) = until("all calls to be delivered", DELIVERED_WITHIN, || {
        std::thread::sleep(Duration::from_secs(1));
        let (calls, objects) = stored(store.path());
        (calls.len() as u64 == acknowledged).then_some((calls, objects))
    });
    drop(writers);
    let twice: Vec<_> = calls.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
    let last = Made::of(&partition, &FakeStore::new()).begin();
    // Its ledger is even.
    last.deliver();
    last.end().0.unwrap();
    let state = state(&partition);
    assert!(state.calls.lost.is_empty() && state.unread.is_empty(), "{:?}", state.calls.lost);
    let terms = said(store.path(), "term").len();
    let figures = format!(
        "{rounds} rounds in {:.0?}: {acknowledged} calls acknowledged, 0 missing, 0 doubled, in {objects} objects; \
         {terms} terms, of which brokers ended {}",
        began.elapsed(),
        said(store.path(), "ended by brokers").len(),
    );
    // A partition that stayed with one writer would prove nothing.
    assert!(terms > 1, "{figures}");
    writeln!(io::stderr(), "{figures}").unwrap_or(());
}
