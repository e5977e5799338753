//! What the program may reach: addresses that it refuses, and hosts that are reached without the proxy.

pub mod link_local;
pub mod no_proxy;
pub mod resolver;
