//! The commands, and the only place that wires rooms together.

pub mod admin_client;
pub mod args;
pub mod flush;
pub mod status;
