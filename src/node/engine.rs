//! One running node: spool, delivery, collector and admin listener, connected to each other and shut down in
//! order.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::archive_view::NodeArchive;
use super::bucket_imports::{ImportStores, ImportsDeps};
use super::error::NodeError;
use super::ledger_gauges::LedgerGauges;
use super::logs::{NodeLog, NodeLogs};
use super::outside::Outside;
use super::recovery::{Recovery, report};
use super::view::NodeView;
use crate::alarms::Alarms;
use crate::deliveries::Deliveries;
use crate::delivery::{DayHook, Delivery, DeliveryDeps, DeliveryEquipment, DeliverySettings, LogDeps};
use crate::destinations::disk_work::DiskWork;
use crate::destinations::invoke::Equipment;
use crate::destinations::positions::Positions;
use crate::destinations::runner::{Deps, Destinations};
use crate::destinations::settings::{DestinationSettings, share as destinations_share};
use crate::import::journal::{JOURNAL, JournalError, LocalJournal};
use crate::import::watched_journal::WatchedJournal;
use crate::import::watched_rows::WatchedRows;
use crate::import::{ImportSources, Importer, ImporterDeps};
use crate::ingest::{Ingest, IngestDeps, IngestSettings};
use crate::live::{LiveView, Mode};
use crate::runtime::Background;
use crate::spool::{DELIVERIES, Spool};
use crate::store::s3::S3Store;

/// The time limit for listing the last deliveries at shutdown.
pub(super) const LIST_CLOSING: Duration = Duration::from_secs(2);

/// An open spool with delivery running: everything that must exist before the first call.
#[derive(Debug)]
pub struct Engine {
    pub(super) outside: Outside,
    pub(super) spool: Spool,
    pub(super) scheduler: JoinHandle<()>,
    pub(super) view: Arc<NodeView>,
    pub(super) list: Deliveries,
    pub(super) archive: Arc<NodeArchive>,
    pub(super) positions: Option<Positions>,
    pub(super) store: Arc<S3Store>,
    /// The runtime of threads of low priority.
    pub(super) background: Handle,
}

impl Engine {
    /// Starts delivery. `dir` is the spool's directory, which also holds the list of deliveries. Objects are
    /// encoded on threads that yield to those that answer requests.
    pub fn start(
        recovery: Recovery,
        (store, dir): (Arc<S3Store>, &Path),
        settings: DeliverySettings,
        hook: Option<Arc<dyn DayHook>>,
        background: &Background,
    ) -> Self {
        let Recovery { outside, spool, recovered, positions } = recovery;
        let alarms = Arc::new(Alarms::new(Arc::clone(&outside.clock), Arc::new(outside.metrics.clone())));
        let list = Deliveries::start(&dir.join(DELIVERIES), Arc::clone(&outside.clock));
        let deps = DeliveryDeps {
            store: Arc::clone(&store) as _,
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            metrics: Arc::new(outside.metrics.clone()),
            alarms: Arc::clone(&alarms),
            hook,
            list: Some(Arc::new(list.clone())),
            background: Some(background.handle().clone()),
        };
        let equipment = DeliveryEquipment::new(deps, settings);
        let log = LogDeps { log: spool.log(), staging: spool.staging_disk() };
        let (delivery, scheduler) = Delivery::start(&equipment, log);
        report(&recovered, delivery.alarms());
        let own = NodeLog { log: spool.reports(), delivery };
        let view = Arc::new(NodeView {
            logs: NodeLogs::new(vec![own.clone()]),
            log: own.log,
            follow: spool.follow(),
            delivery: own.delivery,
            metrics: outside.metrics.clone(),
            alarms,
            started: outside.clock.monotonic(),
            clock: Arc::clone(&outside.clock),
            draining: AtomicBool::new(false),
            removed: RwLock::default(),
            gauges: LedgerGauges::default(),
            rate: Mutex::default(),
            proxy: OnceLock::new(),
            config_file: OnceLock::new(),
            dev_s3: OnceLock::new(),
            live: Arc::new(LiveView::new(Mode::default(), outside.clock.monotonic())),
            history: Mutex::default(),
            setup: Mutex::default(),
            destinations: OnceLock::new(),
            bucket_imports: OnceLock::new(),
        });
        let archive = Arc::new(NodeArchive::new(
            Arc::clone(&view),
            list.clone(),
            Arc::clone(&store),
            (spool.log(), background.handle().clone()),
        ));
        Self {
            outside,
            spool,
            scheduler,
            view,
            list,
            archive,
            positions: Some(positions),
            store,
            background: background.handle().clone(),
        }
    }

    /// Starts destinations: the configured ones, and removed ones that still have calls.
    /// Errors: [`NodeError`]: the files of destinations cannot be written.
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
            alarms: Arc::clone(&self.view.alarms),
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
        self.view.destinations.get_or_init(|| started);
        Ok(())
    }

    /// The intake of the spool. Every part of this node that brings calls shares it.
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

    /// Delivers everything, for at most `patience` (`None`: begins no delivery), and closes the spool.
    /// Returns the number of batches that are left. Only a node that never listened may end like this.
    /// Errors: [`NodeError`]: the engine could not be closed.
    pub async fn deliver_and_close(self, patience: Option<Duration>) -> Result<usize, NodeError> {
        let (deliver, patience) = (patience.is_some(), patience.unwrap_or_default());
        let left = self.view.delivery.clone().shutdown(deliver, patience).await.left;
        self.scheduler.await?;
        let (spool, list) = (self.spool, self.list);
        tokio::task::spawn_blocking(move || {
            spool.close();
            list.close(LIST_CLOSING);
        })
        .await?;
        Ok(left)
    }

    /// What imports of buckets use in this node.
    pub fn imports_deps(&self, importer: &Arc<Importer>, stores: ImportStores) -> ImportsDeps {
        ImportsDeps {
            stores,
            importer: Arc::clone(importer),
            log: Arc::clone(&self.view.log),
            alarms: Arc::clone(&self.view.alarms),
            metrics: self.outside.metrics.clone(),
            clock: Arc::clone(&self.outside.clock),
            random: Arc::clone(&self.outside.random),
            live: Some(Arc::clone(&self.view.live)),
        }
    }

    /// The importer of the spool in the directory `dir`, which also holds the journal of imports.
    /// Errors: [`NodeError`]: the journal cannot be used.
    pub async fn importer(
        &self,
        ingest: &Arc<Ingest>,
        dir: &Path,
        sources: Arc<dyn ImportSources>,
    ) -> Result<Arc<Importer>, NodeError> {
        let (ingest, imports) = (Arc::clone(ingest), self.spool.imports());
        let (clock, metrics) = (Arc::clone(&self.outside.clock), self.outside.metrics.clone());
        let (path, alarms) = (dir.join(JOURNAL), Arc::clone(&self.view.alarms));
        let opened = tokio::task::spawn_blocking(move || {
            let imports = Arc::new(WatchedRows::new(imports, Arc::clone(&alarms)));
            let journal = Arc::new(WatchedJournal::new(Arc::new(LocalJournal::open(&path)?), alarms));
            let deps = ImporterDeps { ingest, imports, journal, clock, metrics };
            Ok::<_, JournalError>(Importer::new(deps, sources))
        });
        Ok(Arc::new(opened.await??))
    }
}
