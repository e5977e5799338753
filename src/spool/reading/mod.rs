//! Reads stored frames back.

pub(super) mod follow;
pub(super) mod reader;
pub(super) mod spread;
