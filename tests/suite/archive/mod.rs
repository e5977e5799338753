//! `forebay verify` against buckets filled by the program and buckets made to be wrong.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test helpers fail like tests: with a panic that names the line"
)]

mod filled;
mod made;
mod markers;
mod scripted;
mod support;
