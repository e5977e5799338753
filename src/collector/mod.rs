//! The collector: the public HTTP side. Takes calls and answers 200 once they are on stable storage.
//!
//! What can be decided without a socket is a pure function here (`route`, `auth`, `decode`, `cors`, `client_address`,
//! `received_clock`, `budget`, `outgoing`, `reply`); `handle` leads one request through them, `connection` and `listen` own the
//! sockets. The collector never waits for the object store: it knows the spool and nothing behind it.

mod answer_body;
pub mod auth;
mod backlog;
mod body;
mod budget;
mod client_address;
mod connection;
mod cors;
mod counters;
pub mod decode;
mod finish_anyway;
mod handle;
mod known_key;
mod listen;
mod outgoing;
mod peer;
mod pixel;
pub mod public_address;
mod rate_limit;
mod received_clock;
mod reply;
mod route;
pub mod settings;
pub mod settings_document;
mod socket;
mod source_config;
mod tls;
mod unread;
mod waiting;
mod watched;

pub use listen::{Collector, Drained, Listeners, Running, StartError};
pub use settings::{Bounds, CollectorDeps, CollectorSettings, Policy, TlsFiles};
pub use tls::TlsError;
