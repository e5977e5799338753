//! Reads stored frames back, by batch and by position.

pub(super) mod locate;
pub(super) mod reader;
pub(super) mod spread;
