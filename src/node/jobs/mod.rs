//! Jobs: one from its specification to its report ([`one_job`]), what it works with ([`tools`]), what other
//! processes ask of it ([`asking`]), what people see of jobs ([`shown`]), and manifests that are made by
//! listing a bucket ([`listing`]). Jobs may import the objects of their tasks (`imports`).
//!
//! A process runs a job while it holds its folder. `batch run` gives its job a slot at once; a [`server`] of
//! several jobs decides on their slots by `jobs::job::slots`, and each job waits for its own.

pub mod asking;
pub mod for_imports;
#[cfg(feature = "lambda")]
mod imports;
pub mod job_error;
pub mod job_handle;
pub mod job_progress;
#[cfg(feature = "dev")]
pub mod jobs_api;
pub mod last_tries;
pub mod listing;
pub mod new_job;
pub mod one_job;
pub mod outcome;
mod prepare;
mod progress_shown;
pub mod report_rows;
mod reporting;
#[cfg(feature = "dev")]
pub mod serve;
#[cfg(feature = "dev")]
pub mod served_tools;
pub mod server;
pub mod shown;
pub mod tidying;
pub mod tools;
mod tools_error;

#[cfg(test)]
mod tests;
