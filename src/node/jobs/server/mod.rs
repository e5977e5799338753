//! The server of many jobs, which `batch serve` and `dev` hold. It answers the calls of the jobs API, gives
//! the slots, and goes on at its start with the jobs that were made through the API.

use std::fmt;
use std::sync::Arc;

use super::tools::{JobTools, ToolsError};
use crate::boxed_future::BoxFuture;
use crate::jobs::api::api_answer::ApiAnswer;
use crate::jobs::api::api_call::ApiCall;
use crate::jobs::api::api_error::ApiError;
use crate::jobs::job::folder::{FolderError, JobsFolder};
use crate::jobs::job::id::JobId;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::JobSpec;
use crate::random::Random;
use crate::time::Clock;

/// What a server of jobs is given.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The folder of all jobs.
    pub folder: JobsFolder,
    /// Jobs whose tasks run at once: `--active-jobs`.
    pub active_jobs: usize,
    /// The region of the jobs' ARNs.
    pub region: String,
    /// Makes what jobs work with.
    pub tools: Arc<dyn MakeTools>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

/// Makes what jobs work with, as the process was started: it knows `--function`.
pub trait MakeTools: Send + Sync + fmt::Debug {
    /// What invokes the function of a job: [`Operation::Command`] or [`Operation::Web`] where `--function`
    /// names one, else the function itself. It decides how many invocations are in flight at once unless
    /// somebody says so, and is not kept: a later start may have others.
    /// Errors: the job may not use it, and what to do (`BadRequestException`).
    fn check(&self, spec: &JobSpec) -> Result<Operation, String>;

    /// The tools of a job. They are made when it reads its manifest, when it gets a slot and when its report
    /// is due, and dropped while it waits: programs of waiting jobs do not run.
    /// Errors: [`ToolsError`]. It is tried again later, and the job shows why.
    fn tools<'a>(&'a self, spec: &'a JobSpec, job: JobId) -> BoxFuture<'a, Result<JobTools, ToolsError>>;
}

/// Why a server of jobs cannot start.
#[derive(Debug, thiserror::Error)]
pub enum JobsServerError {
    /// The folder of the jobs cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// The server of many jobs.
#[derive(Debug)]
pub struct JobsServer {}

impl JobsServer {
    /// Starts a server: it goes on with the jobs that were made through the API. Those of `batch run` stay.
    /// Errors: [`JobsServerError`]. A damaged job is named, and stops no other.
    pub async fn start(_settings: ServerSettings) -> Result<Self, JobsServerError> {
        todo!()
    }

    /// Answers a call. `account` has the 12 digits of `x-amz-account-id`; `body` is that of the request, at
    /// most [`BODY_MAX`](crate::jobs::api::BODY_MAX) bytes. What a call changes is durable when it returns,
    /// also if nobody waits for it any longer.
    /// Errors: [`ApiError`].
    pub async fn answer(&self, _account: &str, _call: ApiCall, _body: &[u8]) -> Result<ApiAnswer, ApiError> {
        todo!()
    }

    /// Ends in order: invocations in flight end first. The jobs go on at the next start.
    pub async fn stop(self) {
        todo!()
    }
}
