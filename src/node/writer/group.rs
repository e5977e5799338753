//! The thread of the group: it keeps the membership, and starts and ends the threads of partitions.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::partition::PartitionThread;
use super::place::{Place, Standing};
use super::shared::Shared;
use crate::kafka::group::Member;
use crate::lock::lock;
use crate::partition::left::LEFT_MAX;
use crate::partition::share::{next_rate, shares};

/// How long one look at the group waits.
const TURN: Duration = Duration::from_millis(100);
/// How often the cache is divided anew, by what partitions have read since.
const SHARE_EVERY: Duration = Duration::from_secs(30);

/// The thread of a partition, and what it shares.
type Running = (Arc<Place>, JoinHandle<()>);

/// What the thread works with.
pub(super) struct Group {
    shared: Arc<Shared>,
    member: Member,
    running: BTreeMap<u32, Running>,
    /// Bytes that each term had read at the last division.
    read: BTreeMap<u32, u64>,
    rates: BTreeMap<u32, u64>,
    share_at: Duration,
    passes: Arc<Mutex<()>>,
}

impl Group {
    pub(super) fn new(shared: &Arc<Shared>, member: Member) -> Self {
        Self {
            shared: Arc::clone(shared),
            member,
            running: BTreeMap::new(),
            read: BTreeMap::new(),
            rates: BTreeMap::new(),
            share_at: Duration::ZERO,
            passes: Arc::default(),
        }
    }

    /// Works until the writer ends, or has failed. Then it leaves the group.
    pub(super) fn run(mut self) {
        while !self.shared.ends() && self.shared.failed.borrow().is_none() {
            self.shared.beat.lives(self.shared.deps.clock.monotonic());
            let assigned = self.member.turn(TURN);
            if let Some(why) = self.member.failed() {
                self.shared.fail(&format!("the group of the writers does not take this process: {why}"));
            }
            self.follow(&assigned);
            self.divide();
        }
        self.shared.beat.rests();
        for (place, _) in self.running.values() {
            place.give_up();
        }
        if self.shared.failed.borrow().is_none() {
            for (_, thread) in std::mem::take(&mut self.running).into_values() {
                self.joined(thread);
            }
        }
    }

    /// Starts threads for what is assigned and has none, and ends those of what is not assigned any more.
    fn follow(&mut self, assigned: &BTreeSet<u32>) {
        for (_, (place, _)) in self.running.iter().filter(|(partition, _)| !assigned.contains(partition)) {
            place.give_up();
        }
        let ended: Vec<u32> = self
            .running
            .iter()
            .filter(|(_, (_, thread))| thread.is_finished())
            .map(|(one, _)| *one)
            .collect();
        let mut changed = !ended.is_empty();
        for partition in ended {
            if let Some((_, thread)) = self.running.remove(&partition) {
                self.joined(thread);
            }
        }
        for partition in assigned {
            // A thread that is about to end is waited for.
            if !self.running.contains_key(partition) {
                changed |= self.start(*partition);
            }
        }
        if changed {
            let places = self.running.iter().map(|(partition, (place, _))| (*partition, Arc::clone(place)));
            let before = std::mem::replace(&mut *lock(&self.shared.places), places.collect());
            for partition in before.into_keys().filter(|partition| !self.running.contains_key(partition)) {
                self.shared.metrics.forget(partition);
            }
            self.rates.retain(|partition, _| self.running.contains_key(partition));
            self.read.retain(|partition, _| self.running.contains_key(partition));
            self.share();
        }
    }

    fn start(&mut self, partition: u32) -> bool {
        let place = Arc::new(Place::default());
        let of_all = self.shared.deps.cache_bytes / (self.running.len() as u64 + 1);
        place.set_cache_bytes(of_all);
        place.beat.rests();
        let thread = PartitionThread {
            deps: Arc::clone(&self.shared.deps),
            partition,
            offsets: self.member.offsets(),
            place: Arc::clone(&place),
            passes: Arc::clone(&self.passes),
            metrics: self.shared.metrics.clone(),
            failing: Cell::default(),
            cache_failing: Cell::default(),
            waits_for: Cell::default(),
        };
        let started =
            std::thread::Builder::new().name(format!("kafka-{partition}")).spawn(move || thread.run());
        match started {
            Ok(thread) => {
                self.running.insert(partition, (place, thread));
                true
            }
            Err(error) => {
                self.shared.fail(&format!("no thread for partition {partition}: {error}"));
                false
            }
        }
    }

    fn joined(&self, thread: JoinHandle<()>) {
        if thread.join().is_err() {
            self.shared.fail("the thread of a partition has panicked");
        }
    }

    /// Divides the cache by what partitions have read since the last time.
    fn divide(&mut self) {
        let now = self.shared.deps.clock.monotonic();
        if now < self.share_at {
            return;
        }
        self.share_at = now.saturating_add(SHARE_EVERY);
        for (partition, (place, _)) in &self.running {
            let Standing::Live(live) = place.standing() else { continue };
            let progress = live.served.progress();
            let read = progress.bytes;
            let before = self.read.insert(*partition, read).unwrap_or(0);
            // A new term counts from zero.
            let since = read.checked_sub(before).unwrap_or(read);
            // A partition that pauses for its left objects needs no room.
            let has_no_room = progress.is_full && progress.left < LEFT_MAX;
            let rate = next_rate(self.rates.get(partition).copied(), since, has_no_room);
            self.rates.insert(*partition, rate);
        }
        self.share();
    }

    fn share(&self) {
        let rates =
            self.running.keys().map(|one| (*one, self.rates.get(one).copied().unwrap_or(0))).collect();
        let object_bytes = self.shared.deps.equipment.object_bytes_max();
        for (partition, share) in shares(self.shared.deps.cache_bytes, object_bytes, &rates) {
            if let Some((place, _)) = self.running.get(&partition) {
                place.set_cache_bytes(share);
            }
        }
    }
}
