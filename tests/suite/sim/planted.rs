//! Proves that the simulation catches bugs: each bug of a list is planted, and must be caught.

use std::sync::atomic::{AtomicU64, Ordering};

use forebay::planted_bugs::{PlantedBug, plant};

use super::runner::{cores, run};
use crate::support::trace::Trace;

/// Number of schedules in which a planted bug must be caught.
const SEEDS: u64 = 10_000;

/// The first seed that catches a bug, and the violation.
fn caught(bug: PlantedBug) -> Option<(u64, String)> {
    let (next, first) = (AtomicU64::new(0), std::sync::Mutex::new(None::<(u64, String)>));
    let work = || {
        plant(Some(bug));
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return;
            }
            let outcome = run(seed, &Trace::default()).outcome;
            let mut first = first.lock().unwrap();
            if let Err(violation) = outcome
                && first.as_ref().is_none_or(|(known, _)| seed < *known)
            {
                *first = Some((seed, violation));
            }
            // Threads that run earlier seeds finish these first.
            if first.is_some() {
                return;
            }
        }
    };
    std::thread::scope(|scope| (0..cores()).for_each(|_| drop(scope.spawn(work))));
    first.into_inner().unwrap()
}

#[test]
#[ignore = "long: tests/long"]
fn every_planted_bug_is_caught() {
    let mut missed = Vec::new();
    // Only one of them, if its name is given.
    let only = std::env::var_os("FOREBAY_SIM_BUG").and_then(|bug| bug.into_string().ok());
    let wanted = |bug: &PlantedBug| only.as_ref().is_none_or(|only| format!("{bug:?}") == *only);
    let of_spools = PlantedBug::ALL.into_iter().filter(|bug| !bug.is_of_partitions());
    for bug in of_spools.filter(wanted) {
        match caught(bug) {
            Some((seed, violation)) => println!("{bug:?} is caught by seed {seed}: {violation}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS} schedules: {missed:?}");
}
