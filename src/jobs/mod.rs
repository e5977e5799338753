//! Jobs: a function over every object that a manifest lists, with the semantics of S3 Batch Operations.
//!
//! A *job* is one run over a manifest; a *task* is its work on one object. The manifest is read once and copied into the
//! job's folder. Each task then ends once, as succeeded or failed, however often it was tried.

pub mod answer;
pub mod api;
pub mod attempts;
pub mod handlers;
pub mod invocation;
pub mod job;
pub mod joined;
pub mod manifest;
pub mod missing_bucket;
pub mod named_functions;
pub mod redrives;
pub mod report;
mod row_bits;
pub mod run;
pub mod store_advice;
pub mod task;
pub mod task_id;
pub mod task_rows;
pub mod task_states;
pub mod threshold;
