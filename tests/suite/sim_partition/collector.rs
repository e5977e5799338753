//! A collector: the real rules of blocks and answers, above simulated reports.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay::partition::block::CollectorId;
use forebay::partition::producing::{Answer, Producing};
use forebay::time::UnixMillis;

use super::clients::{Clients, Request, parts};
use super::env::Env;

/// How long a collector waits for reports.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// A collector.
#[derive(Debug)]
pub(super) struct Collector {
    at: usize,
    producing: Producing,
    /// When the report of the block in flight comes, and what it says.
    reports: BTreeMap<u32, (i64, Result<u64, ()>)>,
    /// Blocks that are written a second time before their report comes.
    again: BTreeMap<u32, (i64, Vec<u8>)>,
    pub(super) asleep_until: i64,
    skew: i64,
    /// How many partitions it knows.
    partitions: u32,
}

impl Collector {
    pub(super) fn new(at: usize, env: &mut Env) -> Self {
        let skew = skew(env.plan.skew, env);
        let producing = Producing::new(CollectorId(u128::from(env.dice.next())), ANSWER_WITHIN);
        let partitions = env.partitions();
        Self {
            at,
            producing,
            reports: BTreeMap::new(),
            again: BTreeMap::new(),
            asleep_until: 0,
            skew,
            partitions,
        }
    }

    pub(super) fn takes(&mut self, request: &Request, clients: &mut Clients, env: &mut Env) {
        if env.group.values().any(|(_, metadata)| metadata.refuses(request.source())) {
            env.trace.count("requests refused for their source");
            return clients.answered(request.id, false, env);
        }
        let parts = parts(request, UnixMillis(env.now + self.skew), self.partitions, env);
        let refuses_all =
            |partition| env.group.get(partition).is_some_and(|(_, metadata)| metadata.refuses_all);
        if parts.iter().any(|(partition, _)| refuses_all(partition)) {
            env.trace.count("requests refused for their partition");
            return clients.answered(request.id, false, env);
        }
        if self.producing.offer(request.id, parts, env.monotonic()).is_err() {
            clients.answered(request.id, false, env);
        }
    }

    pub(super) fn step(&mut self, clients: &mut Clients, env: &mut Env) {
        let late = self.producing.timed_out(env.monotonic());
        Self::answer(late, clients, env);
        let now = env.now;
        let again = self.again.iter().find(|(_, (at, _))| *at <= now).map(|(partition, _)| *partition);
        if let Some(partition) = again {
            let (_, value) = self.again.remove(&partition).unwrap();
            return env.produce_again(partition, value);
        }
        let come =
            self.reports.iter().find(|(_, (at, _))| *at <= now).map(|(partition, of)| (*partition, of.1));
        if let Some((partition, report)) = come {
            self.reports.remove(&partition);
            let answers = match report {
                Ok(offset) => self.producing.reported(partition, self.producing.collector(), offset),
                Err(()) => {
                    // The reports of the old producer do not come any more.
                    self.reports.clear();
                    for (partition, (_, value)) in std::mem::take(&mut self.again) {
                        env.produce_late(partition, value);
                    }
                    self.producing.failed(CollectorId(u128::from(env.dice.next())))
                }
            };
            return Self::answer(answers, clients, env);
        }
        let waiting: Vec<u32> = self.producing.partitions().collect();
        for partition in waiting {
            let Some(block) = self.producing.next_block(partition) else { continue };
            let value = block.value();
            let report = env.produce(partition, value.clone());
            env.note("a block", &[self.at as u64, u64::from(partition), block.number, report.unwrap_or(0)]);
            let most = if env.fails() { 60_000 } else { 500 };
            let mut delay = if env.healed { 0 } else { i64::try_from(env.dice.log(most)).unwrap() };
            if report.is_ok() && env.fails() {
                // Long enough for the first copy to be delivered, and forgotten by the bases.
                delay += i64::try_from(env.dice.below(400) * env.plan.pace).unwrap();
                self.again.insert(partition, (env.now + delay, value));
            }
            self.reports.insert(partition, (env.now + delay, report));
            return;
        }
    }

    /// It learns of partitions that were added.
    pub(super) fn learns(&mut self, env: &Env) {
        self.partitions = env.partitions();
    }

    pub(super) fn is_idle(&self) -> bool {
        self.reports.is_empty() && self.again.is_empty() && self.producing.partitions().next().is_none()
    }

    /// The process ends, and another one takes its place.
    pub(super) fn crash(&mut self, clients: &mut Clients, env: &mut Env) {
        clients.reset(self.at, env.now);
        *self = Self { asleep_until: env.now + 1_000, ..Self::new(self.at, env) };
    }

    fn answer(answers: Vec<Answer>, clients: &mut Clients, env: &mut Env) {
        for Answer { request, stored } in answers {
            clients.answered(request, stored.is_some(), env);
        }
    }
}

/// How far a clock is off.
pub(super) fn skew(most: u64, env: &mut Env) -> i64 {
    let off = i64::try_from(env.dice.below(most + 1)).unwrap();
    if env.dice.chance(500) { off } else { -off }
}
