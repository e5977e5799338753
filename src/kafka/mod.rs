//! Partitions on real brokers: what [`partition`](crate::partition) decides is done here, and the answers of
//! brokers are given to it. Nothing else in the program names the client library.
//!
//! - [`settings`] makes clients, with the settings that a promise of exactly once depends on; [`answers`]
//!   says what their errors mean.
//! - [`lock`] holds a partition: its transactional id, under which all its notes are committed.
//! - [`records`] reads one partition of a topic, in order.
//! - [`create`] makes [`topics`] and the notes that partitions begin with, which [`first_notes`] reads.
//!   [`probe`] asks and tries what a log needs, for `forebay kafka check`.
//! - [`begin`] begins a term, and [`trim`] deletes notes that a snapshot has replaced.
//! - [`owner`] is a term while it lasts, with a [`cache`] of what it has read: `reading` reads, `answering`
//!   notes what others ask, and [`upkeep`] what is due. All of it belongs to one thread, which [`serve`] runs.
//! - [`log`] is that term for all other threads: a [`Log`](crate::log::Log), by what the owner has made `known`
//!   and by `asks` to it.
//! - [`collecting`] is a collector: its [`appender`] takes requests, `sending` has what is on its way to a
//!   `producer`, and `hints` what owners say of the log.
//! - `witness` looks whether the log still has what was read of it.
//! - `rebuild` builds objects that stay in the log because their buckets refuse them; `kept` has those that are
//!   at hand.
//! - [`group`] is a hint of who should own what; [`retention`] says for how long the log keeps records.
//!
//! Calls of the library wait, so each of these belongs to a thread that may wait.

mod answering;
pub mod answers;
pub mod appender;
mod asks;
pub(crate) mod beat;
pub mod begin;
pub mod cache;
pub mod collecting;
mod counts;
pub mod create;
pub mod first_notes;
pub mod group;
mod hints;
mod kept;
mod known;
pub mod lock;
pub mod log;
pub mod owner;
pub mod probe;
mod producer;
pub mod reading;
mod rebuild;
pub mod records;
pub mod retention;
pub mod sending;
pub mod sent;
pub mod serve;
pub mod settings;
mod short;
pub mod topics;
pub mod trim;
mod unsynced;
pub mod upkeep;
mod witness;
