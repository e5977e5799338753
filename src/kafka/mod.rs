//! Partitions on real brokers: what [`partition`](crate::partition) decides is done here, and the answers of
//! brokers are given to it. Nothing else in the program names the client library.
//!
//! - [`settings`] makes clients, with the settings that a promise of exactly once depends on; [`answers`]
//!   says what their errors mean.
//! - [`lock`] holds a partition: its transactional id, under which all its notes are committed.
//! - [`records`] reads one partition of a topic, in order.
//! - [`begin`] begins a term; [`owner`] works while it lasts, with a [`cache`] of what it has read;
//!   [`create`] writes the first notes of a partition, and [`trim`] deletes those that a snapshot has
//!   replaced.
//! - [`group`] is a hint of who should own what.
//!
//! Calls of the library wait, so each of these belongs to a thread that may wait.

pub mod answers;
pub mod begin;
pub mod cache;
pub mod create;
pub mod group;
pub mod lock;
pub mod owner;
pub mod records;
pub mod settings;
pub mod trim;
