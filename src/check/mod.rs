//! `forebay check`, `forebay destinations test` and `forebay import test-credentials`: whether a
//! configuration works, before the first call.
//!
//! Each check is a pure function from observations to a [`finding::CheckFinding`]; `probe` makes the
//! observations, and [`run()`] defines their order and dependencies. A refusal of something not required is
//! not a failure: `s3:PutObject` alone is enough for a collector, and for this check.

pub mod access;
mod after_rights;
mod alarm_test;
pub mod bucket;
pub mod clock;
pub mod destination;
mod destination_run;
pub mod estimate;
pub mod example_call;
pub mod finding;
pub mod fix;
pub mod folders;
pub mod holder;
pub mod import;
mod import_journal;
mod import_notifications;
mod import_queue;
mod import_rejects;
mod import_rights;
mod import_run;
pub mod kafka;
pub mod key;
mod location;
pub mod object;
mod offline;
pub mod ports;
mod probe;
pub mod refusal;
pub mod report;
mod run;
mod specimen;
pub mod spool;
pub mod subject;
pub mod surroundings;
pub mod tls;

pub use alarm_test::alarm_test;
pub use destination_run::{DestinationTest, TestedFunction, test_destination};
pub use estimate::{Load, Shape};
pub use import_journal::{JournalRefusal, TriedJournal, is_worth_more, test_journal};
pub use import_notifications::{SeenRules, test_notifications};
pub use import_queue::ImportQueue;
pub use import_rejects::{TriedRejects, test_rejects};
pub use import_rights::{DeniedRight, ImportReader, ImportRight};
pub use import_run::{AccessEnd, ImportTest, ImportTested, test_import};
pub use offline::offline;
pub use ports::Port;
pub use report::CheckReport;
pub use run::{Settings, run};
pub use spool::SpoolSettings;
pub use subject::{LocationUnderCheck, Reach, locations};
pub use tls::TlsSettings;

#[cfg(test)]
mod tests;
