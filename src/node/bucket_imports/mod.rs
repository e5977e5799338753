//! Imports of buckets, as `[[import]]` says: the tasks of a running node, and one pass without a node.
//!
//! [`ImportPlan`] is what a configuration says of one import, with what the rest of the configuration means
//! for it. `one_import` makes passes over one bucket, one at a time. [`BucketImports`] has a task for each
//! import that is enabled, and follows changes of the configuration. [`run_import`](ImportsAt::run) does what a command asks
//! for: in a running node, or in the spool of the configuration.

mod after_status;
mod claims_status;
mod deps;
mod journal_outage;
mod key_range;
mod leaving;
mod left_behind;
mod notifications;
mod objects_at;
mod one_import;
mod one_object;
mod operator;
mod pass_status;
mod pausing;
mod plan;
mod previewing;
mod reached;
mod receiving;
mod resetting;
mod retrying;
mod running;
mod scan_memory;
mod seen;
mod setting_up;
mod sharing;
mod since_start;
mod views;

pub use deps::ImportsDeps;
pub use objects_at::ObjectsAt;
pub use plan::{ImportPlan, ImportStores, OfNode, Puts, plans};
pub use previewing::{converter_path, infer_import, preview_import};
pub use reached::ImportsAt;
pub use running::BucketImports;
pub(super) use setting_up::seen_rules;
pub use setting_up::{NotSetUp, NotificationsSetUp, SetUp, set_up_notifications};
pub use sharing::UndeliveredInLog;
pub(super) use sharing::tried_journal;
