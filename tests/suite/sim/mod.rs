//! Runs all of Forebay except its sockets on a simulated disk, store and clock, for thousands of schedules,
//! each drawn from a seed. Running a seed again repeats every byte.
//!
//! The spool's queue, commits, housekeeping and recovery, and all of delivery, are those of production. They
//! run on one thread with a clock that stands still while they work ([`forebay::spool::Stepped`],
//! [`forebay::delivery::DiskWork::InPlace`]). A life of the process ends cleanly, by a kill, or with its
//! machine, at any change of the disk and at any wait, even while it recovers. The last life meets no
//! trouble. Some buckets are imported by two instances, which are two such worlds (`instances`). Rejected
//! rows of buckets are read again between passes, and instances release each other's claims.
//!
//! At the end everything that was ever answered must be in the bucket, each row of an imported file once, and
//! each call with the functions of its destinations or among their dead letters. Only rows of files whose
//! claims were released may be in both archives.
//!
//! `tests/simulate` runs any number of seeds, or shows the events of one.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a simulation that cannot continue panics on the spot"
)]

mod bucket_imports;
mod check;
mod clients;
mod clock;
mod coverage;
mod damage;
mod destinations;
mod foreign;
mod found;
mod found_destinations;
mod full_notes;
mod functions;
mod ident_rot;
mod imports;
mod instances;
mod journal;
mod lake;
mod last_life;
mod letters;
mod local_journal;
mod notes_rot;
mod objects;
mod passing;
mod plan;
mod planted;
mod process;
mod progress;
mod refused;
mod rotten;
mod row_keys;
mod runner;
mod second_reader;
mod shared_journal;
mod steps;
mod store;
mod world;

use std::fs::OpenOptions;
use std::time::Duration;

use forebay::runtime::SystemClock;
use forebay::time::Clock as _;
use forebay::words::rfc3339;

use crate::support::trace::Trace;
use runner::{Sweep, number, run, sweep};
use world::World;

/// Schedules of an ordinary test run. `tests/simulate` runs more, and faster: its code is optimised.
const SEEDS: u64 = 300;
/// One schedule of this many is run twice, and must behave identically.
const REPLAY_EVERY: u64 = 100;

#[test]
fn no_schedule_breaks_an_invariant_and_each_is_replayed_exactly() {
    let first = number("FOREBAY_SIM_FROM").unwrap_or(0);
    let wanted = Sweep {
        seeds: first..first + number("FOREBAY_SIM_SEEDS").unwrap_or(SEEDS),
        replay_every: number("FOREBAY_SIM_REPLAY_EVERY").unwrap_or(REPLAY_EVERY),
        at_most: number("FOREBAY_SIM_MINUTES").map(|minutes| Duration::from_secs(60 * minutes)),
    };
    // Opened first: if it cannot be opened, that must show before hours of work.
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
        "`tests/simulate --seed SEED` shows the events of one: {:#?}",
        swept.violations
    );
    if done >= SEEDS {
        coverage::check(&swept.counts, done);
    }
}

/// Prints all events of one seed's schedule to standard error, if a seed is given.
#[test]
fn one_schedule_is_told() {
    let Some(seed) = number("FOREBAY_SIM_SEED") else { return };
    eprintln!("{:#?}", World::new(seed, Trace::default()).plan);
    let ran = run(seed, &Trace::told());
    assert!(ran.outcome.is_ok(), "seed {seed}: {}", ran.outcome.unwrap_err());
}
