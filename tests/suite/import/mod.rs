//! `forebay import csv`: files from everywhere, hostile files, the three ways, kills; and the taking side by
//! itself.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by a panic that names the line"
)]

mod access;
mod after;
mod after_node;
mod again;
mod bucket;
mod claims;
mod content;
mod corpus;
mod cut_short;
mod dev_commands;
mod earlier_program;
mod full_disk;
mod grown;
mod half_read;
mod ids;
mod importer;
mod instances;
mod kills;
mod node;
mod notified;
mod object_sets;
mod on_listing;
mod parquet;
mod places_access;
mod planned;
mod proof;
mod python_tables;
mod queue_access;
#[cfg(feature = "lambda")]
mod queues;
mod rejects;
mod rejects_of_node;
mod reloaded;
mod route;
mod rows;
mod sample;
mod samples;
#[cfg(feature = "lambda")]
mod setup_notifications;
mod shown;
mod soon;
mod spreadsheets;
mod status_of_rejects;
mod support;
mod turns;
mod ways;
mod window;
mod writers;
