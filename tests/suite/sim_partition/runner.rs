//! Runs schedules on as many threads as there are processors. Each world runs on one thread.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use forebay::tasks::caught_now;

use super::world::{Violation, World};
use crate::support::trace::Trace;

/// One schedule of this many is run twice, and must behave identically.
const REPLAY_EVERY: u64 = 20;

/// The result of many schedules.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) done: u64,
    pub(super) violations: BTreeMap<u64, Violation>,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

/// Runs one schedule. A panic is a violation.
pub(super) fn run(seed: u64, trace: &Trace) -> Result<(), Violation> {
    let world = World::new(seed, trace.clone());
    caught_now(|| world.run()).unwrap_or_else(|_| Err("something panicked".to_owned()))
}

/// Runs the schedules of these seeds.
pub(super) fn sweep(seeds: Range<u64>) -> Swept {
    let next = AtomicU64::new(seeds.start);
    let swept = Mutex::new(Swept::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let trace = Trace::default();
            let mut outcome = run(seed, &trace);
            if seed.is_multiple_of(REPLAY_EVERY) {
                let second = Trace::default();
                if run(seed, &second) != outcome || second.hash() != trace.hash() {
                    outcome = Err("a second run behaved differently".to_owned());
                }
            }
            let mut swept = swept.lock().unwrap();
            swept.done += 1;
            trace.counts().iter().for_each(|(what, count)| *swept.counts.entry(what).or_default() += count);
            if let Err(violation) = outcome {
                swept.violations.insert(seed, violation);
            }
        }
    };
    std::thread::scope(|scope| (0..cores()).for_each(|_| drop(scope.spawn(work))));
    swept.into_inner().unwrap()
}

/// The number of threads to use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A number from the environment.
pub(super) fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    Some(number.unwrap_or_else(|| panic!("{name} should be a number")))
}
