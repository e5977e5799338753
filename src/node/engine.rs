//! One running node: spool, delivery, collector and admin listener, connected to each other and shut down in
//! order.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::archive_view::{NodeArchive, StoreAccess};
use super::error::NodeError;
use super::listeners::{Addresses, Bound};
use super::recovery::{Recovery, report};
use super::removed_sources::keep_forgetting;
use super::running::Node;
use super::view::NodeView;
use crate::admin::history::STEP;
use crate::admin::host::console_url;
use crate::admin::{AdminServer, AllowedHosts, Gate};
use crate::alarms::Alarms;
use crate::collector::{Collector, CollectorDeps, CollectorSettings, Listeners, Policy};
use crate::deliveries::Deliveries;
use crate::delivery::days::closed_day::DayHook;
use crate::delivery::{Delivery, DeliveryDeps, DeliverySettings};
use crate::destinations::disk_work::DiskWork;
use crate::destinations::invoke::Equipment;
use crate::destinations::positions::Positions;
use crate::destinations::runner::{Deps, Destinations};
use crate::destinations::settings::{DestinationSettings, share as destinations_share};
use crate::import::journal::{JOURNAL, JournalError, LocalJournal};
use crate::import::watched_journal::WatchedJournal;
use crate::import::{ImportSources, Importer, ImporterDeps};
use crate::ingest::{Ingest, IngestDeps, IngestSettings};
use crate::live::{LiveView, Mode};
use crate::log::SetLocations;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::runtime::{Background, SystemClock, SystemRandom};
use crate::spool::{DELIVERIES, Spool};
use crate::store::s3::S3Store;
use crate::tasks;
use crate::time::Clock;

/// How long the last deliveries may take to be listed at shutdown.
pub(super) const LIST_CLOSING: Duration = Duration::from_secs(2);

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

/// An open spool with delivery running: everything that must exist before the first call.
#[derive(Debug)]
pub struct Engine {
    pub(super) outside: Outside,
    pub(super) spool: Spool,
    pub(super) delivery: Delivery,
    pub(super) scheduler: JoinHandle<()>,
    pub(super) alarms: Arc<Alarms>,
    pub(super) view: Arc<NodeView>,
    pub(super) list: Deliveries,
    pub(super) archive: Arc<NodeArchive>,
    pub(super) destinations: Arc<OnceLock<Destinations>>,
    pub(super) positions: Option<Positions>,
    pub(super) store: Arc<S3Store>,
    /// Threads of low priority.
    pub(super) background: Handle,
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
        let deps = DeliveryDeps {
            log: spool.log(),
            staging: spool.staging_disk(),
            store: Arc::clone(&store) as _,
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            metrics: Arc::new(outside.metrics.clone()),
            alarms: Arc::clone(&alarms),
            hook,
            list: Some(Arc::new(list.clone())),
            background: Some(background.handle().clone()),
        };
        let (delivery, scheduler) = Delivery::start(deps, settings);
        let destinations = Arc::new(OnceLock::new());
        let view = Arc::new(NodeView {
            log: spool.reports(),
            follow: spool.follow(),
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
    /// [`NodeError`] if what is kept of them cannot be written.
    pub async fn destinations(
        &mut self,
        configured: Vec<DestinationSettings>,
        equipment: Arc<dyn Equipment>,
        handles: usize,
    ) -> Result<(), NodeError> {
        let Some(positions) = self.positions.take() else { return Ok(()) };
        let deps = Deps {
            follow: self.spool.follow(),
            append: self.spool.appender(),
            equipment,
            alarms: Arc::clone(&self.alarms),
            metrics: self.outside.metrics.clone(),
            clock: Arc::clone(&self.outside.clock),
            random: Arc::clone(&self.outside.random),
            disk: Arc::clone(self.spool.disk()),
            share: destinations_share(self.view.log.usage().max),
            handles,
            disk_work: DiskWork::OnThreads,
            copy_work: DiskWork::OnThreadsOf(self.background.clone()),
        };
        let started = Destinations::start(deps, positions, configured).await;
        let started = started.map_err(|error| NodeError::Other(error.to_string()))?;
        self.destinations.get_or_init(|| started);
        Ok(())
    }

    /// Where the frames of each source go.
    pub fn locations(&self) -> Arc<dyn SetLocations> {
        self.spool.locations()
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
    /// [`NodeError`].
    pub async fn deliver_and_close(self, patience: Duration) -> Result<usize, NodeError> {
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
    /// [`NodeError`] if the journal cannot be used.
    pub async fn importer(
        &self,
        ingest: &Arc<Ingest>,
        dir: &Path,
        sources: Arc<dyn ImportSources>,
    ) -> Result<Arc<Importer>, NodeError> {
        let (ingest, imports) = (Arc::clone(ingest), self.spool.imports());
        let (clock, metrics) = (Arc::clone(&self.outside.clock), self.outside.metrics.clone());
        let (path, alarms) = (dir.join(JOURNAL), Arc::clone(&self.alarms));
        let opened = tokio::task::spawn_blocking(move || {
            let journal = Arc::new(WatchedJournal::new(Arc::new(LocalJournal::open(&path)?), alarms));
            Ok::<_, JournalError>(Importer::new(
                ImporterDeps { ingest, imports, journal, clock, metrics },
                sources,
            ))
        });
        Ok(Arc::new(opened.await??))
    }

    /// Accepts calls and imports, and serves operators.
    ///
    /// # Errors
    /// [`NodeError`] if a listener cannot be used.
    pub fn listen(
        self,
        (ingest, importer): (Arc<Ingest>, &Arc<Importer>),
        settings: CollectorSettings,
        policy: Policy,
        bound: Bound,
        addresses: &Addresses,
    ) -> Result<Node, NodeError> {
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
