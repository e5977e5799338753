//! The configuration: read from `forebay.toml` and the environment, and checked once.
//!
//! It is parsed twice. [`raw`] is the file as typed: sections, keys and values with their places. [`checked`]
//! is the result: a [`Config`] with only valid values. All problems of a file are reported together. Only
//! `cli` reads a [`Config`]; each room has small settings of its own.

/// Makes the settings of a section: a struct, and the default of each.
macro_rules! section {
    (
        $(#[$about:meta])*
        pub struct $section:ident { $($(#[$says:meta])* $key:ident: $type:ty = $default:expr,)+ }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $section { $($(#[$says])* pub $key: $type,)+ }

        impl Default for $section {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }
    };
}

pub mod admin;
mod alarm;
pub mod checked;
mod closed_days;
mod destinations;
mod dev_file;
mod import_discovery;
mod import_keys;
mod import_settings;
mod import_texts;
mod imports;
mod in_force;
mod kafka;
mod kafka_security;
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

pub use alarm::AlarmSettings;
pub use checked::{Admin, Collector, Config, Flush, Spool};
pub use closed_days::ClosedDays;
pub use destinations::function_arn;
pub use dev_file::DevFile;
pub use import_settings::{After, Discovery, ImportConverter, ImportSettings, OnChange};
pub use in_force::{ConfigValue, Origin};
pub use kafka::{Extra, Kafka, KafkaRole};
pub use kafka_security::{KafkaTls, Mechanism, Sasl, Security};
pub use load::{Environment, Loaded, Loader, check_text, destinations_alone};
pub use problem::{ConfigError, ConfigProblem};
pub use reload::{Changes, diff};
pub use s3::S3;
pub use sources::Source;
pub use units::{ByteSize, Period};
pub use values::{Endpoint, Tls};
pub use watch::Watcher;
pub use web_address::WebAddress;
