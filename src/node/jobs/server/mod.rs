//! The server of many jobs, which `batch serve` and `dev` hold. It answers the calls of the jobs API, gives
//! the slots, and goes on at its start with the jobs that were made through the API.
//!
//! `keeper` runs one job, and tries again what fails; a job that waits has its folder locked and its state
//! in memory, and no more. `slot_giver` decides who is Active. `rounds` finds jobs that other processes
//! let go of, and removes old ones. A call of the API is one function: `creating`, `changing` and
//! `looking`.

mod changing;
mod counting;
pub mod creating;
mod description;
mod internal_error;
mod keeper;
mod known;
mod looking;
mod request;
mod rounds;
mod settings;
mod shared;
mod slot_giver;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod test_stand;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::task::{JoinError, spawn_blocking};
use tokio_util::sync::DropGuard;

use self::internal_error::internal;
use self::rounds::{find_all, keep_on, make_rounds};
pub use self::settings::ServerSettings;
use self::shared::Shared;
use self::slot_giver::give_slots;
use super::tidying::tidy;
pub use super::tools::MakeTools;
use crate::jobs::api::api_answer::ApiAnswer;
use crate::jobs::api::api_call::{ApiCall, RequestedStatus};
use crate::jobs::api::api_error::ApiError;
use crate::jobs::api::create_job::CreateJob;
use crate::jobs::job::folder::FolderError;
use crate::jobs::job::id::JobId;
use crate::jobs::job::state::Priority;
use crate::jobs::job::wish::Wish;
use crate::object::AccountId;

/// Why a server of jobs cannot start.
#[derive(Debug, thiserror::Error)]
pub enum JobsServerError {
    /// The folder of the jobs cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The process ends.
    #[error("the jobs could not be looked at")]
    Thread(#[from] JoinError),
}

/// The server of many jobs.
#[derive(Debug)]
pub struct JobsServer {
    shared: Arc<Shared>,
    /// A server that is dropped ends in order, too, as far as the process lets it.
    _ends: DropGuard,
}

impl JobsServer {
    /// Starts a server: it goes on with the jobs that were made through the API. Those of `batch run` stay.
    /// Errors: [`JobsServerError`]. A damaged job is named, and stops no other.
    pub async fn start(settings: ServerSettings) -> Result<Self, JobsServerError> {
        let (folder, now) = (settings.folder.clone(), settings.clock.wall());
        let found = spawn_blocking(move || {
            tidy(&folder, now)?;
            find_all(&folder)
        });
        let (known, free) = found.await??;
        let shared = Arc::new(Shared::new(settings, known));
        free.into_iter().for_each(|id| keep_on(&shared, id));
        shared.tasks.spawn(give_slots(Arc::clone(&shared)));
        shared.tasks.spawn(make_rounds(Arc::clone(&shared)));
        let _ends = shared.stop.clone().drop_guard();
        Ok(Self { shared, _ends })
    }

    /// Answers a call. `account` has the 12 digits of `x-amz-account-id`; `body` is that of the request, at
    /// most [`BODY_MAX`](crate::jobs::api::BODY_MAX) bytes. What a call changes is durable when it returns,
    /// also if nobody waits for it any longer.
    /// Errors: [`ApiError`].
    pub async fn answer(&self, account: &str, call: ApiCall, body: &[u8]) -> Result<ApiAnswer, ApiError> {
        let account = AccountId::parse(account)
            .map_err(|expected| ApiError::bad(format!("x-amz-account-id: {expected}")))?;
        match call {
            ApiCall::CreateJob => self.create(account, body).await,
            ApiCall::DescribeJob(id) => {
                let id = job_id(&id)?;
                let job = self.look(move |shared| looking::describe(shared, account.as_str(), id)).await?;
                Ok(ApiAnswer::Described(Box::new(job)))
            }
            ApiCall::ListJobs(asked) => {
                let listed = self.look(move |shared| looking::list(shared, account.as_str(), &asked));
                let (jobs, next_token) = listed.await?;
                Ok(ApiAnswer::Listed { jobs, next_token })
            }
            ApiCall::GetJobTagging(id) => {
                let id = job_id(&id)?;
                self.look(move |shared| looking::tags(shared, id)).await.map(ApiAnswer::Tags)
            }
            ApiCall::UpdateJobStatus { id, to, reason } => {
                let wish = match to {
                    RequestedStatus::Cancelled => Wish::Cancel(reason.clone()),
                    RequestedStatus::Ready => Wish::Confirm(reason.clone()),
                };
                let status = self.change(&id, wish).await?;
                Ok(ApiAnswer::StatusUpdated { id, status, reason })
            }
            ApiCall::UpdateJobPriority { id, priority } => {
                let wish = Wish::Priority(Priority::new(priority).map_err(ApiError::bad)?);
                self.change(&id, wish).await?;
                Ok(ApiAnswer::PriorityUpdated { id, priority })
            }
        }
    }

    /// Ends in order: invocations in flight end first. The jobs go on at the next start.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    async fn create(&self, account: AccountId, body: &[u8]) -> Result<ApiAnswer, ApiError> {
        let request = CreateJob::parse(body)?;
        let shared = Arc::clone(&self.shared);
        // A client that goes away must not leave a job that nobody keeps and no token names.
        let made = self.shared.tasks.spawn(async move { creating::create(&shared, account, request).await });
        Ok(ApiAnswer::Created(made.await.map_err(internal)??.to_string()))
    }

    async fn change(&self, id: &str, wish: Wish) -> Result<String, ApiError> {
        let (shared, id) = (Arc::clone(&self.shared), job_id(id)?);
        let changed = self.shared.tasks.spawn(async move { changing::change(&shared, id, wish).await });
        changed.await.map_err(internal)?
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Shared) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let shared = Arc::clone(&self.shared);
        spawn_blocking(move || look(&shared)).await.map_err(internal)?
    }
}

/// Errors: no job has such an id.
fn job_id(id: &str) -> Result<JobId, ApiError> {
    JobId::parse(id).map_err(|_| ApiError::no_such_job())
}
