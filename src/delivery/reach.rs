//! How a sealed object's place is reached now, and what stands wrong with it.
//!
//! A seal fixes what an object holds and its bucket and key. The role that opens the bucket, the key that encrypts there and
//! the like may be wrong or end while the object waits, so they are those of the running configuration, as long as the
//! source still goes to that bucket and prefix (decision 0080).

use std::collections::BTreeSet;

use super::settings::REFUSALS_BEFORE_ALARM;
use super::{Inner, lock};
use crate::alarms::AlarmKind;
use crate::object::{AppliedEncryption, Destination};
use crate::spool::note::Seal;
use crate::store::{Fault, StoreError};

/// Alarms about destinations. They clear with the next success, or when nothing goes there any more.
const KINDS: [AlarmKind; 2] = [AlarmKind::Refused, AlarmKind::Encryption];

impl Inner {
    /// Where, and how, a sealed object is put now.
    pub(super) fn reach(&self, seal: &Seal) -> Destination {
        self.parts
            .outlet
            .current_destination(&seal.batch.source)
            .filter(|current| current.bucket == seal.destination.bucket)
            .unwrap_or_else(|| seal.destination.clone())
    }

    /// Counts a put that was refused; at the third in a row it is an alarm.
    pub(super) fn refused(&self, to: &Destination, error: &StoreError) {
        if !matches!(error.fault, Fault::Refused | Fault::Expired) {
            return;
        }
        let mut refusals = lock(&self.refusals);
        let count = refusals.entry(to.clone()).or_default();
        *count = count.saturating_add(1);
        if *count >= REFUSALS_BEFORE_ALARM {
            let what = format!(
                "the store refuses puts: {error}; nothing is dropped, they are tried again every minute; `forebay check` says \
                 what to mend"
            );
            self.parts.alarms.raise(AlarmKind::Refused, &to.to_string(), what);
        }
    }

    /// A put was taken: it is not refused any more, and what was applied is held against what was asked for. `None` where
    /// the store knows no encryption.
    pub(super) fn taken(&self, to: &Destination, key: &str, applied: Option<&AppliedEncryption>) {
        lock(&self.refusals).remove(to);
        let subject = to.to_string();
        self.parts.alarms.clear(AlarmKind::Refused, &subject);
        match applied.and_then(|applied| to.encryption.mismatch(applied)) {
            Some(wrong) => {
                let what = format!(
                    "{wrong}, for {key}; the objects are stored and counted as delivered: look at the bucket's default \
                     encryption and at what stands between here and the store"
                );
                self.parts.alarms.raise(AlarmKind::Encryption, &subject, what);
            }
            None => self.parts.alarms.clear(AlarmKind::Encryption, &subject),
        }
        self.clear_alarms_of_the_past();
    }

    /// Takes back alarms about destinations to which nothing goes any more.
    pub(super) fn clear_alarms_of_the_past(&self) {
        let standing = self.parts.alarms.standing();
        let standing: Vec<_> = standing.iter().filter(|alarm| KINDS.contains(&alarm.kind)).collect();
        if standing.is_empty() {
            return;
        }
        let outlet = &self.parts.outlet;
        let removed = lock(&self.removed).clone();
        let current = outlet.current_destinations().into_iter();
        let current = current.filter(|(source, _)| !removed.contains(source)).map(|(_, to)| to);
        let pending = outlet.pending_seals().into_iter().map(|pending| self.reach(&pending.seal));
        let in_use: BTreeSet<Destination> = current.chain(pending).collect();
        lock(&self.refusals).retain(|to, _| in_use.contains(to));
        let subjects: BTreeSet<String> = in_use.iter().map(Destination::to_string).collect();
        for alarm in standing {
            if !subjects.contains(&alarm.subject) {
                self.parts.alarms.clear(alarm.kind, &alarm.subject);
            }
        }
    }
}
