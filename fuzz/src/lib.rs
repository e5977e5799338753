//! The fuzz targets: one function each, from a fuzzer's bytes to properties that must hold for them.
//!
//! The programs under `fuzz_targets` hand them to libFuzzer. The test suite includes this same file and calls
//! each with the corpus and mutations of it, so the functions also run where the instrumented programs cannot
//! be built.

#![allow(unreachable_pub, reason = "public for the programs, private in the test suite")]
#![allow(clippy::unwrap_used, reason = "a property that cannot be checked does not hold")]

pub mod auth_header;
pub mod body_to_lines;
pub mod bucket_string;
pub mod choices;
pub mod config;
pub mod converter;
pub mod gzip;
pub mod json;
pub mod line_equals_serde;
pub mod manifest;
pub mod parquet;
pub mod request;
pub mod settings_document;
pub mod spool_frames;

/// A target: its name, and the function for one input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 11] = [
    ("auth_header", auth_header::run),
    ("body_to_lines", body_to_lines::run),
    ("bucket_string", bucket_string::run),
    ("config", config::run),
    ("converter", converter::run),
    ("gzip", gzip::run),
    ("line_equals_serde", line_equals_serde::run),
    ("manifest", manifest::run),
    ("parquet", parquet::run),
    ("settings_document", settings_document::run),
    ("spool_frames", spool_frames::run),
];
