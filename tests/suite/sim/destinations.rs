//! Destinations in the world: their start, changes of their configuration, and their end.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::destinations::disk_work::DiskWork;
use forebay::destinations::positions::{COPY, FILE, Positions};
use forebay::destinations::runner::{CommandError, Deps, Destinations};
use forebay::destinations::settings::DestinationSettings;
use forebay::metrics::Metrics;
use forebay::sources::SourceId;

use super::clients::Clients;
use super::functions::{Functions, Lasting, Offer};
use super::plan::Plan;
use super::process::{Process, Seeded};
use super::second_reader::{SecondReader, Watched};
use super::world::{Violation, World};
use crate::support::sim_disk::{Dice, SimDisk};
use crate::support::trace::Trace;

/// Several times as long as an invocation with all its retries takes that is under way when its destination
/// must give up calls: a full spool is relieved in rounds.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(240);
/// Longer than functions that work take for all calls of a world.
const TAKEN_WITHIN: Duration = Duration::from_secs(1_200);

/// The destinations of a world.
pub(super) struct Second {
    pub(super) functions: Functions,
    pub(super) reader: SecondReader,
    dice: Dice,
    /// Of its own, so that everything else of each seed stays the same.
    trouble_dice: Dice,
    offers: Vec<Offer>,
    /// The version of each destination that is configured now.
    versions: Vec<Option<usize>>,
    /// What was read of their positions before the spool was opened.
    pub(super) positions: Option<Positions>,
    /// The bytes of the log that they may keep.
    share: u64,
}

impl Second {
    /// The destinations of a world that has any.
    pub(super) fn draw(
        (mut dice, mut trouble_dice): (Dice, Dice),
        plan: &Plan,
        clients: &Clients,
        (disk, trace): (&SimDisk, &Trace),
    ) -> Option<Self> {
        if !plan.destinations {
            return None;
        }
        clients.say_types();
        let reader = SecondReader::new(disk.clone(), trace.clone());
        let bytes = plan.options.segment_bytes;
        let lasting = Lasting::draw(&mut trouble_dice, &clients.sources);
        let beside = (reader.clone(), trace.clone(), lasting);
        let (functions, offers) = Functions::draw(&mut dice, &clients.sources, bytes, beside);
        let versions = offers.iter().map(|_| Some(0)).collect();
        let share = dice.of(&[1, 2, 4]) * bytes;
        Some(Self { functions, reader, dice, trouble_dice, offers, versions, positions: None, share })
    }

    fn names(&self) -> Vec<SourceId> {
        self.offers.iter().map(|offer| offer.versions[0].name.clone()).collect()
    }

    fn configured(&self) -> Vec<DestinationSettings> {
        let offers = self.offers.iter().zip(&self.versions);
        offers.filter_map(|(offer, version)| Some(offer.versions[(*version)?].clone())).collect()
    }

    /// Between two lives, one of the two lists of what destinations keep rots, is cut or lost. The other is
    /// enough.
    pub(super) fn damage_a_list(&mut self, disk: &SimDisk, trace: &Trace) {
        let dice = &mut self.trouble_dice;
        if !dice.chance(150) {
            return;
        }
        let [first, second] = [FILE, COPY].map(|name| disk.stored(name));
        // One that a crash has left behind is no second copy.
        let Some(bytes) = first.filter(|bytes| second.as_ref() == Some(bytes) && !bytes.is_empty()) else {
            return;
        };
        let (name, at) = (dice.of(&[FILE, COPY]), dice.index(bytes.len()));
        match dice.below(3) {
            0 => disk.flip(name, at, u32::try_from(dice.below(8)).unwrap()),
            1 => disk.rewrite(name, |bytes| bytes.truncate(at)),
            _ => disk.lose(name),
        }
        trace.count("a list of destinations damaged");
    }

    /// A destination is changed, removed or put back.
    fn reconfigure(&mut self, trace: &Trace) {
        let at = self.dice.index(self.offers.len());
        let other = self.dice.index(self.offers[at].versions.len());
        let version = self.dice.chance(700).then_some(other);
        trace.count(match (self.versions[at], version) {
            (Some(_), None) => "a destination removed",
            (None, Some(_)) => "a destination put back",
            _ => "a destination changed",
        });
        self.versions[at] = version;
    }
}

impl World {
    /// Reads what is kept of destinations. The position after which the log must keep everything.
    pub(super) fn read_positions(&mut self, process: &SimDisk) -> io::Result<Option<u64>> {
        let Some(second) = &mut self.second else { return Ok(None) };
        let positions = Positions::read(Arc::new(process.clone()))?;
        let lowest = positions.lowest();
        second.positions = Some(positions);
        Ok(lowest)
    }

    /// Starts destinations. Returns whether they run, if the world has any.
    pub(super) async fn start_destinations(&mut self, process: &mut Process) -> Result<bool, Violation> {
        let Some(second) = &mut self.second else { return Ok(true) };
        let Some(positions) = second.positions.take() else {
            return Err("no positions were read".to_owned());
        };
        second.reader.begin_life();
        second.reader.observe(&*process.spool.follow(), &process.disk);
        second.reader.look();
        if second.dice.chance(400) {
            second.reconfigure(&self.trace);
        }
        let metrics = Metrics::new();
        let clock = Arc::new(self.clock.clone());
        let pause = Duration::from_millis(second.dice.of(&[0, 1, 40, 200]));
        let deps = Deps {
            follow: Arc::new(Watched { log: process.spool.follow(), reader: second.reader.clone() }),
            append: process.spool.appender(),
            equipment: Arc::new(second.functions.clone()),
            alarms: Arc::new(Alarms::new(Arc::clone(&clock) as _, Arc::new(metrics.clone()))),
            metrics,
            clock,
            random: Arc::new(Seeded(Mutex::new(second.dice.split()))),
            disk: Arc::clone(process.spool.disk()),
            share: second.share,
            disk_work: DiskWork::InPlaceAfter(pause),
            handles: usize::MAX,
            copy_work: DiskWork::InPlaceAfter(pause),
        };
        let (configured, names) = (second.configured(), second.names());
        second.reader.ask(&configured, &names);
        let troubles = |world: &Self| world.disk.failures() + world.disk.space_missed();
        let (before, handles) = (troubles(self), process.disk.handles_missed());
        let started = Destinations::start(deps, positions, configured.clone()).await;
        match started {
            Ok(destinations) => {
                self.second.iter().for_each(|second| second.reader.confirm(&configured, &names));
                process.destinations = Some(destinations);
                Ok(true)
            }
            Err(_) if !process.disk.is_alive() || process.disk.handles_missed() > handles => Ok(false),
            Err(CommandError::Io(_)) if troubles(self) > before => {
                self.trace.count("a start without destinations");
                Ok(false)
            }
            Err(error) => Err(format!("D2: destinations cannot be started, and nothing failed: {error}")),
        }
    }

    /// Functions and the configuration change now and then; what is kept is checked.
    pub(super) fn destinations_go_on(&mut self, process: &mut Process) {
        let Some(second) = &mut self.second else { return };
        if second.dice.chance(60) {
            second.functions.change();
        }
        let is_set = process.setting.as_ref().is_some_and(|setting| !setting.is_finished());
        if let Some(destinations) = process.destinations.clone()
            && !is_set
            && second.dice.chance(60)
        {
            second.reconfigure(&self.trace);
            let (configured, names) = (second.configured(), second.names());
            second.reader.ask(&configured, &names);
            let reader = second.reader.clone();
            process.setting = Some(tokio::spawn(async move {
                if destinations.set(configured.clone()).await.is_ok() {
                    reader.confirm(&configured, &names);
                }
            }));
        }
        self.check_destinations(process);
    }

    /// Checks what is kept, and that the log keeps the rest.
    pub(super) fn check_destinations(&self, process: &Process) {
        let Some(second) = &self.second else { return };
        second.reader.look();
        if process.disk.is_alive() {
            second.reader.check_held(&*process.spool.follow(), &process.disk);
        }
    }

    /// Notes what has become durable.
    pub(super) fn observe(&self, process: &Process) {
        if let Some(second) = &self.second {
            second.reader.observe(&*process.spool.follow(), &process.disk);
        }
    }

    /// Stops destinations, while the log still takes dead letters.
    pub(super) async fn stop_destinations(&mut self, process: &mut Process) {
        let Some(destinations) = process.destinations.take() else { return };
        let Some(second) = &mut self.second else { return };
        let patience = Duration::from_millis(second.dice.log(8_000));
        let stopping = tokio::spawn(async move { destinations.stop(patience).await });
        while !stopping.is_finished() {
            self.turn(process).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.check_destinations(process);
    }

    /// All functions work from now on, but in some worlds those of one destination hang. Returns whether they
    /// do.
    pub(super) fn heal_most_functions(&mut self) -> bool {
        let Some(second) = &mut self.second else { return false };
        let configured = second.configured();
        let hung = (!configured.is_empty() && second.dice.chance(500)).then(|| second.dice.of(&configured));
        second.functions.heal(hung.as_ref());
        hung.is_some()
    }

    /// All functions work from now on.
    pub(super) fn heal_functions(&self) {
        self.second.iter().for_each(|second| second.functions.heal(None));
    }

    /// D4: a destination that hangs keeps no more of the log than it may. A segment is released as a whole,
    /// so it may be one more.
    pub(super) async fn check_share(&mut self, process: &mut Process) -> Result<(), Violation> {
        let Some(share) = self.second.as_ref().map(|second| second.share) else { return Ok(()) };
        let began = self.clock.now();
        while process.spool.follow().held_bytes() > share + self.plan.options.segment_bytes {
            if self.clock.now().saturating_sub(began) > GIVES_UP_WITHIN {
                let held = process.spool.follow().held_bytes();
                return Err(format!("D4: destinations keep {held} bytes of the log, and may keep {share}"));
            }
            self.turn(process).await;
            self.keep(process)?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.trace.count("a hung destination kept no more than its share");
        Ok(())
    }

    /// Waits until every call is taken or a dead letter, and the log keeps nothing for destinations.
    pub(super) async fn drain_destinations(&mut self, process: &mut Process) -> Result<(), Violation> {
        let Some(destinations) = process.destinations.clone() else { return Ok(()) };
        let began = self.clock.now();
        loop {
            self.turn(process).await;
            self.keep(process)?;
            let end = process.spool.follow().durable_through();
            let shown = destinations.shown();
            let lanes = shown.values().flat_map(|one| one.lanes.values());
            let behind = lanes.map(|lane| lane.finished_through()).min().unwrap_or(end) < end;
            if !behind && process.spool.follow().held_bytes() == 0 {
                return Ok(());
            }
            if self.clock.now().saturating_sub(began) > TAKEN_WITHIN {
                let held = process.spool.follow().held_bytes();
                return Err(format!(
                    "D3: destinations keep {held} bytes of the log although all functions work; the log ends at {end}: \
                     {:?}, {shown:?}",
                    process.spool.log().usage()
                ));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
