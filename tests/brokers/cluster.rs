//! Three brokers of Apache Kafka on loopback, each a process of its own that can be killed, stopped and
//! woken.
//!
//! One cluster serves all tests of a run. A test that disturbs brokers has it alone, and leaves it whole.
//! When the run ends, however it ends, a shell that waits for that kills the brokers and removes their
//! folders.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{skipped, until};

/// Time for all brokers to be up. Generous: three virtual machines begin at once, beside whatever else runs.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// The jar without which nothing runs.
const JAR: &str = "kafka_2.13-4.3.1.jar";
/// The id of the cluster, and what those of its folders begin with.
pub(crate) const CLUSTER_ID: &str = "Rm9yZWJheVRlc3RLYWZrYQ";
/// Settings of each broker that differ from Kafka's own, so that tests need not wait for hours or minutes.
const SETTINGS: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=2
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
group.initial.rebalance.delay.ms=0
log.retention.check.interval.ms=500
log.segment.delete.delay.ms=1000
log.cleaner.dedupe.buffer.size=4194304
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
num.network.threads=2
num.io.threads=4
";

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    jars: PathBuf,
    brokers: Vec<Broker>,
    /// It ends the brokers once its input does.
    _keeper: Child,
}

#[derive(Debug)]
struct Broker {
    /// From 1.
    id: usize,
    port: u16,
    process: Option<Child>,
}

static SHARED: OnceLock<Option<RwLock<Cluster>>> = OnceLock::new();

fn shared() -> Option<&'static RwLock<Cluster>> {
    SHARED.get_or_init(|| Cluster::start().map(RwLock::new)).as_ref()
}

/// The cluster, for a test that leaves brokers as they are. `None` if there is none: the test is skipped.
pub(crate) fn cluster() -> Option<RwLockReadGuard<'static, Cluster>> {
    // A test that failed has poisoned it. The next one finds out whether the brokers are there.
    shared().map(|cluster| cluster.read().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// The cluster, for a test that disturbs brokers.
pub(crate) fn cluster_alone() -> Option<Alone> {
    let mut alone = Alone(shared()?.write().unwrap_or_else(std::sync::PoisonError::into_inner));
    alone.make_whole();
    Some(alone)
}

/// The cluster in the hands of one test. However the test ends, its brokers run again.
#[derive(Debug)]
pub(crate) struct Alone(RwLockWriteGuard<'static, Cluster>);

impl Deref for Alone {
    type Target = Cluster;
    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.0
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.run_all();
    }
}

impl Cluster {
    fn start() -> Option<Self> {
        let jars = jars()?;
        let (folder, keeper) = folder();
        let ports = free_ports(6);
        let voters: Vec<String> = (1..=3).map(|id| format!("{id}@127.0.0.1:{}", ports[id + 2])).collect();
        for id in 1..=3 {
            let (port, controller) = (ports[id - 1], ports[id + 2]);
            let data = folder.join(id.to_string());
            fs::create_dir(&data).unwrap();
            let settings = format!(
                "{SETTINGS}node.id={id}\nlog.dirs={}\ncontroller.quorum.voters={}\n\
                 listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n",
                data.display(),
                voters.join(",")
            );
            fs::write(folder.join(format!("{id}.properties")), settings).unwrap();
        }
        let mut cluster = Self {
            folder,
            jars,
            brokers: (1..=3).map(|id| Broker { id, port: ports[id - 1], process: None }).collect(),
            _keeper: keeper,
        };
        // Kafka's own tool: a folder without what it writes gets an old version of transactions.
        let format = |id| {
            let mut command = cluster.java(id, "kafka.tools.StorageTool");
            let settings = cluster.folder.join(format!("{id}.properties"));
            command.args(["format", "--cluster-id", CLUSTER_ID, "--config"]).arg(settings).spawn().unwrap()
        };
        for mut formatting in (1..=3).map(format).collect::<Vec<_>>() {
            assert!(formatting.wait().unwrap().success(), "{}", cluster.folder.display());
        }
        cluster.make_whole();
        Some(cluster)
    }

    /// The brokers' addresses.
    pub(crate) fn brokers(&self) -> String {
        let addresses: Vec<String> =
            self.brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port)).collect();
        addresses.join(",")
    }

    /// Kills a broker, as a loss of power would.
    pub(crate) fn kill(&mut self, id: usize) {
        let broker = &mut self.brokers[id - 1];
        if let Some(mut process) = broker.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        fs::remove_file(self.folder.join(format!("{id}.pid"))).unwrap();
    }

    /// Stops a broker: it holds its connections and answers nothing.
    pub(crate) fn stop(&self, id: usize) {
        self.signal(id, Signal::STOP);
    }

    /// Wakes a broker that was stopped.
    pub(crate) fn wake(&self, id: usize) {
        self.signal(id, Signal::CONT);
    }

    /// Wakes and starts what does not run, and waits until all are members of the cluster.
    pub(crate) fn make_whole(&mut self) {
        self.run_all();
        let client: BaseConsumer = self.config().create().unwrap();
        until("three brokers to be up", START_TIMEOUT, || {
            for broker in &mut self.brokers {
                let ended = broker.process.as_mut().unwrap().try_wait().unwrap();
                let said = self.folder.join(format!("{}.log", broker.id));
                assert_eq!(ended, None, "broker {}: {}", broker.id, fs::read_to_string(said).unwrap());
            }
            let metadata = client.fetch_metadata(None, Duration::from_secs(2)).ok()?;
            let topics = metadata.topics().iter().flat_map(|topic| topic.partitions());
            let is_whole = metadata.brokers().len() == 3
                && topics.into_iter().all(|partition| partition.isr().len() == partition.replicas().len());
            is_whole.then_some(())
        });
    }

    /// Wakes and starts what does not run.
    fn run_all(&mut self) {
        for id in 1..=3 {
            let broker = &mut self.brokers[id - 1];
            if broker.process.as_mut().is_some_and(|process| process.try_wait().unwrap().is_none()) {
                self.signal(id, Signal::CONT);
            } else {
                self.launch(id);
            }
        }
    }

    /// Settings of a client of this cluster.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.brokers());
        // A broker that is gone is no news.
        config.set("log.connection.close", "false").set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        config.set("reconnect.backoff.max.ms", "500");
        config
    }

    fn launch(&mut self, id: usize) {
        let settings = self.folder.join(format!("{id}.properties"));
        let process = self.java(id, "kafka.Kafka").arg(settings).spawn().unwrap();
        fs::write(self.folder.join(format!("{id}.pid")), process.id().to_string()).unwrap();
        self.brokers[id - 1].process = Some(process);
    }

    /// A class of Kafka's, which writes into a broker's log file.
    fn java(&self, id: usize, class: &str) -> Command {
        java(&self.jars, &self.folder, id, class)
    }

    fn signal(&self, id: usize, signal: Signal) {
        let process = self.brokers[id - 1].process.as_ref().expect("it runs");
        let pid = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// Kafka's jars. `None` if they, or java, are missing: the test is skipped.
pub(crate) fn jars() -> Option<PathBuf> {
    let tools = std::env::var_os("FOREBAY_TEST_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools"), PathBuf::from);
    let jars = tools.join("kafka");
    if !jars.join(JAR).exists() {
        skipped("Kafka's jars are missing (`tests/set-up kafka` fetches them)");
        return None;
    }
    if Command::new("java").arg("-version").stderr(Stdio::null()).status().is_err() {
        skipped("java is missing (install Java 17 with the system's packages)");
        return None;
    }
    Some(jars)
}

/// A new folder for brokers, and what kills them and removes the folder once its input ends.
pub(crate) fn folder() -> (PathBuf, Child) {
    let folder = tempfile::Builder::new().prefix("forebay-kafka-").tempdir().unwrap().keep();
    let keeper = Command::new("sh")
        .arg("-c")
        .arg("cat >/dev/null; kill -9 $(cat \"$0\"/*.pid); sleep 1; rm -rf \"$0\"")
        .arg(&folder)
        // What ends the run may signal its whole group.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (folder, keeper)
}

/// Ports that are free now. Brokers cannot choose ports themselves: until they start, another program might take
/// these.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let free: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    free.iter().map(|one| one.local_addr().unwrap().port()).collect()
}

/// A class of Kafka's, which writes into the log file of broker `id`.
pub(crate) fn java(jars: &Path, folder: &Path, id: usize, class: &str) -> Command {
    let log = File::options().create(true).append(true).open(folder.join(format!("{id}.log")));
    let log = log.unwrap();
    let mut command = Command::new("java");
    command
        .args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-cp")
        .arg(jars.join("*"))
        .arg(class)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}
