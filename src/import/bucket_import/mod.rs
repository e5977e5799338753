//! Imports the objects below a prefix of a bucket, by a converter: one pass lists them, decides about each, and
//! imports those that are wanted, each in the version that was met first.
//!
//! [`decide`](Wanted::skips) says what a listing shows to be unwanted. `object_state` knows which version of a
//! key is imported. `object_import` imports one object, [`pass`] all of them.

mod conversions;
mod converted_file;
mod decide;
mod deps;
mod object_import;
mod object_state;
mod pass;
mod report;
mod settings;

pub use decide::{Skip, Wanted};
pub use deps::PassDeps;
pub use pass::{PassError, pass};
pub use report::{Became, NAMED_MAX, NotDone, PassReport};
pub use settings::{BucketImport, OnMissing};
