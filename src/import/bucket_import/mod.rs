//! Imports the objects below a prefix of a bucket, by a converter: one pass lists them, decides about each,
//! and imports those that are wanted, each in the version that was met first.
//!
//! [`decide`](Wanted::skips) says what a listing shows to be unwanted. `object_state` knows which version of a
//! key is imported. `claimed` asks whose a file is that several instances could import.
//! `object_import` imports one object, [`pass`] all of them.

mod admit;
mod claimed;
mod claims_report;
mod conversions;
mod converted_file;
mod decide;
mod deps;
mod not_ours;
mod object_import;
mod object_state;
mod pass;
mod pass_claims;
mod planned;
mod report;
mod reset;
mod scan;
mod settings;
mod sorted_out;

pub use claims_report::{ClaimsReport, WaitingElsewhere};
pub use decide::{Skip, Wanted};
pub use deps::PassDeps;
pub use pass::{PassError, pass};
pub use planned::{PassPlan, plan_pass};
pub use report::{Became, NAMED_MAX, NotDone, PassReport};
pub use reset::{Begins, ResetError, ResetObject, ResetObjects, reset_failed, reset_object};
pub use scan::{Scan, Scanned};
pub use settings::{BucketImport, OnChange, OnMissing};
pub use sorted_out::Would;
