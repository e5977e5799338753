//! The state of a job that this process holds. A change is decided, logged and synced, and only then in force.

use std::io;

use super::id::JobId;
use super::sealed::SealError;
use super::state::JobState;
use super::status::Status;
use super::transition::{Event, Refusal, next};
use super::wish::{Answer, Wish, WishId};
use super::wishes::{answer_wish, waiting};
use crate::disk::Disk;
use crate::jobs::attempts::LogError;
use crate::jobs::attempts::entry::Change;
use crate::jobs::attempts::log::AttemptsLog;
use crate::jobs::attempts::replay::{Replayed, Visit};
use crate::time::UnixMillis;

/// The state in force, with the log that has it.
#[derive(Debug)]
pub struct LiveState {
    state: JobState,
    log: AttemptsLog,
    last_wish: Option<(WishId, Answer)>,
    /// A change that a full disk did not take. It is in the log with the next sync, and then in force.
    unwritten: Option<Change>,
}

/// Why an event has no effect.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It cannot be logged. After a failed sync this process must end.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why wishes cannot be obeyed.
#[derive(Debug, thiserror::Error)]
pub enum ObeyError {
    /// The wishes cannot be read, or an answer cannot be written. They wait, and none is obeyed twice.
    #[error("read the requests beside the job, or write an answer")]
    Disk(#[source] io::Error),
    /// A change cannot be logged.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What became of the wishes that waited.
#[derive(Debug, Default)]
pub struct Obeyed {
    /// The wishes in their order, each with its answer.
    pub wishes: Vec<(Wish, Answer)>,
    /// Files that were no wishes, and why. They are removed.
    pub broken: Vec<(String, SealError)>,
}

impl LiveState {
    /// Opens the log of a job in one pass; `visit` sees each result. The job goes on as after a crash: nothing is in
    /// flight.
    /// Errors: [`LogError`]; also that of the visitor.
    pub fn open(
        disk: &dyn Disk,
        job: JobId,
        now: UnixMillis,
        visit: &mut (impl FnMut(Visit<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<(Self, Replayed), LogError> {
        let (log, replayed) = AttemptsLog::open(disk, job, visit)?;
        let (state, last_wish) = (replayed.state.clone(), replayed.last_wish.clone());
        let mut live = Self { state, log, last_wish, unwritten: None };
        // A finished job refuses to start again, and needs no change.
        if let Ok(state) = next(&live.state, &Event::Restarted { last_seen: replayed.last_seen }, now)
            && state != live.state
        {
            live.change(state, None, now)?;
        }
        Ok((live, replayed))
    }

    /// The state in force.
    pub fn state(&self) -> &JobState {
        &self.state
    }

    /// Whether a change that a full disk did not take gives the job its slot.
    pub fn is_to_start(&self) -> bool {
        self.unwritten.as_ref().is_some_and(|change| change.state.status == Status::Active)
    }

    /// The log, for results.
    pub fn log(&mut self) -> &mut AttemptsLog {
        &mut self.log
    }

    /// Applies an event. The new state is durable when it returns.
    /// Errors: [`EventError`]; the state in force is then as before. After [`LogError::is_no_space`] the change is in
    /// force once [`LiveState::settle`] has returned `Ok`.
    pub fn apply(&mut self, event: &Event, at: UnixMillis) -> Result<&JobState, EventError> {
        if self.unwritten.is_some() {
            self.settle(at)?;
        }
        let state = next(&self.state, event, at)?;
        self.change(state, None, at)?;
        Ok(&self.state)
    }

    /// Obeys the wishes that wait, in their order, each once: also if an earlier process crashed while it did so.
    /// Errors: [`ObeyError`].
    pub fn obey(&mut self, disk: &dyn Disk, at: UnixMillis) -> Result<Obeyed, ObeyError> {
        if self.unwritten.is_some() {
            self.settle(at)?;
        }
        let found = waiting(disk, at).map_err(ObeyError::Disk)?;
        let mut obeyed = Obeyed { broken: found.broken, ..Obeyed::default() };
        for (id, wish) in found.wishes {
            let answer = match &self.last_wish {
                Some((last, answer)) if *last == id => answer.clone(),
                _ => {
                    let decided = wish.obey(&self.state, at);
                    let answer = Answer::of(&decided);
                    // A refusal is logged too, so that the answer stays the same.
                    let state = decided.unwrap_or_else(|_| self.state.clone());
                    self.change(state, Some((id, answer.clone())), at)?;
                    answer
                }
            };
            answer_wish(disk, id, &answer).map_err(ObeyError::Disk)?;
            obeyed.wishes.push((wish, answer));
        }
        Ok(obeyed)
    }

    /// Writes what is appended, and puts a change in force that an earlier write found no space for.
    /// Errors: [`LogError`].
    pub fn settle(&mut self, at: UnixMillis) -> Result<(), LogError> {
        self.log.sync(at)?;
        if let Some(change) = self.unwritten.take() {
            self.adopt(change);
        }
        Ok(())
    }

    /// Whether nothing that was appended waits to be written.
    pub fn is_settled(&self) -> bool {
        self.unwritten.is_none() && !self.log.is_dirty()
    }

    fn change(
        &mut self,
        state: JobState,
        wish: Option<(WishId, Answer)>,
        at: UnixMillis,
    ) -> Result<(), LogError> {
        let change = Change { at, state, wish };
        if let Err(error) = self.log.change(&change) {
            self.unwritten = error.is_no_space().then_some(change);
            return Err(error);
        }
        self.adopt(change);
        Ok(())
    }

    fn adopt(&mut self, change: Change) {
        self.state = change.state;
        self.last_wish = change.wish.or(self.last_wish.take());
    }
}
