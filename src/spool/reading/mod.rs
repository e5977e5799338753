//! Reads stored frames back.

pub(super) mod reader;
pub(super) mod spread;
