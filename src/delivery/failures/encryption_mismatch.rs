//! Compares how the store encrypts objects with how it was asked to.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::alarms::{AlarmKind, Alarms};
use crate::lock::lock;
use crate::object::{AppliedEncryption, S3Location};

/// The buckets that encrypted their last object differently from what was requested.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Mismatches(Mutex<BTreeSet<S3Location>>);

impl Mismatches {
    /// Compares what was `applied` to the object `key` with what was requested, and raises the alarm if they
    /// differ. `None` if the store knows no encryption. Returns whether other mismatches may be over; if so,
    /// [`Mismatches::keep`] is due.
    pub(in crate::delivery) fn compare(
        &self,
        to: &S3Location,
        key: &str,
        applied: Option<&AppliedEncryption>,
        alarms: &Alarms,
    ) -> bool {
        let Some(wrong) = applied.and_then(|applied| to.encryption.mismatch(applied)) else {
            let mut mismatched = lock(&self.0);
            let any = !mismatched.is_empty();
            mismatched.remove(to);
            return any;
        };
        let what = format!(
            "{wrong}, for {key}; the objects are stored and count as delivered; check the bucket's default \
             encryption, and any proxy between Forebay and the store"
        );
        lock(&self.0).insert(to.clone());
        alarms.raise(AlarmKind::Encryption, &to.to_string(), what);
        false
    }

    /// Forgets buckets that are not `in_use`, and clears the alarms that no longer apply.
    ///
    /// Several buckets may share the subject of an alarm, so it lasts as long as one of them
    /// mismatches.
    pub(in crate::delivery) fn keep(&self, in_use: &BTreeSet<S3Location>, alarms: &Alarms) {
        // Locked until the end, so that an alarm raised meanwhile is not cleared.
        let mut mismatched = lock(&self.0);
        mismatched.retain(|to| in_use.contains(to));
        let wrong: BTreeSet<String> = mismatched.iter().map(ToString::to_string).collect();
        for (kind, subject) in alarms.subjects(&[AlarmKind::Encryption]) {
            if !wrong.contains(&subject) {
                alarms.clear(kind, &subject);
            }
        }
    }
}
