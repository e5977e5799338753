//! How a sealed object's place is reached now, and what stands wrong with it.
//!
//! A seal fixes what an object holds and its bucket and key. The role that opens the bucket, the key that encrypts there and
//! the like may be wrong or end while the object waits, so they are those of the running configuration, as long as the
//! source still goes to that bucket and prefix (decision 0080).

use std::collections::BTreeSet;

use super::{Inner, lock};
use crate::alarms::AlarmKind;
use crate::object::{AppliedEncryption, Destination};
use crate::sources::SourceId;
use crate::spool::note::Seal;

impl Inner {
    /// Where, and how, a sealed object is put now.
    pub(super) fn reach_of(&self, seal: &Seal) -> Destination {
        self.reach(&seal.batch.source, &seal.destination)
    }

    /// How `noted`, where something of `source` goes, is reached now.
    pub(super) fn reach(&self, source: &SourceId, noted: &Destination) -> Destination {
        self.parts
            .outlet
            .current_destination(source)
            .filter(|current| current.bucket == noted.bucket)
            .unwrap_or_else(|| noted.clone())
    }

    /// A put of a source was taken: it is not refused any more, and what was applied is held against what was asked for.
    /// `None` where the store knows no encryption.
    pub(super) fn taken(
        &self,
        source: &SourceId,
        to: &Destination,
        key: &str,
        applied: Option<&AppliedEncryption>,
    ) {
        let failed_before = lock(&self.health).taken(source, to, self.parts.clock.monotonic());
        match applied.and_then(|applied| to.encryption.mismatch(applied)) {
            Some(wrong) => {
                let what = format!(
                    "{wrong}, for {key}; the objects are stored and counted as delivered: look at the bucket's default \
                     encryption and at what stands between here and the store"
                );
                lock(&self.mismatched).insert(to.clone());
                self.parts.alarms.raise(AlarmKind::Encryption, &to.to_string(), what);
            }
            None => {
                let mut mismatched = lock(&self.mismatched);
                let any = !mismatched.is_empty();
                mismatched.remove(to);
                drop(mismatched);
                if any {
                    self.forget_mismatches();
                }
            }
        }
        if failed_before {
            self.kick.notify_one();
        }
    }

    /// Every destination to which something goes, or may go.
    fn in_use(&self) -> BTreeSet<Destination> {
        let outlet = &self.parts.outlet;
        let removed = lock(&self.removed).clone();
        let current = outlet.current_destinations().into_iter();
        let current = current.filter(|(source, _)| !removed.contains(source)).map(|(_, to)| to);
        let pending = outlet.pending_seals().into_iter().map(|pending| self.reach_of(&pending.seal));
        current.chain(pending).chain(self.marker_destinations()).collect()
    }

    /// Forgets wrong encryptions of destinations to which nothing goes any more, and ends alarms that are not true now.
    ///
    /// Several destinations may share the subject of an alarm, so it stands as long as it is true of one of them.
    pub(super) fn forget_mismatches(&self) {
        let in_use = self.in_use();
        // Held to the end: what is raised meanwhile is not taken back.
        let mut mismatched = lock(&self.mismatched);
        mismatched.retain(|to| in_use.contains(to));
        let wrong: BTreeSet<String> = mismatched.iter().map(ToString::to_string).collect();
        for (kind, subject) in self.parts.alarms.subjects(&[AlarmKind::Encryption]) {
            if !wrong.contains(&subject) {
                self.parts.alarms.clear(kind, &subject);
            }
        }
    }
}
