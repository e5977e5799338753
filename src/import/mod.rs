//! Imports: rows of files become calls, each exactly once.
//!
//! An import has two sides. The reading side turns a file into rows and rows into calls, and hands them over
//! in steps. The taking side, [`Importer`], stores a step only if it covers the file's next rows. [`Target`]
//! is between them: the same whether both sides are in one process, or the reading side is a command that
//! speaks to a running node.
//!
//! [`files_import`] is the reading side of several files. This room does not know the command line.

mod at_once;
pub mod bucket_import;
pub mod claims;
pub mod collector_target;
mod column_names;
pub mod converted;
mod counters;
pub mod csv;
pub mod discovery;
pub mod dry_run;
mod end;
pub mod envelope;
mod file_error;
pub mod file_id;
pub mod file_result;
pub mod files_import;
mod find_earlier;
pub mod identity;
mod import_id;
mod import_names;
mod import_sources;
mod imported_as;
mod importer;
pub mod journal;
mod kept;
mod keyed_rows;
mod known_imports;
mod look_once;
mod new_rows;
pub mod notifications;
mod objects_in_use;
mod on_disk;
mod options_before;
mod options_hash;
mod own_thread;
pub mod part;
mod places;
mod prefix;
mod progress_journal;
mod progress_keeper;
pub mod reading;
mod recent;
mod record;
mod reject;
mod reject_counts;
mod rejects_file;
pub mod rejects_output;
mod rejects_room;
pub mod results_json;
mod retries;
pub mod retry;
mod row_errors;
mod row_hash;
mod row_ids;
pub mod row_rate;
mod rows;
mod run;
pub mod s3_records;
pub mod sample;
mod seen_moved;
mod settled_retries;
pub mod shared_progress;
pub mod state_folder;
mod step;
mod target;
mod untouched;
mod unusable;
pub mod watched_journal;
pub mod watched_rows;

pub use column_names::ColumnsMet;
pub use counters::{Counters, Snapshot};
pub use end::{End, Outcome};
pub use file_error::{FileError, FileFault};
pub use import_id::ImportId;
pub use import_names::{FixedSettings, NameError, NamedImport, begin_named, named, pause, rename};
pub use import_sources::{ImportSources, NoSource, WantedSource};
pub use imported_as::{ImportedAs, imported_as};
pub use importer::{Importer, ImporterDeps, ROWS_MAX};
pub use kept::{KeptOf, KeptValue};
pub use known_imports::{IsWanted, KnownImport, KnownImports};
pub use options_before::{TypedBefore, hash_before};
pub use options_hash::{OptionsHash, short_hash};
pub use prefix::Prefix;
pub use progress_journal::ProgressJournal;
pub use progress_keeper::{ProgressKeeper, Taken};
pub use record::{ATTEMPTS_MAX, ImportRecord, ImportState, LastError};
pub use reject::{RAW_MAX, Reject, Retried, Unreadable};
pub use reject_counts::{RejectCounts, RejectedRows};
pub use rejects_file::{RejectsFile, RejectsOf, RejectsOwner, TakenRejects, description, description_of};
pub use rejects_room::{RejectsRoom, bytes_in};
pub use row_errors::{NotAnAction, OnRowError};
pub use row_hash::{RowCount, RowHash, RowScope};
pub use rows::{Row, RowReader};
pub use run::{CheckUnchanged, FileEnd, FileReport, Job, Kept, OpenRows, RejectSink, Waits, import_file};
pub use shared_progress::SharedProgress;
pub use step::{RowLimits, TOO_MANY_REJECTED};
pub use target::{
    AGAIN, Begin, Begun, Earlier, Rows, RowsTaken, Standing, Target, TargetError, Version, blocking,
};
pub use unusable::{Unusable, UnusableKind};
