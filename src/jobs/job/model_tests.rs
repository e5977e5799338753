//! A small model of a job, against random sequences of requests, results and crashes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::crash_disk::{CrashDisk, Dice};
use super::id::JobId;
use super::live_state::{EventError, LiveState};
use super::state::{JobState, Priority};
use super::status::{PausedBy, Status};
use super::transition::{Event, next, tests::events};
use super::wish::{Wish, WishId};
use super::wishes::{make_wish, take_answer, waiting};
use crate::disk::Disk as _;
use crate::jobs::attempts::LOG;
use crate::jobs::attempts::entry::{Change, Entry};
use crate::jobs::attempts::frame::{Found, HEADER, Scan};
use crate::jobs::attempts::log::create;
use crate::jobs::attempts::replay::Visit;
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
            | Event::RowsLost(_)
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
    /// Wishes that were being obeyed at a crash, and when: a number of them may be in the log.
    unsure_wishes: (Vec<(WishId, Wish)>, UnixMillis),
    last_wish: Option<WishId>,
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
        Self {
            disk,
            dice: Dice::new(seed),
            job,
            now: 0,
            state,
            model: Model::default(),
            unsure: None,
            unsure_wishes: (Vec::new(), UnixMillis(0)),
            last_wish: None,
            durable_rows: BTreeSet::new(),
            next_row: 0,
            asked: Vec::new(),
            answered: 0,
        }
    }

    fn at(&mut self) -> UnixMillis {
        self.now += 1_000;
        UnixMillis(self.now)
    }

    fn apply(&mut self, live: &mut LiveState, event: &Event) -> Result<(), ()> {
        let at = self.at();
        let decided = next(&self.state, event, at);
        match (live.apply(event, at), decided) {
            (Err(EventError::Refused(refusal)), Err(expected)) => assert_eq!(refusal, expected),
            (Err(EventError::Log(_)), Ok(state)) => {
                self.unsure = Some((event.clone(), state));
                return Err(());
            }
            (Ok(state), Ok(expected)) => {
                assert_eq!(*state, expected);
                assert!(!self.state.status.is_final(), "{event:?} after the end");
                self.state = expected;
                self.model.note(event, self.state.status);
                self.model.check(&self.state);
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    /// Follows the wishes up to one, as the holder should have obeyed them.
    fn follow(&mut self, wishes: &[(WishId, Wish)], up_to: WishId, at: UnixMillis) {
        if self.last_wish == Some(up_to) || !wishes.iter().any(|(id, _)| *id == up_to) {
            return;
        }
        for (id, wish) in wishes.iter().filter(|(id, _)| self.last_wish.is_none_or(|last| *id != last)) {
            if let Ok(state) = wish.obey(&self.state, at) {
                self.state = state;
                self.model.note(&wish.event(), self.state.status);
                self.model.check(&self.state);
            }
            if *id == up_to {
                break;
            }
        }
        self.last_wish = Some(up_to);
    }

    fn obey(&mut self, live: &mut LiveState) -> Result<(), ()> {
        let at = self.at();
        let found = waiting(&self.disk, at).map_err(drop)?;
        assert!(found.broken.is_empty(), "{found:?}");
        let wishes = found.wishes;
        let Ok(obeyed) = live.obey(&self.disk, at) else {
            self.unsure_wishes = (wishes, at);
            return Err(());
        };
        assert_eq!(obeyed.wishes.len(), wishes.len());
        if let Some((last, _)) = wishes.last() {
            self.follow(&wishes, *last, at);
        }
        assert_eq!(*live.state(), self.state);
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

    fn record(&mut self, live: &mut LiveState) -> Result<(), ()> {
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
            live.log().append_result(&result).map_err(drop)?;
        }
        let at = self.at();
        live.log().sync(at).map_err(drop)?;
        self.durable_rows.extend(first..self.next_row);
        Ok(())
    }

    /// One life of the process that holds the job. It ends with a crash, or after some steps.
    fn live(&mut self) -> Result<(), ()> {
        let mut rows = BTreeSet::new();
        let at = self.at();
        let opened = LiveState::open(&self.disk, self.job, at, &mut |visit| {
            if let Visit::Results(result, count) = visit {
                for result in result.of_rows(count) {
                    assert!(rows.insert(result.row), "row {} twice", result.row);
                }
            }
            Ok(())
        });
        let (mut live, replayed) = opened.unwrap();
        assert!(self.durable_rows.is_subset(&rows), "synced results are lost");
        self.durable_rows = rows;
        let (wishes, obeyed_at) = std::mem::take(&mut self.unsure_wishes);
        if let Some((last, _)) = &replayed.last_wish {
            self.follow(&wishes, *last, obeyed_at);
        }
        if let Some((event, state)) = self.unsure.take()
            && state == replayed.state
        {
            self.model.note(&event, state.status);
            self.state = state;
        }
        assert_eq!(replayed.state, self.state, "a state that was never decided");
        self.model.check(&self.state);
        let restarted = Event::Restarted { last_seen: replayed.last_seen };
        self.state = next(&self.state, &restarted, at).unwrap_or_else(|_| self.state.clone());
        assert_eq!(*live.state(), self.state);
        // Crashes of a start itself are the business of the log's tests.
        if self.dice.below(3) > 0 {
            self.disk.stop_after(self.dice.below(60));
        }
        assert!(!matches!(self.state.status, Status::Pausing(_)), "nothing is in flight after a start");
        let all = events();
        for _ in 0..self.dice.below(30) {
            match self.dice.below(6) {
                0 => self.ask(),
                1 => self.obey(&mut live)?,
                2 if self.state.status == Status::Active => self.record(&mut live)?,
                _ => {
                    let event = self.dice.of(&all);
                    // Ends are rare, so that most lives see more than one.
                    let ends = matches!(
                        event,
                        Event::ManifestFailed(_)
                            | Event::ThresholdPassed(_)
                            | Event::RowsLost(_)
                            | Event::AccessFailed(_)
                            | Event::CancelAsked(_)
                            | Event::AllTasksEnded
                            | Event::Unconfirmed
                    );
                    let restarts = matches!(event, Event::Restarted { .. });
                    if !restarts && (!ends || self.dice.below(12) == 0) {
                        self.apply(&mut live, &event)?;
                    }
                }
            }
        }
        self.obey(&mut live)
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
