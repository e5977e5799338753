//! What a server does at its start, and then again and again: it finds the jobs of its folder, goes on with
//! those of the API that no process holds, and removes those that ended long ago.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::keeper::{is_damaged, keep};
use super::known::{KnownJobs, Standing};
use super::shared::Shared;
use crate::jobs::job::folder::{FolderError, JobsFolder, SeenJob};
use crate::jobs::job::id::JobId;
use crate::jobs::job::spec::MadeBy;
use crate::lock::lock;
use crate::node::jobs::tidying::tidy;
use crate::words::with_causes;

/// How often jobs that another process held are looked at.
const ADOPT_EVERY: Duration = Duration::from_secs(5);
/// How often jobs that ended 90 days ago are removed.
const TIDY_EVERY: Duration = Duration::from_secs(86_400);

/// Makes the rounds until the server ends.
pub(super) async fn make_rounds(shared: Arc<Shared>) {
    let (mut adopt_due, mut tidy_due) = (interval(ADOPT_EVERY), interval(TIDY_EVERY));
    for due in [&mut adopt_due, &mut tidy_due] {
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and all is done at the start.
        due.tick().await;
    }
    loop {
        tokio::select! {
            _ = adopt_due.tick() => {
                let known = Arc::clone(&shared);
                match spawn_blocking(move || find_new(&known)).await {
                    Ok(Ok(free)) => free.into_iter().for_each(|id| keep_on(&shared, id)),
                    Ok(Err(error)) => tracing::error!(error = with_causes(&error), "the jobs cannot be looked at"),
                    Err(error) => tracing::error!(%error, "the jobs cannot be looked at"),
                }
            }
            _ = tidy_due.tick() => {
                let (folder, now) = (shared.settings.folder.clone(), shared.settings.clock.wall());
                match spawn_blocking(move || tidy(&folder, now)).await {
                    Ok(Ok(removed)) => removed.into_iter().for_each(|id| lock(&shared.known).forget(id)),
                    Ok(Err(error)) => tracing::error!(error = with_causes(&error), "old jobs cannot be removed"),
                    Err(error) => tracing::error!(%error, "old jobs cannot be removed"),
                }
            }
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Goes on with a job that no process holds.
pub(super) fn keep_on(shared: &Arc<Shared>, id: JobId) {
    lock(&shared.known).stand(id, Standing::Kept { handle: None, trouble: None });
    shared.tasks.spawn(keep(Arc::clone(shared), id, None));
}

/// All jobs of a folder, and those of them that a server goes on with. Blocks.
/// Errors: the folder cannot be read.
pub(super) fn find_all(folder: &JobsFolder) -> Result<(KnownJobs, Vec<JobId>), FolderError> {
    let (mut known, mut free) = (KnownJobs::default(), Vec::new());
    for id in folder.ids()? {
        free.extend(add(folder, &mut known, id, None).then_some(id));
    }
    Ok((known, free))
}

/// Jobs that can be gone on with now: made by another process meanwhile, or let go of by it. Blocks.
fn find_new(shared: &Shared) -> Result<Vec<JobId>, FolderError> {
    let folder = &shared.settings.folder;
    let mut free = Vec::new();
    for id in folder.ids()? {
        // A job that is being made here is known before its folder is let go of.
        let unseen = {
            let known = lock(&shared.known);
            if !is_elsewhere(&known, id) {
                continue;
            }
            known.get(id).and_then(|job| job.unseen.clone())
        };
        let mut found = KnownJobs::default();
        let is_free = add(folder, &mut found, id, unseen.as_deref());
        let mut known = lock(&shared.known);
        if is_elsewhere(&known, id) {
            known.take(found);
            free.extend(is_free.then_some(id));
        }
    }
    Ok(free)
}

/// Learns of the jobs that other processes have made meanwhile, and so of the tokens of their requests. Blocks.
/// Errors: [`FolderError`]: a job cannot be read now. Perhaps it has the token that is asked for.
pub(super) fn learn(shared: &Shared) -> Result<(), FolderError> {
    let folder = &shared.settings.folder;
    let is_new = |id| lock(&shared.known).get(id).is_none_or(|job| job.unseen.is_some());
    for id in folder.ids()?.into_iter().filter(|id| is_new(*id)) {
        let mut found = KnownJobs::default();
        match folder.spec(id) {
            Ok(spec) => found.add(id, Some(&spec), Standing::Elsewhere),
            // The next round names it. A job whose specification is damaged does not keep its token.
            Err(FolderError::NoSuchJob(..)) => continue,
            Err(error) if is_damaged(&error) => continue,
            Err(error) => return Err(error),
        }
        let mut known = lock(&shared.known);
        if is_elsewhere(&known, id) {
            known.take(found);
        }
    }
    Ok(())
}

fn is_elsewhere(known: &KnownJobs, id: JobId) -> bool {
    known.get(id).is_none_or(|job| matches!(job.standing, Standing::Elsewhere))
}

/// Adds a job as it stands. True: a server goes on with it. `unseen`: why it could not be looked at before, which
/// is not logged again.
fn add(folder: &JobsFolder, known: &mut KnownJobs, id: JobId, unseen: Option<&str>) -> bool {
    match folder.look(id) {
        Ok(SeenJob { spec, now, holder, .. }) => {
            let status = now.state.status;
            let standing = if status.is_final() { Standing::Ended(status) } else { Standing::Elsewhere };
            known.add(id, Some(&spec), standing);
            !status.is_final() && holder.is_none() && matches!(spec.made_by, MadeBy::Api { .. })
        }
        // Removed meanwhile.
        Err(FolderError::NoSuchJob(..)) => false,
        Err(error) => {
            let why = with_causes(&error);
            // What it was asked to do may still be known, and with it the token of its request.
            let spec = folder.spec(id).ok();
            let is_damaged = is_damaged(&error);
            if is_damaged {
                tracing::error!(job = %id, error = why, "the job is damaged, and left alone");
                known.add(id, spec.as_ref(), Standing::Damaged(why));
                return false;
            }
            if unseen != Some(why.as_str()) {
                tracing::error!(job = %id, error = why, "the job cannot be looked at now; this is tried again and again");
            }
            known.add(id, spec.as_ref(), Standing::Elsewhere);
            known.set_unseen(id, why);
            false
        }
    }
}
