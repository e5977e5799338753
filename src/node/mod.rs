//! Rooms put together as a configuration says. A running process is spool, delivery, collector, importer,
//! destinations and admin listener, connected to each other, shown to their operator, and shut down in order
//! ([`serve`], [`dev`], `function`). Other parts work beside a process: on a spool that no process uses
//! ([`closed_spool`], [`drain`]), on a bucket ([`bucket_reader`], [`day_wait`], [`replay`]), for imports
//! ([`chosen_target`]), on jobs ([`jobs`]), and before the first call ([`check`], [`destination_test`]).

pub mod advice;
mod archive_view;
pub mod bucket_imports;
pub mod bucket_reader;
pub mod check;
pub mod chosen_target;
mod claimed_files;
pub mod closed_spool;
mod config_changes;
pub mod day_wait;
#[cfg(feature = "dev")]
mod demo;
pub mod destination_test;
mod destinations_view;
#[cfg(feature = "dev")]
pub mod dev;
#[cfg(feature = "dev")]
mod dev_folders;
#[cfg(all(feature = "dev", feature = "kafka"))]
pub mod dev_kafka;
#[cfg(all(feature = "dev", feature = "kafka"))]
mod dev_kafka_view;
#[cfg(feature = "dev")]
pub mod dev_sources;
pub mod drain;
pub mod engine;
pub mod equipment;
pub mod error;
mod find;
mod forgotten_sources;
#[cfg(feature = "lambda")]
pub mod function;
pub mod import_access;
mod import_list;
pub mod import_sources;
mod import_status;
pub mod import_store;
pub mod jobs;
#[cfg(feature = "kafka")]
pub mod kafka_collector;
#[cfg(feature = "kafka")]
mod kafka_owners;
#[cfg(feature = "kafka")]
pub mod kafka_process;
#[cfg(feature = "kafka")]
pub mod kafka_setup;
mod ledger_gauges;
mod ledger_view;
mod listen;
pub mod listeners;
mod logs;
mod logs_view;
pub mod outside;
pub mod policies;
mod read_notes;
pub mod receipt_report;
pub mod recovery;
mod reload;
mod removed_sources;
pub mod replay;
pub mod running;
pub mod sdk_keys;
mod sent_again;
pub mod serve;
pub mod settings;
pub mod setup;
pub mod spool_dir;
mod view;
#[cfg(feature = "kafka")]
pub mod writer;
