//! Makes a job by a request of the API.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::internal_error::internal;
use super::keeper::keep;
use super::known::Standing;
use super::request::{asks_the_same, spec_of};
use super::rounds::learn;
use super::shared::Shared;
use crate::jobs::api::api_error::{ApiError, ApiErrorCode};
use crate::jobs::api::create_job::CreateJob;
use crate::jobs::job::creation_lock::CreationLock;
use crate::jobs::job::folder::FolderError;
use crate::jobs::job::id::JobId;
use crate::jobs::job::spec::JobSpec;
use crate::lock::lock;
use crate::node::jobs::new_job::usual_concurrency;
use crate::object::AccountId;
use crate::words::grouped;

/// Jobs of the API that have not ended. A further one is refused: each has its task, two open files, and is
/// looked at once a second.
pub const UNFINISHED_MAX: usize = 1_000;

/// Makes a job, and starts it. It is durable when this returns. The id is that of an earlier job if the
/// request repeats an earlier one.
/// Errors: [`ApiError`].
pub(super) async fn create(
    shared: &Arc<Shared>,
    account: AccountId,
    request: CreateJob,
) -> Result<JobId, ApiError> {
    let _alone = shared.creating.lock().await;
    let at = shared.settings.clock.wall();
    let token = request.client_request_token.clone();
    let mut spec = spec_of(request, account.clone(), &shared.settings.region, at)?;
    let _alone_in_folder = alone_in_folder(shared).await?;
    let known = lock(&shared.known).of_token(&account, &token);
    if let Some(id) = known
        && let Some(earlier) = earlier_of(shared, id).await?
    {
        return match asks_the_same(&earlier, &spec) {
            true => Ok(id),
            false => Err(ApiError::new(
                ApiErrorCode::Idempotency,
                format!(
                    "ClientRequestToken was used for job {id}, which asks for something else; use a new one"
                ),
            )),
        };
    }
    if lock(&shared.known).unfinished() >= UNFINISHED_MAX {
        let most = grouped(UNFINISHED_MAX as u64);
        let what = format!("{most} jobs have not ended, and no more are taken; wait, or cancel some");
        return Err(ApiError::new(ApiErrorCode::TooManyRequests, what));
    }
    let operation = shared.settings.tools.check(&spec).map_err(ApiError::bad)?;
    spec.concurrency = usual_concurrency(&operation);
    make(shared, spec).await
}

/// Keeps other servers of the folder from making a job, and learns of those that they have made.
async fn alone_in_folder(shared: &Arc<Shared>) -> Result<CreationLock, ApiError> {
    let shared = Arc::clone(shared);
    let held = spawn_blocking(move || {
        let held = shared.settings.folder.lock_creation()?;
        learn(&shared).map(|()| held)
    });
    held.await.map_err(internal)?.map_err(internal)
}

/// What an earlier job with the token was asked to do; `None`: it is not kept any longer.
async fn earlier_of(shared: &Arc<Shared>, id: JobId) -> Result<Option<JobSpec>, ApiError> {
    let folder = shared.settings.folder.clone();
    match spawn_blocking(move || folder.spec(id)).await.map_err(internal)? {
        Ok(spec) => Ok(Some(spec)),
        Err(FolderError::NoSuchJob(..)) => {
            lock(&shared.known).forget(id);
            Ok(None)
        }
        Err(error) => Err(internal(error)),
    }
}

async fn make(shared: &Arc<Shared>, spec: JobSpec) -> Result<JobId, ApiError> {
    if shared.stop.is_cancelled() {
        return Err(ApiError::new(ApiErrorCode::Internal, "the server is being stopped; ask again later"));
    }
    let (folder, id) = (shared.settings.folder.clone(), JobId::random(&*shared.settings.random));
    let made = spawn_blocking(move || folder.make(id, &spec)).await.map_err(internal)?;
    let held = made.map_err(|error| match error {
        FolderError::TooMany(_) => ApiError::new(ApiErrorCode::TooManyRequests, error.to_string()),
        FolderError::Spec(error) => ApiError::bad(error.to_string()),
        error => internal(error),
    })?;
    tracing::info!(job = %id, "a request of the API has made a job");
    lock(&shared.known).add(id, Some(&held.spec), Standing::Kept { handle: None, trouble: None });
    shared.tasks.spawn(keep(Arc::clone(shared), id, Some(held)));
    Ok(id)
}
