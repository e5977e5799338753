//! The program as a function of AWS Lambda: what events mean, and real processes under two runtime APIs, that
//! of cargo-lambda and one of our own.

mod batch;
mod emulator;
mod events;
mod failures;
mod glibc;
mod objects;
mod spreadsheets;
mod support;
mod unfinished;
