//! Imports the objects below a prefix of a bucket, by a converter: one pass lists them, decides about each,
//! and imports those that are wanted, each in the version that was met first.
//!
//! [`decide`](Wanted::skips) says what a listing shows to be unwanted. `object_state` knows which version of
//! a key is imported. `look` looks at an object before it begins. `claimed` asks whose a file is that several
//! instances could import. `object_import` imports one object, [`pass`] all of them. `after` tags, moves or
//! deletes those that are imported.

mod admit;
mod after;
mod claimed;
mod claims_report;
mod conversions;
mod converted_file;
mod cut_short;
mod decide;
mod deps;
mod given_up;
mod gone;
mod kept_objects;
mod look;
mod never;
mod not_ours;
mod notified;
mod object_end;
mod object_import;
mod object_of;
mod object_state;
mod other_compression;
mod pass;
mod pass_claims;
mod planned;
mod read_on;
mod rejected;
mod report;
mod reset;
mod rules;
mod scan;
mod settings;
mod sorted_out;

pub use after::settle::{SettledObjects, accept_all_rejects, accept_rejects};
pub use after::{After, AfterDone, AfterReport, AfterWaits, Waiting, moved_key};
pub use claims_report::{ClaimsReport, WaitingElsewhere};
pub use decide::{Skip, Wanted};
pub use deps::PassDeps;
pub(in crate::import) use given_up::each_unopened;
pub use kept_objects::KeptObjects;
pub use never::Never;
pub use notified::{NotifiedEnd, NotifiedObjects};
pub(in crate::import) use object_of::object_key_of;
pub use other_compression::{OtherCompression, OtherCompressions};
pub use pass::{PassError, pass};
pub use planned::{PassPlan, plan_pass};
pub use rejected::in_store::RejectsInStore;
pub use rejected::outcome::RetryOutcome;
pub use rejected::place::RejectsPlace;
pub use rejected::retry::{RetryReport, retry_rejects};
pub use report::{Became, NAMED_MAX, NotDone, PassReport};
pub use reset::{Begins, ResetError, ResetObject, ResetObjects, reset_failed, reset_object};
pub use scan::{FULL_REQUESTS_MAX, Scan, Scanned};
pub use settings::{BucketImport, OnChange, OnMissing};
pub use sorted_out::Would;
