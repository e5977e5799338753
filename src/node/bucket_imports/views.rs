//! What is known of an import in its two views: as a whole, and without what may be private. Which one a person sees
//! follows from the settings at that moment, so both are kept.

use crate::admin::PassStatus;
use crate::time::UnixMillis;

/// Something in both views.
#[derive(Clone, Debug, Default)]
pub(super) struct InViews<T> {
    full: T,
    masked: T,
}

impl<T> InViews<T> {
    /// The same made for each view; `make` takes whether everything is shown.
    pub(super) fn of(make: impl Fn(bool) -> T) -> Self {
        Self { full: make(true), masked: make(false) }
    }

    /// The view for a person.
    pub(super) fn shown(&self, all: bool) -> &T {
        if all { &self.full } else { &self.masked }
    }
}

/// What passes found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The last pass, with the first of the files that are not done.
    pub(super) last: Option<PassStatus>,
    /// The same of the last pass that listed all keys: others do not look at files that are given up.
    pub(super) whole: Option<PassStatus>,
    /// Why no pass goes on, and since when.
    pub(super) failing: Option<(String, UnixMillis)>,
}

impl InViews<Found> {
    /// Notes what a pass found. `whole`: it listed all keys. `has_listed`: it listed keys.
    pub(super) fn note(&mut self, found: InViews<PassStatus>, whole: bool, has_listed: bool) {
        self.full.note(found.full, whole, has_listed);
        self.masked.note(found.masked, whole, has_listed);
    }

    /// Notes that a pass could not go on.
    pub(super) fn failed(&mut self, what: InViews<String>, now: UnixMillis) {
        for (known, what) in [(&mut self.full, what.full), (&mut self.masked, what.masked)] {
            let since = known.failing.take().map_or(now, |(_, since)| since);
            known.failing = Some((what, since));
        }
    }

    /// Forgets why no pass went on.
    pub(super) fn goes_on(&mut self) {
        (self.full.failing, self.masked.failing) = (None, None);
    }
}

impl Found {
    fn note(&mut self, found: PassStatus, whole: bool, has_listed: bool) {
        self.failing = None;
        if whole {
            self.whole = Some(found.clone());
        }
        match &mut self.last {
            Some(last) if !has_listed => {
                (last.after, last.rejects) = (found.after, found.rejects);
                match (&mut last.claims, found.claims) {
                    // Whose files there are is told by listings.
                    (Some(known), Some(claims)) => known.problem = claims.problem,
                    (known, claims) => *known = claims,
                }
            }
            // Where nothing was ever listed, and nothing is left to do, there is nothing to show.
            None if !has_listed
                && found.after.is_none()
                && found.claims.is_none()
                && found.rejects.is_none() => {}
            last => *last = Some(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_view_has_its_own_texts() {
        let mut known: InViews<Found> = InViews::default();
        known.failed(InViews::of(|all| format!("all {all}")), UnixMillis(5));
        known.failed(InViews::of(|all| format!("again {all}")), UnixMillis(7));
        let failing = |known: &InViews<Found>, all| known.shown(all).failing.clone();
        assert_eq!(failing(&known, true), Some(("again true".to_owned(), UnixMillis(5))));
        assert_eq!(failing(&known, false), Some(("again false".to_owned(), UnixMillis(5))));
        let found = |all| PassStatus { rejects: Some(format!("of {all}")), ..PassStatus::default() };
        known.note(InViews::of(found), false, true);
        assert_eq!(failing(&known, true), None);
        let rejects = |all| known.shown(all).last.as_ref().and_then(|last| last.rejects.clone());
        assert_eq!(
            [rejects(true), rejects(false)],
            ["of true", "of false"].map(|text| Some(text.to_owned()))
        );
        assert_eq!(known.shown(true).whole, None);
    }
}
