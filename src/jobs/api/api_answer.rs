//! What a call got, before it is XML.

use super::answers::{JobDescription, created, described, listed, priority_updated, status_updated, tags};

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiAnswer {
    /// A job is made, or was made by an earlier request with the same token: its id.
    Created(String),
    /// Everything about a job.
    Described(Box<JobDescription>),
    /// A page of jobs.
    Listed {
        /// The jobs, the newest first.
        jobs: Vec<JobDescription>,
        /// Where the next page begins, if there is one.
        next_token: Option<String>,
    },
    /// A job is cancelled or confirmed, or another process is asked for it.
    StatusUpdated {
        /// The job's id.
        id: String,
        /// Its status now.
        status: String,
        /// The reason that the request gave.
        reason: Option<String>,
    },
    /// A job has another priority, or another process is asked for it.
    PriorityUpdated {
        /// The job's id.
        id: String,
        /// The priority that was asked for.
        priority: u32,
    },
    /// The tags that a job was made with.
    Tags(Vec<(String, String)>),
}

impl ApiAnswer {
    /// The body of the answer.
    pub fn xml(&self) -> String {
        match self {
            Self::Created(id) => created(id),
            Self::Described(job) => described(job),
            Self::Listed { jobs, next_token } => listed(jobs, next_token.as_deref()),
            Self::StatusUpdated { id, status, reason } => status_updated(id, status, reason.as_deref()),
            Self::PriorityUpdated { id, priority } => priority_updated(id, *priority),
            Self::Tags(of_job) => tags(of_job),
        }
    }
}
