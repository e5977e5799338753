//! An import ends because its settings changed, or because it is gone from the configuration, and another one goes on
//! with what it leaves behind.

use std::sync::Arc;

use super::left_behind::LeftBehind;
use super::one_import::OneImport;
use super::plan::ImportPlan;
use crate::lock::lock;

impl OneImport {
    /// Stops it at its next step, for the import with this plan. From now on it shows nothing.
    pub(super) fn leave_to(&self, next: &ImportPlan) -> LeftBehind {
        self.stop.cancel();
        let (was, is) = (&self.plan().settings, &next.settings);
        let mut left = self.met(next);
        // Its first pass shows whether they still hold, if it looks at the same.
        let finds_alike = was.discovery == is.discovery && was.journal == is.journal;
        if !is.enabled || !finds_alike {
            self.forget();
            return left;
        }
        left.seen = lock(&self.seen).leave();
        left.of_queue = self.notifications.as_ref().map(|notifications| notifications.leave());
        left
    }

    /// What the import with this plan goes on with, also if this one was gone from the configuration meanwhile, or had
    /// another name: counts, and what it met in the same files.
    pub(super) fn met(&self, next: &ImportPlan) -> LeftBehind {
        let (was, is) = (&self.plan().settings, &next.settings);
        let mut left = LeftBehind { since_start: Arc::clone(&self.since_start), ..LeftBehind::default() };
        if (&was.bucket, &was.endpoint, &was.prefix) == (&is.bucket, &is.endpoint, &is.prefix) {
            left.columns = Arc::clone(&self.columns);
        }
        if was.converter == is.converter {
            left.other_compressions = Arc::clone(&self.other_compressions);
        }
        left
    }

    /// Whether its rows are compared with others as those of this plan are.
    pub(super) fn compares_as(&self, next: &ImportPlan) -> bool {
        let compared = |plan: &ImportPlan| {
            let settings = &plan.settings;
            (settings.enabled, settings.source.clone(), settings.insert_id_window)
        };
        compared(self.plan()) == compared(next)
    }
}
