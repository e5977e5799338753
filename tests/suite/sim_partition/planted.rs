//! Proves that the simulation catches bugs: each bug of a list is planted, and must be caught.

use forebay::planted_bugs::{PlantedBug, plant};

use super::runner::{cores, run};
use crate::support::trace::Trace;

/// Number of schedules in which a planted bug must be caught.
const SEEDS: u64 = 4_000;

/// Seeds that have caught these bugs. They are tried first, which saves time alone: in another world they are like any
/// others.
const CAUGHT_BEFORE: &[u64] = &[2, 9, 62, 58, 244, 414, 79, 86, 30, 27, 24];

/// A seed that catches a bug, and the violation.
fn caught(bug: PlantedBug, seeds: u64) -> Option<(u64, String)> {
    plant(Some(bug));
    let mut tried = CAUGHT_BEFORE.iter().copied().chain(0..seeds);
    let found = tried.find_map(|seed| Some((seed, run(seed, &Trace::default()).err()?)));
    plant(None);
    if let Some((seed, _)) = found {
        // What is a violation by itself catches nothing.
        run(seed, &Trace::default())
            .unwrap_or_else(|violation| panic!("seed {seed} without a bug: {violation}"));
    }
    found
}

fn of_partitions() -> impl Iterator<Item = PlantedBug> {
    PlantedBug::ALL.into_iter().filter(|bug| bug.is_of_partitions())
}

#[test]
fn every_planted_bug_is_caught() {
    // Only one of them, if its name is given.
    let only = std::env::var_os("FOREBAY_PARTITION_BUG").and_then(|bug| bug.into_string().ok());
    let wanted = |bug: &PlantedBug| only.as_ref().is_none_or(|only| format!("{bug:?}") == *only);
    let wanted: Vec<PlantedBug> = of_partitions().filter(wanted).collect();
    assert!(only.is_some() || wanted.len() == 22, "{wanted:?}");
    let next = std::sync::atomic::AtomicUsize::new(0);
    let missed = std::sync::Mutex::new(Vec::new());
    let work = || {
        while let Some(bug) = wanted.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            match caught(*bug, SEEDS) {
                Some((seed, violation)) => println!("{bug:?} is caught by seed {seed}: {violation}"),
                None => missed.lock().unwrap().push(*bug),
            }
        }
    };
    std::thread::scope(|scope| (0..cores()).for_each(|_| drop(scope.spawn(work))));
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not caught within {SEEDS} schedules: {missed:?}");
}
