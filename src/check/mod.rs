//! `forebay check`: whether a configuration works, found out before the first call.
//!
//! Each check is a pure function from what was observed to a [`Finding`]; `probe` makes the observations, and [`run()`]
//! says in which order, and what depends on what. What is refused and needed by nobody is no failure: with no right but
//! `s3:PutObject` a collector works, and so does this.

pub mod access;
pub mod bucket;
pub mod clock;
pub mod estimate;
pub mod finding;
pub mod folders;
pub mod key;
pub mod mend;
pub mod object;
pub mod ports;
mod probe;
pub mod refusal;
pub mod report;
mod run;
mod specimen;
pub mod spool;
pub mod subject;
pub mod surroundings;
mod target;
pub mod tls;
mod words;

pub use estimate::{Estimate, Load, Shape};
pub use finding::{Finding, Outcome, Remedy};
pub use ports::{Port, Speaks};
pub use report::{Group, Report, Summary};
pub use run::{Settings, run};
pub use spool::SpoolSettings;
pub use subject::{Reach, Target, targets};
pub use tls::TlsSettings;

#[cfg(test)]
mod tests;
