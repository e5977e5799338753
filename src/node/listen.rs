//! Opens an engine to the outside: from then on it is a node that takes calls and serves operators.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::engine::Engine;
use super::error::NodeError;
use super::forgotten_sources::keep_forgetting;
use super::listeners::{Addresses, Bound};
use super::running::Node;
use super::view::NodeView;
use crate::admin::history::STEP;
use crate::admin::host::console_url;
use crate::admin::{AdminServer, AllowedHosts, Gate};
use crate::collector::{Collector, CollectorDeps, CollectorSettings, Listeners, Policy};
use crate::import::Importer;
use crate::ingest::Ingest;
use crate::tasks::{Supervised, keep};

impl Engine {
    /// Makes a node of the engine, which accepts calls and imports, and serves operators.
    /// Errors: [`NodeError`]: a listener cannot be used.
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
            alarms: Arc::clone(&self.view.alarms),
        };
        let listeners = Listeners { plain: vec![public], tls: tls.into_iter().collect() };
        let collector = Collector::start(deps, settings, policy, listeners)?;
        let admin_stop = CancellationToken::new();
        let hosts = AllowedHosts::new(admin_addr, &addresses.admin.hosts);
        let metrics = self.outside.metrics.clone();
        self.view.live.set_mode(addresses.admin.access.live_view);
        self.archive.importer.get_or_init(|| Arc::clone(importer));
        let gate = Arc::new(Gate::new(
            addresses.admin.access.clone(),
            Arc::clone(&self.outside.random),
            metrics.clone(),
        ));
        let mut server = AdminServer::new(Arc::clone(&self.view) as _, metrics, hosts, Arc::clone(&gate));
        server.connections = addresses.admin.connections;
        server.imports = Some(Arc::new(Arc::clone(importer)));
        server.live = Some(Arc::clone(&self.view.live));
        server.archive = Some(Arc::clone(&self.archive) as _);
        server.destinations = Some(Arc::clone(&self.view) as _);
        server.bucket_imports = Some(Arc::clone(&self.view) as _);
        let supervised = |what| Supervised::new(&self.view.alarms, what);
        let admin = {
            let (server, listener, stop) = (Arc::new(server), Arc::new(admin), admin_stop.clone());
            let start = move || Arc::clone(&server).serve(Arc::clone(&listener), stop.clone());
            tokio::spawn(keep(supervised("admin listener"), start))
        };
        let history = {
            let (view, stop) = (Arc::clone(&self.view), admin_stop.clone());
            let start = move || keep_history(Arc::clone(&view), stop.clone());
            AbortOnDropHandle::new(tokio::spawn(keep(supervised("history"), start)))
        };
        let forgetting = {
            let (view, stop) = (Arc::clone(&self.view), admin_stop.clone());
            let of_calls = (forgetting_ingest, Arc::clone(importer));
            let start = move || keep_forgetting(Arc::clone(&view), of_calls.clone(), stop.clone());
            AbortOnDropHandle::new(tokio::spawn(keep(supervised("removed sources"), start)))
        };
        Ok(Node {
            engine: self,
            collector,
            _kept: [history, forgetting],
            admin,
            admin_stop,
            gate,
            public: public_addr,
            tls: tls_addr,
            admin_addr,
            console: console_url(admin_addr, &addresses.admin.hosts),
        })
    }
}

/// Adds a sample to the history every few seconds.
async fn keep_history(view: Arc<NodeView>, stop: CancellationToken) {
    let mut steps = tokio::time::interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(steps.tick()).await.is_some() {
        view.sample_history();
    }
}
