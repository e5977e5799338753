//! `forebay spool drain`: delivers what a spool holds, by the very code that delivers while calls come in.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::meter::Meter;
use crate::alarms::{AlarmKind, Alarms};
use crate::batch::DueRule;
use crate::cli::args::SpoolDrainArgs;
use crate::cli::failure::Failure;
use crate::cli::node::{Outside, open_disk};
use crate::cli::numbers::{counted, grouped};
use crate::cli::say;
use crate::cli::serve::{delivery_settings, hooks, spool_options, store_settings};
use crate::config::{Environment, Loader};
use crate::delivery::closing::{DayHook, last_over};
use crate::delivery::{Delivery, DeliverySettings, Parts};
use crate::object::Destination;
use crate::retry::Backoff;
use crate::runtime::Shutdown;
use crate::sources::SourceId;
use crate::spool::closing::DayStage;
use crate::spool::read_only::ReadOnlyDisk;
use crate::spool::view::View;
use crate::spool::{Outlet, Recovered, Spool, SpoolOptions};
use crate::store::ObjectStore;
use crate::store::directory::DirectoryStore;
use crate::store::s3::S3Store;
use crate::time::{ReceivedDay, UnixMillis};

/// No call comes in, so a segment need only hold what is copied out of the last one: a full disk has little room.
const SEGMENT_BYTES: u64 = 1_024 * 1_024;
/// Bytes of an object at most where no configuration says otherwise.
const OBJECT_BYTES: u64 = 100_000_000;
/// Longest wait between tries: a person is waiting.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(5) };
/// How long is waited at a time before what is left is counted again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Given up after this long without a delivery or a closed day, and after what a hook may take besides; nothing is lost, and
/// the same command goes on where it stopped.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// How a spool is to be emptied.
struct Way {
    store: Arc<dyn ObjectStore>,
    options: SpoolOptions,
    settings: DeliverySettings,
    /// Who is told of closed days.
    hook: Option<Arc<dyn DayHook>>,
    /// How long that may take.
    hook_timeout: Duration,
    /// What the configuration says of each source.
    configured: Vec<(SourceId, Destination)>,
}

/// Delivers until the spool is empty.
///
/// # Errors
/// [`Failure`] where something is left, and what it waits for.
pub async fn run(args: &SpoolDrainArgs) -> Result<(), Failure> {
    // What is no spool is left as it is: opening for writing would make one of it.
    drop(ReadOnlyDisk::open(&args.dir)?);
    let way = match (&args.to, &args.config) {
        (Some(to), _) => to_directory(to)?,
        (None, Some(config)) => to_buckets(config).await?,
        (None, None) => return Err(Failure::usage("say where to: --to DIR or --config FILE")),
    };
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let outside = Outside::system();
    let disk = open_disk(&args.dir, false)?;
    let (spool, recovered) = {
        let (outside, options) = (outside.clone(), way.options);
        let metrics = Arc::new(outside.metrics.clone());
        tokio::task::spawn_blocking(move || {
            Spool::open(Arc::new(disk), options, outside.clock, &*outside.random, metrics)
        })
        .await??
    };
    warn_of_damage(&recovered);
    reach_as_configured(&spool.outlet(), way.configured)?;
    let alarms = Arc::new(Alarms::new(Arc::clone(&outside.clock), Arc::new(outside.metrics.clone())));
    let parts = Parts {
        outlet: spool.outlet(),
        store: way.store,
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        metrics: Arc::new(outside.metrics.clone()),
        alarms: Arc::clone(&alarms),
        hook: way.hook,
        background: None,
    };
    let until = Until {
        days_closed: way.settings.close_days,
        stalled_after: STALLED_AFTER.saturating_add(way.hook_timeout),
    };
    if until.days_closed {
        // Nothing is received here, so days that are over need no minute to make sure.
        let outlet = spool.outlet();
        if let Some(through) = outlet.last_to_end(last_over(outside.clock.wall())) {
            outlet.end_days(through)?;
        }
    }
    let (delivery, scheduler) = Delivery::start(parts, way.settings);
    let why = deliver(&delivery, &spool.outlet(), &alarms, &outside, &shutdown, until).await;
    let left = delivery.shutdown(false, Duration::ZERO).await.left;
    let over = until.left(&spool.outlet(), outside.clock.wall()).days as u64;
    let unclosed = spool.outlet().unclosed_days();
    scheduler.await?;
    let objects = outside.metrics.objects.get();
    tokio::task::spawn_blocking(move || spool.close()).await?;
    let objects = if objects == 1 { "1 object".to_owned() } else { format!("{objects} objects") };
    if left > 0 {
        return Err(Failure::failed(format!(
            "{left} batches are left in the spool ({objects} delivered); {why}"
        )));
    }
    if over > 0 {
        let days = counted(over, "day that is over is", "days that are over are");
        return Err(Failure::failed(format!("{objects} delivered, and {days} not closed; {why}")));
    }
    say(&format!("{objects} delivered; the spool is empty"));
    let unsure = unclosed.values().filter(|stage| **stage == DayStage::Unsure).count();
    let open = unclosed.len().saturating_sub(unsure);
    let days = |number: usize| counted(number as u64, "day is", "days are");
    if !until.days_closed && !unclosed.is_empty() {
        let days = days(unclosed.len());
        say(&format!("{days} not closed: a spool that is saved into a directory closes none"));
    }
    if until.days_closed && open > 0 {
        let days = days(open);
        say(&format!("{days} not closed: to have that done, run this again after midnight (UTC)"));
    }
    if until.days_closed && unsure > 0 {
        say(&format!(
            "{} never closed: what the store has of such a day is not known for sure",
            days(unsure)
        ));
    }
    let view = View::open(&args.dir)?;
    let kept = view.disk.list("quarantine")?.len();
    let dir = args.dir.display();
    say(&match kept {
        0 => format!("{dir} can be removed"),
        kept => format!("{dir} can be removed but for `quarantine`: {kept} files there are in no object"),
    });
    Ok(())
}

/// What the spool holds stays where it is to go; how that is reached may have been mended since (decision 0080).
fn reach_as_configured(outlet: &Outlet, configured: Vec<(SourceId, Destination)>) -> Result<(), Failure> {
    let same_place = |(source, to): &(SourceId, Destination)| {
        outlet.current_destination(source).is_some_and(|noted| noted.bucket == to.bucket)
    };
    outlet.set_destinations(configured.into_iter().filter(same_place).collect::<Vec<_>>())?;
    Ok(())
}

fn to_directory(to: &Path) -> Result<Way, Failure> {
    let store = DirectoryStore::open(to)
        .map_err(|error| Failure::failed(format!("make the directory {}: {error}", to.display())))?;
    let rule = DueRule { max_bytes: OBJECT_BYTES, max_age: Duration::ZERO, align_minute: None };
    Ok(Way {
        store: Arc::new(store),
        options: SpoolOptions { segment_bytes: SEGMENT_BYTES, ..SpoolOptions::default() },
        settings: DeliverySettings {
            backoff: BACKOFF,
            park_after: Duration::MAX,
            // The bucket has part of them, and a marker speaks of all.
            close_days: false,
            ..DeliverySettings::new(rule)
        },
        hook: None,
        hook_timeout: Duration::ZERO,
        configured: Vec::new(),
    })
}

async fn to_buckets(config: &Path) -> Result<Way, Failure> {
    let loader = Loader::new(config, Environment::of_process());
    let loaded = loader.load().map_err(|error| Failure::usage(error.to_string()))?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let config = loaded.config;
    Ok(Way {
        store: Arc::new(S3Store::new(store_settings(&config, "drain")).await),
        options: SpoolOptions { segment_bytes: SEGMENT_BYTES, ..spool_options(&config) },
        settings: DeliverySettings {
            backoff: BACKOFF,
            park_after: Duration::MAX,
            ..delivery_settings(&config)
        },
        hook: hooks(&config.closed_days)?,
        hook_timeout: config.closed_days.timeout,
        configured: config.sources.into_iter().map(|source| (source.id, source.destination)).collect(),
    })
}

/// When to stop.
#[derive(Clone, Copy)]
struct Until {
    /// Whether days that are over are to be closed, too.
    days_closed: bool,
    /// How long nothing may move.
    stalled_after: Duration,
}

/// Delivers until nothing is left, a person is needed, nothing moves any more, or a signal comes. Returns what is waited for.
async fn deliver(
    delivery: &Delivery,
    outlet: &Outlet,
    alarms: &Alarms,
    outside: &Outside,
    shutdown: &Shutdown,
    until: Until,
) -> String {
    let mut meter = Meter::new("delivered");
    let left = || until.left(outlet, outside.clock.wall());
    let (mut least, mut since) = (left(), outside.clock.monotonic());
    let stopped = outlet.stopped();
    loop {
        let still = left();
        let now = outside.clock.monotonic();
        if still.batches == 0 && still.days == 0 {
            return String::new();
        }
        if (still.lines, still.days) < (least.lines, least.days) {
            (least, since) = (still, now);
        }
        meter.show(&match still.batches {
            0 => format!("{} days to close", still.days),
            batches => format!("{batches} batches left, {} lines", grouped(still.lines)),
        });
        let idle = now.saturating_sub(since);
        // Other destinations are given their time: an alarm ends it only once nothing else moves.
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
            _ = delivery.flush(None, LOOK_EVERY) => {}
            () = shutdown.orderly.cancelled() => return "stopped by a signal; the same command goes on".to_owned(),
        }
        let reason = stopped.borrow().clone();
        if let Some(reason) = reason {
            return format!("the spool has stopped: {reason}");
        }
    }
}

/// What is not delivered.
#[derive(Clone, Copy)]
struct Left {
    batches: usize,
    lines: u64,
    /// Days that are over, and not closed though they can be.
    days: usize,
}

impl Until {
    fn left(self, outlet: &Outlet, now: UnixMillis) -> Left {
        let (open, seals) = (outlet.open_batches(), outlet.pending_seals());
        let unclosed = outlet.unclosed_days();
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
