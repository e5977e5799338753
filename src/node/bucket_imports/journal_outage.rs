//! The journal that instances share cannot be reached: it is asked again, and an alarm stands once that lasts.

use std::sync::Mutex;
use std::time::Duration;

use super::pass_status::{CannotPass, Made};
use crate::import::bucket_import::PassError;
use crate::import::claims::{ClaimsError, Outage};
use crate::lock::lock;

/// How long an outage lasts until it is an alarm.
const LASTING: Duration = Duration::from_secs(60);

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
    /// Notes that the journal could not be reached, and calls `lasts` if that lasts. Nothing ends meanwhile.
    pub(super) fn failed(&self, now: Duration, lasts: impl FnOnce()) {
        let mut failing = lock(&self.0);
        let known = failing.get_or_insert(Failing { since: now, tries: 0 });
        known.tries = known.tries.saturating_add(1);
        if now.saturating_sub(known.since) >= LASTING {
            lasts();
        }
    }

    /// Notes that the journal answers, or that nobody asks any more, and calls `ends`. Nothing fails meanwhile.
    pub(super) fn ended(&self, ends: impl FnOnce()) {
        let mut failing = lock(&self.0);
        *failing = None;
        ends();
    }

    /// How often the journal could not be reached since the outage began; `None`: there is none.
    pub(super) fn tries(&self) -> Option<u32> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_after_a_minute_and_begins_anew_when_it_has_ended() {
        let (outage, at) = (JournalOutage::default(), Duration::from_secs);
        assert_eq!(outage.tries(), None);
        let fails = |now| {
            let mut lasts = false;
            outage.failed(at(now), || lasts = true);
            lasts
        };
        assert_eq!([100, 130, 159, 160, 200].map(fails), [false, false, false, true, true]);
        assert_eq!(outage.tries(), Some(5));
        let mut has_ended = false;
        outage.ended(|| has_ended = true);
        assert_eq!((has_ended, outage.tries()), (true, None));
        assert_eq!((fails(201), outage.tries()), (false, Some(1)));
    }
}
