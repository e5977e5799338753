//! Forebay, whole but for its sockets, on a simulated disk, store and clock, for thousands of schedules that a seed
//! draws each. What a seed does it does again, to the byte.
//!
//! The spool's queue, commits, housekeeping and recovery, and all of delivery, are those that run in production, on one
//! thread with a clock that stands still while they work ([`forebay::spool::Stepped`],
//! [`forebay::delivery::DiskWork::InPlace`]). A life of the process ends in order, by a kill, or with its machine, at
//! any change of the disk and at any wait, also while it recovers; the last life meets no trouble, and then everything
//! that was ever answered is looked for in the bucket.
//!
//! `tests/simulate` runs any number of seeds, and tells what happens in one.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a simulation that cannot go on stops where it is"
)]

mod check;
mod clients;
mod clock;
mod coverage;
mod damage;
mod foreign;
mod found;
mod full_notes;
mod ident_rot;
mod last_life;
mod notes_rot;
mod plan;
mod planted;
mod process;
mod progress;
mod refused;
mod rotten;
mod runner;
mod steps;
mod store;
mod world;

use std::fs::OpenOptions;
use std::time::Duration;

use forebay::object::metadata::rfc3339;
use forebay::runtime::SystemClock;
use forebay::time::Clock as _;

use crate::support::trace::Trace;
use runner::{Sweep, number, run, sweep};
use world::World;

/// Schedules of the ordinary test run.
const SEEDS: u64 = 10_000;
/// One schedule of so many is run twice, and must do the same.
const REPLAY_EVERY: u64 = 100;

#[test]
fn no_schedule_breaks_an_invariant_and_each_is_replayed_exactly() {
    let first = number("FOREBAY_SIM_FROM").unwrap_or(0);
    let wanted = Sweep {
        seeds: first..first + number("FOREBAY_SIM_SEEDS").unwrap_or(SEEDS),
        replay_every: number("FOREBAY_SIM_REPLAY_EVERY").unwrap_or(REPLAY_EVERY),
        at_most: number("FOREBAY_SIM_MINUTES").map(|minutes| Duration::from_secs(60 * minutes)),
    };
    // Opened at once: what is found out after hours is to find its place.
    let log = std::env::var_os("FOREBAY_SIM_LOG")
        .map(|file| OpenOptions::new().create(true).append(true).open(file).unwrap());
    let swept = sweep(&wanted);
    if let Some(mut log) = log {
        let commit = std::env::var_os("FOREBAY_SIM_COMMIT").and_then(|commit| commit.into_string().ok());
        let commit = commit.unwrap_or_else(|| "unknown".to_owned());
        let now = rfc3339(SystemClock::new().wall());
        progress::log(&mut log, &now, &commit, &wanted, &swept).unwrap();
    }
    let (done, violations) = (swept.done, swept.violations.len());
    println!("{done} schedules from seed {first}: {violations} violations, {:?}", swept.took);
    println!("{} schedules were run twice", swept.replayed);
    swept.counts.iter().for_each(|(what, count)| println!("{count:>10} {what}"));
    assert!(
        swept.violations.is_empty(),
        "`tests/simulate --seed SEED` tells what happens in one: {:#?}",
        swept.violations
    );
    if done >= SEEDS {
        coverage::check(&swept.counts, done);
    }
}

/// Everything that happens in the schedule of one seed, told on standard error, where a seed is given.
#[test]
fn one_schedule_is_told() {
    let Some(seed) = number("FOREBAY_SIM_SEED") else { return };
    eprintln!("{:#?}", World::new(seed, Trace::default()).plan);
    let ran = run(seed, &Trace::told());
    assert!(ran.outcome.is_ok(), "seed {seed}: {}", ran.outcome.unwrap_err());
}
