//! A world: brokers, store, clients, collectors and writers, first with trouble, then healed.

use std::collections::{BTreeMap, BTreeSet};

use forebay::partition::block::{self, CollectorId};
use forebay::partition::position::offset_of;
use forebay::partition::state::State;
use forebay::time::DAY_MS;

use super::check;
use super::clients::{Clients, half_readable};
use super::collector::Collector;
use super::env::{Env, SOURCES};
use super::plan::Plan;
use super::writer::Writer;
use crate::support::dice::Dice;
use crate::support::trace::Trace;

/// A violated invariant: what was observed.
pub(super) type Violation = String;

/// Rounds within which a healed world must have delivered everything. Each process makes a step in each.
const ROUNDS: u64 = 5_000;

/// All of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) env: Env,
    pub(super) clients: Clients,
    collectors: Vec<Collector>,
    pub(super) writers: Vec<Writer>,
    /// Whom the group gives each partition.
    owners: Vec<usize>,
    /// Whether clients send nothing any more. Those that a stopped partition keeps waiting would go on for ever.
    clients_end: bool,
}

impl World {
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        let mut dice = Dice(seed ^ 0x9A27_1710_0000_0000);
        let plan = Plan::draw(&mut dice.split());
        let mut env = Env::new(plan, dice, trace);
        let clients = Clients::new(&env);
        let collectors = (0..env.plan.collectors).map(|at| Collector::new(at, &mut env)).collect();
        let writers: Vec<Writer> = (0..env.plan.writers).map(|_| Writer::new(&mut env)).collect();
        let owners = (0..env.partitions()).map(|_| env.dice.index(writers.len())).collect();
        Self { env, clients, collectors, writers, owners, clients_end: false }
    }

    /// Runs the schedule.
    ///
    /// # Errors
    /// The violated invariant.
    pub(super) fn run(mut self) -> Result<(), Violation> {
        for _ in 0..self.env.plan.steps {
            self.trouble();
            self.step();
            self.no_wrong()?;
        }
        self.heal();
        self.settles("delivered", Self::is_delivered)?;
        self.clients_end = true;
        // The last day with calls ends, too.
        let skew = i64::try_from(self.env.plan.skew).unwrap();
        self.env.pass(DAY_MS + skew);
        self.settles("closed", |world| {
            world.is_delivered() && world.writers.iter().all(|writer| writer.has_closed_all(&world.env))
        })?;
        check::all(&self)
    }

    /// Whether nothing is on its way.
    fn is_delivered(&self) -> bool {
        // What a partition that stopped last told collectors to refuse stays refused.
        (self.clients.are_done() || !self.stopped().is_empty())
            && self.collectors.iter().all(Collector::is_idle)
            && self.writers.iter().all(|writer| writer.is_idle(&self.env))
    }

    /// What stopped, by partition.
    pub(super) fn stopped(&self) -> BTreeMap<u32, String> {
        self.writers.iter().flat_map(Writer::stopped).collect()
    }

    fn no_wrong(&self) -> Result<(), Violation> {
        self.env.wrong.clone().map_or(Ok(()), Err)
    }

    /// A step of one process.
    fn step(&mut self) {
        let pace = self.env.plan.pace;
        let ms = 1 + i64::try_from(self.env.dice.below(pace)).unwrap();
        self.env.pass(ms);
        match self.env.dice.below(10) {
            0 | 1 => {
                let at = self.env.dice.index(self.clients.len());
                self.client(at);
            }
            2..4 => {
                let at = self.env.dice.index(self.collectors.len());
                self.collector(at);
            }
            _ => {
                let at = self.env.dice.index(self.writers.len());
                if self.writers[at].asleep_until <= self.env.now {
                    if self.env.chance(50) {
                        self.learns(at);
                    }
                    for _ in 0..=self.env.dice.below(8) {
                        self.writers[at].step(&mut self.env);
                    }
                }
            }
        }
    }

    fn client(&mut self, at: usize) {
        if self.clients_end {
            return;
        }
        let Some((collector, request)) = self.clients.step(at, &mut self.env) else { return };
        self.collectors[collector].takes(&request, &mut self.clients, &mut self.env);
    }

    fn collector(&mut self, at: usize) {
        if self.collectors[at].asleep_until <= self.env.now {
            if self.env.healed || self.env.chance(50) {
                self.collectors[at].learns(&self.env);
            }
            self.collectors[at].step(&mut self.clients, &mut self.env);
        }
    }

    fn learns(&mut self, at: usize) {
        let own = self.owners.iter().zip(0..).filter(|(owner, _)| **owner == at).map(|(_, of)| of);
        self.writers[at].learns(own.collect(), self.env.newest_config());
    }

    /// Something goes wrong, now and then.
    fn trouble(&mut self) {
        let troubles = self.env.plan.troubles;
        if !self.env.chance(troubles) {
            return;
        }
        let env = &mut self.env;
        let partition = env.dice.index(env.log.len());
        let writer = env.dice.index(self.writers.len());
        let collector = env.dice.index(self.collectors.len());
        let long = i64::try_from(env.dice.log(120_000)).unwrap();
        let what = env.dice.below(17);
        env.note("trouble", &[what, partition as u64, writer as u64]);
        match what {
            0..3 => {
                self.owners[partition] = writer;
                self.learns(writer);
            }
            3..6 => self.writers[writer].asleep_until = env.now + long,
            6 | 7 => self.writers[writer].crash(env),
            8 => self.collectors[collector].asleep_until = env.now + long,
            9 => self.collectors[collector].crash(&mut self.clients, env),
            10 => {
                let to_midnight = DAY_MS - env.now.rem_euclid(DAY_MS);
                let hours = i64::try_from(env.dice.below(30)).unwrap() * 3_600_000;
                let past_midnight = to_midnight + 10_000 + i64::try_from(env.dice.below(20_000)).unwrap();
                let far = env.chance(500);
                env.pass(if far { hours } else { past_midnight });
            }
            11 if env.plan.refuses => {
                let source = env.dice.of(&SOURCES);
                if !env.store.refuses.remove(source) {
                    env.store.refuses.insert(source.to_owned());
                }
            }
            12 if env.plan.garbage && !env.plan.cuts => self.garbage(partition),
            12 => self.writers[writer].step_clock(long),
            14 if env.plan.moves => {
                let source = env.dice.of(&SOURCES);
                env.moves(source);
                env.trace.count("destinations changed");
            }
            14 | 15 => self.grow(),
            _ => self.retention(partition),
        }
    }

    /// The next step to more partitions. The group gives each to a writer.
    fn grow(&mut self) {
        let env = &mut self.env;
        if !env.grow(env.plan.partitions + env.plan.added) {
            return;
        }
        while self.owners.len() < env.log.len() {
            env.trace.count("partitions added");
            let writer = env.dice.index(self.writers.len());
            self.owners.push(writer);
        }
    }

    /// A record that cannot be read, or none.
    fn garbage(&mut self, partition: usize) {
        let env = &mut self.env;
        let value = match env.dice.below(4) {
            0 => None,
            1 => Some(vec![7; 50]),
            2 => {
                let mut value = block::write(CollectorId(u128::from(env.dice.next())), 1, []);
                value[20] ^= 1;
                Some(value)
            }
            _ => {
                let part = half_readable(&mut env.dice, env.now);
                Some(block::write(CollectorId(u128::from(env.dice.next())), 1, [&part]))
            }
        };
        // A record is missing only before another one.
        let is_missing = value.is_none();
        env.log[partition].append(value);
        if is_missing {
            env.log[partition].append(Some(vec![8; 50]));
        }
    }

    /// Retention deletes, or the log is cut.
    fn retention(&mut self, partition: usize) {
        let env = &mut self.env;
        let id = u32::try_from(partition).unwrap();
        let (start, end) = (env.log[partition].start, env.log[partition].end());
        if env.plan.cuts && env.chance(500) {
            let at = start + env.dice.below(end - start + 1);
            env.log[partition].cut(at);
            env.note("the log is cut", &[u64::from(id), at, end]);
            env.trace.count("logs cut");
            return;
        }
        let truth = check::truth(env, id);
        let kept_from = truth.kept_from();
        let needed = if env.plan.short { needed_from(&truth) } else { kept_from };
        let most = if env.plan.lossy { end } else { needed.min(end) };
        // Brokers delete by age, so writers have long looked at what a cut brought.
        let most = match env.log[partition].first_cut() {
            Some(at) if truth.log_cut.is_none() => most.min(at),
            _ => most,
        };
        if start < most {
            let to = start + 1 + env.dice.below(most - start);
            env.log[partition].start = to;
            env.note("retention deletes", &[u64::from(id), to, kept_from]);
            env.log[partition].lost |= to > needed_from(&truth);
            if to > kept_from && !env.log[partition].lost {
                env.log[partition].is_short = true;
                env.trace.count("logs shorter than a window");
            }
        }
    }

    fn heal(&mut self) {
        self.env.note("healed", &[]);
        self.env.healed = true;
        self.env.all_arrives();
        self.env.store.refuses.clear();
        self.collectors.iter_mut().for_each(|collector| collector.asleep_until = 0);
        for at in 0..self.writers.len() {
            self.writers[at].asleep_until = 0;
            self.writers[at].right_clock();
            self.learns(at);
        }
    }

    /// Everything works. After a bounded number of rounds, something must be so.
    fn settles(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<(), Violation> {
        let most_terms = 2 * self.env.plan.writers as u64 + 3;
        for _ in 0..ROUNDS {
            if is_so(self) {
                return Ok(());
            }
            self.env.pass(200);
            (0..self.clients.len()).for_each(|at| self.client(at));
            (0..self.collectors.len()).for_each(|at| self.collector(at));
            for at in 0..self.writers.len() {
                let of = self.writers[at].partitions();
                for partition in of.iter().cycle().take(3 * of.len()).copied() {
                    self.writers[at].step_of(partition, &mut self.env);
                }
            }
            self.no_wrong()?;
            if self.env.terms_after.values().any(|terms| *terms > most_terms) {
                return Err("processes fence each other for ever".to_owned());
            }
        }
        let clients = self.clients.are_done();
        let writers: Vec<bool> = self.writers.iter().map(|writer| writer.is_idle(&self.env)).collect();
        Err(format!("not {what} after {ROUNDS} rounds; clients done: {clients}, writers idle: {writers:?}"))
    }

    /// Partitions in which records were lost by the topic.
    pub(super) fn cut(&self) -> BTreeSet<u32> {
        (0..).zip(&self.env.log).filter(|(_, log)| log.was_cut()).map(|(partition, _)| partition).collect()
    }
}

/// The first record of which any call is not in the store.
fn needed_from(state: &State) -> u64 {
    let left = state.left.keys().filter_map(|number| state.calls.seals.get(number));
    left.map(|pending| offset_of(pending.seal.first)).fold(offset_of(state.base.read_from), u64::min)
}
