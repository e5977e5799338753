//! A log with its topics, and the processes in front of it and behind it, started like by a user.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use forebay::kafka::settings::Settings;
use rdkafka::ClientConfig;
use serde_json::Value;

use crate::Bench;
use crate::load::Target;
use crate::load::bodies::Form;
use crate::node::{self, ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY};
use crate::process::Process;
use crate::support::until;

/// How long anything may take that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// A log over Kafka.
#[derive(Debug)]
pub(crate) struct Log {
    program: PathBuf,
    name: String,
    brokers: String,
    pub(crate) partitions: usize,
    dir: tempfile::TempDir,
}

/// The compression of blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blocks {
    /// As the program does by default.
    Lz4,
    /// Not compressed.
    Plain,
}

/// When a writer makes objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flush<'f> {
    pub(crate) max_bytes: &'f str,
    pub(crate) max_age: &'f str,
}

/// Small objects, so that encoding and uploading never pause.
pub(crate) const OFTEN: Flush<'static> = Flush { max_bytes: "2000000 B", max_age: "1 h" };

/// A collector.
#[derive(Debug)]
pub(crate) struct Collector {
    pub(crate) process: Process,
    public: SocketAddr,
}

/// A writer.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) process: Process,
    pub(crate) admin: SocketAddr,
    program: PathBuf,
}

impl Log {
    /// Makes the topics, as `forebay kafka create` does.
    pub(crate) fn make(bench: &Bench<'_>, name: &str, partitions: usize) -> Self {
        let log = Self {
            program: bench.program().to_owned(),
            name: name.to_owned(),
            brokers: bench.cluster.brokers(),
            partitions,
            dir: crate::directory(&bench.args.dir),
        };
        let file = log.file("create.toml", &(log.section("collector", "") + &sources(&["bench".to_owned()])));
        let mut create = Command::new(&log.program);
        create.args(["kafka", "create", "--partitions", &partitions.to_string(), "--config"]).arg(file);
        let created = create.output().expect("`forebay kafka create` runs");
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
        log
    }

    /// The settings of the producer of its collectors.
    pub(crate) fn producer_settings(&self) -> ClientConfig {
        let settings = Settings {
            brokers: self.brokers.clone(),
            name: self.name.clone(),
            group: format!("{}-writers", self.name),
            topic: self.topic(),
            notes_topic: format!("{}-notes", self.name),
            transaction_timeout: Duration::from_secs(30),
            more: Vec::new(),
        };
        settings.of_producer()
    }

    /// The topic of its calls.
    pub(crate) fn topic(&self) -> String {
        format!("{}-calls", self.name)
    }

    fn section(&self, role: &str, more: &str) -> String {
        let brokers: Vec<String> = self.brokers.split(',').map(|one| format!("{one:?}")).collect();
        format!(
            "[kafka]\nrole = \"{role}\"\nbrokers = [{}]\nname = \"{}\"\n{more}",
            brokers.join(", "),
            self.name
        )
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.path().join(name);
        std::fs::write(&file, text).expect("a configuration");
        file
    }

    fn serve(&self, file: &Path) -> Process {
        let mut serve = Command::new(&self.program);
        serve.args(["--log", "warn", "serve", "--config"]).arg(file);
        serve.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        Process::start(crate::CORE, &mut serve)
    }

    /// Starts a collector, and waits until it is ready.
    pub(crate) fn collector(&self, blocks: Blocks, names: &[String]) -> Collector {
        let more = match blocks {
            Blocks::Lz4 => "",
            Blocks::Plain => "extra = { \"compression.type\" = \"none\" }\n",
        };
        let text = format!(
            "[collector]\nlisten = \"127.0.0.1:0\"\nmax_body = \"2 MiB\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{}{}",
            self.section("collector", more),
            sources(names),
        );
        let mut process = self.serve(&self.file("collector.toml", &text));
        let (public, admin) = (process.address("collector"), process.address("console"));
        let ready = || node::get(admin, "/ready").ok()?.starts_with("HTTP/1.1 200").then_some(());
        until("the collector to be ready", LIMIT, ready);
        Collector { process, public }
    }

    /// Starts a writer whose objects go to this S3 server, and waits until it delivers all partitions.
    pub(crate) fn writer(&self, s3: SocketAddr, flush: Flush<'_>, names: &[String]) -> Writer {
        self.writer_with_cache(s3, flush, names, "8 GB")
    }

    /// The same, with a cache of this size.
    pub(crate) fn writer_with_cache(
        &self,
        s3: SocketAddr,
        flush: Flush<'_>,
        names: &[String],
        cache_bytes: &str,
    ) -> Writer {
        let cache = self.dir.path().join("cache");
        // A writer that was killed is a member for as long as a session lasts.
        let more = format!(
            "cache_dir = \"{}\"\ncache_bytes = \"{cache_bytes}\"\nextra = {{ \"session.timeout.ms\" = \"6000\" }}\n",
            cache.display()
        );
        let text = format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n{}[flush]\nmax_bytes = \"{}\"\nmax_age = \"{}\"\n\
             [s3]\nbucket = \"{BUCKET}\"\nregion = \"us-east-1\"\nendpoint_url = \"http://{s3}\"\npath_style = true\n{}",
            self.section("writer", &more),
            flush.max_bytes,
            flush.max_age,
            sources(names),
        );
        let mut process = self.serve(&self.file("writer.toml", &text));
        let admin = process.address("console");
        let writer = Writer { process, admin, program: self.program.clone() };
        until("the writer to deliver all partitions", LIMIT, || {
            let status = writer.status();
            let owned = status["kafka"]["owned"].as_array()?;
            let delivers = owned.iter().filter(|one| one["standing"] == "delivers").count();
            (delivers == self.partitions).then_some(())
        });
        writer
    }
}

fn sources(names: &[String]) -> String {
    let mut text = String::new();
    for name in names {
        writeln!(text, "[[source]]\nid = \"{name}\"\nwrite_keys = [\"{name}\"]").expect("a text grows");
    }
    text
}

impl Collector {
    /// Where calls go to.
    pub(crate) fn target(&self, form: Form) -> Target {
        Target::plain(self.public, form.path())
    }
}

impl Writer {
    /// What it says of itself.
    pub(crate) fn status(&self) -> Value {
        let answer = node::get(self.admin, "/api/status").expect("its status");
        let (_, body) = answer.split_once("\r\n\r\n").expect("an answer");
        serde_json::from_str(body).expect("JSON")
    }

    /// Waits until it has read so many calls since it is the owner's log, and everything is delivered.
    pub(crate) fn delivers(&self, calls: u64) {
        until("the calls to be read", LIMIT, || {
            let totals = &self.status()["ledger"]["totals"];
            let read = totals["stored"].as_u64()? + totals["repeated"].as_u64()?;
            // Its status costs CPU that is measured.
            (read >= calls).then_some(()).or_else(|| {
                std::thread::sleep(Duration::from_millis(400));
                None
            })
        });
        let mut flush = Command::new(&self.program);
        flush.args(["flush", "--admin", &format!("http://{}", self.admin)]);
        flush.stdout(std::process::Stdio::null());
        let delivered = (0..10).any(|_| flush.status().expect("`forebay flush` runs").success());
        assert!(delivered, "acknowledged calls were not delivered");
    }
}

/// A source for each partition, in their order.
pub(crate) fn one_for_each(partitions: u32) -> Vec<String> {
    let partition = |name: &String| {
        let source = forebay::sources::SourceId::new(name).expect("a name");
        forebay::partition::spread::partition(&source, 0, partitions)
    };
    let names = || (0..).map(|number| format!("bench-{number}"));
    let first = |wanted| names().find(|name| partition(name) == wanted).expect("there are many names");
    (0..partitions).map(first).collect()
}
