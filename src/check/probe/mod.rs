//! Observations: requests, file system checks, binding to ports. Nothing is judged here.

pub(super) mod aws;
pub(super) mod holders;
#[cfg(feature = "lambda")]
pub(super) mod lambda;
pub(super) mod ports;
pub(super) mod proxy;
pub(super) mod spool;
pub(super) mod tls;
