//! Changes a job by a request of the API. One that is open here changes at once. Otherwise the request is
//! left beside the job, as those of `batch cancel` and `batch priority` are, and its holder obeys.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::internal_error::internal;
use super::shared::Shared;
use crate::jobs::api::api_error::{ApiError, ApiErrorCode};
use crate::jobs::attempts::LogError;
use crate::jobs::job::folder::FolderError;
use crate::jobs::job::id::JobId;
use crate::jobs::job::live_state::EventError;
use crate::jobs::job::wish::Wish;
use crate::jobs::job::wishes::WishError;
use crate::lock::lock;
use crate::node::jobs::asking::{AskError, Asked, ask};

/// Changes a job. The name of its status afterwards: that before the change, if no process has obeyed yet.
/// Errors: [`ApiError`].
pub(super) async fn change(shared: &Arc<Shared>, id: JobId, wish: Wish) -> Result<String, ApiError> {
    let handle = lock(&shared.known).get(id).and_then(|job| job.handle().cloned());
    if let Some(handle) = handle {
        let (event, at) = (wish.event(), shared.settings.clock.wall());
        let folder = shared.settings.folder.path(id);
        // The files of a removed folder are still open, and would take the change.
        let applied = spawn_blocking(move || folder.is_dir().then(|| handle.apply(&event, at)));
        let Some(applied) = applied.await.map_err(internal)? else { return Err(ApiError::no_such_job()) };
        match applied {
            Ok(state) => {
                tracing::info!(job = %id, request = ?wish, status = %state.status, "a request of the API is obeyed");
                shared.turns.changed.notify_one();
                return Ok(state.status.to_string());
            }
            Err(EventError::Refused(refusal)) => return Err(refused(refusal.to_string())),
            // It was closed meanwhile.
            Err(EventError::Log(LogError::Ended(_))) => {}
            Err(EventError::Log(error)) if error.is_no_space() => {
                let what = "the disk of the job's folder is full, and the job changes once there is space; free space, \
                            and ask for the same again";
                return Err(ApiError::new(ApiErrorCode::Internal, what.to_owned()));
            }
            Err(EventError::Log(error)) => return Err(internal(error)),
        }
    }
    let (clock, random) = (Arc::clone(&shared.settings.clock), Arc::clone(&shared.settings.random));
    let folder = shared.settings.folder.clone();
    let asked = match ask(&folder, id, &wish, &*clock, &*random).await {
        Ok(asked) => asked,
        Err(AskError::Refused(_, why)) => return Err(refused(why)),
        Err(AskError::Folder(FolderError::NoSuchJob(..))) => return Err(ApiError::no_such_job()),
        Err(AskError::Wish(error @ WishError::TooMany)) => {
            return Err(ApiError::new(ApiErrorCode::TooManyRequests, error.to_string()));
        }
        Err(error) => return Err(internal(error)),
    };
    match asked {
        Asked::Done(status) => Ok(status),
        Asked::Waits | Asked::Unanswered(_) => {
            tracing::info!(job = %id, request = ?wish, "a request of the API waits beside the job");
            let seen = spawn_blocking(move || folder.look(id)).await.map_err(internal)?;
            Ok(seen.map_err(internal)?.now.state.status.to_string())
        }
    }
}

fn refused(why: String) -> ApiError {
    ApiError::new(ApiErrorCode::JobStatus, why)
}
