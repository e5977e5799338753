//! Shows jobs: one, and pages of all.

use std::collections::BTreeSet;

use super::description::{Asking, description_of};
use super::internal_error::internal;
use super::known::Standing;
use super::shared::Shared;
use crate::jobs::api::answers::JobDescription;
use crate::jobs::api::api_call::ListJobs;
use crate::jobs::api::api_error::{ApiError, ApiErrorCode};
use crate::jobs::api::list_page::{Place, page};
use crate::jobs::job::folder::FolderError;
use crate::jobs::job::id::JobId;
use crate::jobs::job::status::STATUS_NAMES;
use crate::lock::lock;
use crate::time::UnixMillis;
use crate::words::{outside_text, with_causes};

/// Everything about a job. Blocks. Errors: [`ApiError`].
pub(super) fn describe(shared: &Shared, account: &str, id: JobId) -> Result<JobDescription, ApiError> {
    let seen = shared.settings.folder.look(id).map_err(|error| match error {
        FolderError::NoSuchJob(..) => ApiError::no_such_job(),
        error => internal(error),
    })?;
    let trouble = lock(&shared.known).get(id).and_then(|job| job.trouble().map(str::to_owned));
    let (region, now) = (shared.settings.region.as_str(), shared.settings.clock.wall());
    Ok(description_of(&seen, trouble.as_deref(), Asking { account, region, now }))
}

/// The tags that a job was made with. Blocks. Errors: [`ApiError`].
pub(super) fn tags(shared: &Shared, id: JobId) -> Result<Vec<(String, String)>, ApiError> {
    match shared.settings.folder.spec(id) {
        Ok(spec) => Ok(spec.tags),
        Err(FolderError::NoSuchJob(..)) => Err(ApiError::no_such_job()),
        Err(error) => Err(internal(error)),
    }
}

/// A page of jobs, and the token of the next one. A job that cannot be read has no status, and is left out.
/// Blocks. Errors: [`ApiError`].
pub(super) fn list(
    shared: &Shared,
    account: &str,
    asked: &ListJobs,
) -> Result<(Vec<JobDescription>, Option<String>), ApiError> {
    let statuses = wanted(&asked.statuses)?;
    let all: Vec<(JobId, UnixMillis, Standing)> = {
        let known = lock(&shared.known);
        known.all().map(|(id, job)| (id, job.made_at, job.standing.clone())).collect()
    };
    let is_listed = |id: JobId, standing: &Standing| match standing {
        Standing::Damaged(_) => false,
        _ if statuses.is_empty() => true,
        standing => status_of(shared, id, standing).is_some_and(|status| statuses.contains(status)),
    };
    let listed: Vec<(JobId, UnixMillis)> = all
        .iter()
        .filter(|(id, _, standing)| is_listed(*id, standing))
        .map(|(id, made_at, _)| (*id, *made_at))
        .collect();
    let place = |(id, made_at): &(JobId, UnixMillis)| Place { made_at: *made_at, id: id.to_string() };
    let (of_page, next) = page(listed, place, asked.most, asked.next_token.as_deref())?;
    let described = of_page.into_iter().filter_map(|(id, _)| match describe(shared, account, id) {
        Ok(job) => Some(job),
        // Removed meanwhile.
        Err(error) if error.code == ApiErrorCode::NoSuchJob => None,
        Err(error) => {
            tracing::warn!(job = %id, error = error.message, "the job cannot be listed");
            None
        }
    });
    Ok((described.collect(), next))
}

fn wanted(statuses: &[String]) -> Result<BTreeSet<&str>, ApiError> {
    match statuses.iter().find(|status| !STATUS_NAMES.contains(&status.as_str())) {
        None => Ok(statuses.iter().map(String::as_str).collect()),
        Some(unknown) => Err(ApiError::new(
            ApiErrorCode::InvalidRequest,
            format!("jobStatuses has \"{}\"; there are {}", outside_text(unknown), STATUS_NAMES.join(", ")),
        )),
    }
}

fn status_of(shared: &Shared, id: JobId, standing: &Standing) -> Option<&'static str> {
    match standing {
        Standing::Ended(status) => Some(status.as_str()),
        Standing::Kept { handle: Some(handle), .. } => Some(handle.state().status.as_str()),
        _ => match shared.settings.folder.look(id) {
            Ok(seen) => Some(seen.now.state.status.as_str()),
            Err(FolderError::NoSuchJob(..)) => None,
            Err(error) => {
                tracing::warn!(job = %id, error = with_causes(&error), "the job cannot be listed");
                None
            }
        },
    }
}
