//! An import of a bucket in a world: its passes, its bucket, and its configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use forebay::time::{Clock as _, UnixMillis};

use super::objects::Objects;
use super::passing::{At, Baton, Fate, Passing, Work, Worked};
use super::process::Process;
use super::world::{Violation, World};
use crate::support::sim_disk::Dice;

/// How many of 1,000 steps of a pass let the other instance go on, if there is one.
const HANDED_OVER: u64 = 300;

/// What became of a step of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    On,
    /// The log has not answered.
    Waits,
    Ended,
    /// There is no importer, or the import is paused.
    Nothing,
}

/// An import of a bucket.
#[derive(Debug)]
pub(super) struct BucketWorld {
    pub(super) objects: Objects,
    dice: Dice,
    is_paused: bool,
}

impl BucketWorld {
    pub(super) fn new(objects: Objects, dice: Dice) -> Self {
        Self { objects, dice, is_paused: false }
    }

    /// What is done next with the bucket. `trouble`: something may fail, and a person may do anything.
    fn next_work(&mut self, trouble: bool) -> Work {
        if !trouble {
            let is_last = self.objects.are_settled() && !self.objects.are_retried();
            if is_last {
                self.objects.correct();
            }
            return if is_last { Work::Retry } else { Work::Pass };
        }
        match self.dice.below(10) {
            0 | 1 => Work::Retry,
            2 => self.objects.other_id().map_or(Work::Pass, Work::Release),
            _ => Work::Pass,
        }
    }

    fn fate(&mut self, at: At, trouble: bool) -> Fate {
        let At::Store(what) = at else { return Fate::Proper };
        if !trouble {
            return Fate::Proper;
        }
        match self.dice.below(40) {
            0..4 => Fate::Fails,
            4 => Fate::Denied,
            5..7 if what == "range" => Fate::Cut(self.dice.index(60)),
            5..9 if ["write a claim", "copy", "delete", "tag"].contains(&what) => Fate::Lost,
            _ => Fate::Proper,
        }
    }
}

/// Steps of a pass after which all else has its turn: a pass that waits for space in the spool would wait for ever, because
/// nothing was delivered meanwhile (seed 767).
const STEPS_AT_ONCE: usize = 500;

impl World {
    fn time(&self) -> (UnixMillis, std::time::Duration) {
        (self.clock.wall(), self.clock.monotonic())
    }

    /// What a pass of this process waits with.
    pub(super) fn new_baton(&self) -> Option<Arc<Baton>> {
        self.bucket.as_ref().map(|_| Arc::new(Baton::new(self.time())))
    }

    /// The bucket and the configuration change, and the pass goes on.
    pub(super) async fn pass_some(&mut self, process: &mut Process) -> Result<(), Violation> {
        let Some(bucket) = &mut self.bucket else { return Ok(()) };
        if !bucket.dice.chance(800) {
            return Ok(());
        }
        for _ in 0..=bucket.dice.log(12) {
            self.bucket_changes(process);
            if self.pass_goes_on(process, true)? != Went::On {
                break;
            }
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Passes go on without trouble. Returns whether nothing is left to do.
    pub(super) async fn pass_all(&mut self, process: &mut Process) -> Result<bool, Violation> {
        if let Some(bucket) = &mut self.bucket {
            bucket.is_paused = false;
            for _ in 0..STEPS_AT_ONCE {
                let is_retried = self.bucket.as_ref().is_none_or(|bucket| bucket.objects.are_retried());
                if is_retried || self.pass_goes_on(process, false)? != Went::On {
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(self.bucket.as_ref().is_none_or(|bucket| bucket.objects.are_retried()))
    }

    /// Passes go on until what is to be done with imported objects is done: their rows are delivered.
    pub(super) fn after_all(&mut self, process: &mut Process) -> Result<(), Violation> {
        let is_done =
            |world: &Self| world.bucket.as_ref().is_none_or(|bucket| bucket.objects.is_after_done());
        for _ in 0..10_000 {
            if is_done(self) {
                return Ok(());
            }
            if self.pass_goes_on(process, false)? == Went::Waits {
                return Err("I11: a pass stores something, and nothing is left to import".to_owned());
            }
        }
        Err(format!(
            "I8: something is left to do with imported objects although nothing fails: {:?}",
            self.bucket
        ))
    }

    fn bucket_changes(&mut self, process: &Process) {
        let Some(bucket) = &mut self.bucket else { return };
        if bucket.dice.chance(60) {
            bucket.objects.change(&mut bucket.dice);
        }
        if bucket.dice.chance(40) {
            // As a reload does: the pass under way stops, and the next one has the new settings.
            bucket.objects.configure(&mut bucket.dice);
            bucket.is_paused = bucket.dice.chance(300);
            self.trace.count(if bucket.is_paused { "an import paused" } else { "an import changed" });
            process.passing.iter().for_each(Passing::stop);
        } else if bucket.is_paused && bucket.dice.chance(150) {
            bucket.is_paused = false;
        }
    }

    fn pass_goes_on(&mut self, process: &mut Process, trouble: bool) -> Result<Went, Violation> {
        if let (Some(turn), Some(bucket)) = (&self.turn, &mut self.bucket)
            && bucket.dice.chance(HANDED_OVER)
        {
            turn.hand_over();
        }
        let now = self.time();
        let Some(importer) = self.importer(process)? else { return Ok(Went::Nothing) };
        let (Some(bucket), Some(baton)) = (&mut self.bucket, &process.baton) else {
            return Ok(Went::Nothing);
        };
        let at = match &process.passing {
            None if bucket.is_paused => return Ok(Went::Nothing),
            None => {
                let work = bucket.next_work(trouble);
                let (import, objects) =
                    (bucket.objects.import(process.shared.clone()), bucket.objects.clone());
                let dice = bucket.dice.split();
                let passing =
                    Passing::begin(work, import, (importer, objects), Arc::clone(baton), (dice, now));
                process.passing = Some(passing);
                baton.at()
            }
            Some(passing) => match baton.at() {
                At::Append if !baton.is_answered() => return Ok(Went::Waits),
                At::Append => passing.answer(now),
                at => passing.go_on(bucket.fate(at, trouble), now),
            },
        };
        self.trace.note("a pass", &format!("{at:?}"), &[]);
        if let Some(frames) = baton.frames() {
            let (baton, clients, appender) =
                (Arc::clone(baton), self.clients.clone(), process.spool.appender());
            tokio::spawn(async move {
                clients.queued(&frames);
                baton.answered(appender.append(frames).await);
            });
        }
        if let Some(wrong) = baton.wrong() {
            return Err(wrong);
        }
        match at {
            At::Ended => {
                let ended = process.passing.as_ref().and_then(Passing::ended);
                process.passing = None;
                match ended.ok_or("I11: a pass has no end")? {
                    Worked::Pass(passed) => bucket.objects.passed(&passed, trouble)?,
                    Worked::Retried(retried) => bucket.objects.retried(&retried, trouble)?,
                    Worked::Released(released) => bucket.objects.freed(&released)?,
                }
                Ok(Went::Ended)
            }
            At::Append => Ok(Went::Waits),
            _ => Ok(Went::On),
        }
    }

    /// Each row of the bucket must be stored or rejected once. `stored` are the copies of each message.
    pub(super) fn check_bucket_import(&self, stored: &BTreeMap<usize, Vec<usize>>) -> Result<(), Violation> {
        self.bucket.as_ref().map_or(Ok(()), |bucket| bucket.objects.check(stored))
    }
}
