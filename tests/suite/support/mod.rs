//! What the tests of several rooms share.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do: by a panic that names the line"
)]

pub(crate) mod scripted_http;
pub(crate) mod tools;
