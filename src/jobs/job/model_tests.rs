//! A small model of a job, against random sequences of requests, results and crashes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::crash_disk::{CrashDisk, Dice};
use super::id::JobId;
use super::state::{JobState, Priority};
use super::status::{PausedBy, Status};
use super::transition::{Event, next, tests::events};
use super::wish::{Answer, Wish, WishId};
use super::wishes::{answer_wish, make_wish, take_answer, waiting};
use crate::disk::Disk as _;
use crate::jobs::attempts::LOG;
use crate::jobs::attempts::entry::{Change, Entry};
use crate::jobs::attempts::frame::{Found, HEADER, Scan};
use crate::jobs::attempts::log::{AttemptsLog, create};
use crate::jobs::task::TaskResult;
use crate::time::{Clock, UnixMillis};

#[derive(Debug)]
struct Now(i64);

impl Clock for Now {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.0)
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// What must hold of a job, whatever happens: kept beside it, from the events that became durable.
#[derive(Debug, Default)]
struct Model {
    all_ended: bool,
    failed: bool,
    cancelled: bool,
    paused_by_person: bool,
    confirmed: bool,
    was_suspended: bool,
}

impl Model {
    fn note(&mut self, event: &Event, status: Status) {
        match event {
            Event::AllTasksEnded => self.all_ended = true,
            Event::ManifestFailed(_)
            | Event::ThresholdPassed(_)
            | Event::AccessFailed(_)
            | Event::Unconfirmed => {
                self.failed = true;
            }
            Event::ReportFailed(_) => self.failed = true,
            Event::CancelAsked(_) => self.cancelled = true,
            Event::PauseAsked => self.paused_by_person = true,
            Event::ResumeAsked => self.paused_by_person = false,
            Event::Confirmed(_) => self.confirmed = true,
            _ => {}
        }
        self.was_suspended |= status == Status::Suspended;
    }

    fn check(&self, state: &JobState) {
        let status = state.status;
        let done = Status::Complete == status || Status::Completing == status;
        assert!(!done || (self.all_ended && !self.failed && !self.cancelled), "{status}: {self:?}");
        assert!(status != Status::Cancelled || self.cancelled, "{self:?}");
        assert_eq!(
            status == Status::Failed || status == Status::Failing,
            self.failed && !state.failures.is_empty()
        );
        let runs = status == Status::Active || status.wants_slot();
        assert!(!runs || (!self.paused_by_person && !self.cancelled && !self.failed), "{status}: {self:?}");
        assert!(!runs || !self.was_suspended || self.confirmed, "{status}: {self:?}");
        assert_eq!(state.ended_at.is_some(), status.is_final());
        assert_eq!(
            state.report_date.is_some(),
            self.all_ended
                || self.cancelled
                || status == Status::Failing
                || (self.failed && state.report_date.is_some())
        );
    }
}

struct World {
    disk: CrashDisk,
    dice: Dice,
    job: JobId,
    now: i64,
    state: JobState,
    model: Model,
    /// A change whose sync failed: it may be in the log or not.
    unsure: Option<(Event, JobState)>,
    durable_rows: BTreeSet<u64>,
    next_row: u64,
    asked: Vec<WishId>,
    answered: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let (disk, job) = (CrashDisk::new(seed), JobId::random(&Dice::new(seed)));
        let state = JobState::new(Priority::default(), UnixMillis(0));
        create(&disk, job, &Change { at: UnixMillis(0), state: state.clone(), wish: None }).unwrap();
        let (dice, model) = (Dice::new(seed), Model::default());
        let (durable_rows, asked) = (BTreeSet::new(), Vec::new());
        Self {
            disk,
            dice,
            job,
            now: 0,
            state,
            model,
            unsure: None,
            durable_rows,
            next_row: 0,
            asked,
            answered: 0,
        }
    }

    fn at(&mut self) -> UnixMillis {
        self.now += 1_000;
        UnixMillis(self.now)
    }

    /// Applies an event as the holder does: decided, logged, synced, and only then in force.
    fn apply(&mut self, log: &mut AttemptsLog, event: &Event, wish: Option<WishId>) -> Result<Answer, ()> {
        let at = self.at();
        let decided = next(&self.state, event, at);
        let answer = Answer::of(&decided);
        let (state, is_done) = match decided {
            Ok(state) => (state, true),
            Err(_) if wish.is_none() => return Ok(answer),
            Err(_) => (self.state.clone(), false),
        };
        assert!(!self.state.status.is_final() || !is_done, "{event:?} after the end");
        let wish = wish.map(|id| (id, answer.clone()));
        if log.change(&Change { at, state: state.clone(), wish }).is_err() {
            self.unsure = is_done.then(|| (event.clone(), state));
            return Err(());
        }
        if is_done {
            self.model.note(event, state.status);
        }
        self.state = state;
        self.model.check(&self.state);
        Ok(answer)
    }

    /// Obeys the wishes that wait.
    fn obey(&mut self, log: &mut AttemptsLog, last: &mut Option<(WishId, Answer)>) -> Result<(), ()> {
        let found = waiting(&self.disk, UnixMillis(self.now)).map_err(drop)?;
        assert!(found.broken.is_empty(), "{found:?}");
        for (id, wish) in found.wishes {
            let answer = match last {
                Some((last, answer)) if *last == id => answer.clone(),
                _ => self.apply(log, &wish.event(), Some(id))?,
            };
            *last = Some((id, answer.clone()));
            answer_wish(&self.disk, id, &answer).map_err(drop)?;
        }
        Ok(())
    }

    fn ask(&mut self) {
        let priority = Priority::new(u32::try_from(self.dice.below(9)).unwrap()).unwrap();
        let wish = self.dice.of(&[
            Wish::Pause,
            Wish::Resume,
            Wish::Priority(priority),
            Wish::Priority(priority),
            Wish::Confirm(None),
        ]);
        if let Ok(id) = make_wish(&self.disk, &Now(self.now), &self.dice, &wish) {
            self.asked.push(id);
        }
    }

    fn record(&mut self, log: &mut AttemptsLog) -> Result<(), ()> {
        let first = self.next_row;
        for _ in 0..self.dice.below(4) {
            let row = self.next_row;
            self.next_row += 1;
            let result = TaskResult {
                row,
                succeeded: true,
                http_status: Some(200),
                error_code: String::new(),
                message: "ok".to_owned(),
            };
            log.append_result(&result).map_err(drop)?;
        }
        let at = self.at();
        log.sync(at).map_err(drop)?;
        self.durable_rows.extend(first..self.next_row);
        Ok(())
    }

    /// One life of the process that holds the job. It ends with a crash, or after some steps.
    fn live(&mut self) -> Result<(), ()> {
        let mut rows = BTreeSet::new();
        let opened = AttemptsLog::open(&self.disk, self.job, &mut |visit| {
            if let crate::jobs::attempts::replay::Visit::Result(result) = visit {
                assert!(rows.insert(result.row), "row {} twice", result.row);
            }
            Ok(())
        });
        let (mut log, replayed) = opened.map_err(drop)?;
        assert!(self.durable_rows.is_subset(&rows), "synced results are lost");
        self.durable_rows = rows;
        match self.unsure.take() {
            Some((event, state)) if state == replayed.state => self.model.note(&event, state.status),
            _ => assert_eq!(replayed.state, self.state, "a state that was never decided"),
        }
        self.state = replayed.state;
        self.model.check(&self.state);
        let mut last_wish = replayed.last_wish;
        self.apply(&mut log, &Event::Restarted { last_seen: replayed.last_seen }, None)?;
        assert!(!matches!(self.state.status, Status::Pausing(_)), "nothing is in flight after a start");
        let all = events();
        for _ in 0..self.dice.below(30) {
            match self.dice.below(6) {
                0 => self.ask(),
                1 => self.obey(&mut log, &mut last_wish)?,
                2 if self.state.status == Status::Active => self.record(&mut log)?,
                _ => {
                    let event = self.dice.of(&all);
                    // Ends are rare, so that most lives see more than one.
                    let ends = matches!(
                        event,
                        Event::ManifestFailed(_)
                            | Event::ThresholdPassed(_)
                            | Event::AccessFailed(_)
                            | Event::CancelAsked(_)
                            | Event::AllTasksEnded
                            | Event::Unconfirmed
                    );
                    let restarts = matches!(event, Event::Restarted { .. });
                    if !restarts && (!ends || self.dice.below(12) == 0) {
                        self.apply(&mut log, &event, None)?;
                    }
                }
            }
        }
        self.obey(&mut log, &mut last_wish)
    }

    /// No wish was obeyed twice: each stands in one change, which is written twice.
    fn check_wishes(&self) {
        let file = self.disk.open(LOG).unwrap();
        let mut scan = Scan::new(&*file, self.job, HEADER as u64).unwrap();
        let (mut seen, mut last) = (BTreeSet::new(), None);
        loop {
            match scan.go_on().unwrap() {
                Found::Frame { body, .. } => {
                    if let Some(Entry::Change(change)) = Entry::of(scan.body(body)) {
                        let is_copy = last.as_ref() == Some(&change);
                        if let (Some((wish, _)), false) = (&change.wish, is_copy) {
                            assert!(seen.insert(*wish), "{wish} was obeyed twice");
                        }
                        last = Some(change);
                    }
                }
                Found::Damage(_) => {}
                Found::End { .. } => break,
            }
        }
    }
}

fn run(seed: u64, ends: &mut BTreeSet<Status>) -> (usize, usize) {
    let mut world = World::new(seed);
    let mut crashes = 0;
    for _ in 0..8 {
        if world.dice.below(3) > 0 {
            world.disk.stop_after(world.dice.below(60));
        }
        crashes += usize::from(world.live().is_err());
        // The process is killed, or the power is cut: only what is synced is sure to be there.
        world.disk.restart(world.dice.below(2) == 0);
        for id in std::mem::take(&mut world.asked) {
            match take_answer(&world.disk, id) {
                Ok(Some(_)) => world.answered += 1,
                _ => world.asked.push(id),
            }
        }
        world.check_wishes();
    }
    ends.insert(world.state.status);
    (crashes, world.answered)
}

#[test]
fn random_requests_results_and_crashes_keep_to_the_model() {
    let (mut crashes, mut answers, mut ends) = (0, 0, BTreeSet::new());
    for seed in 0..400 {
        let outcome = std::thread::spawn(move || {
            let mut ends = BTreeSet::new();
            (run(seed, &mut ends), ends)
        });
        match outcome.join() {
            Ok(((crashed, answered), ended)) => {
                crashes += crashed;
                answers += answered;
                ends.extend(ended);
            }
            Err(_) => panic!("seed {seed} breaks the model"),
        }
    }
    assert!(crashes > 400 && answers > 400, "{crashes} crashes, {answers} answers");
    let person = Status::Paused(PausedBy::Person);
    for status in [Status::Complete, Status::Cancelled, Status::Failed, Status::Active, person] {
        assert!(ends.contains(&status), "no run ends {status}: {ends:?}");
    }
}
