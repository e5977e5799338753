//! All tests that run from outside the rooms, in one binary: linking the AWS client for each would cost
//! minutes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]
#![allow(clippy::indexing_slicing, reason = "a test that cannot go on stops where it is")]

mod admin;
mod api;
mod archive;
mod call;
mod check;
mod circles;
mod config;
mod console;
mod contract;
mod convert;
mod delivery;
mod deploy;
mod destinations;
mod durability;
mod finds_dev;
mod first_user;
mod flush;
mod fuzz;
mod import;
mod ingest;
mod jobs;
#[cfg(feature = "lambda")]
mod lambda;
mod links;
mod log;
mod policies;
mod printed;
mod readers;
mod receipts;
mod sdks;
mod security;
mod serve;
mod sim;
mod sim_partition;
mod support;
mod sweep;
mod terminal;
mod tidy;
mod tools;
