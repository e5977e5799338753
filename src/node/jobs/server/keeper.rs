//! Keeps one job: holds its folder, runs it, and tries again what failed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::counting::Counting;
use super::known::Standing;
use super::shared::Shared;
use crate::jobs::attempts::LogError;
use crate::jobs::job::folder::{FolderError, HeldJob};
use crate::jobs::job::id::JobId;
use crate::jobs::job::sealed::SealError;
use crate::jobs::job::status::Status;
use crate::lock::lock;
use crate::node::jobs::job_error::JobError;
use crate::node::jobs::job_handle::JobHandle;
use crate::node::jobs::one_job::OneJob;
use crate::node::jobs::tools::ToolsFrom;
use crate::retry::Backoff;
use crate::tasks::caught;
use crate::words::{about_duration, with_causes};

/// How long a job rests after a failure: 1 s, doubling, at most 5 min.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(300) };
/// A job that ran for this long after its rest has left its failure behind.
const SOUND_AFTER: Duration = Duration::from_secs(60);

/// How often metrics are set.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// How long a job rests once it is open, and why.
type Rest = (Duration, String);

/// How a run of a job was over.
#[derive(Debug)]
enum Over {
    /// It has ended.
    Ended(Status),
    /// The server ends.
    Interrupted,
    /// Another process holds it.
    Elsewhere,
    /// It was removed.
    Gone,
    /// It cannot be read: why.
    Damaged(String),
    /// Its log could not be synced: why.
    Stopped(String),
    /// It failed, and can rest while it is open: why.
    Failed(String),
    /// It failed, and perhaps cannot be opened: why.
    NotOpened(String),
}

/// Keeps a job until it has ended or the server does. `held`: it was made a moment ago.
pub(super) async fn keep(shared: Arc<Shared>, id: JobId, mut held: Option<HeldJob>) {
    let (mut tries, mut rest) = (0_u32, None::<Rest>);
    loop {
        let began = shared.settings.clock.monotonic();
        let over = match caught(run_once(&shared, id, held.take(), rest.as_ref())).await {
            Ok(over) => over,
            Err(_) => Over::NotOpened("a fault of this program: its log shows it".to_owned()),
        };
        let (why, can_be_open) = match over {
            Over::Failed(why) => (why, true),
            Over::NotOpened(why) => (why, false),
            other => return leave(&shared, id, other),
        };
        let rested = rest.take().map_or(Duration::ZERO, |(length, _)| length);
        let ran = shared.settings.clock.monotonic().saturating_sub(began.saturating_add(rested));
        tries = if ran >= SOUND_AFTER { 1 } else { tries.saturating_add(1) };
        let wait = RETRY.wait(tries, &*shared.settings.random);
        let again = about_duration(wait);
        tracing::error!(job = %id, tries, error = why, "the job does not go on; it is tried again in about {again}");
        let trouble = format!("tried again in about {again}: {why}");
        lock(&shared.known).set_trouble(id, Some(trouble.clone()));
        if can_be_open {
            // It rests while it is open, so that it obeys.
            rest = Some((wait, trouble));
        } else if shared.stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return;
        }
    }
}

/// Notes how a job that is not kept any longer stands.
fn leave(shared: &Shared, id: JobId, over: Over) {
    let standing = match over {
        Over::Ended(status) => {
            tracing::info!(job = %id, %status, "the job has ended");
            Standing::Ended(status)
        }
        Over::Elsewhere => Standing::Elsewhere,
        Over::Gone => {
            tracing::warn!(job = %id, "the folder of the job was removed");
            lock(&shared.known).forget(id);
            return;
        }
        Over::Damaged(why) => {
            tracing::error!(job = %id, error = why, "the job is damaged, and left alone");
            Standing::Damaged(why)
        }
        Over::Stopped(why) => {
            tracing::error!(job = %id, error = why, "the job goes on once this process is started again");
            Standing::Stopped(why)
        }
        Over::Interrupted | Over::Failed(_) | Over::NotOpened(_) => return,
    };
    lock(&shared.known).stand(id, standing);
}

/// Opens a job, lets it rest, and runs it.
async fn run_once(shared: &Arc<Shared>, id: JobId, held: Option<HeldJob>, rest: Option<&Rest>) -> Over {
    let opened = {
        // It is never closed.
        let _permit = shared.opening.acquire().await;
        open(shared, id, held).await
    };
    let mut job = match opened {
        Ok(job) => job,
        Err(over) => return over,
    };
    let handle = job.handle();
    let failed = |error: JobError, otherwise: fn(String) -> Over| {
        let why = with_causes(&error);
        if handle.is_stopped() { Over::Stopped(why) } else { otherwise(why) }
    };
    // A request that waited for somebody to hold the job comes before its slot.
    if let Err(error) = job.obey().await {
        return failed(error, Over::NotOpened);
    }
    // Before it can get a slot.
    handle.set_resting(rest.is_some());
    let _open = Open::new(shared, id, handle.clone());
    if let Some((length, why)) = rest
        && let Err(error) = job.rest(*length, why).await
    {
        return failed(error, Over::NotOpened);
    }
    lock(&shared.known).set_trouble(id, None);
    let mut counting = Counting::new(shared.settings.metrics.clone(), handle.clone());
    let running = job.run();
    tokio::pin!(running);
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            () = sleep(COUNT_EVERY) => counting.count(),
        }
    };
    match ended {
        Ok(end) if end.state.status.is_final() => Over::Ended(end.state.status),
        Ok(_) => Over::Interrupted,
        Err(error) => failed(error, Over::Failed),
    }
}

async fn open(shared: &Arc<Shared>, id: JobId, held: Option<HeldJob>) -> Result<OneJob, Over> {
    if shared.stop.is_cancelled() {
        return Err(Over::Interrupted);
    }
    let held = match held {
        Some(held) => held,
        None => {
            let folder = shared.settings.folder.clone();
            let held = spawn_blocking(move || folder.hold(id)).await;
            held.map_err(|error| Over::NotOpened(with_causes(&error)))?.map_err(not_held)?
        }
    };
    let tools = ToolsFrom::Made(Arc::clone(&shared.settings.tools));
    let opened = OneJob::open(held, false, tools, shared.around()).await;
    opened.map_err(|error| match &error {
        JobError::Log(log) if is_damage(log) => Over::Damaged(with_causes(&error)),
        _ => Over::NotOpened(with_causes(&error)),
    })
}

fn not_held(error: FolderError) -> Over {
    match error {
        FolderError::Held(..) => Over::Elsewhere,
        FolderError::NoSuchJob(..) => Over::Gone,
        error if is_damaged(&error) => Over::Damaged(with_causes(&error)),
        error => Over::NotOpened(with_causes(&error)),
    }
}

/// Whether a job cannot be read, now or later: its files are not as they were written.
pub(super) fn is_damaged(error: &FolderError) -> bool {
    match error {
        FolderError::JobFile(_, cause) => !matches!(cause, SealError::Disk(_)),
        FolderError::OtherJob(..) => true,
        FolderError::Log(cause) => is_damage(cause),
        _ => false,
    }
}

fn is_damage(error: &LogError) -> bool {
    matches!(
        error,
        LogError::Missing(_) | LogError::OtherVersion(..) | LogError::OtherJob(..) | LogError::Damaged(..)
    )
}

/// A job that is open, while this value exists.
struct Open<'a> {
    shared: &'a Shared,
    id: JobId,
}

impl<'a> Open<'a> {
    fn new(shared: &'a Shared, id: JobId, handle: JobHandle) -> Self {
        lock(&shared.known).set_handle(id, Some(handle));
        shared.turns.changed.notify_one();
        Self { shared, id }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        lock(&self.shared.known).set_handle(self.id, None);
        // Its slot is free.
        self.shared.turns.changed.notify_one();
    }
}
