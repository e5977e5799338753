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
use crate::sources::SourceId;
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

    /// Counts a put that failed: the third refusal in a row is an alarm, and so is no success for minutes.
    pub(super) fn put_failed(&self, to: &Destination, error: &StoreError) {
        let now = self.parts.clock.monotonic();
        let mut failing = lock(&self.failing);
        let failing = failing.entry(to.clone()).or_insert(Failing { refusals: 0, since: now });
        let kind = if matches!(error.fault, Fault::Refused | Fault::NoAccess | Fault::Expired) {
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
        match applied.and_then(|applied| to.encryption.mismatch(applied)) {
            Some(wrong) => {
                let what = format!(
                    "{wrong}, for {key}; the objects are stored and counted as delivered: look at the bucket's default \
                     encryption and at what stands between here and the store"
                );
                lock(&self.mismatched).insert(to.clone());
                self.parts.alarms.raise(AlarmKind::Encryption, &to.to_string(), what);
            }
            None => drop(lock(&self.mismatched).remove(to)),
        }
        // It looks at every destination, so not with each object that goes its ordinary way.
        if self.parts.alarms.standing().iter().any(|alarm| KINDS.contains(&alarm.kind)) {
            self.forget_the_past();
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

    /// Forgets what was wrong with destinations to which nothing goes any more, and takes back alarms that are not true now.
    ///
    /// Several destinations may share the subject of an alarm: one that asks for no encryption is refused by a bucket that
    /// demands it, and one beside it gets through. So an alarm stands as long as it is true of one of them.
    pub(super) fn forget_the_past(&self) {
        let in_use = self.in_use();
        let now = self.parts.clock.monotonic();
        // Held to the end: what is raised meanwhile is not taken back.
        let (mut failing, mut mismatched) = (lock(&self.failing), lock(&self.mismatched));
        failing.retain(|to, _| in_use.contains(to));
        mismatched.retain(|to| in_use.contains(to));
        let mut wrong = BTreeSet::new();
        for (to, failing) in failing.iter() {
            wrong.extend(failing.alarms(now).map(|kind| (kind, to.to_string())));
        }
        wrong.extend(mismatched.iter().map(|to| (AlarmKind::Encryption, to.to_string())));
        for alarm in self.parts.alarms.standing() {
            if KINDS.contains(&alarm.kind) && !wrong.contains(&(alarm.kind, alarm.subject.clone())) {
                self.parts.alarms.clear(alarm.kind, &alarm.subject);
            }
        }
    }
}

impl Failing {
    /// What is an alarm of it.
    fn alarms(self, now: Duration) -> impl Iterator<Item = AlarmKind> {
        let refused = self.refusals >= REFUSALS_BEFORE_ALARM;
        let unreachable = now.saturating_sub(self.since) >= UNREACHABLE_BEFORE_ALARM;
        let kinds = [(refused, AlarmKind::Refused), (unreachable, AlarmKind::Unreachable)];
        kinds.into_iter().filter_map(|(stands, kind)| stands.then_some(kind))
    }
}
