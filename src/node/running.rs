//! A node that accepts calls, until it is shut down.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::bucket_imports::{BucketImports, ImportPlan, ImportsDeps};
use super::engine::{Engine, LIST_CLOSING};
use super::error::NodeError;
use super::setup::Setup;
use crate::admin::Gate;
use crate::alarms::AlarmKind;
use crate::collector::Running;
use crate::lock::{lock, write};
use crate::runtime::Shutdown;
use crate::sources::SourceId;

/// The part of the shutdown grace that is reserved for the steps after delivery.
const CLOSING: Duration = Duration::from_secs(1);
/// The time limit of invocations of functions at shutdown. Unfinished ones are made again after the next
/// start.
const INVOKING: Duration = Duration::from_secs(5);
/// The time limit of requests in flight at shutdown.
const ANSWERING: Duration = Duration::from_secs(10);

/// How to shut down a node.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Whether everything buffered is delivered first.
    pub deliver: bool,
    /// The time after the signal in which the collector still accepts calls, while `/ready` reports not
    /// ready.
    pub drain_delay: Duration,
    /// The time limit of deliveries, counted from the signal.
    pub grace: Duration,
}

/// A node that accepts calls.
#[derive(Debug)]
pub struct Node {
    pub(super) engine: Engine,
    pub(super) collector: Running,
    pub(super) _kept: [AbortOnDropHandle<()>; 2],
    pub(super) admin: JoinHandle<()>,
    pub(super) admin_stop: CancellationToken,
    pub(super) gate: Arc<Gate>,
    /// The address for calls.
    pub public: SocketAddr,
    /// The address for calls over TLS.
    pub tls: Option<SocketAddr>,
    /// The address of the admin listener.
    pub admin_addr: SocketAddr,
    /// The console's address for a person.
    pub console: String,
}

impl Node {
    /// Sets which sources are configured.
    pub fn set_configured(&self, sources: BTreeSet<SourceId>) {
        let known: BTreeSet<SourceId> = self.engine.view.log.sources().into_iter().collect();
        self.engine.view.delivery.set_removed(known.difference(&sources).cloned().collect());
        write(&self.engine.view.removed).configure(sources);
    }

    /// Sets the settings with which the node was started, or the changed ones.
    pub fn set_setup(&self, setup: Setup) {
        *lock(&self.engine.view.setup) = setup;
    }

    /// Starts imports of buckets: none yet, until a configuration is put into force.
    pub fn start_imports(&self, deps: ImportsDeps) {
        self.engine.view.bucket_imports.get_or_init(|| BucketImports::new(deps));
    }

    /// Puts the imports of buckets of a configuration into force.
    pub fn set_imports(&self, plans: Vec<ImportPlan>) {
        if let Some(imports) = self.engine.view.bucket_imports.get() {
            imports.set(plans);
        }
    }

    /// Resolves with the reason when the node cannot continue: the spool has stopped, or a task panics at
    /// every start. An alarm is then active.
    pub async fn failed(&self) -> String {
        let (mut stopped, mut ending) = (self.engine.view.log.stopped(), self.engine.view.alarms.ending());
        tokio::select! {
            reason = stopped.wait_for(Option::is_some) => {
                let reason = reason.ok().and_then(|reason| reason.as_deref().map(str::to_owned)).unwrap_or_default();
                let what = format!("the spool has stopped ({reason}); the process ends, so that a restart can recover");
                self.engine.view.alarms.raise(AlarmKind::Task, "spool", what);
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
    /// Errors: [`NodeError`]: the node could not continue ([`Node::failed`]), or a step of the shutdown
    /// failed.
    pub async fn end(self, ending: Ending, shutdown: &Shutdown) -> Result<(), NodeError> {
        let now = || self.engine.outside.clock.monotonic();
        let deadline = now().saturating_add(ending.grace).saturating_sub(CLOSING);
        self.engine.view.draining.store(true, Ordering::Release);
        // They begin no more files; the collector still accepts calls.
        if let Some(imports) = self.engine.view.bucket_imports.get() {
            imports.cancel();
        }
        let stopped = self.engine.view.log.stopped().borrow().as_deref().map(str::to_owned);
        let stopped = stopped
            .map(|reason| format!("the spool stopped ({reason}); restart to recover"))
            .or_else(|| self.engine.view.alarms.ending().borrow().clone());
        // A stopped spool has already answered all requests that waited for it: only slow clients are left.
        let answering = if stopped.is_none() { ANSWERING } else { CLOSING };
        let in_order = async {
            if stopped.is_none() {
                tokio::time::sleep(ending.drain_delay).await;
            }
            self.collector.stop_accepting().await;
            self.collector.drain(answering.min(deadline.saturating_sub(now()))).await;
        };
        tokio::select! {
            () = in_order => {}
            () = shutdown.immediate.cancelled() => {}
        }
        // What they store until they end is delivered, too.
        if let Some(imports) = self.engine.view.bucket_imports.get() {
            let patience = if shutdown.immediate.is_cancelled() { Duration::ZERO } else { answering };
            tokio::select! {
                biased;
                () = imports.stop(patience.min(deadline.saturating_sub(now()))) => {}
                () = shutdown.immediate.cancelled() => {}
            }
        }
        let left = deadline.saturating_sub(now());
        let deliver = ending.deliver && stopped.is_none() && !shutdown.immediate.is_cancelled();
        let delivery = self.engine.view.delivery.clone();
        let drained = tokio::select! {
            drained = delivery.shutdown(deliver, left) => Some(drained),
            () = shutdown.immediate.cancelled() => None,
        };
        match drained {
            Some(drained) if drained.left > 0 => {
                let then = match stopped {
                    Some(_) => "a restart finds those that are on the disk, and delivers them",
                    None => "they stay in the spool and are delivered after the next start",
                };
                tracing::warn!(batches = drained.left, "some calls are not delivered yet; {then}");
            }
            Some(_) => tracing::info!("everything is delivered"),
            None => tracing::warn!(
                "stopped at once; undelivered calls stay in the spool and are delivered after the next start"
            ),
        }
        // Destinations end while the log is still open, because they may write dead letters.
        if let Some(destinations) = self.engine.view.destinations.get() {
            let patience = if shutdown.immediate.is_cancelled() { Duration::ZERO } else { INVOKING };
            destinations.stop(patience.min(deadline.saturating_sub(now()))).await;
        }
        // The other steps are still taken if one fails.
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
            Some(reason) => Err(NodeError::Other(reason)),
            None => Ok(ended?),
        }
    }
}
