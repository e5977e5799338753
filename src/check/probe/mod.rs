//! What is done to find things out: requests, a look at a disk, a try to bind. Nothing is judged here.

pub(super) mod aws;
pub(super) mod ports;
pub(super) mod proxy;
pub(super) mod spool;
pub(super) mod tls;
