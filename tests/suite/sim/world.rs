//! A world: a disk, a store, clients and a clock. They outlive the processes that run on them one after the
//! other.

use forebay::object::S3Location;
use forebay::sources::SourceId;
use forebay::store::PutMode;

use super::bucket_imports::BucketWorld;
use super::check;
use super::clients::Clients;
use super::clock::SimClock;
use super::damage::Damage;
use super::destinations::Second;
use super::imports::Imports;
use super::instances::{Stage, Turn};
use super::objects::Objects;
use super::plan::Plan;
use super::process::Process;
use super::rotten::{Rotten, RottenFiles};
use super::steps::location;
use super::store::{Mood, SimStore};
use crate::support::sim_disk::{Dice, SimDisk};
use crate::support::trace::Trace;

/// A violated invariant: its name and what was observed.
pub(super) type Violation = String;

/// A simulated world.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    pub(super) disk: SimDisk,
    pub(super) store: SimStore,
    pub(super) clock: SimClock,
    pub(super) clients: Clients,
    pub(super) imports: Imports,
    pub(super) import_dice: Dice,
    /// The import of a bucket, in worlds that have one.
    pub(super) bucket: Option<BucketWorld>,
    /// The turn of this world, if another instance has a world of its own.
    pub(super) turn: Option<Turn>,
    /// The second reader of the log, in worlds that have one.
    pub(super) second: Option<Second>,
    pub(super) trace: Trace,
    pub(super) damage: Damage,
    pub(super) rotten: RottenFiles,
    /// Whether the files that a start without free space needs existed once.
    pub(super) has_reserve: bool,
    pub(super) buckets: Vec<String>,
    /// All destinations of each source so far. The last one is the present one.
    pub(super) locations: Vec<Vec<S3Location>>,
    /// Processes that should have ended. They exist only with a planted bug.
    pub(super) zombies: Vec<Process>,
}

impl World {
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        Self::of(seed, trace, None)
    }

    /// The world of the other instance that imports these objects.
    pub(super) fn beside(seed: u64, trace: Trace, objects: &Objects, turn: Turn) -> Self {
        Self { turn: Some(turn), ..Self::of(seed ^ 0x0721_1257_A4CE_0000, trace, Some(objects)) }
    }

    fn of(seed: u64, trace: Trace, beside: Option<&Objects>) -> Self {
        let mut dice = Dice(seed);
        dice.next();
        let mut plan = Plan::draw(&mut dice.split());
        if let Some(objects) = beside {
            plan.sources = plan.sources.max(objects.source() + 1);
            (plan.flips, plan.state_rots, plan.refuses) = (false, false, None);
        }
        // Dice of their own, so that everything else of each seed stays the same.
        let mut import_dice = Dice(!seed);
        plan.imports = import_dice.chance(400) && plan.refuses.is_none() && beside.is_none();
        let mut second_dice = Dice(seed ^ 0x5EC0_4D52_EADE_4000);
        plan.destinations = second_dice.chance(300) && plan.refuses.is_none() && !plan.state_rots;
        let clock = SimClock::new(plan.wall);
        let disk = SimDisk::new(dice.split(), trace.clone());
        let store = SimStore::new(dice.split(), clock.clone(), trace.clone());
        store.fake.ignore_conditions(plan.ignores_conditions);
        let names = ["web", "ios", "tv", "pos"].into_iter().take(plan.sources);
        let sources: Vec<SourceId> = names.map(|name| SourceId::new(name).unwrap()).collect();
        let buckets: Vec<String> = ["one", "two"].into_iter().take(plan.buckets).map(str::to_owned).collect();
        let bucket = |dice: &mut Dice, source| match plan.refuses {
            Some(refuses) => Self::bucket_beside_refused(refuses, source).to_owned(),
            None => dice.of(&buckets),
        };
        let locations =
            (0..sources.len()).map(|source| vec![location(&bucket(&mut dice, source), "")]).collect();
        let clients = Clients::new(sources, trace.clone());
        let trouble_dice = Dice(seed ^ 0x0DD_7A0B_1E50_0000);
        let second = Second::draw((second_dice, trouble_dice), &plan, &clients, (&disk, &trace));
        let imports = Imports::draw(&mut import_dice, plan.imports, &clients, trace.clone());
        // Rotten bits have enough schedules of files: there a lost row is told from one that was never read.
        let mut bucket_dice = Dice(seed ^ 0xB0C4_E71A_4E00_0000);
        let has_bucket = bucket_dice.chance(400) && !plan.imports && !plan.flips && plan.refuses.is_none();
        let objects = match beside {
            Some(objects) => Some(objects.beside(&clients, &store)),
            None => has_bucket.then(|| Objects::draw(&mut bucket_dice, (&clients, &store), &trace)),
        };
        let bucket = objects.map(|objects| BucketWorld::new(objects, bucket_dice));
        let world = Self {
            plan,
            dice,
            disk,
            store,
            clock,
            clients,
            imports,
            import_dice,
            bucket,
            turn: None,
            second,
            trace,
            damage: Damage::default(),
            rotten: RottenFiles::default(),
            has_reserve: false,
            buckets,
            locations,
            zombies: Vec::new(),
        };
        if world.plan.refuses.is_some() {
            world.clients.only_these_may_be_refused(world.refused_sources());
        }
        world.refuse(true);
        world
    }

    /// Runs all lives, the last one without trouble, and then checks the result.
    ///
    /// # Errors
    /// The violated invariant.
    pub(super) fn run(mut self) -> Result<(), Violation> {
        for _ in 0..self.plan.lives {
            self.in_a_life(async |world| world.live().await)?;
            self.between_lives();
        }
        if let Some(turn) = &self.turn {
            turn.reach(Stage::Lived);
        }
        self.heal();
        if self.plan.full_disk && self.needs_no_space() {
            self.fill_disk();
            self.in_a_life(async |world| world.life_on_a_full_disk().await)?;
            self.disk.set_capacity(None);
        }
        let mut persons = 0;
        while self.in_a_life(async |world| world.last_life().await)? {
            persons += 1;
            if persons > 20 {
                return Err("I8: a person has to decide too often".to_owned());
            }
            check::resolve(&mut self)?;
        }
        self.store.arrive(true);
        self.store.foreign_is_untouched()?;
        if let Some(second) = &self.second {
            second.reader.check_all()?;
        }
        check::bucket(&self)
    }

    /// Whether an object may have been replaced by an older one of the same name. It happens only if the note
    /// of a seal rotted and looks torn, so that its range was sealed again, and the store has no conditional
    /// writes, so that it accepts a late put of the first object.
    pub(super) fn is_replaced_unknown(&self) -> bool {
        let unconditional = self.plan.ignores_conditions || self.plan.settings.put_mode == PutMode::Overwrite;
        self.damage.manifest_rotted && unconditional
    }

    /// Runs a life on its own runtime, whose end stops everything that the process was doing.
    fn in_a_life<T>(
        &mut self,
        life: impl AsyncFnOnce(&mut Self) -> Result<T, Violation>,
    ) -> Result<T, Violation> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let lived = runtime.block_on(async {
            self.clock.begin_life();
            let lived = life(self).await;
            self.clock.end_life();
            lived
        });
        self.zombies.iter().for_each(|zombie| zombie.disk.kill());
        drop(runtime);
        self.zombies.clear();
        self.clients.end_life();
        self.imports.end_life();
        self.damage.look(&self.disk);
        let wrong = self.clients.wrong().or_else(|| self.imports.wrong());
        let second = || self.second.as_ref().and_then(|second| second.reader.wrong());
        let bucket = || self.bucket.as_ref().and_then(|bucket| bucket.objects.wrong());
        let wrong = wrong.or_else(bucket);
        let wrong = wrong.or_else(second).or_else(|| self.store.wrong()).or_else(|| self.damage.wrong());
        let lived = lived?;
        wrong.map_or(Ok(lived), Err)
    }

    async fn live(&mut self) -> Result<(), Violation> {
        self.draw_mood();
        self.draw_troubles();
        let process = self.disk.process().ok_or("a process that has ended holds the lock")?;
        let failures = self.disk.failures();
        self.draw_starvation(&process, 200);
        let Some(spool) = self.open(&process)? else {
            process.kill();
            return Ok(());
        };
        let Some(mut process) = self.start(spool, process)? else { return Ok(()) };
        if let Some(second) = &self.second {
            second.functions.change();
        }
        if !self.start_destinations(&mut process).await? {
            process.disk.kill();
            return Ok(());
        }
        let mut cut_short = false;
        for _ in 0..self.plan.steps {
            self.draw_starvation(&process.disk, 100);
            self.step(&mut process).await?;
            self.import_some(&mut process).await?;
            self.pass_some(&mut process).await?;
            self.destinations_go_on(&mut process);
            check::ledger(&*process.spool.log())?;
            self.store.arrive(false);
            let stopped = process.spool.log().stopped().borrow().clone();
            if !process.disk.is_alive() || stopped.is_some() {
                if self.disk.failures() == failures {
                    return Err(format!("the spool has stopped, and nothing failed: {stopped:?}"));
                }
                self.trace.count("a life cut short");
                cut_short = true;
                break;
            }
        }
        if !cut_short {
            self.healthy_is_served(&mut process).await?;
        }
        if !cut_short && self.dice.chance(350) {
            self.end_in_order(process).await;
        } else {
            process.disk.kill();
        }
        Ok(())
    }

    fn between_lives(&mut self) {
        if !self.disk.is_alive() || (self.plan.crashes && self.dice.chance(500)) {
            self.disk.crash(&mut self.dice);
            self.trace.count("a machine stopped");
        } else {
            self.trace.count("a process killed or ended");
        }
        self.disk.clear_troubles();
        if self.plan.flips && self.dice.chance(500) {
            self.flip();
        }
        if self.plan.state_rots && self.dice.chance(300) {
            let rotten = self.rotten.rot(&self.disk, &mut self.dice, &self.trace);
            self.damage.state_rotted |= rotten == Some(Rotten::ManifestState);
            if rotten == Some(Rotten::ManifestNote) {
                self.damage.manifest_rotted = true;
                self.imports.may_be_damaged();
                self.store.may_differ();
            }
        }
        if let Some(second) = &mut self.second {
            second.damage_a_list(&self.disk, &self.trace);
        }
        self.pass_time();
        self.step_clock();
        self.store.arrive(false);
    }

    /// Ends all trouble.
    fn heal(&mut self) {
        self.disk.set_capacity(None);
        self.refuse(false);
        if self.rotten.put_back(&self.disk, |file| file == Rotten::Parked) {
            self.trace.count("a parked object put back");
        }
        self.store.set_mood(Mood { latency_ms: 20, ..Mood::default() });
        if self.dice.chance(500) {
            self.store.arrive(true);
        }
    }
}
