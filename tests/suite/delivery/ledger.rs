//! The ledger of a spool that is used, delivered, damaged and cut short at every step: it balances at each
//! instant, and it says after a crash what it said before.

use std::sync::Arc;
use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::call::{LineSink as _, RejectReason};
use forebay::disk::Disk;
use forebay::disk::real_disk::RealDisk;
use forebay::log::notes::{CallNote, Tally};
use forebay::log::{AccountKey, AppendError, Hour, Log, RequestFrames, Row, Rows};
use forebay::metrics::Metrics;
use forebay::object::Stream;
use forebay::random::Random;
use forebay::spool::format::Ident;
use forebay::spool::manifest::{self, Manifest};
use forebay::spool::{SpoolOptions, Stepped};
use forebay::store::fake::FakeStore;
use forebay::time::Clock as _;

use super::disk::try_deliver;
use super::node::*;
use crate::support::sim_disk::{Dice, SimDisk, Trouble};

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
struct Fixed;
impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

fn open(disk: &SimDisk, clock: &Arc<StepClock>) -> Stepped {
    try_open(disk, clock).unwrap()
}

fn try_open(disk: &SimDisk, clock: &Arc<StepClock>) -> Option<Stepped> {
    let options = SpoolOptions {
        segment_bytes: 16 * 1_024,
        max_bytes: 4_000 * 1_024,
        manifest_bytes: 4_096,
        dedupe_max: 5_000,
        compact_bytes: 4_096,
        ..Default::default()
    };
    let clock: Arc<StepClock> = Arc::clone(clock);
    let opened = Stepped::open(Arc::new(disk.clone()), options, clock, &Fixed, Arc::new(Metrics::new()));
    opened.ok().map(|(spool, _)| spool)
}

/// A request of calls (each known by its number), and of items that are rejected.
fn request(clock: &StepClock, calls: std::ops::Range<u32>, rejected: u32) -> RequestFrames {
    let mut frames = RequestFrames::new(source("web"), clock.wall(), 0);
    for n in calls {
        frames.line().extend_from_slice(format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(400)).as_bytes());
        frames.call(u128::from(n) + 1);
    }
    for _ in 0..rejected {
        frames.line().extend_from_slice(b"{}");
        frames.rejected(RejectReason::UnknownType);
    }
    frames
}

fn append(spool: &mut Stepped, frames: impl Fn() -> RequestFrames) -> Result<(), AppendError> {
    match spool.append([frames()]) {
        Err(AppendError::Full) => {
            spool.keep().map_err(|_| AppendError::Stopped)?;
            spool.append([frames()]).map(drop)
        }
        appended => appended.map(drop),
    }
}

/// The ledger's total of all sources; it balances.
fn total(log: &dyn Log) -> Row {
    let (totals, differences) = log.ledger_summary();
    assert_eq!(differences, []);
    let mut all = Row::default();
    totals.iter().for_each(|(_, row)| all.add(row));
    all
}

fn pending(row: &Row) -> [Option<u64>; 2] {
    [row.pending(&Stream::Calls), row.pending(&Stream::Rejected)]
}

/// What a fixed load does, step by step. Some of its calls are sent again, alone or among others.
fn step(spool: &mut Stepped, clock: &StepClock, n: u32) -> Result<Row, AppendError> {
    if n.is_multiple_of(20) {
        clock.pass(HOUR / 2);
    }
    let added = |received: u64, stored: u64, rejected: u64| {
        let repeated = received - stored - rejected;
        Row { received, stored, rejected, repeated, ..Row::default() }
    };
    Ok(match n % 5 {
        0 | 1 => {
            append(spool, || request(clock, 3 * n..3 * n + 3, 1))?;
            added(4, 3, 1)
        }
        2 => {
            append(spool, || request(clock, 3 * n - 3..3 * n, 0))?;
            added(3, 0, 0)
        }
        3 => {
            append(spool, || request(clock, 3 * n - 7..3 * n + 1, 0))?;
            // Of those before three are new: step 2 of five sends nothing new.
            added(8, 4, 0)
        }
        _ => {
            if n % 10 == 9 {
                try_deliver(spool).map_err(|_| AppendError::Stopped)?;
            }
            spool.keep().map_err(|_| AppendError::Stopped)?;
            Row::default()
        }
    })
}

#[test]
fn it_says_after_a_crash_at_any_step_what_it_said_before() {
    let (disk, clock) = (SimDisk::default(), StepClock::new());
    let mut spool = open(&disk, &clock);
    let mut expected = Row::default();
    for n in 0..150 {
        expected.add(&step(&mut spool, &clock, n).unwrap());
        let now = total(&*spool.log());
        let counted = Row { delivered: 0, rejected_delivered: 0, ..now };
        assert_eq!(counted, expected, "step {n}");
        let crashed = disk.copy();
        crashed.crash(&mut Dice(u64::from(n)));
        let again = open(&crashed, &clock);
        assert_eq!(total(&*again.log()), now, "a crash behind step {n}");
        drop(again);
        assert_eq!(total(&*open(&crashed, &clock).log()), now, "and a kill behind that");
    }
    assert!(expected.repeated > 100, "{expected:?}");
    try_deliver(&mut spool).unwrap();
    for _ in 0..3 {
        spool.keep().unwrap();
    }
    let usage = spool.log().usage();
    assert!(usage.segments <= 2, "what is tallied and delivered is released: {usage:?}");
    let all = total(&*spool.log());
    assert_eq!(pending(&all), [Some(0); 2]);
    spool.close().unwrap();
    assert_eq!(total(&*open(&disk, &clock).log()), all, "and after an orderly end");
}

#[test]
fn it_balances_after_a_machine_that_stopped_at_any_change_of_its_disk() {
    let mut stopped = 0;
    for after in 0..300 {
        let (disk, clock) = (SimDisk::default(), StepClock::new());
        disk.trouble(after, Trouble::Crash);
        let mut answered = Row::default();
        if let Some(mut spool) = try_open(&disk, &clock) {
            for n in 0..60 {
                match step(&mut spool, &clock, n) {
                    Ok(row) if disk.is_alive() => answered.add(&row),
                    _ => break,
                }
            }
        }
        stopped += u32::from(!disk.is_alive());
        disk.crash(&mut Dice(after));
        disk.clear_troubles();
        let spool = open(&disk, &clock);
        let found = total(&*spool.log());
        // A write that was not answered may be there all the same.
        let columns = |row: &Row| [row.received, row.stored, row.rejected, row.repeated];
        for (found, answered) in columns(&found).into_iter().zip(columns(&answered)) {
            assert!(found >= answered && found <= answered + 8, "after {after}: {found} {answered}");
        }
        drop(spool);
        assert_eq!(total(&*open(&disk, &clock).log()), found, "after {after}: a second start says the same");
    }
    assert!(stopped > 250, "the load makes that many changes: {stopped}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hour_has_what_was_received_in_it_also_when_one_object_holds_several() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let long = forebay::delivery::DeliverySettings {
        rule: forebay::batch::DueRule { max_age: 48 * HOUR, ..settings().rule },
        ..settings()
    };
    let node = Node::open_with(dir.path(), &store, &clock, options(), long);
    node.send("web", "bucket");
    let first = Hour::of(clock.wall());
    node.append("web", &lines(0, 5)).await;
    clock.pass(HOUR);
    node.append("web", &lines(5, 2)).await;
    node.reject("web", "{}").await;
    let hours = |node: &Node| -> Vec<(Hour, Row)> {
        let report = node.log().ledger(Rows::Of(&source("web")));
        assert_eq!(report.differences, []);
        report.accounts[0].hours.clone()
    };
    let stored =
        |received: u64, stored: u64, rejected: u64| Row { received, stored, rejected, ..Row::default() };
    let second = Hour::of(clock.wall());
    assert_eq!(hours(&node), [(first, stored(5, 5, 0)), (second, stored(3, 2, 1))]);
    node.flush().await;
    assert_eq!(objects(&store, "bucket", "/web/").len(), 2, "one of calls, one of what was rejected");
    let delivered = [
        (first, Row { delivered: 5, ..stored(5, 5, 0) }),
        (second, Row { delivered: 2, rejected_delivered: 1, ..stored(3, 2, 1) }),
    ];
    assert_eq!(hours(&node), delivered);
    assert_eq!(node.log().ledger(Rows::Of(&source("other"))).accounts, []);
    node.halt().await;
    clock.pass(60 * HOUR);
    let node = Node::open(dir.path(), &store, &clock);
    assert_eq!(hours(&node), [], "what is settled and long past is one row");
    let all = Row { delivered: 7, rejected_delivered: 1, ..stored(8, 7, 1) };
    assert_eq!(node.log().ledger(Rows::All).accounts[0].earlier, all);
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_rot_are_lost_and_no_difference() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(&dir.path().join("running"), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 20)).await;
    node.append("web", &lines(20, 1)).await;
    copy(&dir.path().join("running"), &dir.path().join("crashed"));
    // A frame of the open segment, while it is used.
    damage(&dir.path().join("running"), ".seg", "{\"n\":7,\"x");
    node.flush().await;
    let told = Row { received: 21, stored: 21, delivered: 20, lost: 1, ..Row::default() };
    assert_eq!(total(&*node.log()), told);
    assert!(!node.has_alarm(AlarmKind::Ledger));
    node.halt().await;
    let node = Node::open(&dir.path().join("running"), &store, &clock);
    // What was counted and shown stays so after an orderly end.
    assert_eq!(total(&*node.log()), told);
    node.halt().await;
    // While nobody runs: a frame that no tally holds is not known to have been one, and its position is.
    let crashed = dir.path().join("crashed");
    damage(&crashed, ".seg", "{\"n\":7,\"x");
    let node = Node::open(&crashed, &FakeStore::new(), &clock);
    assert_eq!(total(&*node.log()), Row { received: 20, stored: 20, ..Row::default() });
    assert_eq!(node.log().ledger(Rows::All).lost_positions, 1);
    node.halt().await;
    // A start tallies what it finds: of a frame that is lost after that the ledger knows.
    damage(&crashed, ".seg", "{\"n\":8,\"x");
    let node = Node::open(&crashed, &FakeStore::new(), &clock);
    assert_eq!(total(&*node.log()), Row { received: 20, stored: 20, ..Row::default() });
    node.flush().await;
    let told = Row { received: 20, stored: 20, delivered: 19, lost: 1, ..Row::default() };
    assert_eq!(total(&*node.log()), told);
    node.halt().await;
}

/// Notes a tally of two calls that were never stored, as a bug would.
fn wrong_tally(dir: &std::path::Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir).unwrap());
    let ident = Ident::read(&*disk).unwrap().unwrap();
    let (number, mut state) = manifest::read_newest(&*disk, &ident.spool_id).unwrap().unwrap();
    let row = Row { received: 2, stored: 2, ..Row::default() };
    let hour = Hour::of(forebay::time::UnixMillis(EVENING));
    state.apply(CallNote::Tallied(Tally {
        through: 0,
        rows: vec![(AccountKey::of_calls(source("web")), hour, row)],
        ..Tally::default()
    }));
    Manifest::begin(disk, ident.spool_id, number + 1, state, SpoolOptions::default().manifest_bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_count_is_an_alarm_until_it_is_right_again() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "bucket");
    node.append("web", &lines(0, 20)).await;
    node.halt().await;
    wrong_tally(dir.path());
    let node = Node::open(dir.path(), &store, &clock);
    eventually("the alarm", || node.has_alarm(AlarmKind::Ledger)).await;
    let what = node.alarms.standing().remove(0).what;
    assert!(what.contains("22 pending by the counts, but 20 in the spool"), "{what}");
    let differences = node.log().ledger_differences();
    assert_eq!(differences.len(), 1, "{differences:?}");
    node.delivery.judge_ledger(&[]);
    assert!(!node.has_alarm(AlarmKind::Ledger));
    clock.pass(Duration::from_secs(11));
    eventually("the alarm again", || node.has_alarm(AlarmKind::Ledger)).await;
    node.end().await;
}
