//! What a pass has done with imported objects so far.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::report::AfterDone;
use crate::lock::lock;

/// After so many failures a pass tries no other object: most often, a right to all of them is missing.
const FAILURES_MAX: usize = 20;

/// What a pass has done so far.
#[derive(Debug, Default)]
pub(in super::super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: BTreeMap<AfterDone, u64>,
    failures: usize,
}

impl Tally {
    /// Whether so little has failed that another object is tried.
    pub(super) fn may_try(&self) -> bool {
        lock(&self.0).failures < FAILURES_MAX
    }

    /// Notes what was done with an object, or that it failed.
    pub(super) fn note(&self, done: Option<AfterDone>, failed: bool) {
        let mut counts = lock(&self.0);
        counts.failures += usize::from(failed);
        if let Some(done) = done {
            *counts.done.entry(done).or_default() += 1;
        }
    }

    /// How many objects something was done with, since the last time.
    pub(in super::super) fn take(&self) -> BTreeMap<AfterDone, u64> {
        std::mem::take(&mut lock(&self.0).done)
    }
}
