//! What work with a bucket found: a pass, a round over rejected rows, or a release of claims.

use forebay::import::bucket_import::{AfterDone, AfterWaits, PassReport, RetryReport};
use forebay::import::claims::Released;

use super::Objects;
use crate::sim::world::Violation;

impl Objects {
    /// Notes what became of rejected rows that were read again. `trouble`: something may fail.
    pub(in crate::sim) fn retried(
        &self,
        retried: &Result<RetryReport, String>,
        trouble: bool,
    ) -> Result<(), Violation> {
        let text = format!("{retried:?}");
        self.trace.note("rejected rows read again", &text, &[]);
        let bugs =
            ["E-BUG", "E-SHORT", "E-CONVERTER", "E-IMPORT-FIXED", "OtherOptions", "put back", "not kept"];
        if let Some(bug) = bugs.iter().find(|bug| text.contains(*bug)) {
            return Err(format!("I11: rejected rows were read again, with {bug}: {text}"));
        }
        let nothing_has_begun = |why: &String| why.contains("has begun here");
        match retried {
            Ok(report) => self.lock().instances[self.instance].is_retried = !trouble && !report.is_stopped(),
            Err(why) if trouble || nothing_has_begun(why) => {
                self.lock().instances[self.instance].is_retried = !trouble;
            }
            Err(_) => {
                return Err(format!("I11: rejected rows cannot be read again, and nothing fails: {text}"));
            }
        }
        self.trace.count("rejected rows read again");
        Ok(())
    }

    /// Notes that claims of the other instance were released, as far as the store answered.
    pub(in crate::sim) fn freed(&self, released: &Result<Released, String>) -> Result<(), Violation> {
        let text = format!("{released:?}");
        self.trace.note("claims released", &text, &[]);
        // Otherwise the store did not answer, and the same again goes on.
        let is_wrong = |why: &&String| why.contains("E-IMPORT-CLAIMS") || why.contains("E-BUG");
        match released.as_ref().err().filter(is_wrong) {
            Some(why) => Err(format!("I11: claims cannot be released: {why}")),
            None => Ok(()),
        }
    }

    /// Notes what a pass found. `trouble`: something may fail.
    pub(in crate::sim) fn passed(
        &self,
        passed: &Result<PassReport, String>,
        trouble: bool,
    ) -> Result<(), Violation> {
        self.trace.note("a pass ended", &format!("{passed:?}"), &[]);
        let bugs = ["E-BUG", "E-SHORT", "E-CONVERTER", "E-IMPORT-FIXED", "OtherOptions", "E-REJECTS"];
        let text = format!("{passed:?}");
        if let Some(bug) = bugs.iter().find(|bug| text.contains(*bug)) {
            return Err(format!("I11: a pass found {bug}: {text}"));
        }
        match passed {
            Ok(PassReport { claims, .. }) if claims.unknown > 0 || (claims.problem.is_some() && !trouble) => {
                Err(format!("I11: claims cannot be used: {text}"))
            }
            Ok(report) => {
                let is_settled = report.files.keys().all(|became| became.is_settled());
                let for_good = |why: &AfterWaits| matches!(why, AfterWaits::Rejected | AfterWaits::Changed);
                let mut state = self.lock();
                let instance = &mut state.instances[self.instance];
                instance.is_settled = is_settled && report.not_begun == 0 && !trouble;
                instance.is_after_done = report.after.waiting.keys().all(for_good) && !trouble;
                drop(state);
                self.trace.count("a pass over a bucket");
                self.count(report);
                Ok(())
            }
            Err(_) if trouble => {
                self.trace.count("a pass that could not go on");
                Ok(())
            }
            Err(error) => Err(format!("I11: a pass cannot go on, and nothing fails: {error}")),
        }
    }

    fn count(&self, PassReport { claims, after, .. }: &PassReport) {
        if claims.claimed > 0 {
            self.trace.count("objects of another instance");
        }
        if !claims.waiting.is_empty() {
            self.trace.count("objects that another instance has not delivered");
        }
        for (done, count) in &after.done {
            let what = match done {
                AfterDone::Tagged => "an imported object tagged",
                AfterDone::Moved => "an imported object moved",
                AfterDone::Deleted => "an imported object deleted",
                AfterDone::Gone => "an imported object gone",
            };
            (0..*count).for_each(|_| self.trace.count(what));
        }
        if after.waiting_for(AfterWaits::Due) > 0 {
            self.trace.count("an imported object that waits for its delivery");
        }
    }
}
