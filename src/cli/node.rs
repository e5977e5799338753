//! One running node: spool, delivery, collector and admin listener, connected to each other and shut down in
//! order.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::archive_view::{NodeArchive, StoreAccess};
use super::failure::Failure;
use super::node_view::NodeView;
use super::removed_sources::keep_forgetting;
use super::setup::Setup;
use crate::admin::history::STEP;
use crate::admin::host::console_url;
use crate::admin::{AccessSettings, AdminServer, AllowedHosts, Gate};
use crate::alarms::{AlarmKind, Alarms};
use crate::collector::{Collector, CollectorDeps, CollectorSettings, Listeners, Policy, Running};
use crate::deliveries::Deliveries;
use crate::delivery::days::closed_day::DayHook;
use crate::delivery::failures::damage::raise_lost;
use crate::delivery::{Delivery, DeliverySettings, Parts};
use crate::destinations::disk_work::DiskWork;
use crate::destinations::invoke::Equipment;
use crate::destinations::positions::Positions;
use crate::destinations::runner::{Deps, Destinations};
use crate::destinations::settings::{DestinationSettings, share as destinations_share};
use crate::disk::own_files;
use crate::disk::real_disk::RealDisk;
use crate::disk::{Disk, is_no_handle};
use crate::import::journal::{JOURNAL, JournalError, LocalJournal};
use crate::import::watched_journal::WatchedJournal;
use crate::import::{ImportSources, Importer, ImporterDeps};
use crate::ingest::{Ingest, IngestDeps, IngestSettings};
use crate::live::{LiveView, Mode};
use crate::lock::{lock, write};
use crate::log::Log;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::runtime::filesystem::{self, Trust};
use crate::runtime::handles::{self, Fitted, Wanted};
use crate::runtime::{Background, Shutdown, SystemClock, SystemRandom};
use crate::sources::SourceId;
use crate::spool::{DELIVERIES, Recovered, Spool, SpoolOptions};
use crate::store::s3::S3Store;
use crate::tasks;
use crate::time::Clock;
use crate::words::causes::chain;

/// The most connections that wait to be accepted.
const BACKLOG: u32 = 4_096;
/// The part of the shutdown grace that is reserved for the steps after delivery.
const CLOSING: Duration = Duration::from_secs(1);
/// How long a start waits for a free file handle.
const HANDLES_WAIT: Duration = Duration::from_secs(30);
/// The pause before the spool is opened again.
const HANDLES_PAUSE: Duration = Duration::from_millis(500);
/// How long the last deliveries may take to be listed at shutdown.
const LIST_CLOSING: Duration = Duration::from_secs(2);
/// How long invocations of functions may take at shutdown; then they are made again after the next start.
const INVOKING: Duration = Duration::from_secs(5);
/// How long requests in flight may take at shutdown.
const ANSWERING: Duration = Duration::from_secs(10);

/// The clock, random numbers and metrics that a node's rooms share.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub random: Arc<dyn Random>,
    /// Metrics.
    pub metrics: Metrics,
}

impl Outside {
    /// Those of the operating system.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom), metrics: Metrics::new() }
    }
}

/// How to shut down a node.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Whether everything buffered is delivered first.
    pub deliver: bool,
    /// How long the collector continues to accept calls after the signal, while `/ready` reports not ready.
    pub drain_delay: Duration,
    /// When deliveries end, counted from the signal.
    pub grace: Duration,
}

/// An open spool with delivery running: everything that must exist before the first call.
#[derive(Debug)]
pub struct Engine {
    outside: Outside,
    spool: Spool,
    delivery: Delivery,
    scheduler: JoinHandle<()>,
    alarms: Arc<Alarms>,
    view: Arc<NodeView>,
    list: Deliveries,
    archive: Arc<NodeArchive>,
    destinations: Arc<OnceLock<Destinations>>,
    positions: Option<Positions>,
    store: Arc<S3Store>,
    /// Threads of low priority.
    background: Handle,
}

/// Addresses to listen on.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// For calls.
    pub public: SocketAddr,
    /// For calls over TLS.
    pub tls: Option<SocketAddr>,
    /// For operators.
    pub admin: SocketAddr,
    /// Host names that are allowed for the admin listener.
    pub admin_hosts: Vec<String>,
    /// The most open connections of the admin listener.
    pub admin_connections: usize,
    /// Who may use the admin listener.
    pub access: AccessSettings,
}

/// Bound listeners. Clients that connect wait until the node accepts.
#[derive(Debug)]
pub struct Bound {
    public: TcpListener,
    tls: Option<TcpListener>,
    admin: TcpListener,
}

impl Bound {
    /// Binds the ports.
    ///
    /// # Errors
    /// [`Failure`] if an address cannot be used.
    pub fn bind(addresses: &Addresses) -> Result<Self, Failure> {
        Ok(Self {
            public: bind(addresses.public, "accept calls")?,
            tls: addresses.tls.map(|addr| bind(addr, "accept calls over TLS")).transpose()?,
            admin: bind(addresses.admin, "serve the admin listener")?,
        })
    }
}

/// A node that accepts calls.
#[derive(Debug)]
pub struct Node {
    engine: Engine,
    collector: Running,
    _history: AbortOnDropHandle<()>,
    _forgetting: AbortOnDropHandle<()>,
    admin: JoinHandle<()>,
    admin_stop: CancellationToken,
    gate: Arc<Gate>,
    /// The address for calls.
    pub public: SocketAddr,
    /// The address for calls over TLS.
    pub tls: Option<SocketAddr>,
    /// The address of the admin listener.
    pub admin_addr: SocketAddr,
    /// The console's address for a person.
    pub console: String,
}

/// Reports a folder of data that others than its owner may use. It is not closed: a person may have meant it, and the
/// volumes of a cluster are open to the group of their pod.
pub(super) fn notice_if_open(dir: &Path) {
    match own_files::open_to_others(dir) {
        Ok(Some(mode)) => tracing::warn!(
            dir = %dir.display(),
            mode,
            "the directory is open to others than its owner; unless that is meant, run chmod 700"
        ),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, dir = %dir.display(), "the directory's mode could not be read"),
    }
}

/// Opens a spool directory; refuses or warns if its file system is not known to be safe.
///
/// # Errors
/// [`Failure`] with what to do.
pub fn open_disk(dir: &Path, refuse_unsafe: bool) -> Result<RealDisk, Failure> {
    // Before anything is created there.
    let found = filesystem::of_nearest(dir);
    if let Ok((name, Trust::Unsafe)) = &found
        && refuse_unsafe
    {
        return Err(Failure::usage(format!(
            "the spool directory {} is on {name}, where a sync does not guarantee durability; use a directory on ext4 or xfs, or set \
             spool.unsafe_filesystem = true and accept that a power cut may lose acknowledged calls",
            dir.display()
        )));
    }
    let disk = RealDisk::open(dir)?;
    notice_if_open(dir);
    match found {
        Ok((name, Trust::Unsafe | Trust::Unknown)) => {
            tracing::warn!(dir = %dir.display(), filesystem = name, "the spool is on a file system that Forebay is not tested on");
            Ok(disk)
        }
        Ok((_, Trust::Tested)) => Ok(disk),
        Err(error) => {
            tracing::warn!(%error, dir = %dir.display(), "the spool's file system could not be determined");
            Ok(disk)
        }
    }
}

/// Raises the limit of open files, and reduces the number of connections to fit it. If there are fewer
/// connections than wanted, the second value is a warning, to be logged once the spool is open.
///
/// # Errors
/// [`Failure`] if the process may open too few files.
pub fn fit_connections(wanted: Wanted) -> Result<(Fitted, Option<String>), Failure> {
    let limit = handles::raise();
    let fitted = handles::fit(limit, wanted).map_err(|error| Failure::failed(error.to_string()))?;
    let (allowed, more) = (fitted.connections, wanted.connections.saturating_sub(fitted.connections));
    let fewer = (more > 0).then(|| {
        format!(
            "connections are limited to {allowed}: the process may open {limit} files; for {} connections, set LimitNOFILE to {} or more",
            wanted.connections,
            limit.saturating_add(more as u64)
        )
    });
    Ok((fitted, fewer))
}

/// A recovered spool, before delivery starts.
#[derive(Debug)]
pub struct Recovery {
    outside: Outside,
    spool: Spool,
    recovered: Recovered,
    positions: Positions,
}

/// What is kept of destinations in a spool's directory.
///
/// # Errors
/// [`Failure`] if it cannot be read.
pub async fn read_positions(disk: Arc<dyn Disk>) -> Result<Positions, Failure> {
    let read = tokio::task::spawn_blocking(move || Positions::read(disk)).await?;
    read.map_err(|error| {
        Failure::failed(format!(
            "what is kept of destinations cannot be read: {error}; start the release that wrote it, or make the disk readable"
        ))
    })
}

impl Recovery {
    /// Recovers the spool, with everything that destinations have not finished. If no file handle is free, waits for one for
    /// at most 30 s.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be opened.
    pub async fn run(outside: Outside, disk: RealDisk, options: SpoolOptions) -> Result<Self, Failure> {
        let disk = Arc::new(disk);
        let positions = read_positions(Arc::clone(&disk) as _).await?;
        let options = SpoolOptions { hold_after: positions.lowest(), ..options };
        let until = outside.clock.monotonic().saturating_add(HANDLES_WAIT);
        loop {
            let opened = {
                let (disk, options, outside) = (Arc::clone(&disk), options.clone(), outside.clone());
                let metrics = Arc::new(outside.metrics.clone());
                tokio::task::spawn_blocking(move || {
                    Spool::open(disk, options, outside.clock, &*outside.random, metrics)
                })
                .await?
            };
            match opened {
                Ok((spool, recovered)) => return Ok(Self { outside, spool, recovered, positions }),
                Err(error) if lacks_handle(&error) && outside.clock.monotonic() < until => {
                    tracing::warn!(%error, "no file handle is left to open the spool; retrying");
                    tokio::time::sleep(HANDLES_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The way out of the spool.
    pub fn log(&self) -> Arc<dyn Log> {
        self.spool.log()
    }
}

impl Engine {
    /// Starts delivery. `dir` is the spool's directory, which also holds the list of deliveries. Objects are encoded on threads that yield to those that answer requests.
    pub fn start(
        recovery: Recovery,
        (store, dir): (Arc<S3Store>, &Path),
        settings: DeliverySettings,
        hook: Option<Arc<dyn DayHook>>,
        background: &Background,
    ) -> Self {
        let Recovery { outside, spool, recovered, positions } = recovery;
        let alarms = Arc::new(Alarms::new(Arc::clone(&outside.clock), Arc::new(outside.metrics.clone())));
        report(&recovered, &alarms);
        let list = Deliveries::start(&dir.join(DELIVERIES), Arc::clone(&outside.clock));
        let access = StoreAccess {
            endpoint_url: store.endpoint_url().map(str::to_owned),
            region: store.configured_region().map(str::to_owned),
            reader: Arc::clone(&store) as _,
        };
        let parts = Parts {
            log: spool.log(),
            store: Arc::clone(&store) as _,
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            metrics: Arc::new(outside.metrics.clone()),
            alarms: Arc::clone(&alarms),
            hook,
            list: Some(Arc::new(list.clone())),
            background: Some(background.handle().clone()),
        };
        let (delivery, scheduler) = Delivery::start(parts, settings);
        let destinations = Arc::new(OnceLock::new());
        let view = Arc::new(NodeView {
            log: spool.log(),
            delivery: delivery.clone(),
            metrics: outside.metrics.clone(),
            alarms: Arc::clone(&alarms),
            started: outside.clock.monotonic(),
            clock: Arc::clone(&outside.clock),
            draining: AtomicBool::new(false),
            removed: RwLock::default(),
            gauges: Mutex::default(),
            rate: Mutex::default(),
            proxy: OnceLock::new(),
            live: Arc::new(LiveView::new(Mode::default(), outside.clock.monotonic())),
            history: Mutex::default(),
            setup: Mutex::default(),
            destinations: Arc::clone(&destinations),
        });
        let archive = Arc::new(NodeArchive::new(Arc::clone(&view), list.clone(), access));
        Self {
            outside,
            spool,
            delivery,
            scheduler,
            alarms,
            view,
            list,
            archive,
            destinations,
            positions: Some(positions),
            store,
            background: background.handle().clone(),
        }
    }

    /// What puts objects.
    pub fn store(&self) -> &Arc<S3Store> {
        &self.store
    }

    /// Starts destinations: those that are configured, and those that were removed but still have calls.
    ///
    /// # Errors
    /// [`Failure`] if what is kept of them cannot be written.
    pub async fn destinations(
        &mut self,
        configured: Vec<DestinationSettings>,
        equipment: Arc<dyn Equipment>,
        handles: usize,
    ) -> Result<(), Failure> {
        let Some(positions) = self.positions.take() else { return Ok(()) };
        let deps = Deps {
            follow: self.spool.log(),
            append: self.spool.appender(),
            equipment,
            alarms: Arc::clone(&self.alarms),
            metrics: self.outside.metrics.clone(),
            clock: Arc::clone(&self.outside.clock),
            random: Arc::clone(&self.outside.random),
            disk: Arc::clone(self.spool.log().disk()),
            share: destinations_share(self.spool.log().usage().max),
            handles,
            disk_work: DiskWork::OnThreads,
            copy_work: DiskWork::OnThreadsOf(self.background.clone()),
        };
        let started = Destinations::start(deps, positions, configured).await;
        let started = started.map_err(|error| Failure::failed(error.to_string()))?;
        self.destinations.get_or_init(|| started);
        Ok(())
    }

    /// The way out of the spool.
    pub fn log(&self) -> Arc<dyn Log> {
        self.spool.log()
    }

    /// The live view of this node.
    pub fn live(&self) -> &Arc<LiveView> {
        &self.view.live
    }

    /// The way into the spool. Every part of this node that brings calls shares it.
    pub fn ingest(&self, settings: IngestSettings) -> Arc<Ingest> {
        let deps = IngestDeps {
            clock: Arc::clone(&self.outside.clock),
            random: Arc::clone(&self.outside.random),
            metrics: self.outside.metrics.clone(),
            appender: self.spool.appender(),
            fingerprinter: self.spool.fingerprinter(),
            live: Arc::clone(&self.view.live),
        };
        Arc::new(Ingest::new(deps, settings))
    }

    /// Delivers everything, for at most `patience`, and closes the spool. Returns the number of batches that are left.
    /// For a node that never listened.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn deliver_and_close(self, patience: Duration) -> Result<usize, Failure> {
        let left = self.delivery.shutdown(true, patience).await.left;
        self.scheduler.await?;
        let (spool, list) = (self.spool, self.list);
        tokio::task::spawn_blocking(move || {
            spool.close();
            list.close(LIST_CLOSING);
        })
        .await?;
        Ok(left)
    }

    /// Takes imports for the spool in the directory `dir`, which also holds their journal.
    ///
    /// # Errors
    /// [`Failure`] if the journal cannot be used.
    pub async fn importer(
        &self,
        ingest: &Arc<Ingest>,
        dir: &Path,
        sources: Arc<dyn ImportSources>,
    ) -> Result<Arc<Importer>, Failure> {
        let (ingest, log) = (Arc::clone(ingest), self.log());
        let (clock, metrics) = (Arc::clone(&self.outside.clock), self.outside.metrics.clone());
        let (path, alarms) = (dir.join(JOURNAL), Arc::clone(&self.alarms));
        let opened = tokio::task::spawn_blocking(move || {
            let journal = Arc::new(WatchedJournal::new(Arc::new(LocalJournal::open(&path)?), alarms));
            Ok::<_, JournalError>(Importer::new(
                ImporterDeps { ingest, log, journal, clock, metrics },
                sources,
            ))
        });
        Ok(Arc::new(opened.await??))
    }

    /// Accepts calls and imports, and serves operators.
    ///
    /// # Errors
    /// [`Failure`] if a listener cannot be used.
    pub fn listen(
        self,
        (ingest, importer): (Arc<Ingest>, &Arc<Importer>),
        settings: CollectorSettings,
        policy: Policy,
        bound: Bound,
        addresses: &Addresses,
    ) -> Result<Node, Failure> {
        let Bound { public, tls, admin } = bound;
        let (public_addr, admin_addr) = (public.local_addr()?, admin.local_addr()?);
        let tls_addr = tls.as_ref().map(TcpListener::local_addr).transpose()?;
        let forgetting_ingest = Arc::clone(&ingest);
        let deps = CollectorDeps {
            clock: Arc::clone(&self.outside.clock),
            random: Arc::clone(&self.outside.random),
            metrics: self.outside.metrics.clone(),
            ingest,
            alarms: Arc::clone(&self.alarms),
        };
        let listeners = Listeners { plain: vec![public], tls: tls.into_iter().collect() };
        let collector = Collector::start(deps, settings, policy, listeners)?;
        let admin_stop = CancellationToken::new();
        let hosts = AllowedHosts::new(admin_addr, &addresses.admin_hosts);
        let metrics = self.outside.metrics.clone();
        self.view.live.set_mode(addresses.access.live_view);
        self.archive.set_importer(importer);
        let gate =
            Arc::new(Gate::new(addresses.access.clone(), Arc::clone(&self.outside.random), metrics.clone()));
        let server = AdminServer::new(Arc::clone(&self.view) as _, metrics, hosts, Arc::clone(&gate))
            .with_connections(addresses.admin_connections)
            .with_imports(Arc::new(Arc::clone(importer)))
            .with_live(Arc::clone(&self.view.live))
            .with_archive(Arc::clone(&self.archive) as _)
            .with_destinations(Arc::clone(&self.view) as _);
        let admin = {
            let (server, listener, stop) = (Arc::new(server), Arc::new(admin), admin_stop.clone());
            let start = move || Arc::clone(&server).serve(Arc::clone(&listener), stop.clone());
            tokio::spawn(tasks::keep(Arc::clone(&self.alarms), "admin listener", start))
        };
        let history = {
            let (view, stop) = (Arc::clone(&self.view), admin_stop.clone());
            let start = move || keep_history(Arc::clone(&view), stop.clone());
            AbortOnDropHandle::new(tokio::spawn(tasks::keep(Arc::clone(&self.alarms), "history", start)))
        };
        let forgetting = {
            let (view, stop) = (Arc::clone(&self.view), admin_stop.clone());
            let of_calls = (forgetting_ingest, Arc::clone(importer));
            let start = move || keep_forgetting(Arc::clone(&view), of_calls.clone(), stop.clone());
            AbortOnDropHandle::new(tokio::spawn(tasks::keep(
                Arc::clone(&self.alarms),
                "removed sources",
                start,
            )))
        };
        Ok(Node {
            engine: self,
            collector,
            _history: history,
            _forgetting: forgetting,
            admin,
            admin_stop,
            gate,
            public: public_addr,
            tls: tls_addr,
            admin_addr,
            console: console_url(admin_addr, &addresses.admin_hosts),
        })
    }
}

/// Adds a sample to the history every few seconds.
async fn keep_history(view: Arc<NodeView>, stop: CancellationToken) {
    let mut steps = tokio::time::interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = steps.tick() => view.sample_history(),
        }
    }
}

/// Whether the cause of an error is a lack of file handles. This process has opened nothing else yet, so the
/// machine has none left.
fn lacks_handle(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).any(is_no_handle)
}

fn report(recovered: &Recovered, alarms: &Alarms) {
    if recovered.frames > 0 || recovered.seals > 0 {
        tracing::info!(
            calls = recovered.frames,
            sealed_objects = recovered.seals,
            segments = recovered.segments,
            "the spool has undelivered calls of an earlier run; they are delivered now"
        );
    }
    if recovered.torn_bytes > 0 {
        tracing::info!(
            bytes = recovered.torn_bytes,
            "an incomplete last write was removed; its calls were never acknowledged"
        );
    }
    raise_lost(alarms, &recovered.lost);
    if let Some(segment) = recovered.unreadable {
        let what = format!(
            "the last segment of the spool, {segment}, cannot be read to its end: any calls after the last readable position \
             are lost; the segment is kept in quarantine"
        );
        alarms.raise(AlarmKind::Damage, &format!("segment {segment}"), what);
    }
    if recovered.manifest_damaged {
        let what = "some notes of the spool's manifest cannot be read: Forebay repeats what they recorded, so a call may be \
                    delivered twice, or an object may be held back by a conflict; run `forebay spool verify` for details"
            .to_owned();
        alarms.raise(AlarmKind::Damage, "manifest", what);
    }
    if recovered.clock_behind {
        let what =
            "the wall clock is more than a day behind the newest call in the spool; set the clock".to_owned();
        alarms.raise(AlarmKind::Clock, "wall clock", what);
    }
}

fn bind(addr: SocketAddr, what: &str) -> Result<TcpListener, Failure> {
    let bound = || -> io::Result<TcpListener> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error| Failure::cannot_listen(addr, what, &error))
}

impl Node {
    /// Sets which sources are configured.
    pub fn set_configured(&self, sources: BTreeSet<SourceId>) {
        let known: BTreeSet<SourceId> = self.engine.log().sources().into_iter().collect();
        self.engine.delivery.set_removed(known.difference(&sources).cloned().collect());
        write(&self.engine.view.removed).configure(sources);
    }

    /// Sources are about to be configured: none of them is forgotten from now on.
    pub fn keep_sources(&self, sources: BTreeSet<SourceId>) {
        write(&self.engine.view.removed).keep(sources);
    }

    /// Sets how the node was started, or what has changed since then.
    pub fn set_setup(&self, setup: Setup) {
        *lock(&self.engine.view.setup) = setup;
    }

    /// Sets who may use the admin listener. Another token ends every session of the console.
    pub fn set_access(&self, access: AccessSettings) {
        self.engine.view.live.set_mode(access.live_view);
        self.gate.set(access);
    }

    /// Sets the proxy for the store, from the environment. Only the first call has an effect.
    pub fn set_proxy(&self, proxy: String) {
        self.engine.view.proxy.get_or_init(|| proxy);
    }

    /// The collector.
    pub fn collector(&self) -> &Running {
        &self.collector
    }

    /// The way out of the spool.
    pub fn log(&self) -> Arc<dyn Log> {
        self.engine.log()
    }

    /// The destinations, once they have started.
    pub fn destinations(&self) -> Option<&Destinations> {
        self.engine.destinations.get()
    }

    /// The alarms.
    pub fn alarms(&self) -> &Arc<Alarms> {
        &self.engine.alarms
    }

    /// Resolves with the reason when the node cannot continue: the spool has stopped, or a task panics at
    /// every start. An alarm is then raised.
    pub async fn failed(&self) -> String {
        let (mut stopped, mut ending) = (self.engine.log().stopped(), self.engine.alarms.ending());
        tokio::select! {
            reason = stopped.wait_for(Option::is_some) => {
                let reason = reason.ok().and_then(|reason| reason.as_deref().map(str::to_owned)).unwrap_or_default();
                let what = format!("the spool has stopped ({reason}); the process ends, so that a restart can recover");
                self.engine.alarms.raise(AlarmKind::Task, "spool", what);
                reason
            }
            reason = ending.wait_for(Option::is_some) => {
                reason.ok().and_then(|reason| reason.clone()).unwrap_or_default()
            }
        }
    }

    /// Shuts down the node: reports not ready, accepts no more connections, answers requests in flight,
    /// delivers what is buffered, and closes the spool. At the second signal it stops at once; all
    /// acknowledged calls are in the spool.
    ///
    /// # Errors
    /// [`Failure`] if the node could not continue ([`Node::failed`]).
    pub async fn end(self, ending: Ending, shutdown: &Shutdown) -> Result<(), Failure> {
        let now = || self.engine.outside.clock.monotonic();
        let deadline = now().saturating_add(ending.grace).saturating_sub(CLOSING);
        self.engine.view.draining.store(true, Ordering::Release);
        let stopped = self.engine.log().stopped().borrow().as_deref().map(str::to_owned);
        let stopped = stopped
            .map(|reason| format!("the spool stopped ({reason}); restart to recover"))
            .or_else(|| self.engine.alarms.ending().borrow().clone());
        let in_order = async {
            if stopped.is_none() {
                tokio::time::sleep(ending.drain_delay).await;
            }
            self.collector.stop_accepting().await;
            // A stopped spool has already answered all requests that waited for it: only slow clients are
            // left.
            let answering = if stopped.is_none() { ANSWERING } else { CLOSING };
            self.collector.drain(answering.min(deadline.saturating_sub(now()))).await;
        };
        tokio::select! {
            () = in_order => {}
            () = shutdown.immediate.cancelled() => {}
        }
        let left = deadline.saturating_sub(now());
        let deliver = ending.deliver && stopped.is_none() && !shutdown.immediate.is_cancelled();
        let delivery = self.engine.delivery.clone();
        let drained = tokio::select! {
            drained = delivery.shutdown(deliver, left) => Some(drained),
            () = shutdown.immediate.cancelled() => None,
        };
        match drained {
            Some(drained) if drained.left > 0 && stopped.is_some() => {
                tracing::warn!(
                    batches = drained.left,
                    "some calls are not delivered yet; a restart finds those that are on the disk, and delivers them"
                );
            }
            Some(drained) if drained.left > 0 => {
                tracing::warn!(
                    batches = drained.left,
                    "some calls are not delivered yet; they stay in the spool and are delivered after the next start"
                );
            }
            Some(_) => tracing::info!("everything is delivered"),
            None => tracing::warn!(
                "stopped at once; undelivered calls stay in the spool and are delivered after the next start"
            ),
        }
        // Dead letters still find the log open.
        if let Some(destinations) = self.engine.destinations.get() {
            let patience = if shutdown.immediate.is_cancelled() { Duration::ZERO } else { INVOKING };
            destinations.stop(patience.min(deadline.saturating_sub(now()))).await;
        }
        // If one step fails, the others are still taken.
        let mut ended = Ok(());
        if !shutdown.immediate.is_cancelled() {
            ended = ended.and(self.engine.scheduler.await);
        }
        self.collector.close().await;
        let (spool, list) = (self.engine.spool, self.engine.list);
        let patience = if shutdown.immediate.is_cancelled() { Duration::ZERO } else { LIST_CLOSING };
        let closing = tokio::task::spawn_blocking(move || {
            spool.close();
            list.close(patience);
        });
        ended = ended.and(closing.await);
        self.admin_stop.cancel();
        ended = ended.and(self.admin.await);
        match stopped {
            Some(reason) => Err(Failure::failed(reason)),
            None => Ok(ended?),
        }
    }
}
