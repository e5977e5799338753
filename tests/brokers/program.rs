//! The program itself, run as users run it: `forebay serve` with `[kafka]`, as a collector or as a writer.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use forebay::dev_s3::{ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY};
use rustix::process::Signal;

use crate::partition::Partition;
use crate::process::{TIME_OUT, signal_to};
use crate::support::{CALL, program, until};

/// The configuration file.
const FILE: &str = "forebay.toml";

/// A process. Dropped, it is killed.
pub(crate) struct Program {
    process: Child,
    /// Where a collector takes calls.
    at: Option<SocketAddr>,
    admin: SocketAddr,
    folder: tempfile::TempDir,
}

/// `[kafka]` of a process with this role, up to its own lines.
fn of_kafka(partition: &Partition, role: &str) -> String {
    let settings = &partition.settings;
    let brokers: Vec<String> = settings.brokers.split(',').map(|one| format!("{one:?}")).collect();
    format!("[kafka]\nrole = \"{role}\"\nbrokers = [{}]\nname = \"{}\"\n", brokers.join(", "), settings.name)
}

/// A program with the configuration in a folder.
fn command(program: &OsStr, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["serve", "--config", FILE])
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

impl Program {
    /// Starts a collector, with these lines of `[kafka]` besides, and waits until it is ready.
    pub(crate) fn start(partition: &Partition, more: &str) -> Self {
        // It has neither a bucket nor an address of S3.
        let text = format!(
            "[collector]\nlisten = \"127.0.0.1:0\"\nreceipts = true\ndrain_delay = \"1s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             {}{more}\n[[source]]\nid = \"web\"\nwrite_keys = [\"web\"]\nspread = 2\n[[source]]\nid = \"ios\"\nwrite_keys = [\"ios\"]\n",
            of_kafka(partition, "collector"),
        );
        Self::run(&program(), &text, true)
    }

    /// Starts a writer whose objects go to the S3 at this URL a second after they began, with these sources, and
    /// waits until it is ready.
    pub(crate) fn writer(partition: &Partition, s3: &str, sources: &str) -> Self {
        Self::writer_due(partition, s3, sources, "max_age = \"1s\"")
    }

    /// The same with these lines of `[flush]`.
    pub(crate) fn writer_due(partition: &Partition, s3: &str, sources: &str, flush: &str) -> Self {
        Self::writer_with(partition, s3, sources, flush, 500_000_000)
    }

    /// The same with a cache of so many bytes.
    pub(crate) fn writer_with(
        partition: &Partition,
        s3: &str,
        sources: &str,
        flush: &str,
        cache_bytes: u64,
    ) -> Self {
        Self::writer_set(
            &program(),
            partition,
            s3,
            sources,
            flush,
            &format!("cache_bytes = \"{cache_bytes} B\"\n"),
        )
    }

    /// The same, a member whose session ends within [`TIME_OUT`].
    pub(crate) fn impatient_writer(partition: &Partition, s3: &str, sources: &str, flush: &str) -> Self {
        Self::impatient_writer_of(&program(), partition, s3, sources, flush)
    }

    /// The same of another build.
    pub(crate) fn impatient_writer_of(
        program: &OsStr,
        partition: &Partition,
        s3: &str,
        sources: &str,
        flush: &str,
    ) -> Self {
        let session = TIME_OUT.as_millis();
        let more = format!(
            "extra = {{ \"session.timeout.ms\" = \"{session}\", \"heartbeat.interval.ms\" = \"1000\" }}\n"
        );
        Self::writer_set(program, partition, s3, sources, flush, &more)
    }

    /// The same with these lines of `[kafka]`.
    fn writer_set(
        program: &OsStr,
        partition: &Partition,
        s3: &str,
        sources: &str,
        flush: &str,
        more: &str,
    ) -> Self {
        let text = format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n{}cache_dir = \"cache\"\n{more}\
             [flush]\n{flush}\n[s3]\nbucket = \"{BUCKET}\"\nendpoint_url = \"{s3}\"\nregion = \"us-east-1\"\n{sources}",
            of_kafka(partition, "writer"),
        );
        Self::run(program, &text, false)
    }

    /// Starts dev mode with a log at these brokers and its data in a folder, and waits until it is ready.
    pub(crate) fn dev(brokers: &str, data: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program());
        let any = "127.0.0.1:0";
        command
            .args(["dev", "--kafka", brokers, "--listen", any, "--admin-listen", any, "--s3-listen", any])
            .args(["--flush-age", "1 s", "--receipts", "--data-dir"])
            .arg(data)
            .stdin(Stdio::null());
        Self::spawn(command, folder, true)
    }

    fn run(program: &OsStr, text: &str, is_collector: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        Self::spawn(command(program, folder.path()), folder, is_collector)
    }

    fn spawn(mut command: Command, folder: tempfile::TempDir, is_collector: bool) -> Self {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut address = |name: &str| -> SocketAddr {
            let line = said.next().map(|line| line.unwrap()).unwrap_or_default();
            let address = line.strip_prefix(name).unwrap_or_else(|| {
                panic!("{line}: {}", fs::read_to_string(folder.path().join("log")).unwrap())
            });
            address.trim_start_matches(" http://").trim_end_matches('/').parse().unwrap()
        };
        let at = is_collector.then(|| address("collector"));
        let admin = address("console");
        let program = Self { process, at, admin, folder };
        // A broker that is stopped keeps its connections, and the program may ask it first.
        until("the program to be ready", CALL * 3, || {
            program.get("/ready").starts_with("HTTP/1.1 200").then_some(())
        });
        program
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it takes calls.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at.unwrap()
    }

    /// What one more process with the same configuration in the same folder says before it ends.
    pub(crate) fn refuses_another(&self) -> String {
        let ended = command(&program(), self.folder.path()).output().unwrap();
        assert!(!ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stderr).unwrap()
    }

    /// Changes its configuration, and tells it to read it.
    pub(crate) fn reload(&self, change: impl FnOnce(String) -> String) {
        let file = self.folder.path().join(FILE);
        let text = change(fs::read_to_string(&file).unwrap());
        fs::write(&file, text).unwrap();
        self.signal(Signal::HUP);
    }

    /// Where its admin listener is.
    pub(crate) fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// What its admin listener answers.
    pub(crate) fn get(&self, path: &str) -> String {
        self.request("GET", path)
    }

    /// The same for a request with another method.
    pub(crate) fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The JSON that its admin listener answers.
    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The value of a metric, with its labels.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics");
        let value =
            metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        value.map(|value| value.parse().unwrap())
    }

    /// Its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Whether it runs or is stopped: it has not ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Sends it a signal: stops it for longer than any time-out, or wakes it.
    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(&self.process, signal);
    }

    /// Kills it, as a loss of power would.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it as an operator does. Returns its log.
    pub(crate) fn end(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.process.wait().unwrap();
        let log = self.log();
        assert!(status.success(), "{status}: {log}");
        // A collector uses no disk beside its own file.
        let names = fs::read_dir(self.folder.path()).unwrap().map(|one| one.unwrap().file_name());
        let is_known = |name: &std::ffi::OsString| {
            name == "log" || name == FILE || (self.at.is_none() && name == "cache")
        };
        assert!(names.into_iter().all(|name| is_known(&name)));
        log
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("{} has the log of a process of this test", self.folder.path().display());
        }
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.process.kill().unwrap_or(());
            self.process.wait().map(drop).unwrap_or(());
        }
    }
}
