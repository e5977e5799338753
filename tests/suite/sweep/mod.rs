//! The I/O sweep, in the manner of SQLite's tests: runs a fixed load through the real spool and its delivery
//! repeatedly, and lets each call to the disk fail, once and from then on, with every error.

#![expect(clippy::indexing_slicing, reason = "tests fail by a panic that names the line")]

mod expected;
mod faulty;
mod long_note;
mod node;
mod unreadable;
mod world;

use std::any::Any;
use std::collections::BTreeMap;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use expected::{Verdict, may_lose, verdict};
use faulty::{Case, Done, Error, Fault, Op, Phase, Recorder, Role, Site};
use world::{End, Load, Step, World};

use crate::support::sim_disk::Dice;

/// Runs at a time. Most runs spend their time waiting; those with large objects do not.
const WORKERS: usize = 16;
const WORKERS_ON_LARGE: usize = 8;
/// An ordinary run has one case of this many; `tests/long` has all.
const PART: usize = 5;
/// One sweep at a time, so that a run that takes long is really hanging.
static TURN: Mutex<()> = Mutex::new(());
/// The most failures reported in full.
const TOLD_MAX: usize = 20;
/// The most runs of one case until its call occurs.
const TRIES_MAX: u32 = 20;

const EVERYDAY: Load = Load {
    segment_bytes: 16 * 1_024,
    sources: &["web", "away"],
    lives: &[
        (
            &[
                Step::Refuse("away"),
                Step::Send("web", 10),
                Step::Send("away", 6),
                Step::Deliver("web"),
                Step::Park("away"),
                Step::Send("web", 3),
            ],
            End::InOrder,
        ),
        (&[Step::Send("web", 10), Step::Send("away", 3), Step::Deliver("web")], End::Killed),
        (
            &[
                Step::TwoDays,
                Step::Allow("away"),
                Step::Send("web", 12),
                Step::Deliver("web"),
                Step::Deliver("away"),
            ],
            End::PowerCut,
        ),
        (&[Step::Send("web", 3), Step::Deliver("web")], End::InOrder),
    ],
};

/// An object that is too large to be staged in memory.
const LARGE: Load = Load {
    segment_bytes: 1_024 * 1_024,
    sources: &["web"],
    lives: &[
        (&[Step::Refuse("web"), Step::SendLong("web", 75), Step::Park("web")], End::Killed),
        (&[Step::Allow("web"), Step::Deliver("web")], End::InOrder),
    ],
};

/// A manifest that has become long and is rewritten.
const LONG_MANIFEST: Load = Load {
    segment_bytes: 16 * 1_024,
    sources: &["web", "long"],
    lives: &[
        (
            &[Step::Send("web", 2), Step::LongNote("long"), Step::Send("web", 2), Step::Deliver("web")],
            End::Killed,
        ),
        (&[Step::Send("web", 2), Step::Deliver("web")], End::InOrder),
    ],
};

/// The errors that a kind of call can return.
fn faults(op: Op) -> Vec<Fault> {
    let fault = |(error, done)| Fault { error, done };
    let errors: &[(Error, Done)] = match op {
        Op::Write => &[
            (Error::Eio, Done::Nothing),
            (Error::Eio, Done::Half),
            (Error::Eio, Done::All),
            (Error::Enospc, Done::Nothing),
            (Error::Enospc, Done::Half),
            (Error::Edquot, Done::Nothing),
        ],
        Op::Sync | Op::SyncDir | Op::Rename | Op::Remove => &[
            (Error::Eio, Done::Nothing),
            (Error::Eio, Done::All),
            (Error::Enospc, Done::Nothing),
            (Error::Edquot, Done::Nothing),
        ],
        Op::Create => &[
            (Error::Eio, Done::Nothing),
            (Error::Eio, Done::All),
            (Error::Enospc, Done::Nothing),
            (Error::Edquot, Done::Nothing),
            (Error::Emfile, Done::Nothing),
        ],
        Op::Open => &[(Error::Eio, Done::Nothing), (Error::Emfile, Done::Nothing)],
        Op::List => &[(Error::Eio, Done::Nothing), (Error::Emfile, Done::Nothing)],
        Op::Read | Op::Len => &[(Error::Eio, Done::Nothing)],
    };
    errors.iter().copied().map(fault).collect()
}

/// The cases for the calls in `counted`: every call fails, once and from then on, with each error that has a
/// different effect; with `FOREBAY_SWEEP=all` with every error.
fn cases(counted: &BTreeMap<(Op, Role), u64>, of: impl Fn(Role) -> bool) -> Vec<Case> {
    let sites = counted
        .iter()
        .filter(|((_, role), _)| of(*role))
        .flat_map(|((op, role), calls)| (1..=*calls).map(|nth| Site { op: *op, role: *role, nth }));
    let all = env::var_os("FOREBAY_SWEEP").is_some_and(|value| value == "all");
    // A quota acts like a full disk, and a lasting failure has the same effect on later calls for any first
    // one.
    let quota = |case: &Case| {
        case.fault.error == Error::Edquot && (case.lasting || !matches!(case.site.op, Op::Write | Op::Create))
    };
    let same = |case: &Case| case.lasting && case.fault.done != Done::Nothing;
    // Calls that need no space are not refused for lack of it permanently.
    let brief = |case: &Case| {
        let small = matches!(case.site.op, Op::Rename | Op::Remove | Op::SyncDir);
        case.lasting && case.fault.error == Error::Enospc && small
    };
    let worth = |case: &Case| all || !(quota(case) || same(case) || brief(case));
    sites
        .flat_map(|site| faults(site.op).into_iter().map(move |fault| (site, fault)))
        .flat_map(|(site, fault)| [false, true].map(|lasting| Case { site, fault, lasting }))
        .filter(worth)
        .collect()
}

/// The result of one run.
#[derive(Debug)]
struct Outcome {
    struck: Option<Phase>,
    stopped: bool,
    refused: bool,
    took: Duration,
    calls: BTreeMap<(Op, Role), u64>,
}

/// Runs the load with a failure, then repairs the disk, recovers, and counts the lines in the store.
async fn run(load: Load, case: Option<Case>) -> Outcome {
    let began = Instant::now();
    let recorder = Recorder::new(case);
    let mut world = World::new(load, recorder.clone(), case.is_some_and(|case| case.lasting));
    // Half of the runs lose unsynced data when the process ends, the others keep it.
    let cut = case.is_some_and(|case| (case.site.nth + u64::from(case.lasting)).is_multiple_of(2));
    let mut dice = Dice(case.map_or(0, |case| case.site.nth));
    let (mut stopped, mut refused, mut judged) = (false, false, false);
    for (steps, end) in load.lives {
        let lived = world.live(steps, *end, &mut dice).await;
        if lived != Some(false) && cut {
            world.disk.crash(&mut dice);
        }
        (stopped, refused) = (stopped || lived == Some(true), refused || lived.is_none());
        if !judged && let (Some(case), Some(phase)) = (case, recorder.get().struck) {
            judge(&case, phase, lived);
            judged = true;
        }
    }
    let calls = recorder.mend();
    world.lasting = false;
    load.sources.iter().for_each(|name| world.store.refuse_bucket(name, false));
    finish(&mut world, &mut dice).await;
    count(&world, case);
    let record = recorder.get();
    assert!(record.broken_rules.is_empty(), "{:?}", record.broken_rules);
    Outcome { struck: record.struck, stopped, refused, took: began.elapsed(), calls }
}

/// Compares the result of a life in which a call failed with the required one.
fn judge(case: &Case, phase: Phase, lived: Option<bool>) {
    match (phase, verdict(case)) {
        (Phase::Running, Verdict::Stops) => assert_eq!(lived, Some(true), "it must stop"),
        (Phase::Running, Verdict::Stands) => assert_eq!(lived, Some(false), "it must not stop"),
        _ => {}
    }
}

/// Recovers without failures: resends unacknowledged lines, simulates a power failure, and delivers
/// everything.
async fn finish(world: &mut World, dice: &mut Dice) {
    let node = world.open().await.unwrap_or_else(|| panic!("it does not open: {:?}", world.refusals));
    world.send_again(&node).await;
    assert!(!world.end(node, End::PowerCut, dice).await, "it stopped without a failure");
    let node = world.open().await.unwrap_or_else(|| panic!("it does not open: {:?}", world.refusals));
    for name in world.load.sources {
        world.deliver(&node, name).await;
    }
    world.keeps_no_more_than_it_needs(&node).await;
    assert!(!world.end(node, End::InOrder, dice).await, "it stopped without a failure");
}

/// Checks that each line is in the store once.
fn count(world: &World, case: Option<Case>) {
    let stored = world.stored();
    let missing = world.answered.keys().filter(|line| !stored.contains_key(*line)).count();
    let doubled = stored.iter().filter(|(_, count)| **count > 1).count();
    let strange = stored.keys().filter(|line| !world.answered.contains_key(*line)).count();
    if case.is_some_and(|case| may_lose(&case)) {
        let lost = world.lost.len();
        assert!(missing <= lost || world.unreadable, "{missing} missing, but only {lost} are reported lost");
    } else {
        assert_eq!((missing, world.lost.len()), (0, 0), "acknowledged but not stored, and reported lost");
    }
    assert_eq!((doubled, strange), (0, 0), "stored twice, never sent");
}

/// Runs some of all cases, several at a time; reports how many failures occurred, and their effects.
#[expect(clippy::disallowed_methods, reason = "the report has the panic's text")]
fn sweep(what: &str, load: Load, workers: usize, every: usize, of: impl Fn(Role) -> bool) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let began = Instant::now();
    let counted = Counted::of(load, workers);
    let cases: Vec<Case> = cases(&counted.most, of).into_iter().step_by(every).collect();
    let (next, outcomes, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let unmet = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Threads progress differently in each run, so the call that should fail may not occur.
                    for attempt in 1..=TRIES_MAX {
                        match catch_unwind(AssertUnwindSafe(|| block_on(run(load, Some(*case))))) {
                            Ok(outcome) if outcome.struck.is_none() && attempt < TRIES_MAX => continue,
                            Ok(outcome) => {
                                if outcome.struck.is_none() {
                                    unmet.lock().unwrap().push(*case);
                                }
                                outcomes.lock().unwrap().push(outcome);
                            }
                            Err(panic) => {
                                failures.lock().unwrap().push(format!("{case:?}: {}", text(&*panic)))
                            }
                        }
                        break;
                    }
                }
            });
        }
    });
    let (outcomes, failures) = (outcomes.into_inner().unwrap(), failures.into_inner().unwrap());
    let number = |of: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| of(outcome)).count();
    let struck = number(&|outcome| outcome.struck.is_some());
    eprintln!(
        "{what}: {} runs over {} calls of {} kinds; {struck} met their failure, {} of them while opening; {} stopped the \
         spool, {} kept it from opening; the longest took {:?}; {} violations; {:?}",
        cases.len(),
        cases.iter().map(|case| case.site).collect::<std::collections::BTreeSet<_>>().len(),
        counted.most.len(),
        number(&|outcome| outcome.struck == Some(Phase::Opening)),
        number(&|outcome| outcome.stopped),
        number(&|outcome| outcome.refused),
        outcomes.iter().map(|outcome| outcome.took).max().unwrap_or_default(),
        failures.len(),
        began.elapsed(),
    );
    let told: Vec<_> = failures.iter().take(TOLD_MAX).collect();
    assert!(failures.is_empty(), "{} of {} runs failed:\n{told:#?}", failures.len(), cases.len());
    let unmet = unmet.into_inner().unwrap();
    eprintln!("{what}: {} calls did not come in {TRIES_MAX} runs: {unmet:?}", unmet.len());
    let sure: Vec<_> = unmet.iter().filter(|case| counted.is_sure(case.site)).collect();
    assert!(sure.is_empty(), "these calls come in every run, and were not met: {sure:?}");
}

/// How many calls of each kind occur in runs without failures.
struct Counted {
    most: BTreeMap<(Op, Role), u64>,
    least: BTreeMap<(Op, Role), u64>,
}

impl Counted {
    /// Counts in as many concurrent runs as the sweep uses later, because thread scheduling affects the
    /// numbers.
    fn of(load: Load, workers: usize) -> Self {
        let runs: Vec<Outcome> = std::thread::scope(|scope| {
            let begin = |_| scope.spawn(|| block_on(run(load, None)));
            let running: Vec<_> = (0..workers).map(begin).collect();
            running.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let (mut most, mut least) = (BTreeMap::new(), BTreeMap::new());
        for run in &runs {
            assert_eq!((run.stopped, run.refused), (false, false), "the first runs have no failures");
            for (kind, calls) in &run.calls {
                let known = most.entry(*kind).or_default();
                *known = (*calls).max(*known);
            }
        }
        for kind in most.keys() {
            let calls = runs.iter().map(|run| run.calls.get(kind).copied().unwrap_or_default());
            least.insert(*kind, calls.min().unwrap_or_default());
        }
        Self { most, least }
    }

    /// Whether this call occurred in every run.
    fn is_sure(&self, site: Site) -> bool {
        self.least.get(&(site.op, site.role)).is_some_and(|calls| site.nth <= *calls)
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().max_blocking_threads(4).build().unwrap();
    runtime.block_on(future)
}

#[test]
fn disk_calls_may_fail_once_or_permanently() {
    sweep("a part of everyday", EVERYDAY, WORKERS, PART, |_| true);
}

#[test]
#[ignore = "long: tests/long"]
fn every_disk_call_may_fail_once_or_permanently() {
    sweep("everyday", EVERYDAY, WORKERS, 1, |_| true);
}

#[test]
#[ignore = "long: tests/long"]
fn every_disk_call_for_large_objects_may_fail_once_or_permanently() {
    sweep("large objects", LARGE, WORKERS_ON_LARGE, 1, |role| matches!(role, Role::Staged | Role::Parked));
}

#[test]
#[ignore = "long: tests/long"]
fn every_disk_call_for_a_new_manifest_may_fail_once_or_permanently() {
    let manifests = [Role::Manifest, Role::NewManifest, Role::Reserve, Role::Directory];
    sweep("a long manifest", LONG_MANIFEST, WORKERS, 1, |role| manifests.contains(&role));
}
