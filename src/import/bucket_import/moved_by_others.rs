//! Objects that were moved after they had been imported by an instance of which this one knows nothing: another one,
//! or one whose spool is gone.

use super::after::mark::{MovedFrom, moved_from};
use super::after::moved::{MovedOf, moved_below};
use super::object_import::ObjectImport;
use crate::lock::lock;
use crate::store::Head;

impl ObjectImport {
    /// Whether this pass has met such an object below the prefix that this key begins with.
    pub(super) fn is_below_moved(&self, key: &str) -> bool {
        lock(&self.moved).iter().any(|to| key.starts_with(to.as_str()))
    }

    /// Whether an object is such a one: its mark says that it was where this import reads. What is below the prefix
    /// that it was moved to is not looked at again.
    pub(super) async fn was_moved(&self, head: &Head, key: &str) -> bool {
        let bucket = self.import.location.bucket.bucket();
        let Some(MovedFrom { key: from, to }) = moved_from(&head.metadata, (bucket, key)) else {
            return false;
        };
        if !from.starts_with(self.import.prefix.as_str()) {
            return false;
        }
        if lock(&self.moved).insert(to.to_owned()) {
            tracing::info!(
                "{} was {} before it was imported and moved: import {} reads nothing below {to}",
                self.name_of(key),
                self.name_of(&from),
                self.import.name
            );
            let (of, to) = (MovedOf::Others(self.id), to.to_owned());
            let noted = self.on_disk(move |journal| moved_below(journal, &of, Some(&to)).map(drop));
            if let Err(error) = noted.await {
                tracing::warn!(%error, "each pass looks again at objects that others have moved");
            }
        }
        true
    }
}
