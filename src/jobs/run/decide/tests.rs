//! Tables, and a random model: whatever handlers do and however often a job is killed, every task gets one
//! result.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::destinations::class::Class;
use crate::lock::lock;

/// A generator that repeats itself from its seed (splitmix64).
#[derive(Debug)]
struct Seeded(Mutex<u64>);

impl Seeded {
    fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

impl Random for Seeded {
    fn next_u64(&self) -> u64 {
        let mut state = lock(&self.0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

fn told(succeeded: bool) -> Told {
    let error_code = if succeeded { "" } else { "PermanentFailure" };
    Told { succeeded, http_status: Some(200), error_code, message: "m".into() }
}

fn succeeded() -> Verdict {
    Verdict::Final(told(true))
}

fn failed() -> Verdict {
    Verdict::Final(told(false))
}

fn temporary() -> Verdict {
    Verdict::Temporary(told(false))
}

fn refused() -> Verdict {
    Verdict::Refused(Refusal { class: Class::NotFound, what: "404".into(), remedy: "fix it".into() })
}

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn job(rows: u64, limits: Limits) -> Decisions {
    Decisions::new(Past::new(rows).unwrap(), limits)
}

fn start(decisions: &mut Decisions, now: Duration) -> Try {
    match decisions.next(now) {
        Next::Start(started) => started,
        other => panic!("{other:?}"),
    }
}

fn counts(of: &[Entry]) -> EntryCounts {
    let mut entries = Entries::default();
    of.iter().for_each(|entry| entry.add_to(&mut entries));
    entries.counts()
}

fn end(decisions: &mut Decisions, of: Try, verdict: Verdict, now: Duration) -> Option<TaskResult> {
    let entry = decisions.ended(of, verdict, 0, now, &Seeded::new(1));
    decisions.recorded(counts(entry.as_slice()));
    match entry {
        Some(Entry::Result(result)) => Some(result),
        Some(Entry::Tried { .. }) | None => None,
    }
}

/// Runs tasks one after the other, the first `failing` of them to a failure, until the job ends or waits.
fn run(rows: u64, failing: u64) -> (Next, Progress) {
    let mut decisions = job(rows, Limits { concurrency: 1, ..Limits::default() });
    loop {
        match decisions.next(at(0)) {
            Next::Start(of) => {
                let verdict = if of.row < failing { failed() } else { succeeded() };
                end(&mut decisions, of, verdict, at(0));
            }
            other => return (other, decisions.progress()),
        }
    }
}

#[test]
fn a_job_fails_by_its_threshold_and_not_before() {
    let check = |rows, failing, end: End, executed: u64| {
        let (next, progress) = run(rows, failing);
        assert_eq!(next, Next::Ended(end), "{failing} of {rows}");
        assert_eq!(progress.succeeded + progress.failed, executed, "{failing} of {rows}");
    };
    let too_many = |executed, failed| End::TooManyFailed { executed, failed };
    check(999, 999, End::Complete, 999);
    check(1_000, 500, End::Complete, 1_000);
    check(1_000, 501, too_many(1_000, 501), 1_000);
    check(1_001, 501, too_many(1_000, 501), 1_000);
    check(1_001, 500, End::Complete, 1_001);
    check(5_000, 5_000, too_many(1_000, 1_000), 1_000);
    check(0, 0, End::Complete, 0);
}

#[test]
fn tasks_that_wait_for_a_redrive_count_neither_way() {
    let limits = Limits { concurrency: 3_000, ..Limits::default() };
    let mut decisions = job(2_000, limits);
    let tries: Vec<Try> = (0..2_000).map(|_| start(&mut decisions, at(0))).collect();
    for of in &tries[..1_000] {
        assert_eq!(end(&mut decisions, *of, temporary(), at(0)), None);
    }
    for of in &tries[1_000..1_500] {
        end(&mut decisions, *of, failed(), at(0));
    }
    for of in &tries[1_500..] {
        end(&mut decisions, *of, succeeded(), at(0));
    }
    // 1,500 would have failed if those that wait did; 500 of 2,000 if they had succeeded.
    let Next::Wait(Some(due)) = decisions.next(at(0)) else { panic!("the job must go on") };
    assert_eq!(decisions.progress().waiting, 1_000);
    let next = start(&mut decisions, due);
    assert_eq!(next.attempt, 2);
    end(&mut decisions, next, failed(), due);
    assert_eq!(decisions.next(due), Next::Ended(End::TooManyFailed { executed: 1_001, failed: 501 }));
}

#[test]
fn a_task_has_so_many_tries_and_then_its_last_message() {
    let mut decisions = job(1, Limits { max_attempts: 3, ..Limits::default() });
    let mut now = at(0);
    for attempt in 1..=3 {
        let of = start(&mut decisions, now);
        assert_eq!(of.attempt, attempt);
        let message = format!("try {attempt}");
        let verdict = Verdict::Temporary(Told { message: message.clone(), ..told(false) });
        let result = end(&mut decisions, of, verdict, now);
        assert_eq!(result.map(|result| result.message), (attempt == 3).then_some(message));
        if let Next::Wait(Some(due)) = decisions.next(now) {
            let (least, most) = (at(500 << attempt), at((1_000 << attempt) + 1));
            assert!(due - now >= least && due - now <= most, "{attempt}: {:?}", due - now);
            now = due;
        }
    }
    assert_eq!(decisions.next(now), Next::Ended(End::Complete));
}

#[test]
fn a_refusal_to_take_requests_costs_no_try() {
    let mut decisions = job(1, Limits { max_attempts: 1, ..Limits::default() });
    let mut now = at(0);
    for n in 1..10 {
        let of = start(&mut decisions, now);
        assert_eq!(of.attempt, 1);
        assert_eq!(end(&mut decisions, of, Verdict::Throttled { pause: None }, now), None);
        assert_eq!((decisions.progress().throttled, decisions.progress().throttles), (1, n));
        let Next::Wait(Some(until)) = decisions.next(now) else { panic!("the job must pause") };
        assert!(until > now);
        now = until;
    }
    let of = start(&mut decisions, now);
    assert!(end(&mut decisions, of, succeeded(), now).is_some_and(|result| result.succeeded));
}

#[test]
fn the_pause_holds_back_all_tasks() {
    let mut decisions = job(10, Limits { concurrency: 4, ..Limits::default() });
    let (first, second) = (start(&mut decisions, at(0)), start(&mut decisions, at(0)));
    end(&mut decisions, first, Verdict::Throttled { pause: Some(at(9_000)) }, at(10));
    end(&mut decisions, second, succeeded(), at(20));
    assert_eq!(decisions.next(at(20)), Next::Wait(Some(at(9_010))));
    assert_eq!(start(&mut decisions, at(9_010)).row, 0, "the task that was refused comes first");
}

#[test]
fn no_new_task_starts_while_too_many_wait() {
    let mut decisions = job(10, Limits { concurrency: 1, waiting_max: 3, ..Limits::default() });
    for _ in 0..3 {
        let of = start(&mut decisions, at(0));
        end(&mut decisions, of, temporary(), at(0));
    }
    let Next::Wait(Some(due)) = decisions.next(at(0)) else { panic!("the job must wait") };
    let redriven = start(&mut decisions, due);
    assert_eq!(redriven.attempt, 2);
    end(&mut decisions, redriven, succeeded(), due);
    let mut rows = Vec::new();
    while let Next::Start(of) = decisions.next(due) {
        rows.push((of.row, of.attempt));
        end(&mut decisions, of, succeeded(), due);
    }
    assert!(rows.contains(&(3, 1)), "{rows:?}");
}

#[test]
fn no_task_starts_while_too_many_results_are_not_durable() {
    let mut decisions = job(20_000, Limits { concurrency: 1, ..Limits::default() });
    let mut entries = Vec::new();
    for _ in 0..UNRECORDED_MAX {
        let of = start(&mut decisions, at(0));
        let verdict = if of.row.is_multiple_of(2) { succeeded() } else { temporary() };
        entries.extend(decisions.ended(of, verdict, 0, at(0), &Seeded::new(1)));
    }
    assert_eq!(decisions.next(at(0)), Next::Wait(None));
    assert_eq!(decisions.progress().succeeded, 0, "a task is counted after its sync");
    decisions.recorded(counts(&entries[..1]));
    assert_eq!((start(&mut decisions, at(0)).attempt, decisions.progress().succeeded), (1, 1));
}

#[test]
fn a_stop_lets_running_tasks_end_and_a_job_goes_on_with_its_tries() {
    let mut decisions = job(3, Limits { concurrency: 2, max_attempts: 2, ..Limits::default() });
    let (first, second) = (start(&mut decisions, at(0)), start(&mut decisions, at(0)));
    decisions.stop();
    assert_eq!(decisions.next(at(0)), Next::Wait(None));
    end(&mut decisions, first, temporary(), at(0));
    assert_eq!(decisions.next(at(60_000)), Next::Wait(None));
    end(&mut decisions, second, succeeded(), at(0));
    assert_eq!(decisions.next(at(60_000)), Next::Ended(End::Stopped));
    decisions.go_on();
    let redriven = start(&mut decisions, at(60_000));
    assert_eq!((redriven.row, redriven.attempt), (0, 2));
    assert!(end(&mut decisions, redriven, temporary(), at(60_000)).is_some_and(|it| !it.succeeded));
    let last = start(&mut decisions, at(60_000));
    end(&mut decisions, last, succeeded(), at(60_000));
    assert_eq!(decisions.next(at(60_000)), Next::Ended(End::Complete));
}

#[test]
fn a_missing_right_ends_the_job_and_gives_no_result() {
    let mut decisions = job(9, Limits { concurrency: 2, ..Limits::default() });
    let (first, second) = (start(&mut decisions, at(0)), start(&mut decisions, at(0)));
    assert_eq!(end(&mut decisions, first, refused(), at(0)), None);
    assert_eq!(decisions.next(at(0)), Next::Wait(None), "the other task runs");
    assert!(end(&mut decisions, second, succeeded(), at(0)).is_some());
    let Next::Ended(End::Refused(refusal)) = decisions.next(at(0)) else { panic!("the job must fail") };
    assert_eq!((refusal.class, decisions.progress().failed), (Class::NotFound, 0));
    decisions.go_on();
    assert!(matches!(decisions.next(at(0)), Next::Ended(End::Refused(_))), "a failed job does not go on");
}

#[test]
fn a_job_that_had_failed_starts_nothing_when_it_is_started_again() {
    let mut past = Past::new(2_000).unwrap();
    for row in 0..1_000 {
        assert!(past.result(row, row >= 501));
    }
    let mut decisions = Decisions::new(past, Limits::default());
    assert_eq!(decisions.next(at(0)), Next::Ended(End::TooManyFailed { executed: 1_000, failed: 501 }));
}

#[test]
fn tries_before_a_restart_count() {
    let limits = Limits { max_attempts: 3, ..Limits::default() };
    let mut past = Past::new(3).unwrap();
    assert!(past.tried(1, 2) && past.tried(2, 7));
    let mut decisions = Decisions::new(past, limits);
    let tries = [0, 1, 2].map(|_| start(&mut decisions, at(0)));
    assert_eq!(tries.map(|of| (of.row, of.attempt)), [(0, 1), (1, 3), (2, 8)]);
    let results = tries.map(|of| end(&mut decisions, of, temporary(), at(0)).is_some());
    assert_eq!(results, [false, true, true], "the last try of a task gives its result");
}

/// One job of the model: it is stopped, killed and started again, and its handler does anything.
fn model(seed: u64) {
    let random = Seeded::new(seed);
    let rows = random.below(60);
    let limits = Limits {
        concurrency: usize::try_from(1 + random.below(8)).unwrap(),
        max_attempts: u32::try_from(1 + random.below(4)).unwrap(),
        threshold: Threshold { min_tasks: 0, percent: 100 },
        waiting_max: usize::try_from(1 + random.below(6)).unwrap(),
    };
    // What a crash leaves: the results that a sync has covered.
    let mut durable: BTreeMap<u64, bool> = BTreeMap::new();
    let mut tried: BTreeMap<u64, u32> = BTreeMap::new();
    let mut now = at(0);
    for life in 0.. {
        assert!(life < 10_000, "seed {seed}: the job does not end");
        let mut past = Past::new(rows).unwrap();
        for (row, tries) in &tried {
            assert!(past.tried(*row, *tries), "seed {seed}");
        }
        for (row, succeeded) in &durable {
            assert!(past.result(*row, *succeeded), "seed {seed}");
        }
        let mut decisions = Decisions::new(past, limits);
        let mut running: Vec<Try> = Vec::new();
        let mut written: Vec<Entry> = Vec::new();
        let ended = loop {
            if random.below(200) == 0 {
                break None; // kill -9: what is running and written is lost.
            }
            match random.below(40) {
                0 => decisions.stop(),
                1 => decisions.go_on(),
                _ => {}
            }
            let next = decisions.next(now);
            if let Next::Ended(end) = next {
                assert!(running.is_empty() && written.is_empty(), "seed {seed}");
                break Some(end);
            }
            let starts = match next {
                Next::Start(of) => {
                    assert!(!durable.contains_key(&of.row), "seed {seed}: row {} has its result", of.row);
                    assert!(running.iter().all(|other| other.row != of.row), "seed {seed}");
                    assert!(of.attempt >= 1 && of.attempt <= limits.max_attempts, "seed {seed}");
                    running.push(of);
                    true
                }
                Next::Wait(until) => {
                    let is_idle = running.is_empty() && written.is_empty();
                    assert!(until.is_some() || !is_idle, "seed {seed}: it waits for nothing");
                    now = until.filter(|_| is_idle || random.below(2) == 0).unwrap_or(now).max(now);
                    false
                }
                Next::Ended(_) => false,
            };
            assert!(running.len() <= limits.concurrency, "seed {seed}");
            let most = u64::try_from(limits.waiting_max + limits.concurrency).unwrap();
            assert!(decisions.progress().waiting <= most, "seed {seed}");
            if !starts || random.below(3) == 0 {
                if !running.is_empty() && random.below(2) == 0 {
                    let index =
                        usize::try_from(random.next_u64() % u64::try_from(running.len()).unwrap()).unwrap();
                    let of = running.swap_remove(index);
                    let verdict = match random.below(8) {
                        0..=3 => succeeded(),
                        4 => failed(),
                        5 => Verdict::Throttled { pause: None },
                        _ => temporary(),
                    };
                    written.extend(decisions.ended(of, verdict, 0, now, &random));
                } else if !written.is_empty() {
                    decisions.recorded(counts(&written));
                    for entry in written.drain(..) {
                        match entry {
                            Entry::Result(TaskResult { row, succeeded, .. }) => {
                                assert_eq!(
                                    durable.insert(row, succeeded),
                                    None,
                                    "seed {seed}: row {row} twice"
                                );
                            }
                            Entry::Tried { row, tries, .. } => {
                                let before = tried.insert(row, tries).unwrap_or(0);
                                assert_eq!(tries, before + 1, "seed {seed}: row {row}");
                            }
                        }
                    }
                    let progress = decisions.progress();
                    let recorded = u64::try_from(durable.len()).unwrap();
                    assert_eq!(progress.succeeded + progress.failed, recorded, "seed {seed}");
                }
            }
        };
        match ended {
            Some(End::Complete) => break,
            Some(End::Stopped) | None => {}
            Some(other) => panic!("seed {seed}: {other:?}"),
        }
    }
    assert!(durable.keys().copied().eq(0..rows), "seed {seed}: every task has one result");
}

#[test]
fn every_task_gets_one_result_whatever_happens() {
    for seed in 0..3_000 {
        model(seed);
    }
}

#[test]
fn a_run_that_needs_no_task_has_ended() {
    let threshold = Threshold { min_tasks: 2, percent: 50 };
    let end = |succeeded, failed| {
        let mut past = Past::new(4).unwrap();
        (0..succeeded + failed).for_each(|row| assert!(past.result(row, row < succeeded)));
        end_of(&past, threshold)
    };
    assert_eq!((end(0, 0), end(3, 0), end(0, 1), end(1, 1)), (None, None, None, None));
    assert_eq!((end(4, 0), end(2, 2)), (Some(End::Complete), Some(End::Complete)));
    assert_eq!(end(1, 2), Some(End::TooManyFailed { executed: 3, failed: 2 }));
}
