//! Runs the decisions of a partition with simulated brokers, store, clients and clocks, for thousands of
//! schedules, each drawn from a seed. Running a seed again repeats every event.
//!
//! What decides is the program's: [`forebay::partition`], the notes about calls, when batches are due, names,
//! chain and markers. What acts is modelled here: one to four writers, one to three collectors, groups that
//! give a partition to two writers, transactions with unknown outcome, records and puts that arrive late,
//! second copies, retention, cut logs, refusing buckets, buckets and numbers of partitions that change,
//! clocks that differ. Any process may end or sleep between any two calls of brokers and store.
//!
//! In the end the world is healed, and everything that was acknowledged must be in the bucket once.
//!
//! `FOREBAY_PARTITION_SEEDS=10000` runs more schedules, `FOREBAY_PARTITION_FROM=300` begins at a later seed,
//! `FOREBAY_PARTITION_SEED=4711` prints the events of one, `FOREBAY_PARTITION_BUG=SecondCopyStored` plants one
//! bug alone. A seed that finds a fault of the program becomes a test beside the rule that was wrong: seeds
//! mean something else once the world changes.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a simulation that cannot continue panics on the spot"
)]

mod cache;
mod check;
mod clients;
mod collector;
mod env;
mod live;
mod log_topic;
mod notes_topic;
mod owner;
mod plan;
mod planted;
mod runner;
mod store;
mod world;
mod writer;

use runner::{number, run, sweep};

use crate::support::trace::Trace;

/// Schedules of an ordinary test run.
const SEEDS: u64 = 300;
/// What these schedules must reach. A simulation that does not get there proves nothing about it.
const REACHED: &[&str] = &[
    "answers lost",
    "caches begun after a day",
    "caches begun in the middle of the log",
    "caches kept",
    "caches kept after a day",
    "calls that are repeated",
    "calls that did nothing",
    "calls that do something later",
    "commits of an owner that another one follows",
    "commits that readers see later",
    "days closed",
    "destinations changed",
    "late commits refused",
    "late puts stored",
    "logs cut",
    "logs shorter than a window",
    "logs whose start has passed",
    "objects built again",
    "partitions added",
    "requests refused for their partition",
    "requests refused for their source",
    "second copies",
    "second copies of blocks that the reader has not read",
    "unreadable records",
];

#[test]
fn no_schedule_breaks_an_invariant_and_each_is_replayed_exactly() {
    let first = number("FOREBAY_PARTITION_FROM").unwrap_or(0);
    let swept = sweep(first..first + number("FOREBAY_PARTITION_SEEDS").unwrap_or(SEEDS));
    println!("{} schedules from seed {first}: {} violations", swept.done, swept.violations.len());
    swept.counts.iter().for_each(|(what, count)| println!("{count:>10} {what}"));
    let reached = |what: &&&str| swept.counts.contains_key(**what);
    let missed: Vec<_> = REACHED.iter().filter(|what| !reached(what)).collect();
    assert!(swept.done < SEEDS || missed.is_empty(), "not reached: {missed:?}");
    let some: Vec<_> = swept.violations.iter().take(20).collect();
    assert!(some.is_empty(), "FOREBAY_PARTITION_SEED=… prints the events of one: {some:#?}");
}

/// Prints all events of one seed's schedule to standard error, if a seed is given.
#[test]
fn one_schedule_is_told() {
    let Some(seed) = number("FOREBAY_PARTITION_SEED") else { return };
    let outcome = run(seed, &Trace::told());
    assert!(outcome.is_ok(), "seed {seed}: {}", outcome.unwrap_err());
}
