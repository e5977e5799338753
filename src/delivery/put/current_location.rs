//! The settings with which the bucket of a sealed object is reached now.
//!
//! A seal fixes what an object holds, and its bucket and key. The role, the KMS key and similar settings may
//! be wrong, or become invalid while the object waits. So the settings of the running configuration are used,
//! as long as the source still goes to that bucket and prefix (decision 0080).

use std::collections::BTreeSet;

use crate::delivery::shared::Shared;
use crate::log::Seal;
use crate::object::S3Location;
use crate::sources::SourceId;

impl Shared {
    /// Where, and how, a sealed object is put now.
    pub(in crate::delivery) fn location_now(&self, seal: &Seal) -> S3Location {
        self.current_location(&seal.batch.source, &seal.location)
    }

    /// How `noted`, a bucket of `source`, is reached now.
    pub(in crate::delivery) fn current_location(&self, source: &SourceId, noted: &S3Location) -> S3Location {
        self.deps
            .log
            .current_location(source)
            .filter(|current| current.bucket == noted.bucket)
            .unwrap_or_else(|| noted.clone())
    }

    /// Forgets wrong encryptions of buckets that are no longer in use.
    pub(in crate::delivery) fn forget_mismatches(&self) {
        self.mismatches.keep(&self.in_use(), &self.deps.alarms);
    }

    /// Every bucket to which something goes, or may go.
    fn in_use(&self) -> BTreeSet<S3Location> {
        let log = &self.deps.log;
        let removed = self.requests.removed();
        let current = log.current_locations().into_iter();
        let current = current.filter(|(source, _)| !removed.contains(source)).map(|(_, to)| to);
        let pending = log.pending_seals().into_iter().map(|pending| self.location_now(&pending.seal));
        let of_markers =
            log.day_locations().into_iter().map(|(source, to)| self.current_location(&source, &to));
        current.chain(pending).chain(of_markers).collect()
    }
}
