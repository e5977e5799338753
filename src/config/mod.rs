//! The configuration: read from `forebay.toml` and the environment, and checked once.
//!
//! It is parsed twice. [`raw`] is the file as typed: sections, keys and values with their places. [`checked`]
//! is the result: a [`Config`] with only valid values. All problems of a file are reported together. Only
//! `cli` reads a [`Config`]; each room has small settings of its own.

mod address;
pub mod admin;
pub mod checked;
mod closed_days;
mod destinations;
mod in_force;
pub mod load;
pub mod problem;
pub mod raw;
mod reader;
pub mod reload;
mod s3;
mod s3_location;
mod secret;
mod sections;
mod sources;
pub mod units;
pub mod values;
pub mod watch;
mod web_address;

pub use checked::{Admin, Collector, Config, Flush, Spool};
pub use closed_days::ClosedDays;
pub use destinations::function_arn;
pub use in_force::{ConfigValue, Origin};
pub use load::{Environment, Loaded, Loader, check_text, destinations_alone, destinations_of};
pub use problem::{ConfigError, ConfigProblem};
pub use reload::{Changes, Retargeted, diff};
pub use s3::S3;
pub use sources::Source;
pub use units::{ByteSize, Period};
pub use values::{
    Acl, AllowedOrigins, ContentEncoding, Endpoint, MinuteOfHour, NodeId, OnCorruption, Tls, UnknownKey,
};
pub use watch::Watcher;
pub use web_address::WebAddress;
