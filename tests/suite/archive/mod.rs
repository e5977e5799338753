//! `forebay verify` against buckets that the program filled, and against buckets made to be wrong.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do: by a panic that names the line"
)]

mod filled;
mod made;
mod markers;
mod scripted;
mod support;
