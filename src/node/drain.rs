//! Delivers everything in a spool that no process uses, with the same code as a running collector.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::error::NodeError;
use super::outside::Outside;
use super::recovery::{Recovery, read_positions};
use super::settings::{delivery_settings, hooks, spool_options, store_settings};
use super::spool_dir::{is_closed_spool, open_disk};
use crate::alarms::{AlarmKind, Alarms};
use crate::batch::DueRule;
use crate::config::Config;
use crate::delivery::days::closing::last_over;
use crate::delivery::{DayHook, Delivery, DeliveryDeps, DeliveryEquipment, DeliverySettings, LogDeps};
use crate::destinations::closed::{Waiting, waiting};
use crate::destinations::positions::All;
use crate::disk::Disk;
use crate::log::{DayStage, Follow, Log, SetLocations};
use crate::object::S3Location;
use crate::retry::Backoff;
use crate::runtime::Shutdown;
use crate::sources::SourceId;
use crate::spool::offline::View;
use crate::spool::{Recovered, SpoolOptions};
use crate::store::ObjectStore;
use crate::store::directory::DirectoryStore;
use crate::store::s3::S3Store;
use crate::time::{ReceivedDay, UnixMillis};

/// The size of a segment. It is small, because a full disk has little space left. No calls arrive, so a
/// segment need only hold the frames that are copied from the last one.
const SEGMENT_BYTES: u64 = 1_024 * 1_024;
/// The most bytes of an object, if no configuration sets them.
const OBJECT_BYTES: u64 = 100_000_000;
/// The longest wait between attempts: a person is waiting.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(5) };
/// The interval at which undelivered batches and unclosed days are counted.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// The time without a delivery or a closed day after which the drain gives up, plus the timeout of a hook.
/// Nothing is lost: the same command continues where it stopped.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// The target of a drain.
#[derive(Debug)]
pub enum DrainTo<'a> {
    /// A directory of this machine.
    Directory(&'a Path),
    /// The buckets that the spool names, with the endpoint and credentials of a configuration.
    Buckets(Box<Config>),
}

/// The settings of a drain.
struct DrainSetup {
    store: Arc<dyn ObjectStore>,
    options: SpoolOptions,
    settings: DeliverySettings,
    hook: Option<Arc<dyn DayHook>>,
    hook_timeout: Duration,
    /// The configured bucket of each source.
    configured: Vec<(SourceId, S3Location)>,
}

/// What a drain did, and what is left.
#[derive(Debug, serde::Serialize)]
pub struct Drained {
    /// Objects that were delivered.
    pub objects: u64,
    /// Batches that are still in the spool.
    pub batches_left: usize,
    /// Days that no marker closes.
    pub days: Days,
    /// Why something is left.
    pub waiting_for: Option<String>,
    /// If nothing is left: the number of files whose content is in no object. All others in the directory can
    /// be removed.
    pub quarantined_files: Option<usize>,
    /// Calls that functions of destinations have not finished. A drain does not invoke functions.
    pub waiting_for_functions: Vec<Waiting>,
    /// Why the calls that wait for functions are unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destinations_lost: Option<String>,
}

/// The numbers of days without a marker.
#[derive(Debug, serde::Serialize)]
pub struct Days {
    /// Days that are over and could not be closed.
    pub over: usize,
    /// Days that are not over yet; all days if the drain closes none.
    pub open: usize,
    /// Days that are never closed, because it is uncertain which objects are in the store.
    pub unsure: usize,
    /// Whether this drain closes days.
    pub closed_by_drain: bool,
}

/// Delivers until the spool in `dir` is empty, a person is needed, there is no more progress, or a signal
/// arrives.
/// `progress` is called with what is left. Errors: [`NodeError`] if the spool or the target cannot be used.
pub async fn drain(
    dir: &Path,
    to: DrainTo<'_>,
    drop_destinations: bool,
    progress: &mut dyn FnMut(Left),
) -> Result<Drained, NodeError> {
    is_closed_spool(dir)?;
    let setup = match to {
        DrainTo::Directory(to) => to_directory(dir, to)?,
        DrainTo::Buckets(config) => to_buckets(*config).await?,
    };
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let outside = Outside::system();
    let disk = Arc::new(open_disk(dir, false)?);
    let mut positions = read_positions(Arc::clone(&disk) as _).await?;
    if drop_destinations {
        let dropping = move || positions.keep(BTreeMap::new()).map(|()| positions);
        positions = tokio::task::spawn_blocking(dropping).await?.map_err(|error| {
            NodeError::Other(format!("what waits for destinations could not be dropped: {error}"))
        })?;
    }
    let Recovery { spool, recovered, positions, .. } =
        Recovery::with(outside.clone(), disk, positions, setup.options).await?;
    let kept = positions.kept().clone();
    let destinations_lost = positions.is_lost().then(|| positions.damaged().join("; "));
    // Positions hold the disk, and the disk holds its lock.
    drop(positions);
    warn_of_damage(&recovered);
    reach_as_configured(&*spool.locations(), setup.configured)?;
    let alarms = Arc::new(Alarms::new(Arc::clone(&outside.clock), Arc::new(outside.metrics.clone())));
    let deps = DeliveryDeps {
        store: setup.store,
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        metrics: Arc::new(outside.metrics.clone()),
        alarms: Arc::clone(&alarms),
        hook: setup.hook,
        list: None,
        background: None,
    };
    let until = Until {
        days_closed: setup.settings.close_days,
        stalled_after: STALLED_AFTER.saturating_add(setup.hook_timeout),
    };
    if until.days_closed {
        // The usual delay of a minute is not needed at the end of a day, because no calls arrive here.
        let log = spool.log();
        if let Some(through) = log.last_to_end(last_over(outside.clock.wall())) {
            log.end_days(through)?;
        }
    }
    let equipment = DeliveryEquipment::new(deps, setup.settings);
    let log = LogDeps { log: spool.log(), staging: spool.staging_disk() };
    let (delivery, scheduler) = Delivery::start(&equipment, log);
    let why = deliver(&delivery, &*spool.log(), &alarms, &outside, &shutdown, until, progress).await;
    let batches_left = delivery.shutdown(false, Duration::ZERO).await.left;
    let over = until.left(&*spool.log(), outside.clock.wall()).days;
    let unclosed = spool.log().unclosed_days();
    scheduler.await?;
    let waiting_for_functions = match destinations_lost {
        // The queue is unknown then, and all of it may be needed.
        Some(_) => Vec::new(),
        None => waiting_for_functions(kept, Arc::clone(spool.disk()), spool.follow()).await?,
    };
    let objects = outside.metrics.objects.get();
    tokio::task::spawn_blocking(move || spool.close()).await?;
    let unsure = unclosed.values().filter(|stage| **stage == DayStage::Unsure).count();
    let is_left = batches_left > 0 || over > 0;
    Ok(Drained {
        objects,
        batches_left,
        days: Days {
            over,
            open: unclosed.len().saturating_sub(unsure).saturating_sub(over),
            unsure,
            closed_by_drain: until.days_closed,
        },
        waiting_for: is_left.then_some(why),
        quarantined_files: match is_left {
            true => None,
            false => Some(View::open(dir)?.disk.list("quarantine")?.len()),
        },
        waiting_for_functions,
        destinations_lost,
    })
}

/// Calls that functions have not finished.
async fn waiting_for_functions(
    kept: All,
    disk: Arc<dyn Disk>,
    log: Arc<dyn Follow>,
) -> Result<Vec<Waiting>, NodeError> {
    let counting = tokio::task::spawn_blocking(move || waiting(&kept, &disk, &*log));
    counting.await?.map_err(|error| {
        NodeError::Other(format!("what waits for the functions of destinations cannot be counted: {error}"))
    })
}

/// Adopts the configured connections. Bucket and prefix stay as recorded in the spool; how to connect to them
/// may have been fixed since (decision 0080).
fn reach_as_configured(
    locations: &dyn SetLocations,
    configured: Vec<(SourceId, S3Location)>,
) -> Result<(), NodeError> {
    let same_place = |(source, to): &(SourceId, S3Location)| {
        locations.current_location(source).is_some_and(|noted| noted.bucket == to.bucket)
    };
    locations.set_locations(configured.into_iter().filter(same_place).collect::<Vec<_>>())?;
    Ok(())
}

fn to_directory(dir: &Path, to: &Path) -> Result<DrainSetup, NodeError> {
    // The spool knows the node in whose name it puts; without a configuration nothing else does.
    let node = View::open(dir)?.node();
    let store = DirectoryStore::open(to)
        .map_err(|error| NodeError::Other(format!("create the directory {}: {error}", to.display())))?;
    let rule = DueRule { max_bytes: OBJECT_BYTES, max_age: Duration::ZERO, align_minute: None };
    Ok(DrainSetup {
        store: Arc::new(store),
        options: SpoolOptions { segment_bytes: SEGMENT_BYTES, node: Some(node), ..SpoolOptions::default() },
        settings: DeliverySettings {
            backoff: BACKOFF,
            park_after: Duration::MAX,
            // The bucket has some of the objects already, and a marker counts all of them.
            close_days: false,
            ..DeliverySettings::new(rule)
        },
        hook: None,
        hook_timeout: Duration::ZERO,
        configured: Vec::new(),
    })
}

async fn to_buckets(config: Config) -> Result<DrainSetup, NodeError> {
    Ok(DrainSetup {
        store: Arc::new(S3Store::new(store_settings(&config, "drain")).await),
        options: SpoolOptions { segment_bytes: SEGMENT_BYTES, ..spool_options(&config) },
        settings: DeliverySettings {
            backoff: BACKOFF,
            park_after: Duration::MAX,
            ..delivery_settings(&config)
        },
        hook: hooks(&config.closed_days)?,
        hook_timeout: config.closed_days.timeout,
        configured: config
            .sources
            .into_iter()
            .filter_map(|source| Some((source.id, source.location?)))
            .collect(),
    })
}

/// When a drain stops.
#[derive(Clone, Copy)]
struct Until {
    /// Whether days that are over must be closed, too.
    days_closed: bool,
    /// The time without progress after which the drain gives up.
    stalled_after: Duration,
}

/// Delivers until nothing is left, a person is needed, there is no more progress, or a signal arrives.
/// Returns what the rest waits for.
async fn deliver(
    delivery: &Delivery,
    log: &dyn Log,
    alarms: &Alarms,
    outside: &Outside,
    shutdown: &Shutdown,
    until: Until,
    progress: &mut dyn FnMut(Left),
) -> String {
    let left = || until.left(log, outside.clock.wall());
    let (mut least, mut since) = (left(), outside.clock.monotonic());
    let stopped = log.stopped();
    loop {
        let still = left();
        let now = outside.clock.monotonic();
        if still.batches == 0 && still.days == 0 {
            return String::new();
        }
        if (still.lines, still.days) < (least.lines, least.days) {
            (least, since) = (still, now);
        }
        progress(still);
        let idle = now.saturating_sub(since);
        // An alarm of one bucket ends the drain only when no other bucket makes progress.
        let needs_a_person = |kind| matches!(kind, AlarmKind::Refused | AlarmKind::Conflict);
        if let Some(alarm) = alarms.standing().into_iter().find(|alarm| needs_a_person(alarm.kind))
            && idle > BACKOFF.cap
        {
            return alarm.what;
        }
        if idle > until.stalled_after {
            return waits_for(delivery);
        }
        tokio::select! {
            _ = delivery.flush(None, CHECK_EVERY) => {}
            () = shutdown.orderly.cancelled() => return "stopped by a signal; run the same command again to continue".to_owned(),
        }
        let reason = stopped.borrow().clone();
        if let Some(reason) = reason {
            return format!("the spool has stopped: {reason}");
        }
    }
}

/// What is left for delivery.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// The number of batches.
    pub batches: usize,
    /// The number of lines in these batches.
    pub lines: u64,
    /// The number of days that are over and can be closed, but are not.
    pub days: usize,
}

impl Until {
    fn left(self, log: &dyn Log, now: UnixMillis) -> Left {
        let (open, seals) = (log.open_batches(), log.pending_seals());
        let unclosed = log.unclosed_days();
        let waits = |((day, _), stage): &(&(ReceivedDay, SourceId), &DayStage)| {
            self.days_closed && *day <= last_over(now) && **stage != DayStage::Unsure
        };
        let lines = open.iter().map(|batch| batch.frames).sum::<u64>();
        Left {
            batches: open.len() + seals.len(),
            lines: lines + seals.iter().map(|pending| pending.seal.frames).sum::<u64>(),
            days: unclosed.iter().filter(waits).count(),
        }
    }
}

fn waits_for(delivery: &Delivery) -> String {
    let progress = delivery.progress();
    let sources = progress
        .sources()
        .into_iter()
        .filter_map(|source| progress.of(&source).waiting.map(|why| format!("{source} waits: {why}")));
    let days = delivery.waiting_to_close().into_iter();
    let days = days.map(|((day, source), why)| format!("day {day} of {source} waits: {why}"));
    sources.chain(days).collect::<Vec<_>>().join("; ")
}

fn warn_of_damage(recovered: &Recovered) {
    for range in &recovered.lost {
        tracing::warn!(
            first = range.first,
            last = range.last,
            "these positions can no longer be read; their bytes are kept in quarantine"
        );
    }
}
