//! The journal that instances share cannot be reached: it is asked again, and an alarm stands once that lasts.

use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;

use super::claims_status::problem;
use super::one_import::OneImport;
use super::pass_status::{CannotPass, Made};
use crate::alarms::AlarmKind;
use crate::import::bucket_import::PassError;
use crate::import::claims::{ClaimsError, Outage};
use crate::lock::lock;
use crate::retry::Backoff;

/// How long an outage lasts until it is an alarm.
const LASTING: Duration = Duration::from_secs(60);
/// The waits before the journal is asked again.
const AGAIN: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// An outage, as far as it goes.
#[derive(Debug, Default)]
pub(super) struct JournalOutage(Mutex<Option<Failing>>);

#[derive(Clone, Copy, Debug)]
struct Failing {
    /// When it began (monotonic).
    since: Duration,
    tries: u32,
}

impl JournalOutage {
    /// Notes that the journal could not be reached. Returns whether that lasts.
    fn failed(&self, now: Duration) -> bool {
        let mut failing = lock(&self.0);
        let known = failing.get_or_insert(Failing { since: now, tries: 0 });
        known.tries = known.tries.saturating_add(1);
        now.saturating_sub(known.since) >= LASTING
    }

    fn ended(&self) {
        *lock(&self.0) = None;
    }

    /// How often the journal could not be reached since the outage began; `None`: there is none.
    fn tries(&self) -> Option<u32> {
        lock(&self.0).map(|failing| failing.tries)
    }
}

/// What a pass found of the journal that instances share.
pub(super) enum JournalFound<'m> {
    /// It could not be reached, which may pass.
    Away(&'m Outage),
    /// It was used, or a person has to do something about it.
    Answered,
    /// The pass did not get so far.
    Unknown,
}

impl<'m> JournalFound<'m> {
    pub(super) fn of(made: &'m Made) -> Self {
        let outage = match &made.report {
            Ok(report) => report.claims.problem.as_ref(),
            Err(CannotPass::Met(PassError::Claims(ClaimsError::Unusable(outage)))) => Some(outage),
            Err(CannotPass::Met(PassError::Claims(_))) => None,
            Err(_) => return Self::Unknown,
        };
        match outage.filter(|outage| outage.passes) {
            Some(outage) => Self::Away(outage),
            None => Self::Answered,
        }
    }
}

impl OneImport {
    fn of_journal(&self) -> String {
        format!("{} (shared journal)", self.name())
    }

    /// Notes what a pass found of the shared journal.
    pub(super) fn note_journal(&self, found: &JournalFound<'_>) {
        match found {
            JournalFound::Away(outage) => self.journal_failed(outage),
            JournalFound::Answered => self.clear_journal(),
            JournalFound::Unknown => {}
        }
    }

    fn journal_failed(&self, outage: &Outage) {
        let lasts = self.journal_outage.failed(self.deps.clock.monotonic());
        // A pause ends its alarms, and so does its end.
        if lasts && !self.pausing.now() && !self.stop.is_cancelled() {
            let what = problem(self.plan(), outage.told.masked());
            let what = format!("import {}: {what}; it is asked again until it answers", self.name());
            self.deps.alarms.raise(AlarmKind::BucketImport, &self.of_journal(), what);
        }
    }

    /// Ends the alarm about the shared journal.
    pub(super) fn clear_journal(&self) {
        self.journal_outage.ended();
        if self.plan().settings.journal.is_some() {
            self.deps.alarms.clear(AlarmKind::BucketImport, &self.of_journal());
        }
    }

    /// Waits until the shared journal answers again: a pass then says what it answers. Without an outage this never
    /// ends. Cancel-safe.
    pub(super) async fn journal_back(&self) {
        while let (Some(tries), Ok(Some(shared))) = (self.journal_outage.tries(), self.claims()) {
            tokio::time::sleep(AGAIN.wait(tries, &*self.deps.random)).await;
            match shared.reached().await {
                Err(ClaimsError::Unusable(outage)) if outage.passes => self.journal_failed(&outage),
                _ => return,
            }
        }
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_after_a_minute_and_begins_anew_when_it_has_ended() {
        let (outage, at) = (JournalOutage::default(), Duration::from_secs);
        assert_eq!(outage.tries(), None);
        assert_eq!(
            [100, 130, 159, 160, 200].map(|now| outage.failed(at(now))),
            [false, false, false, true, true]
        );
        assert_eq!(outage.tries(), Some(5));
        outage.ended();
        assert_eq!((outage.failed(at(201)), outage.tries()), (false, Some(1)));
    }
}
