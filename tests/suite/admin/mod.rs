//! The admin listener on a real socket, with a fake process behind it.

mod access;
mod commands;
mod console;
mod listener;
mod live;
mod sdks;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::admin::{
    AccessSettings, AdminError, AdminServer, AdminView, AllowedHosts, Days, FlushOutcome, Gate, History,
    Ledger, NodeStatus, PositionsStatus, ReceiptStatus, SdkAddress, SourceStatus, Status, UnclosedDay,
};
use forebay::boxed_future::BoxFuture;
use forebay::metrics::Metrics;
use forebay::receipt::Receipt;
use forebay::runtime::SystemRandom;
use forebay::sources::SourceId;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A process with one source, `web`, whose flush delivers three objects, or blocks while it is held.
#[derive(Default)]
pub(crate) struct FakeProcess {
    pub(crate) not_ready: Mutex<Vec<String>>,
    pub(crate) refreshed: AtomicU64,
    pub(crate) flushes: Mutex<Vec<(Option<String>, Duration)>>,
    pub(crate) pending: AtomicU64,
    pub(crate) stopped: AtomicBool,
    pub(crate) held: AtomicBool,
    pub(crate) release: Notify,
    /// The status that is answered in place of the usual one.
    pub(crate) shown: Mutex<Option<Status>>,
}

impl FakeProcess {
    /// From now on, the process answers with this status.
    pub(crate) fn shows(&self, status: Status) {
        *self.shown.lock().unwrap() = Some(status);
    }
}

impl AdminView for FakeProcess {
    fn ready(&self) -> Result<(), Vec<String>> {
        let reasons = self.not_ready.lock().unwrap().clone();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn status(&self) -> Status {
        if let Some(status) = self.shown.lock().unwrap().clone() {
            return status;
        }
        Status {
            version: "0.1.0".into(),
            ready: self.ready().is_ok(),
            sources: vec![SourceStatus { id: "web".into(), pending_calls: 7, ..SourceStatus::default() }],
            ..Status::default()
        }
    }

    fn history(&self) -> History {
        History { received: [1.0, 2.0].into(), ..History::default() }
    }

    fn node(&self) -> NodeStatus {
        NodeStatus { version: "0.1.0".into(), ..NodeStatus::default() }
    }

    fn sdk_address(&self, source: Option<&SourceId>) -> Result<SdkAddress, AdminError> {
        match source.filter(|source| source.as_str() != "web") {
            Some(other) => Err(AdminError::UnknownSource(other.clone())),
            None => Ok(SdkAddress { port: Some(8080), key: "<WEB_KEY>".into(), ..SdkAddress::default() }),
        }
    }

    fn days(&self, source: Option<&SourceId>) -> Days {
        let day = |source: &str| UnclosedDay { source: source.to_owned(), ..UnclosedDay::default() };
        let all = ["ios", "web"].map(day).into_iter();
        let wanted = |day: &UnclosedDay| source.is_none_or(|source| source.as_str() == day.source);
        Days { over_through: Some(0), unclosed: all.filter(wanted).collect(), kafka: None }
    }

    fn ledger(&self, source: Option<&SourceId>) -> Result<Ledger, AdminError> {
        match source.filter(|source| source.as_str() != "web") {
            Some(other) => Err(AdminError::UnknownSource(other.clone())),
            None => Ok(Ledger { balanced: true, ..Ledger::default() }),
        }
    }

    fn flush(
        &self,
        source: Option<SourceId>,
        wait: Duration,
    ) -> BoxFuture<'_, Result<FlushOutcome, AdminError>> {
        Box::pin(async move {
            self.flushes.lock().unwrap().push((source.as_ref().map(ToString::to_string), wait));
            if let Some(other) = source.filter(|source| source.as_str() != "web") {
                return Err(AdminError::UnknownSource(other));
            }
            if self.stopped.load(Ordering::SeqCst) {
                return Err(AdminError::Stopped);
            }
            if self.held.load(Ordering::SeqCst) {
                self.release.notified().await;
            }
            Ok(FlushOutcome { sealed: 3, delivered: 3, pending: self.pending.load(Ordering::SeqCst) })
        })
    }

    fn receipt(&self, receipt: Receipt) -> BoxFuture<'_, Result<ReceiptStatus, AdminError>> {
        Box::pin(async move {
            if self.stopped.load(Ordering::SeqCst) {
                return Err(AdminError::Unread("no such file".into()));
            }
            let at =
                PositionsStatus { first: receipt.first, last: receipt.last, ..PositionsStatus::default() };
            Ok(ReceiptStatus { spool_id: receipt.spool_id, positions: vec![at], ..ReceiptStatus::default() })
        })
    }

    fn refresh_metrics(&self) {
        self.refreshed.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) process: Arc<FakeProcess>,
    pub(crate) metrics: Metrics,
    pub(crate) gate: Arc<Gate>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) async fn start(allowed_hosts: &[&str]) -> Running {
    start_with(allowed_hosts, AccessSettings::default()).await
}

pub(crate) async fn start_with(allowed_hosts: &[&str], settings: AccessSettings) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let allowed: Vec<String> = allowed_hosts.iter().map(|host| (*host).to_owned()).collect();
    let (process, metrics, stop) =
        (Arc::new(FakeProcess::default()), Metrics::new(), CancellationToken::new());
    let view: Arc<dyn AdminView> = Arc::<FakeProcess>::clone(&process);
    let gate = gate(settings, &metrics);
    let hosts = AllowedHosts::new(address, &allowed);
    let server = Arc::new(AdminServer::new(view, metrics.clone(), hosts, Arc::clone(&gate)));
    let task = tokio::spawn(server.serve(Arc::new(listener), stop.clone()));
    Running { address, process, metrics, gate, stop, task }
}

pub(crate) fn gate(settings: AccessSettings, metrics: &Metrics) -> Arc<Gate> {
    Arc::new(Gate::new(settings, Arc::new(SystemRandom), metrics.clone()))
}

/// Waits until `condition` holds; a failing test waits 20 s.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let held = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), held).await.unwrap_or_else(|_| panic!("never: {what}"));
}
