//! The jobs that a server knows: all of its folder, where each stands, and the tokens of their requests.

use std::collections::{BTreeMap, HashMap};

use crate::jobs::job::id::JobId;
use crate::jobs::job::spec::{JobSpec, MadeBy};
use crate::jobs::job::status::Status;
use crate::node::jobs::job_handle::JobHandle;
use crate::object::AccountId;
use crate::time::UnixMillis;

/// Where a job stands for a server.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// A task of this server keeps it.
    Kept {
        /// The job, while it is open.
        handle: Option<JobHandle>,
        /// Why it does not go on at the moment.
        trouble: Option<String>,
    },
    /// Another process holds it, or none: a job of `batch run`.
    Elsewhere,
    /// It has ended.
    Ended(Status),
    /// It cannot be read: why. It is left alone.
    Damaged(String),
    /// It goes on in another process alone, because its log could not be synced in this one.
    Stopped(String),
}

/// A job.
#[derive(Clone, Debug)]
pub(super) struct KnownJob {
    /// When it was made.
    pub(super) made_at: UnixMillis,
    /// Whether the API made it: then this server goes on with it.
    pub(super) is_of_api: bool,
    /// Where it stands.
    pub(super) standing: Standing,
    /// Why it could not be looked at the last time. The log has it.
    pub(super) unseen: Option<String>,
}

/// All jobs.
#[derive(Debug, Default)]
pub(super) struct KnownJobs {
    jobs: BTreeMap<JobId, KnownJob>,
    tokens: HashMap<(AccountId, String), JobId>,
}

impl KnownJobs {
    /// Adds a job; its token, where it has one, stands for it from now on. The first job of a token keeps it.
    pub(super) fn add(&mut self, id: JobId, spec: Option<&JobSpec>, standing: Standing) {
        let made_at = spec.map_or(UnixMillis(0), |spec| spec.made_at);
        let mut is_of_api = false;
        if let Some(JobSpec { made_by: MadeBy::Api { account, .. }, client_request_token, .. }) = spec {
            is_of_api = true;
            if let Some(token) = client_request_token {
                self.tokens.entry((account.clone(), token.clone())).or_insert(id);
            }
        }
        self.jobs.insert(id, KnownJob { made_at, is_of_api, standing, unseen: None });
    }

    /// Takes over jobs that were found.
    pub(super) fn take(&mut self, found: Self) {
        self.jobs.extend(found.jobs);
        for (token, id) in found.tokens {
            self.tokens.entry(token).or_insert(id);
        }
    }

    /// Forgets a job that is not there any longer.
    pub(super) fn forget(&mut self, id: JobId) {
        self.jobs.remove(&id);
        self.tokens.retain(|_, job| *job != id);
    }

    /// The job that was made with a token.
    pub(super) fn of_token(&self, account: &AccountId, token: &str) -> Option<JobId> {
        self.tokens.get(&(account.clone(), token.to_owned())).copied()
    }

    /// A job.
    pub(super) fn get(&self, id: JobId) -> Option<&KnownJob> {
        self.jobs.get(&id)
    }

    /// All jobs.
    pub(super) fn all(&self) -> impl Iterator<Item = (JobId, &KnownJob)> {
        self.jobs.iter().map(|(id, job)| (*id, job))
    }

    /// A job stands somewhere else now.
    pub(super) fn stand(&mut self, id: JobId, standing: Standing) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.standing = standing;
        }
    }

    /// A job cannot be looked at now: why.
    pub(super) fn set_unseen(&mut self, id: JobId, why: String) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.unseen = Some(why);
        }
    }

    /// A job that is kept is open, or not any longer.
    pub(super) fn set_handle(&mut self, id: JobId, opened: Option<JobHandle>) {
        if let Some(KnownJob { standing: Standing::Kept { handle, .. }, .. }) = self.jobs.get_mut(&id) {
            *handle = opened;
        }
    }

    /// Why a job that is kept does not go on at the moment.
    pub(super) fn set_trouble(&mut self, id: JobId, why: Option<String>) {
        if let Some(KnownJob { standing: Standing::Kept { trouble, .. }, .. }) = self.jobs.get_mut(&id) {
            *trouble = why;
        }
    }

    /// The jobs that are open.
    pub(super) fn handles(&self) -> Vec<JobHandle> {
        let handle = |job: &KnownJob| match &job.standing {
            Standing::Kept { handle, .. } => handle.clone(),
            _ => None,
        };
        self.jobs.values().filter_map(handle).collect()
    }

    /// Jobs of the API that have not ended.
    pub(super) fn unfinished(&self) -> usize {
        let counts = |job: &&KnownJob| {
            job.is_of_api && !matches!(job.standing, Standing::Ended(_) | Standing::Damaged(_))
        };
        self.jobs.values().filter(counts).count()
    }
}

impl KnownJob {
    /// The job, while it is open.
    pub(super) fn handle(&self) -> Option<&JobHandle> {
        match &self.standing {
            Standing::Kept { handle, .. } => handle.as_ref(),
            _ => None,
        }
    }

    /// Why it does not go on.
    pub(super) fn trouble(&self) -> Option<&str> {
        match &self.standing {
            Standing::Kept { trouble, .. } => trouble.as_deref(),
            Standing::Damaged(why) | Standing::Stopped(why) => Some(why),
            Standing::Elsewhere | Standing::Ended(_) => None,
        }
    }
}
