//! Chooses one of the three ways of imported calls: through a running node, into the spool, or to a collector
//! elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::error::NodeError;
use super::import_sources::Configured;
use super::serve;
use super::settings::ingest_settings;
use super::spool_dir::open_disk;
use crate::admin_client::{AdminClient, AdminToken, AdminUrl, NoNode, NodeTarget};
use crate::check::ports::here;
use crate::config::{Config, Endpoint};
use crate::disk::real_disk::{DirectoryError, RealDisk};
use crate::import::collector_target::CollectorTarget;
use crate::import::s3_records::S3Records;
use crate::import::{Importer, ProgressJournal, ProgressKeeper, SharedProgress, Target, Unusable};
use crate::ingest::Ingest;
use crate::random::Random as _;
use crate::runtime::{Background, SystemClock, SystemRandom};
use crate::words::{counted, shell_word};

/// The URL of a running node, unless another one is named.
pub const ADMIN_URL: &str = "http://127.0.0.1:9180";
/// The time limit of deliveries after the last row.
const DELIVERY: Duration = Duration::from_secs(600);

/// Where calls go.
#[derive(Debug)]
pub struct ChosenTarget {
    /// Takes the rows.
    pub target: Arc<dyn Target>,
    /// The text about the target, for people.
    pub text: String,
    /// The spool that this process opened, if so.
    spool: Option<OwnSpool>,
}

/// A running node, or the spool of a configuration whose node does not run.
pub(super) enum Reached {
    Node(Box<NodeTarget>),
    Spool(Box<OwnSpool>),
}

/// A spool that this process opened, with delivery from it.
#[derive(Debug)]
pub(super) struct OwnSpool {
    pub(super) engine: Engine,
    ingest: Arc<Ingest>,
    pub(super) importer: Arc<Importer>,
    dir: PathBuf,
}

impl ChosenTarget {
    /// A collector elsewhere. The progress is in `shared`, or else in the folder `state`.
    /// Errors: [`NodeError`]: the collector cannot be reached, or the progress cannot be kept.
    pub async fn to_collector(
        collector: &Endpoint,
        write_key: &str,
        shared: Option<S3Records>,
        state: &Path,
    ) -> Result<Self, NodeError> {
        let id = CollectorTarget::id(collector.as_str(), write_key);
        let clock = Arc::new(SystemClock::new());
        let progress: Arc<dyn ProgressKeeper> = match shared {
            Some(shared) => SharedProgress::start(shared.open(&id).await?, clock, importer(), None),
            None => {
                let file = state.join("import").join(format!("{id}.redb"));
                Arc::new(ProgressJournal::in_file(file, clock).await?)
            }
        };
        let target = CollectorTarget::with(collector.as_str(), write_key, progress)?;
        // The import will wait while the network fails; but a collector that never answered probably
        // has a wrong URL.
        target.answers().await.map_err(Unusable::Unreachable)?;
        let text = format!("to the collector {}: at least once", collector.as_str());
        Ok(Self { target: Arc::new(target), text, spool: None })
    }

    /// The node at `admin`, or that of the configuration. If none runs, the spool of the configuration.
    /// Errors: [`NodeError`]: neither the node nor the spool can be used.
    pub async fn to_node(
        admin: Option<&AdminUrl>,
        token_file: Option<&Path>,
        config: Option<&Config>,
        background: &Background,
    ) -> Result<Self, NodeError> {
        Ok(match Reached::of(admin, token_file, config, background).await? {
            Reached::Node(node) => {
                let text = format!("through the node at {}: exactly once", node.0.url());
                Self { target: Arc::new(*node), text, spool: None }
            }
            Reached::Spool(spool) => {
                let target = Arc::new(Arc::clone(&spool.importer));
                Self { target, text: spool.text(), spool: Some(*spool) }
            }
        })
    }

    /// Delivers what a spool of this command holds, and closes the spool.
    /// Errors: [`NodeError`]: something is left. It is safe in the spool.
    pub async fn end(self) -> Result<(), NodeError> {
        let Some(spool) = self.spool else { return Ok(()) };
        drop(self.target);
        spool.end(true).await
    }
}

impl Reached {
    /// The node at `admin`, or that of the configuration. If none runs, the spool of the configuration.
    /// Errors: [`NodeError`]: neither the node nor the spool can be used.
    pub(super) async fn of(
        admin: Option<&AdminUrl>,
        token_file: Option<&Path>,
        config: Option<&Config>,
        background: &Background,
    ) -> Result<Self, NodeError> {
        let url = match (admin, config) {
            (Some(url), _) => url.clone(),
            (None, Some(config)) => admin_of(config)?,
            (None, None) => admin_url(ADMIN_URL)?,
        };
        let token = AdminToken::of_command(token_file)?;
        let node = NodeTarget(AdminClient::new(url, token));
        let no_node = match node.answers().await {
            Ok(()) => return Ok(Self::Node(Box::new(node))),
            Err(NoNode::Denied(why)) => return Err(Unusable::Denied(why).into()),
            Err(NoNode::NoAnswer(why)) => why,
        };
        let how = match config {
            Some(config) if config.dev_s3.is_some() => {
                "start `forebay dev` with this configuration; or add to it what a spool needs without dev: s3.bucket, and a [[source]] \
                 with an id and write_keys"
            }
            Some(config) if admin.is_none() => {
                return Ok(Self::Spool(Box::new(OwnSpool::open(config, &no_node, background).await?)));
            }
            Some(_) => {
                "start the node; or leave out --admin, and the calls go into the spool of --config without one"
            }
            None => {
                "start `forebay dev` first; or name the configuration with --config, and the calls go into its spool without a \
                 running node"
            }
        };
        Err(Unusable::Unreachable(format!("{no_node}: {how}")).into())
    }
}

impl OwnSpool {
    async fn open(config: &Config, no_node: &str, background: &Background) -> Result<Self, NodeError> {
        let dir = &config.spool.dir;
        if let Err(locked @ DirectoryError::Locked(_)) = RealDisk::open(dir) {
            return Err(Unusable::Unreachable(format!("{no_node}, and {locked}")).into());
        }
        let disk = open_disk(dir, !config.spool.unsafe_filesystem)?;
        let (engine, _proxy) = serve::engine(config, disk, background).await?;
        let ingest = engine.ingest(ingest_settings(config));
        let importer = engine.importer(&ingest, dir, Arc::new(Configured::new(config))).await?;
        Ok(Self { engine, ingest, importer, dir: dir.clone() })
    }

    /// The text about it, for people.
    pub(super) fn text(&self) -> String {
        format!("into the spool {}, and from there to the bucket: exactly once", self.dir.display())
    }

    /// Delivers what the spool holds, if so, and closes it.
    /// Errors: [`NodeError`]: something is left that was to be delivered. It is safe in the spool.
    pub(super) async fn end(self, deliver: bool) -> Result<(), NodeError> {
        drop(self.importer);
        self.ingest.finish().await;
        match self.engine.deliver_and_close(deliver.then_some(DELIVERY)).await? {
            left if deliver && left > 0 => Err(NodeError::Other(format!(
                "{} not delivered yet, but safe in the spool: the node delivers what is left when it starts again, and \
                 `forebay spool drain {} --config FILE` does it without the node",
                counted(left as u64, "batch is", "batches are"),
                shell_word(&self.dir.to_string_lossy())
            ))),
            _ => Ok(()),
        }
    }
}

/// Where a `forebay dev` of this machine is looked for: `FOREBAY_ADMIN_URL`, or the usual address.
/// Errors: [`NodeError`]: the variable is no URL.
pub fn dev_admin() -> Result<AdminUrl, NodeError> {
    let said = std::env::var_os("FOREBAY_ADMIN_URL");
    admin_url(said.as_ref().and_then(|said| said.to_str()).unwrap_or(ADMIN_URL))
}

/// The admin listener of the process that runs on this machine with a configuration.
/// Errors: [`NodeError`]: its address makes no URL.
pub fn admin_of(config: &Config) -> Result<AdminUrl, NodeError> {
    admin_url(&format!("http://{}", here(config.admin.listen)))
}

fn admin_url(text: &str) -> Result<AdminUrl, NodeError> {
    text.parse().map_err(|what: &str| NodeError::Other(what.to_owned()))
}

/// A name that distinguishes this process from all others.
fn importer() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {} ({:016x})", std::process::id(), host.trim(), SystemRandom.next_u64())
}
