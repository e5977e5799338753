//! What the program may reach, and the clients that reach it: addresses that it refuses, and hosts that are
//! reached without the proxy.

pub mod aws;
pub mod client;
pub mod link_local;
pub mod no_proxy;
