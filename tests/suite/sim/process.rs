//! A process in the world, from its start to its clean end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::batch::BatchKey;
use forebay::delivery::{Delivery, DeliveryDeps, DeliveryEquipment, LogDeps};
use forebay::destinations::runner::Destinations;
use forebay::disk::Disk as _;
use forebay::import::Importer;
use forebay::import::claims::SharedImport;
use forebay::log::{AccountKey, Go, Log, Range, Read, Row, Seal};
use forebay::metrics::Metrics;
use forebay::random::Random;
use forebay::spool::format::IdentError;
use forebay::spool::manifest::ManifestError;
use forebay::spool::{OpenError, Recovered, SpoolOptions, Stepped};
use tokio::task::JoinHandle;

use super::check;
use super::clock::SimClock;
use super::passing::{Baton, Passing};
use super::rotten::Rotten;
use super::world::{Violation, World};
use crate::support::sim_disk::{Dice, SimDisk};

/// The program's random numbers, drawn from a seed.
#[derive(Debug)]
pub(super) struct Seeded(pub(super) Mutex<Dice>);

impl Random for Seeded {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap().next()
    }
}
/// A running process.
pub(super) struct Process {
    pub(super) spool: Stepped,
    pub(super) delivery: Delivery,
    scheduler: JoinHandle<()>,
    pub(super) disk: SimDisk,
    pub(super) waiting_bytes: u64,
    /// The taking side of imports, in worlds that have any.
    pub(super) importer: Option<Arc<Importer>>,
    /// The pass over a bucket that is under way, and what it waits with, in worlds that have one.
    pub(super) passing: Option<Passing>,
    pub(super) baton: Option<Arc<Baton>>,
    /// What it shares with the other instance, in worlds that have one.
    pub(super) shared: Option<Arc<SharedImport>>,
    /// In worlds that have any.
    pub(super) destinations: Option<Destinations>,
    /// Sets another configuration of destinations.
    pub(super) setting: Option<JoinHandle<()>>,
}
/// All undelivered frames and seals that a spool knows, and its counts.
type View = (Vec<(BatchKey, Vec<(u64, Vec<u8>)>)>, Vec<Seal>, Vec<(AccountKey, Row)>);
impl World {
    /// Opens the spool; `None` if trouble comes first. Opening it twice must give the same result.
    pub(super) fn open(&mut self, process: &SimDisk) -> Result<Option<Stepped>, Violation> {
        let Some((spool, _)) = self.try_open(process)? else { return Ok(None) };
        if self.dice.chance(800) {
            return Ok(Some(spool));
        }
        process.starve(0, 0);
        let before = view(&*spool.log());
        drop(spool);
        let Some((spool, recovered)) = self.try_open(process)? else { return Ok(None) };
        if !recovered.lost.is_empty() {
            return Err(format!("I6: the second opening lost {:?}", recovered.lost));
        }
        if view(&*spool.log()) != before {
            return Err("I6: the second opening found something other than the first".to_owned());
        }
        self.trace.count("recovered twice");
        Ok(Some(spool))
    }

    pub(super) fn try_open(&mut self, process: &SimDisk) -> Result<Option<(Stepped, Recovered)>, Violation> {
        // The losses that a refused start named.
        let mut refused = None;
        loop {
            match self.try_open_once(process) {
                Ok((spool, recovered)) => {
                    self.judge_start(&recovered, refused)?;
                    check::ledger(&*spool.log())?;
                    return Ok(Some((spool, recovered)));
                }
                // The machine stopped, the disk failed, or it is full; the next start will show the result.
                Err((_, true)) => {
                    self.trace.count("a recovery cut short");
                    return Ok(None);
                }
                Err((OpenError::Damaged { first, last, count }, _))
                    if self.plan.options.stop_on_corruption =>
                {
                    self.trace.count("a start refused for losses");
                    self.damage.name(&[Range { first, last }])?;
                    refused = Some((Range { first, last }, count));
                    self.plan.options.stop_on_corruption = false;
                }
                Err((
                    OpenError::Manifest(ManifestError::DamagedWithin(..) | ManifestError::DamagedEnd(..)),
                    _,
                )) if self.plan.options.stop_on_corruption && self.plan.flips => {
                    self.trace.count("a start refused for unreadable notes");
                    self.plan.options.stop_on_corruption = false;
                }
                Err((
                    OpenError::Ident(IdentError::Damaged | IdentError::Newer(_))
                    | OpenError::Manifest(ManifestError::Damaged(_)),
                    _,
                )) if self.rotten.put_back(&self.disk, |file| file != Rotten::Parked) => {
                    self.trace.count("a start refused until a file was put back");
                }
                Err((error, _)) => return Err(format!("I6: the spool cannot be opened: {error:?}")),
            }
        }
    }

    /// Checks what a start found. `refused` holds the losses that a refused start named before.
    fn judge_start(&mut self, recovered: &Recovered, refused: Option<(Range, u64)>) -> Result<(), Violation> {
        self.rotten.made_anew();
        if self.plan.options.stop_on_corruption && (!recovered.lost.is_empty() || recovered.manifest_damaged)
        {
            return Err(format!("a start with on_corruption = \"stop\" went on: {recovered:?}"));
        }
        let count = recovered.lost.iter().map(|range| range.last - range.first + 1).sum();
        let found = recovered.lost.first().map(|first| (*first, count));
        // Positions that seemed lost may be in a parked object whose note rotted.
        if refused.is_some() && found != refused && !self.damage.manifest_rotted {
            return Err(format!("I7: a start was refused for {refused:?}, but then {found:?} was lost"));
        }
        self.damage.judge(recovered)?;
        self.trace.count("a spool opened");
        self.count_recovery(recovered);
        Ok(())
    }

    /// Opens the spool. An error comes with whether the disk caused it.
    fn try_open_once(&mut self, process: &SimDisk) -> Result<(Stepped, Recovered), (OpenError, bool)> {
        let (failures, missed, space) =
            (self.disk.failures(), process.handles_missed(), self.disk.space_missed());
        let random = Seeded(Mutex::new(self.dice.split()));
        let opened = self.read_positions(process);
        let opened = opened.map_err(|cause| OpenError::Disk("read the positions of destinations", cause));
        let opened = opened.and_then(|hold_after| {
            Stepped::open(
                Arc::new(process.clone()),
                SpoolOptions { hold_after, ..self.plan.options.clone() },
                Arc::new(self.clock.clone()),
                &random,
                Arc::new(Metrics::new()),
            )
        });
        let failed = || self.disk.failures() > failures || process.handles_missed() > missed;
        let no_space = self.disk.space_missed() > space;
        let excused = no_space && !self.needs_no_space();
        if opened.is_ok() && no_space {
            self.trace.count("a start without space");
        }
        let outcome = opened.map_err(|error| (error, !process.is_alive() || failed() || excused));
        self.has_reserve |= outcome.is_ok() && self.is_set_aside();
        outcome
    }

    /// Whether notes and starts must succeed without free space: manifest and reserve were complete once, and
    /// no error can have removed them since.
    pub(super) fn needs_no_space(&self) -> bool {
        self.has_reserve && self.disk.errors() == 0
    }

    /// Whether the manifest and its reserve have their full length, so that notes need no more space.
    fn is_set_aside(&self) -> bool {
        let files = self.disk.list("").unwrap_or_default();
        let long = |begin: &str| {
            let is_long = |(name, len): &(String, u64)| {
                name.starts_with(begin) && *len >= self.plan.options.manifest_bytes
            };
            files.iter().any(is_long)
        };
        long("reserve") && long("MANIFEST")
    }

    fn count_recovery(&self, recovered: &Recovered) {
        let counts: [(bool, &str); 6] = [
            (recovered.torn_bytes > 0, "a torn write"),
            (recovered.seals > 0, "a recovery with seals to put"),
            (recovered.frames > 0, "a recovery with frames to deliver"),
            (recovered.manifest_damaged, "a recovery past unreadable notes"),
            (recovered.clock_behind, "a clock more than a day behind"),
            (!recovered.lost.is_empty(), "a recovery that names losses"),
        ];
        counts.into_iter().filter(|(came_up, _)| *came_up).for_each(|(_, what)| self.trace.count(what));
    }

    /// Starts delivery. `None` if the spool stopped first.
    pub(super) fn start(&mut self, spool: Stepped, disk: SimDisk) -> Result<Option<Process>, Violation> {
        let now = self.clients.sources.iter().zip(&self.locations);
        let now: Vec<_> = now.map(|(source, all)| (source.clone(), all[all.len() - 1].clone())).collect();
        let failures = self.disk.failures();
        // As if each source had been removed and were added again. Those of which something waits are kept.
        let forgotten = spool.reports().forget(&self.clients.sources.iter().cloned().collect());
        forgotten.iter().flatten().for_each(|_| self.trace.count("a source forgotten"));
        if forgotten.is_err() || spool.locations().set_locations(now).is_err() {
            if disk.is_alive() && self.disk.failures() == failures && self.needs_no_space() {
                return Err("no location can be noted, although nothing failed".to_owned());
            }
            disk.kill();
            return Ok(None);
        }
        let metrics = Arc::new(Metrics::new());
        let clock: Arc<SimClock> = Arc::new(self.clock.clone());
        let deps = DeliveryDeps {
            store: self.store.of(&disk),
            clock: Arc::<SimClock>::clone(&clock),
            random: Arc::new(Seeded(Mutex::new(self.dice.split()))),
            alarms: Arc::new(Alarms::new(clock, Arc::clone(&metrics))),
            metrics,
            hook: None,
            list: None,
            background: None,
        };
        let of_log = LogDeps { log: spool.log(), staging: spool.staging_disk() };
        let (delivery, scheduler) =
            Delivery::start(&DeliveryEquipment::new(deps, self.plan.settings), of_log);
        let baton = self.new_baton();
        let bucket = self.bucket.as_ref().zip(baton.as_ref());
        let shared = bucket.and_then(|(bucket, baton)| bucket.objects.shared(spool.reports(), baton));
        let mut process = Process {
            spool,
            delivery,
            scheduler,
            disk,
            waiting_bytes: 0,
            importer: None,
            passing: None,
            baton,
            shared,
            destinations: None,
            setting: None,
        };
        self.importer(&mut process)?;
        Ok(Some(process))
    }

    pub(super) async fn end_in_order(&mut self, process: Process) {
        let mut process = process;
        let grace = Duration::from_millis(self.dice.log(5_000));
        process.delivery.clone().shutdown(self.dice.chance(700), grace).await;
        self.stop_destinations(&mut process).await;
        // A pass that is abandoned goes on at its next row, as after a kill.
        let Process { spool, scheduler, disk, passing, .. } = process;
        drop(passing);
        let delivered = scheduler.await.is_ok();
        self.damage.look(&self.disk);
        let ended = delivered && spool.close().is_ok();
        self.trace.count(if ended { "a life ended cleanly" } else { "an end cut short" });
        disk.kill();
    }
}

fn view(log: &dyn Log) -> View {
    let open = log.open_batches().into_iter().map(|batch| {
        let mut frames = Vec::new();
        let read = log.read(&batch.key, batch.sealed_through, u64::MAX, &mut |read| {
            if let Read::Frame(frame) = read {
                frames.push((frame.position, frame.payload.to_vec()));
            }
            Ok(Go::On)
        });
        read.unwrap();
        (batch.key, frames)
    });
    let seals = log.pending_seals().into_iter().map(|pending| pending.seal);
    (open.collect(), seals.collect(), log.ledger_summary().0)
}
