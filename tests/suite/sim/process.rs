//! A process in the world: how it begins, and how it ends in order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::batch::BatchKey;
use forebay::delivery::{Delivery, Parts};
use forebay::metrics::Metrics;
use forebay::random::Random;
use forebay::sources::SourceId;
use forebay::spool::ledger::Row;
use forebay::spool::note::Seal;
use forebay::spool::reader::{Go, Read};
use forebay::spool::{OpenError, Outlet, Recovered, Stepped};

use super::check;
use super::clock::SimClock;
use super::world::{Violation, World};
use crate::support::sim_disk::{Dice, SimDisk};

/// Chance for the program, drawn from a seed.
#[derive(Debug)]
struct Seeded(Mutex<Dice>);

impl Random for Seeded {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap().next()
    }
}
/// A running process.
pub(super) struct Process {
    pub(super) spool: Stepped,
    pub(super) delivery: Delivery,
    scheduler: tokio::task::JoinHandle<()>,
    pub(super) disk: SimDisk,
    pub(super) waiting_bytes: u64,
}
/// All that a spool knows to be undelivered, and what it has counted.
type View = (Vec<(BatchKey, Vec<(u64, Vec<u8>)>)>, Vec<Seal>, Vec<(SourceId, Row)>);
impl World {
    /// Opens the spool, in vain where the trouble comes first. Twice is as good as once.
    pub(super) fn open(&mut self, process: &SimDisk) -> Result<Option<Stepped>, Violation> {
        let Some((spool, _)) = self.try_open(process)? else { return Ok(None) };
        if self.dice.chance(800) {
            return Ok(Some(spool));
        }
        let before = view(spool.outlet());
        drop(spool);
        let Some((spool, recovered)) = self.try_open(process)? else { return Ok(None) };
        if !recovered.lost.is_empty() {
            return Err(format!("I6: the second opening lost {:?}", recovered.lost));
        }
        if view(spool.outlet()) != before {
            return Err("I6: the second opening found something else than the first".to_owned());
        }
        self.trace.count("recovered twice");
        Ok(Some(spool))
    }

    pub(super) fn try_open(&mut self, process: &SimDisk) -> Result<Option<(Stepped, Recovered)>, Violation> {
        let failures = self.disk.failures();
        let random = Seeded(Mutex::new(self.dice.split()));
        let opened = Stepped::open(
            Arc::new(process.clone()),
            self.plan.options.clone(),
            Arc::new(self.clock.clone()),
            &random,
            Arc::new(Metrics::new()),
        );
        match opened {
            Ok((spool, recovered)) => {
                self.damage.judge(&recovered)?;
                check::ledger(spool.outlet())?;
                self.trace.count("a spool opened");
                self.count_recovery(&recovered);
                Ok(Some((spool, recovered)))
            }
            Err(OpenError::Damaged { .. }) => Err("a spool that is to go on stopped".to_owned()),
            // The machine stopped, the disk failed, or it is full: the next start finds out.
            Err(_) if !process.is_alive() || self.disk.failures() > failures => {
                self.trace.count("a recovery cut short");
                Ok(None)
            }
            Err(error) => Err(format!("I6: the spool cannot be opened: {error:?}")),
        }
    }

    fn count_recovery(&self, recovered: &Recovered) {
        let counts = [
            (recovered.torn_bytes > 0, "a torn tail"),
            (recovered.seals > 0, "a recovery with seals to put"),
            (recovered.frames > 0, "a recovery with frames to deliver"),
            (recovered.clock_behind, "a clock more than a day behind"),
            (!recovered.lost.is_empty(), "a recovery that names a hole"),
        ];
        counts.into_iter().filter(|(came_up, _)| *came_up).for_each(|(_, what)| self.trace.count(what));
    }

    /// Begins to deliver. `None` where the spool has stopped before.
    pub(super) fn start(&mut self, spool: Stepped, disk: SimDisk) -> Result<Option<Process>, Violation> {
        let now = self.clients.sources.iter().zip(&self.destinations);
        let now: Vec<_> = now.map(|(source, all)| (source.clone(), all[all.len() - 1].clone())).collect();
        if spool.outlet().set_destinations(now).is_err() {
            disk.kill();
            return Ok(None);
        }
        let metrics = Arc::new(Metrics::new());
        let clock: Arc<SimClock> = Arc::new(self.clock.clone());
        let parts = Parts {
            outlet: spool.outlet().clone(),
            store: self.store.of(&disk),
            clock: Arc::<SimClock>::clone(&clock),
            random: Arc::new(Seeded(Mutex::new(self.dice.split()))),
            alarms: Arc::new(Alarms::new(clock, Arc::clone(&metrics))),
            metrics,
            hook: None,
        };
        let (delivery, scheduler) = Delivery::start(parts, self.plan.settings);
        Ok(Some(Process { spool, delivery, scheduler, disk, waiting_bytes: 0 }))
    }

    pub(super) async fn end_in_order(&mut self, process: Process) {
        let Process { spool, delivery, scheduler, disk, .. } = process;
        let grace = Duration::from_millis(self.dice.log(5_000));
        delivery.shutdown(self.dice.chance(700), grace).await;
        let delivered = scheduler.await.is_ok();
        self.damage.look(&self.disk);
        let ended = delivered && spool.close().is_ok();
        self.trace.count(if ended { "a life ended in order" } else { "an end that was cut short" });
        disk.kill();
    }
}

fn view(outlet: &Outlet) -> View {
    let open = outlet.open_batches().into_iter().map(|batch| {
        let mut frames = Vec::new();
        let read = outlet.read(&batch.key, batch.sealed_through, u64::MAX, &mut |read| {
            if let Read::Frame(frame) = read {
                frames.push((frame.position, frame.payload.to_vec()));
            }
            Ok(Go::On)
        });
        read.unwrap();
        (batch.key, frames)
    });
    let seals = outlet.pending_seals().into_iter().map(|pending| pending.seal);
    (open.collect(), seals.collect(), outlet.ledger_summary().0)
}
