//! Runs schedules on as many threads as there are processors. Each world runs on one thread.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

use forebay::runtime::SystemClock;
use forebay::tasks::caught_now;
use forebay::time::Clock as _;

use super::instances;
use super::progress::Progress;
use super::world::Violation;
use crate::support::trace::Trace;

/// The result of one schedule.
pub(super) struct Ran {
    pub(super) outcome: Result<(), Violation>,
    pub(super) hash: u64,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

/// The result of many schedules.
#[derive(Default)]
pub(super) struct Swept {
    pub(super) done: u64,
    pub(super) took: Duration,
    pub(super) violations: BTreeMap<u64, Violation>,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) replayed: u64,
}

/// The schedules to run.
#[derive(Clone, Debug)]
pub(super) struct Sweep {
    pub(super) seeds: Range<u64>,
    /// One schedule of this many is run twice, and must behave identically.
    pub(super) replay_every: u64,
    /// No schedule begins after this time.
    pub(super) at_most: Option<Duration>,
}

thread_local! {
    /// Whether anything panicked on this thread, even in a task whose runtime went on.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

fn watch_panics() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.set(true);
            before(panic);
        }));
    });
}

/// Runs a world on this thread. A panic anywhere on it is a violation.
pub(super) fn caught(world: impl FnOnce() -> Result<(), Violation>) -> Result<(), Violation> {
    PANICKED.set(false);
    match caught_now(world) {
        Ok(outcome) if !PANICKED.get() => outcome,
        _ => Err("something panicked".to_owned()),
    }
}

/// Runs one schedule.
pub(super) fn run(seed: u64, trace: &Trace) -> Ran {
    watch_panics();
    let outcome = caught(|| instances::run(seed, trace));
    Ran { outcome, hash: trace.hash(), counts: trace.counts() }
}

/// Runs one schedule twice.
fn run_twice(seed: u64) -> Ran {
    let (first, second) = (Trace::kept(), Trace::kept());
    let mut ran = run(seed, &first);
    if ran.outcome.is_ok() && run(seed, &second).hash != ran.hash {
        let parted = first.parts_from(&second);
        ran.outcome = Err(format!("a second run behaved differently: {parted:?}"));
    }
    ran
}

/// Runs the schedules of these seeds in order. Each thread takes the next one that has not begun.
pub(super) fn sweep(wanted: &Sweep) -> Swept {
    let clock = SystemClock::new();
    let next = AtomicU64::new(wanted.seeds.start);
    let so_far = Mutex::new((Swept::default(), Progress::new(wanted)));
    let work = || {
        while wanted.at_most.is_none_or(|most| clock.monotonic() < most) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= wanted.seeds.end {
                return;
            }
            let twice = seed.is_multiple_of(wanted.replay_every);
            let ran = if twice { run_twice(seed) } else { run(seed, &Trace::default()) };
            let mut so_far = so_far.lock().unwrap();
            let (swept, progress) = &mut *so_far;
            swept.done += 1;
            swept.took = clock.monotonic();
            swept.replayed += u64::from(twice);
            ran.counts.iter().for_each(|(what, count)| *swept.counts.entry(what).or_default() += count);
            if let Err(violation) = ran.outcome {
                eprintln!("seed {seed}: {violation}");
                swept.violations.insert(seed, violation);
            }
            progress.tell(swept);
        }
    };
    std::thread::scope(|scope| (0..cores()).for_each(|_| drop(scope.spawn(work))));
    so_far.into_inner().unwrap().0
}

/// The number of threads to use.
pub(super) fn cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    number("FOREBAY_SIM_THREADS").map_or(cores, |threads| usize::try_from(threads).unwrap())
}

/// A number from the environment.
pub(super) fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    Some(number.unwrap_or_else(|| panic!("{name} should be a number")))
}
