//! The program from outside, as its operators see it: `forebay serve` with a configuration, a bucket and
//! signals, and `forebay dev`.

mod alarm_webhook;
mod closed_days;
mod credentials;
mod deliveries;
mod dev;
mod full;
mod handles;
mod ledger;
mod log;
mod memory;
mod objects;
mod operator;
mod proxy;
mod refused;
mod reload;
mod removed;
mod shutdown;
mod start;
pub(crate) mod support;
#[cfg(debug_assertions)]
mod tasks;
mod tls;
