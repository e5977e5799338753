//! A writer: a process with a clock, a cache that is lost with it, and partitions that it thinks are its own.

use std::collections::{BTreeMap, BTreeSet};

use super::collector::skew;
use super::env::Env;
use super::owner::{Owner, Process, Stage};

/// A writer.
#[derive(Debug)]
pub(super) struct Writer {
    process: Process,
    /// The partitions that it knows to be assigned.
    assigned: BTreeSet<u32>,
    owners: BTreeMap<u32, Owner>,
    pub(super) asleep_until: i64,
}

impl Writer {
    pub(super) fn new(env: &mut Env) -> Self {
        let skew = skew(env.plan.writer_skew, env);
        let process = Process { skew, stepped: 0, config: env.newest_config() };
        Self { process, assigned: BTreeSet::new(), owners: BTreeMap::new(), asleep_until: 0 }
    }

    /// Its answer from the group, and the configuration as it is now.
    pub(super) fn learns(&mut self, assigned: BTreeSet<u32>, config: usize) {
        self.process.config = config;
        for partition in &assigned {
            self.owners.entry(*partition).or_insert_with(|| Owner::new(*partition));
        }
        self.assigned = assigned;
    }

    /// One step for one of its partitions. An owner whose partition is gone works on until the brokers refuse
    /// it.
    pub(super) fn step(&mut self, env: &mut Env) {
        let known: Vec<u32> = self.owners.keys().copied().collect();
        if known.is_empty() {
            return;
        }
        let partition = env.dice.of(&known);
        self.step_of(partition, env);
    }

    pub(super) fn step_of(&mut self, partition: u32, env: &mut Env) {
        let is_assigned = self.assigned.contains(&partition);
        if let Some(owner) = self.owners.get_mut(&partition) {
            owner.step(is_assigned, self.process, env);
        }
    }

    /// The process ends, with its disk, and another one takes its place.
    pub(super) fn crash(&mut self, env: &mut Env) {
        *self = Self { asleep_until: env.now + 2_000, ..Self::new(env) };
    }

    /// A person sets the clock.
    pub(super) fn right_clock(&mut self) {
        (self.process.skew, self.process.stepped) = (0, 0);
    }

    pub(super) fn step_clock(&mut self, ms: i64) {
        self.process.stepped += ms;
    }

    pub(super) fn is_idle(&self, env: &Env) -> bool {
        let mut owners = self.assigned.iter().map(|partition| self.owners.get(partition));
        owners.all(|owner| owner.is_some_and(|owner| owner.is_idle(env)))
    }

    /// Whether all days are closed, but those of which calls were lost.
    pub(super) fn has_closed_all(&self, env: &Env) -> bool {
        let whole = self.assigned.iter().filter(|partition| !env.log[**partition as usize].lost);
        let mut owners = whole.map(|partition| self.owners.get(partition));
        owners.all(|owner| owner.is_some_and(Owner::has_closed_all))
    }

    /// Its partitions, assigned or not.
    pub(super) fn partitions(&self) -> Vec<u32> {
        self.owners.keys().copied().collect()
    }

    /// What it has stopped for, by partition.
    pub(super) fn stopped(&self) -> impl Iterator<Item = (u32, String)> {
        self.owners.iter().filter_map(|(partition, owner)| match &owner.stage {
            Stage::Stopped(stop) => Some((*partition, stop.to_string())),
            _ => None,
        })
    }
}
