//! Imports: rows of files become calls, each exactly once.
//!
//! An import has two sides. The reading side turns a file into rows and rows into calls, and hands them over in
//! steps. The taking side, [`Importer`], stores a step only if it covers the file's next rows. Between them is
//! [`Target`]: the same whether both sides are in one process, or the reading side is a command that speaks to a
//! running node.
//!
//! Nothing here knows HTTP or the command line.

pub mod file_id;
mod import_sources;
mod importer;
pub mod journal;
mod record;
mod target;

pub use import_sources::{ImportSources, NoSource, WantedSource};
pub use importer::{Importer, ROWS_MAX};
pub use record::{Outcome, Record};
pub use target::{Begin, Begun, End, Rows, RowsTaken, Standing, Target, TargetError};
