//! The collector: the public HTTP side. Takes calls and answers 200 once they are on stable storage.
//!
//! Decisions that need no socket are pure functions (`route`, `auth`, `decode`, `cors`, `client_address`,
//! `budget`, `unread_bytes`, `reply`, and `remedy`, `nearest_route`, `shown_path` for what is said of a refused
//! request). `handle` takes one request through them; `connection` and `listen` own the sockets. The collector never waits for the object store: it knows the spool and
//! nothing after it.

mod answer_body;
pub mod auth;
mod backlog;
mod body;
pub mod bounds;
mod budget;
mod client_address;
mod connection;
mod cors;
pub mod decode;
mod handle;
mod listen;
mod nearest_route;
mod peer;
pub mod public_address;
mod refused;
mod remedy;
mod reply;
mod route;
pub mod settings;
pub mod settings_document;
mod shared;
mod shown_path;
mod tls;
mod unread_answers;
mod unread_bytes;
mod waiting_bodies;
mod watched_socket;

pub use bounds::Bounds;
pub use listen::{Collector, Drained, Listeners, Running, StartError};
pub use settings::{CollectorDeps, CollectorSettings, Policy, TlsFiles};
pub use tls::TlsError;
