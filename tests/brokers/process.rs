//! Writers as they run: in a group, with terms that begin and end, in this process or in one of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::batch::DueRule;
use forebay::delivery::DeliverySettings;
use forebay::kafka::owner::Wanted;
use forebay::metrics::kafka::WriterMetrics;
use forebay::node::writer::{Writer, WriterDeps};
use forebay::partition::days::GRACE;
use forebay::runtime::SystemRandom;
use forebay::store::ObjectStore;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::delivered::{process, runtime, settings, wanted};
use crate::folder_store::FolderStore;
use crate::partition::Partition;

/// Names the file in which the process of a writer finds what it is told.
const TOLD: &str = "FOREBAY_KAFKA_WRITER";
/// The folder beside the objects of a store in which processes say what they do, each time in a file.
const SAID: &str = "said";
/// The release that writers of tests say they are, unless a test says another one.
pub(crate) const RELEASE: &str = "test";
/// Time-outs of the group and of transactions. A writer that is stopped for longer is not the owner any more.
pub(crate) const TIME_OUT: Duration = Duration::from_secs(6);

/// Starts a writer in this process.
pub(crate) fn start(
    partition: &Partition,
    store: Arc<dyn ObjectStore>,
    settings: DeliverySettings,
    wanted: Wanted,
    cache: (&Path, u64),
) -> Writer {
    start_release(RELEASE, partition, store, settings, wanted, cache).0
}

/// Starts a writer that says it is this release.
pub(crate) fn start_release(
    release: &str,
    partition: &Partition,
    store: Arc<dyn ObjectStore>,
    settings: DeliverySettings,
    wanted: Wanted,
    (cache_dir, cache_bytes): (&Path, u64),
) -> (Writer, Arc<Alarms>) {
    let process = process(store, settings, &partition.clock);
    let alarms = Arc::clone(&process.alarms);
    let of_partitions = WriterMetrics::shown_with(&process.metrics);
    let writer = Writer::start(WriterDeps {
        settings: partition.settings.clone(),
        equipment: process.equipment,
        instance: None,
        day_grace: GRACE,
        wanted,
        cache_dir: cache_dir.to_owned(),
        cache_bytes,
        clock: Arc::clone(&partition.clock),
        random: Arc::new(SystemRandom),
        metrics: process.metrics,
        of_partitions,
        alarms: process.alarms,
        version: release.into(),
        host: std::process::id().to_string(),
        runtime: runtime().handle().clone(),
    });
    (writer.unwrap(), alarms)
}

/// A partition whose group and transactions time out within [`TIME_OUT`].
pub(crate) fn impatient(partition: &mut Partition) {
    partition.settings.transaction_timeout = TIME_OUT;
    let more = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1000")];
    partition.settings.more = more.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
}

/// What the process of a writer is told.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Told {
    pub(crate) brokers: String,
    pub(crate) name: String,
    pub(crate) store: PathBuf,
    pub(crate) release: String,
    pub(crate) sources: Vec<String>,
    pub(crate) cache_bytes: u64,
    pub(crate) max_bytes: u64,
    pub(crate) max_age_ms: u64,
}

impl Told {
    /// A writer of small objects that are due at once, for the sources `web` and `ios`.
    pub(crate) fn of(partition: &Partition, store: &Path) -> Self {
        fs::create_dir_all(store.join(SAID)).unwrap();
        Self {
            brokers: partition.settings.brokers.clone(),
            name: partition.settings.name.clone(),
            store: store.to_owned(),
            release: RELEASE.into(),
            sources: vec!["web".into(), "ios".into()],
            cache_bytes: crate::delivered::CACHE,
            max_bytes: 2_000,
            max_age_ms: 200,
        }
    }

    /// Starts the process.
    pub(crate) fn start(&self) -> Started {
        let disk = tempfile::tempdir().unwrap();
        let told = disk.path().join("told");
        fs::write(&told, serde_json::to_vec(&(self, disk.path().join("cache"))).unwrap()).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::a_writer_delivers_until_it_is_killed", "--nocapture"])
            .env(TOLD, told)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Started { process, store: self.store.clone(), _disk: disk }
    }
}

/// A writer in a process of its own. Dropped, it is killed, and its disk is lost.
#[derive(Debug)]
pub(crate) struct Started {
    process: Child,
    store: PathBuf,
    _disk: tempfile::TempDir,
}

impl Started {
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// The partitions that it delivers.
    pub(crate) fn owns(&self) -> Vec<u32> {
        let owns = fs::read(self.store.join(SAID).join(format!("owns {}", self.id())));
        owns.map_or_else(|_| Vec::new(), |owns| serde_json::from_slice(&owns).unwrap())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.process.kill().unwrap_or(());
        self.process.wait().map(drop).unwrap_or(());
        fs::remove_file(self.store.join(SAID).join(format!("owns {}", self.id()))).unwrap_or(());
    }
}

/// Sends a signal to a process.
pub(crate) fn signal_to(process: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// What processes of writers said that begins with these words: the rest of the words, and the text.
pub(crate) fn said(store: &Path, words: &str) -> BTreeMap<String, String> {
    let names = fs::read_dir(store.join(SAID)).unwrap().map(|file| file.unwrap());
    let said = |file: fs::DirEntry| {
        let rest = file.file_name().to_str().unwrap().strip_prefix(words)?.strip_prefix(' ')?.to_owned();
        Some((rest, fs::read_to_string(file.path()).ok()?))
    };
    names.filter_map(said).collect()
}

/// Makes a file that is there as a whole or not at all.
fn say(store: &Path, what: &str, text: &[u8]) {
    let folder = store.join(SAID);
    let mut whole = NamedTempFile::new_in(&folder).unwrap();
    whole.write_all(text).unwrap();
    whole.persist(folder.join(what)).unwrap();
}

/// The work of one process. It does nothing unless a test started it.
#[test]
fn a_writer_delivers_until_it_is_killed() {
    let Some(told) = std::env::var_os(TOLD) else { return };
    let (told, cache): (Told, PathBuf) = serde_json::from_slice(&fs::read(told).unwrap()).unwrap();
    let mut partition = Partition::named(&told.brokers, &told.name);
    impatient(&mut partition);
    let max_age = Duration::from_millis(told.max_age_ms);
    let rule = DueRule { max_bytes: told.max_bytes, max_age, align_minute: None };
    let settings = DeliverySettings { rule, ..settings(told.max_bytes) };
    let sources: Vec<(&str, &str)> = told.sources.iter().map(|source| (source.as_str(), "bucket")).collect();
    let store = told.store.as_path();
    let to = Arc::new(FolderStore::new(store));
    let cache = (cache.as_path(), told.cache_bytes);
    let (writer, _) = start_release(&told.release, &partition, to, settings, wanted(&sources), cache);
    let (id, failed) = (std::process::id().to_string(), writer.failed());
    let says = |what: &str| say(store, what, id.as_bytes());
    let (mut terms, mut ended, mut stopped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut owns = Vec::new();
    loop {
        if let Some(why) = failed.borrow().as_ref() {
            say(store, &format!("failed {id}"), why.as_bytes());
            return;
        }
        let all = writer.partitions();
        for (partition, status) in &all {
            if let Some(why) = status.stopped.as_ref().filter(|_| stopped.insert(*partition)) {
                say(store, &format!("stopped {partition}"), why.as_bytes());
            }
            let term = status.progress.as_ref().map(|progress| progress.term.clone());
            if status.ended > ended.insert(*partition, status.ended).unwrap_or(0) {
                let last = terms.get(partition).map_or("", String::as_str);
                says(&format!("ended by brokers {last}"));
            }
            if let Some(term) = term
                && terms.insert(*partition, term.clone()).as_ref() != Some(&term)
            {
                says(&format!("term {term}"));
            }
        }
        let now: Vec<u32> =
            all.iter().filter(|(_, one)| one.progress.is_some()).map(|(one, _)| *one).collect();
        if now != owns {
            say(store, &format!("owns {id}"), &serde_json::to_vec(&now).unwrap());
            owns = now;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
