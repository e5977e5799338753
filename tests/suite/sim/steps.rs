//! The steps of a schedule, drawn at random: of the clients, the clock, the disk, the store and the process.

use std::time::Duration;

use forebay::object::{BucketString, Encryption, S3Location};
use forebay::time::{Clock as _, DAY_MS};

use super::plan::{YEAR_1970, YEAR_2038};
use super::process::Process;
use super::world::{Violation, World};
use crate::support::sim_disk::{EIO, EMFILE, ENOSPC, SimDisk, Trouble};

impl World {
    pub(super) fn draw_mood(&mut self) {
        let mood = self.plan.mood(&mut self.dice, &self.buckets);
        self.store.set_mood(mood);
    }

    /// Draws the disk's troubles in this life, and their times.
    pub(super) fn draw_troubles(&mut self) {
        if self.plan.crashes && self.dice.chance(600) {
            let after = self.draw_moment();
            self.disk.trouble(after, Trouble::Crash);
        }
        if self.plan.disk_errors && self.dice.chance(500) {
            let trouble = Trouble::Fails(self.dice.of(&[EIO, EIO, ENOSPC, EMFILE]));
            let after = self.draw_moment();
            self.disk.trouble(after, trouble);
        }
        self.draw_capacity();
    }

    /// For a number of calls from now on, a process has no file handle left. Such calls change nothing, so
    /// the spool must go on.
    pub(super) fn draw_starvation(&mut self, process: &SimDisk, of_thousand: u64) {
        if self.plan.starves && self.dice.chance(of_thousand) {
            process.starve(self.dice.log(30), 1 + self.dice.log(60));
        }
    }

    /// The number of disk changes before a trouble: as often during the start as later.
    fn draw_moment(&mut self) -> u64 {
        if self.dice.chance(300) { self.dice.below(40) } else { self.dice.below(500) }
    }

    fn draw_capacity(&mut self) {
        let full = self.plan.full_disk && self.dice.chance(500);
        let room = self.dice.log(6 * self.plan.options.segment_bytes);
        self.disk.set_capacity(full.then(|| self.disk.used() + room));
    }

    /// Leaves no space, or hardly any.
    pub(super) fn fill_disk(&mut self) {
        let room = if self.dice.chance(500) { 0 } else { self.dice.log(2_000) };
        self.disk.set_capacity(Some(self.disk.used() + room));
    }

    pub(super) async fn step(&mut self, process: &mut Process) -> Result<(), Violation> {
        match self.dice.below(20) {
            0..7 => self.clients_send(process).await,
            7..10 => self.turn(process).await,
            10..13 => tokio::time::sleep(Duration::from_millis(self.dice.log(4_000))).await,
            13 | 14 => {
                self.look();
                // Whether it still runs is checked after each step.
                process.spool.keep().unwrap_or_default();
            }
            15 => {
                let delivery = process.delivery.clone();
                let wait = Duration::from_millis(self.dice.log(3_000));
                let source = self.dice.chance(500).then(|| self.dice.of(&self.clients.sources));
                tokio::spawn(async move { delivery.flush(source.as_ref(), wait).await });
            }
            16 => self.pass_time(),
            17 => self.step_clock(),
            18 => self.change_world(process),
            _ => self.second_process(process)?,
        }
        if self.dice.chance(300) {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Some clients send something new, something unanswered, or a repeat.
    async fn clients_send(&mut self, process: &mut Process) {
        let most = self.group_max();
        for _ in 0..=self.dice.log(5) {
            let request = match self.dice.below(10) {
                0 | 1 => self.clients.any(&mut self.dice),
                2..4 => self.clients.unanswered().first().copied(),
                _ => None,
            };
            let request = request.unwrap_or_else(|| {
                let large = self.plan.stuck || self.plan.refuses.is_some();
                self.clients.make(&mut self.dice, most / 2, large, self.plan.rejected)
            });
            let bytes = self.clients.bytes(request);
            if process.waiting_bytes + bytes > most {
                self.turn(process).await;
            }
            process.waiting_bytes += bytes;
            let prints = process.spool.fingerprinter();
            self.clients.send(request, self.clock.wall(), &prints, process.spool.appender());
        }
        tokio::task::yield_now().await;
    }

    /// Maximum bytes of a group, so that every group fits into a segment.
    pub(super) fn group_max(&self) -> u64 {
        (self.plan.options.segment_bytes - forebay::spool::format::SEGMENT_HEADER) * 3 / 4
    }

    /// Reads the positions named as lost, if there may be any.
    pub(super) fn look(&mut self) {
        if self.plan.flips {
            self.damage.look(&self.disk);
        }
    }

    pub(super) async fn turn(&mut self, process: &mut Process) {
        self.look();
        // Whether it still runs is checked after each step.
        process.spool.turn();
        self.observe(process);
        process.waiting_bytes = 0;
        tokio::task::yield_now().await;
    }

    pub(super) fn pass_time(&mut self) {
        if self.plan.time_jumps {
            let most = self.dice.of(&[60, 3_600, 90_000, 200_000]);
            self.clock.pass(Duration::from_secs(self.dice.log(most)));
        }
    }

    pub(super) fn step_clock(&mut self) {
        if self.plan.clock_steps {
            let by = self.dice.of(&[1_000, 61_000, 3_600_000, DAY_MS, 2 * DAY_MS]);
            let now = self.clock.wall().0;
            self.clock.step(match self.dice.below(20) {
                0 => YEAR_1970 - now,
                1 => YEAR_2038 - 30_000 - now,
                2..11 => by,
                _ => -by,
            });
            self.trace.count("a step of the clock");
        }
    }

    fn change_world(&mut self, process: &Process) {
        match self.dice.below(7) {
            0 | 1 => self.draw_mood(),
            2 => self.draw_capacity(),
            3 if self.plan.moves => self.move_source(process),
            4 if self.plan.moves => {
                let removed = self.clients.sources.iter().filter(|_| self.dice.chance(300)).cloned();
                process.delivery.set_removed(removed.collect());
            }
            5 if self.plan.foreigners => self.foreign_object(process),
            6 if self.plan.flips => self.flip(),
            _ => {}
        }
    }

    /// Flips a random bit.
    pub(super) fn flip(&mut self) {
        self.damage.flip(&self.disk, &mut self.dice, &self.trace);
        self.imports.may_be_damaged();
        self.second.iter().for_each(|second| second.reader.damaged(self.damage.positions()));
    }

    /// Moves a source to another bucket or prefix.
    fn move_source(&mut self, process: &Process) {
        let at = self.dice.index(self.clients.sources.len());
        let to = location(&self.dice.of(&self.buckets), self.dice.of(&["", "/a", "/b/c"]));
        self.locations[at].push(to.clone());
        let source = self.clients.sources[at].clone();
        if process.spool.locations().set_locations(vec![(source, to)]).is_ok() {
            self.trace.count("a source moved");
        }
    }

    /// Starts a second process while the first one still runs. The lock must refuse it.
    fn second_process(&mut self, process: &mut Process) -> Result<(), Violation> {
        let Some(second) = self.disk.process() else {
            self.trace.count("a second process refused");
            return Ok(());
        };
        let Some((spool, _)) = self.try_open(&second)? else { return Ok(()) };
        if let Some(second) = self.start(spool, second)? {
            self.zombies.push(std::mem::replace(process, second));
        }
        Ok(())
    }
}

pub(super) fn location(bucket: &str, prefix: &str) -> S3Location {
    S3Location::new(BucketString::parse(&format!("{bucket}{prefix}")).unwrap(), Encryption::SseS3)
}
