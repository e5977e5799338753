//! Destinations: each stored call also goes to a function, beside the archive and without delaying it.
//!
//! A destination reads the log as its second reader, with a position of its own for each function ([`lane`],
//! [`read_ahead`]). It decides which calls it gets ([`select`]), what is sent ([`request`]), what an answer
//! means ([`outcome`], [`class`]) and what happens next ([`reaction`], [`circuit`], [`concurrency`]). All of
//! that computes. [`runner`] reads, sends through [`invoke`], and writes [`positions`], dead letters, and
//! beyond their share of the log the lines that wait ([`queue`]). [`replay`] sends stored calls again.
//!
//! A call is sent at least once, or becomes a dead letter with its cause.

pub mod age;
pub mod alarm;
pub mod batch_answer;
pub mod circuit;
pub mod class;
pub mod closed;
pub mod concurrency;
pub mod dead_letter;
pub mod disk_work;
pub mod forward;
pub mod invoke;
#[cfg(feature = "lambda")]
pub mod lambda_function;
pub mod lane;
mod lane_task;
pub mod outcome;
pub mod positions;
pub mod positions_file;
pub mod progress;
pub mod queue;
pub mod reaction;
pub mod read_ahead;
pub mod records;
pub mod replay;
pub mod request;
pub mod runner;
mod runtime_emulator;
mod secrets;
pub mod select;
pub mod settings;
pub mod web_function;
pub mod web_post;
