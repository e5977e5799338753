//! Forebay takes tracking-API calls from unmodified SDKs and writes each call it has acknowledged, exactly once, to S3
//! as gzipped newline-delimited JSON under `segment-logs/<source-id>/<received-day>/`.
//!
//! An answer of 200 means: every call of the request is on stable storage. Everything after that is a function of what is
//! stored, so a crash at any instant loses nothing and doubles nothing.

#![warn(clippy::print_stderr)]

pub mod admin;
pub mod alarms;
pub mod archive;
pub mod batch;
pub mod call;
pub mod check;
pub mod cli;
pub mod collector;
pub mod config;
pub mod connections;
pub mod delivery;
pub mod dev_s3;
pub mod hook;
pub mod json;
pub mod metrics;
pub mod object;
pub mod once_a_minute;
pub mod planted;
pub mod policy;
pub mod random;
pub mod receipt;
pub mod retry;
pub mod runtime;
pub mod sources;
pub mod spool;
pub mod store;
pub mod tasks;
pub mod time;
