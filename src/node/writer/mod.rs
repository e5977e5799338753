//! A writer: a member of a group that owns partitions of a log which others write, and delivers them.
//!
//! The group is a hint of what to own. Each partition that is assigned has a thread, in which terms begin and end;
//! each term is a log with a delivery of its own. `process` makes a process of it, `serve` runs that with a
//! configuration, and `view` shows it to its operator.

mod caches;
mod deps;
mod group;
mod looks;
mod partition;
mod place;
pub mod process;
pub mod serve;
mod shared;
mod shown;
mod tells;
pub(super) mod variables;
pub(super) mod view;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch as tokio_watch;
use tokio::task::JoinSet;

pub use deps::WriterDeps;

use crate::delivery::Flushed;
use crate::disk::real_disk::{DirectoryError, RealDisk};
use crate::kafka::beat::{Awake, Beat};
use crate::kafka::group::Member;
use crate::kafka::serve::Progress;
use crate::kafka::settings::NoClient;
use crate::tasks::caught_now;
use group::Group;
use place::{Place, Standing};
use shared::Shared;
use tells::Tells;

/// How often it is checked that calls return.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// A running writer.
#[derive(Debug)]
pub struct Writer {
    pub(in crate::node::writer) shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Keeps other processes out of the caches' folder.
    _folder: RealDisk,
}

/// What a thread of a writer does.
type Work = Box<dyn FnOnce(&Arc<Shared>) + Send>;

/// Why a writer could not start.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The folder of the caches cannot be used, or another process uses it.
    #[error("the folder of the caches (kafka.cache_dir) cannot be used")]
    Folder(#[from] DirectoryError),
    /// The folder of the caches cannot be made.
    #[error("make {} for the caches: let this user write there, or set kafka.cache_dir to a folder of its own", .0.display())]
    NoFolder(PathBuf, #[source] io::Error),
    /// The caches of an earlier process cannot be removed, or there is no thread.
    #[error("start a writer")]
    Io(#[from] io::Error),
}

/// A writer has failed: its process must end, so that others get its partitions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the writer has failed: {0}")]
pub struct Failed(Arc<str>);

/// What a writer says of one partition.
#[derive(Clone, Debug)]
pub struct PartitionStatus {
    /// Terms that began in this process.
    pub terms: u64,
    /// Terms among them that the brokers ended.
    pub ended: u64,
    /// Where the term is. `None` while none is delivered.
    pub progress: Option<Progress>,
    /// Why the partition stops, if it does.
    pub stopped: Option<String>,
}

impl Writer {
    /// Joins the group, and owns what it is assigned.
    /// Errors: [`NotStarted`].
    pub fn start(deps: WriterDeps) -> Result<Self, NotStarted> {
        std::fs::create_dir_all(&deps.cache_dir)
            .map_err(|error| NotStarted::NoFolder(deps.cache_dir.clone(), error))?;
        let folder = RealDisk::open(&deps.cache_dir)?;
        caches::remove_all(&deps.cache_dir)?;
        let member = Member::join(&deps.settings, deps.instance.as_deref())?;
        let metrics = deps.of_partitions.clone();
        let shared = Arc::new(Shared {
            deps: Arc::new(deps),
            places: Mutex::default(),
            ends: AtomicBool::new(false),
            failed: tokio_watch::Sender::new(None),
            beat: Beat::default(),
            tells_beat: Beat::default(),
            of_log: Mutex::default(),
            owners: Mutex::default(),
            metrics,
        });
        shared.beat.lives(shared.deps.clock.monotonic());
        shared.tells_beat.rests();
        let offsets = member.offsets();
        let thread = |name: &str, work: Work| {
            let (shared, of) = (Arc::clone(&shared), name.to_owned());
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                if caught_now(|| work(&shared)).is_err() {
                    shared.fail(&format!("the thread {of} has panicked"));
                }
            })
        };
        let threads = vec![
            thread("kafka-group", Box::new(move |shared| Group::new(shared, member).run()))?,
            thread("kafka-tells", Box::new(move |shared| Tells::new(shared, offsets).run()))?,
            thread("kafka-watch", Box::new(|shared| watch_calls(shared)))?,
        ];
        Ok(Self { shared, threads, _folder: folder })
    }

    /// Holds the reason once the writer has failed: its process must end then.
    pub fn failed(&self) -> tokio_watch::Receiver<Option<Arc<str>>> {
        self.shared.failed.subscribe()
    }

    /// The partitions that are assigned to this process.
    pub fn partitions(&self) -> BTreeMap<u32, PartitionStatus> {
        let status = |(partition, place): (u32, Arc<Place>)| {
            let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
            let (terms, ended) = (count(&place.terms), count(&place.ended));
            let (progress, stopped) = match place.standing() {
                Standing::Begins => (None, None),
                Standing::Live(live) => (Some(live.served.progress()), None),
                Standing::Waits(why) => (None, Some(why.to_string())),
                Standing::Stopped(stop) => (None, Some(stop.to_string())),
            };
            (partition, PartitionStatus { terms, ended, progress, stopped })
        };
        self.shared.places().into_iter().map(status).collect()
    }

    /// The ledger's differences in all partitions that are delivered.
    pub fn ledger_differences(&self) -> Vec<crate::log::Difference> {
        use crate::log::{Rows, Status as _};
        let live = self.shared.live();
        live.flat_map(|(_, _, live)| live.served.log.ledger(Rows::None).differences).collect()
    }

    /// Makes everything that is read due, and waits up to `wait` until it is delivered.
    pub async fn flush(&self, wait: Duration) -> Flushed {
        let mut flushes = JoinSet::new();
        for (_, _, live) in self.shared.live() {
            flushes.spawn(async move { live.delivery.flush(None, wait).await });
        }
        Flushed::sum(flushes.join_all().await)
    }

    /// Ends all terms and leaves the group. What is sealed is put by the next owner. Waits for threads, so do not
    /// call it on the runtime's.
    /// Errors: [`Failed`], if the writer had failed. Then a thread may still hang, and the process must end.
    pub fn stop(self) -> Result<(), Failed> {
        self.shared.ends.store(true, Ordering::Release);
        if let Some(why) = self.shared.failed.borrow().clone() {
            return Err(Failed(why));
        }
        for thread in self.threads {
            // A panic of a thread is reported by its own message.
            thread.join().map_err(|_| Failed("a thread has panicked".into()))?;
        }
        match self.shared.failed.borrow().clone() {
            Some(why) => Err(Failed(why)),
            None => Ok(()),
        }
    }
}

/// Returning calls keep partitions, not polling: if one hangs, the writer gives all up.
fn watch_calls(shared: &Shared) {
    let mut awake = Awake::at(shared.deps.clock.monotonic());
    while !shared.ends() && shared.failed.borrow().is_none() {
        let now = shared.deps.clock.monotonic();
        if awake.is_awake(now) {
            look_at_calls(shared, now);
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn look_at_calls(shared: &Shared, now: Duration) {
    let hangs = shared.places().into_iter().find(|(_, place)| place.hangs(now));
    if let Some((partition, _)) = hangs {
        shared.fail(&format!(
            "a call of Kafka's library or of the disk for partition {partition} does not return"
        ));
    } else if shared.tells_beat.hangs(now) {
        shared.fail("a call of Kafka's library about the log does not return");
    } else if shared.beat.hangs(now) {
        shared.fail("a call of Kafka's library for the group does not return");
    }
}
