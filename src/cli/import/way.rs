//! Which of the three ways calls take: through a running node, into the spool, or to a collector elsewhere.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::ToArgs;
use super::node_target::{NoNode, NodeTarget};
use super::s3::{importer, shared_place};
use crate::cli::admin_client::{AdminClient, AdminToken, AdminUrl};
use crate::cli::args::ADMIN_URL;
use crate::cli::failure::{self, Failure};
use crate::cli::serve;
use crate::config::Config;
use crate::disk::real_disk::{DirectoryError, RealDisk};
use crate::import::Target;
use crate::import::collector_target::CollectorTarget;
use crate::import::progress_keeper::ProgressKeeper;
use crate::ingest::Ingest;
use crate::node;
use crate::node::engine::Engine;
use crate::node::import_sources::Configured;
use crate::node::settings::ingest_settings;
use crate::node::spool_dir::open_disk;
use crate::runtime::{Background, SystemClock};
use crate::words::counted;

/// How long deliveries may take after the last row.
const DELIVERY: Duration = Duration::from_secs(600);

/// Where calls go.
pub(super) struct Way {
    /// Takes the rows.
    pub(super) target: Arc<dyn Target>,
    /// For people.
    pub(super) text: String,
    spool: Option<OwnSpool>,
}

/// A spool that this command opened.
struct OwnSpool {
    engine: Engine,
    ingest: Arc<Ingest>,
}

impl Way {
    /// Chooses the way.
    ///
    /// # Errors
    /// [`Failure`]: nothing can be reached.
    pub(super) async fn choose(to: &ToArgs, state: &Path, background: &Background) -> Result<Self, Failure> {
        if let (Some(collector), Some(write_key)) = (&to.way.collector, &to.write_key) {
            let id = CollectorTarget::id(collector.as_str(), write_key);
            let clock = Arc::new(SystemClock::new());
            let progress = match shared_place(to).await? {
                Some(place) => ProgressKeeper::Shared(place.open(&id, importer(), clock).await?),
                None => {
                    let file = state.join("import").join(format!("{id}.redb"));
                    ProgressKeeper::in_file(file, clock).await?
                }
            };
            let target = CollectorTarget::with(collector.as_str(), write_key, progress)?;
            // Later its network errors are waited out; but one that never answered is probably a wrong URL.
            target.answers().await.map_err(Failure::unreachable)?;
            let text = format!("to the collector {}: at least once", collector.as_str());
            return Ok(Self { target: Arc::new(target), text, spool: None });
        }
        let config = to.way.config.as_deref().map(serve::load).transpose()?.map(|(_, loaded)| loaded.config);
        let url = match (&to.way.admin, &config) {
            (Some(url), _) => url.clone(),
            (None, Some(config)) => admin_of(config)?,
            (None, None) => ADMIN_URL.parse::<AdminUrl>().map_err(Failure::failed)?,
        };
        let token = AdminToken::of_command(to.way.token_file.as_deref())?;
        let node = NodeTarget::new(AdminClient::new(url.clone(), token));
        let no_node = match node.answers().await {
            Ok(()) => {
                let text = format!("through the node at {url}: exactly once");
                return Ok(Self { target: Arc::new(node), text, spool: None });
            }
            Err(NoNode::Denied(why)) => return Err(Failure::with_code(failure::DENIED, why)),
            Err(NoNode::NoAnswer(why)) => why,
        };
        match config {
            Some(config) if to.way.admin.is_none() => Self::own_spool(&config, &no_node, background).await,
            Some(_) => Err(Failure::unreachable(format!(
                "{no_node}: start the node; or leave out --admin, and the calls go into the spool of --config without one"
            ))),
            None => Err(Failure::unreachable(format!(
                "{no_node}: start `forebay dev` first; or name the configuration with --config, and the calls go into its \
                 spool without a running node"
            ))),
        }
    }

    async fn own_spool(config: &Config, no_node: &str, background: &Background) -> Result<Self, Failure> {
        let dir = config.spool.dir.clone();
        if let Err(locked @ DirectoryError::Locked { .. }) = RealDisk::open(&dir) {
            return Err(Failure::unreachable(format!("{no_node}, and {locked}")));
        }
        let disk = open_disk(&dir, !config.spool.unsafe_filesystem)?;
        let (engine, _proxy) = node::serve::engine(config, disk, background).await?;
        let ingest = engine.ingest(ingest_settings(config));
        let importer = engine.importer(&ingest, &dir, Arc::new(Configured::new(config))).await?;
        let text = format!("into the spool {}, and from there to the bucket: exactly once", dir.display());
        let spool = Some(OwnSpool { engine, ingest });
        Ok(Self { target: Arc::new(importer), text, spool })
    }

    /// Delivers what a spool of this command holds, and closes it.
    ///
    /// # Errors
    /// [`Failure`] if something is left. It is safe in the spool.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let Some(OwnSpool { engine, ingest }) = self.spool else { return Ok(()) };
        drop(self.target);
        ingest.finish().await;
        match engine.deliver_and_close(DELIVERY).await? {
            0 => Ok(()),
            left => Err(Failure::failed(format!(
                "{} not delivered yet; what is left is safe in the spool, and the node delivers it after its next start \
                 (or: forebay spool drain)",
                counted(left as u64, "batch is", "batches are")
            ))),
        }
    }
}

/// The admin listener of a configuration, as this machine reaches it.
fn admin_of(config: &Config) -> Result<AdminUrl, Failure> {
    let addr = crate::check::ports::here(config.admin.listen);
    format!("http://{addr}").parse::<AdminUrl>().map_err(Failure::failed)
}
