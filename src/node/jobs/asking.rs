//! Asks the process that holds a job for something: a wish beside the job, and its answer.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::jobs::job::folder::{FolderError, JobsFolder};
use crate::jobs::job::id::JobId;
use crate::jobs::job::sealed::SealError;
use crate::jobs::job::transition::Refusal;
use crate::jobs::job::wish::{Answer, Wish};
use crate::jobs::job::wishes::{WishError, make_wish, state_after, take_answer};
use crate::random::Random;
use crate::time::Clock;

/// How long the answer of the holder is waited for. It looks once a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_millis(50);

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is done: the name of the status after it.
    Done(String),
    /// It waits: no process holds the job.
    Waits,
    /// It waits: the process with this id, where it is known, holds the job and has not answered.
    Unanswered(Option<u32>),
}

/// Why a wish is not obeyed.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The job cannot be looked at.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The state of the job does not allow it.
    #[error("job {0}: {1}")]
    Refused(JobId, String),
    /// The wishes that wait beside the job cannot be looked at.
    #[error("the requests beside job {0}")]
    Wishes(JobId, #[source] io::Error),
    /// It cannot be made.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// The answer cannot be read.
    #[error("the answer of the process that holds job {0}")]
    Answer(JobId, #[source] SealError),
}

/// Makes a wish, and waits for its answer if a process holds the job.
/// Errors: [`AskError`].
pub async fn ask(
    folder: &JobsFolder,
    job: JobId,
    wish: &Wish,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<Asked, AskError> {
    let seen = folder.look(job)?;
    let disk = folder.disk(job);
    // Refused at once, without a process that holds the job. Its holder decides on the state as it is then: after the
    // wishes that wait already.
    let state =
        state_after(&disk, &seen.now.state, clock.wall()).map_err(|error| AskError::Wishes(job, error))?;
    wish.obey(&state, clock.wall())
        .map_err(|refusal: Refusal| AskError::Refused(job, refusal.to_string()))?;
    let id = make_wish(&disk, clock, random, wish)?;
    let until = clock.monotonic() + ANSWER_WITHIN;
    loop {
        // The holder is asked for first: it may answer and end between the two.
        let holder = folder.look(job)?.holder;
        match take_answer(&disk, id).map_err(|error| AskError::Answer(job, error))? {
            Some(Answer::Done(status)) => return Ok(Asked::Done(status)),
            Some(Answer::Refused(why)) => return Err(AskError::Refused(job, why)),
            None => {}
        }
        match holder {
            None => return Ok(Asked::Waits),
            Some(holder) if clock.monotonic() >= until => return Ok(Asked::Unanswered(holder)),
            Some(_) => sleep(POLL_EVERY).await,
        }
    }
}
