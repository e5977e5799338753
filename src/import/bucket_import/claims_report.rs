//! What a pass found of the files that belong to other instances.

use std::collections::BTreeMap;

use crate::import::claims::Outage;
use crate::time::UnixMillis;

/// The most files that are named of an instance.
const NAMED_MAX: usize = 20;

/// Files of an instance that are not delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingElsewhere {
    /// How many.
    pub files: u64,
    /// When the first of them was claimed, as the store says.
    pub since: Option<UnixMillis>,
    /// The keys of the first ones.
    pub first: Vec<String>,
}

/// Files that belong to other instances, among those that a pass listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimsReport {
    /// How many belong to other instances.
    pub claimed: u64,
    /// The same by the ids of the instances.
    pub instances: BTreeMap<String, u64>,
    /// Those of them that are not delivered, by the ids of the instances.
    pub waiting: BTreeMap<String, WaitingElsewhere>,
    /// How many of them had begun here, and were released.
    pub released: u64,
    /// Files whose claims cannot be read, or are gone. They wait.
    pub unknown: u64,
    /// The key of the first one, and why.
    pub unknown_first: Option<(String, String)>,
    /// Why nothing new begins: the shared journal cannot be used.
    pub problem: Option<Outage>,
}

impl ClaimsReport {
    /// Counts a file of another instance.
    pub(super) fn theirs(&mut self, key: &str, (instance, waits): (String, bool), since: Option<UnixMillis>) {
        self.claimed += 1;
        *self.instances.entry(instance.clone()).or_default() += 1;
        if waits {
            let waiting = self.waiting.entry(instance).or_default();
            waiting.files += 1;
            waiting.since = [waiting.since, since].into_iter().flatten().min();
            if waiting.first.len() < NAMED_MAX {
                waiting.first.push(key.to_owned());
            }
        }
    }

    /// Counts a file whose claim cannot be used.
    pub(super) fn unknown(&mut self, key: &str, why: String) {
        self.unknown += 1;
        self.unknown_first.get_or_insert_with(|| (key.to_owned(), why));
    }

    /// Adds those of a page.
    pub(super) fn add(&mut self, page: Self) {
        let Self { claimed, instances, waiting, released, unknown, unknown_first, problem } = page;
        self.claimed += claimed;
        for (instance, files) in instances {
            *self.instances.entry(instance).or_default() += files;
        }
        self.released += released;
        self.unknown += unknown;
        self.unknown_first = self.unknown_first.take().or(unknown_first);
        self.problem = self.problem.take().or(problem);
        for (instance, more) in waiting {
            let sum = self.waiting.entry(instance).or_default();
            sum.files += more.files;
            sum.since = [sum.since, more.since].into_iter().flatten().min();
            let room = NAMED_MAX.saturating_sub(sum.first.len());
            sum.first.extend(more.first.into_iter().take(room));
        }
    }

    /// What is counted, by name. Nothing if no journal is shared.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = [("claimed", self.claimed), ("claim_unknown", self.unknown)];
        counts.into_iter().filter(|(_, count)| *count > 0)
    }
}
