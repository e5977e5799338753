//! How a sealed object's place is reached now, and what stands wrong with it.
//!
//! A seal fixes what an object holds and its bucket and key. The role that opens the bucket, the key that encrypts there and
//! the like may be wrong or end while the object waits, so they are those of the running configuration, as long as the
//! source still goes to that bucket and prefix (decision 0080).

use std::collections::BTreeSet;
use std::time::Duration;

use super::settings::{REFUSALS_BEFORE_ALARM, UNREACHABLE_BEFORE_ALARM};
use super::{Inner, lock};
use crate::alarms::AlarmKind;
use crate::object::{AppliedEncryption, Destination};
use crate::spool::note::Seal;
use crate::store::{Fault, StoreError};

/// Alarms about destinations. They clear with the next success, or when nothing goes there any more.
const KINDS: [AlarmKind; 3] = [AlarmKind::Refused, AlarmKind::Unreachable, AlarmKind::Encryption];

/// Failures of a destination since its last success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing {
    refusals: u32,
    /// The first of them, on the monotonic clock.
    since: Duration,
}

impl Inner {
    /// Where, and how, a sealed object is put now.
    pub(super) fn reach(&self, seal: &Seal) -> Destination {
        self.parts
            .outlet
            .current_destination(&seal.batch.source)
            .filter(|current| current.bucket == seal.destination.bucket)
            .unwrap_or_else(|| seal.destination.clone())
    }

    /// Counts a put that failed: the third refusal in a row is an alarm, and so is no success for minutes.
    pub(super) fn put_failed(&self, to: &Destination, error: &StoreError) {
        let now = self.parts.clock.monotonic();
        let mut failing = lock(&self.failing);
        let failing = failing.entry(to.clone()).or_insert(Failing { refusals: 0, since: now });
        let kind = if matches!(error.fault, Fault::Refused | Fault::Expired) {
            failing.refusals = failing.refusals.saturating_add(1);
            (failing.refusals >= REFUSALS_BEFORE_ALARM)
                .then_some((AlarmKind::Refused, "the store refuses puts"))
        } else {
            let long = now.saturating_sub(failing.since) >= UNREACHABLE_BEFORE_ALARM;
            long.then_some((AlarmKind::Unreachable, "no put gets through"))
        };
        if let Some((kind, what)) = kind {
            let what = format!(
                "{what}: {error}; nothing is dropped, they are tried again for ever; `forebay check` tells what to mend"
            );
            self.parts.alarms.raise(kind, &to.to_string(), what);
        }
    }

    /// A put was taken: it is not refused any more, and what was applied is held against what was asked for. `None` where
    /// the store knows no encryption.
    pub(super) fn taken(&self, to: &Destination, key: &str, applied: Option<&AppliedEncryption>) {
        lock(&self.failing).remove(to);
        let subject = to.to_string();
        self.parts.alarms.clear(AlarmKind::Refused, &subject);
        self.parts.alarms.clear(AlarmKind::Unreachable, &subject);
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
        lock(&self.failing).retain(|to, _| in_use.contains(to));
        let subjects: BTreeSet<String> = in_use.iter().map(Destination::to_string).collect();
        for alarm in standing {
            if !subjects.contains(&alarm.subject) {
                self.parts.alarms.clear(alarm.kind, &alarm.subject);
            }
        }
    }
}
