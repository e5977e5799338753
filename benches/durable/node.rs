//! The program under test, pinned to a core: the release binary, started as a user starts it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The bucket of dev mode, and its credentials.
const BUCKET: &str = "forebay";
const ACCESS_KEY_ID: &str = "forebay";
const SECRET_ACCESS_KEY: &str = "forebay-secret";
/// How long the kernel counts a process's time in.
const TICKS_PER_SECOND: u64 = 100;

/// Runs `body` on one core; what it starts (threads, processes) stays there, what runs afterwards does not.
pub(crate) fn on_core<T>(core: usize, body: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("this thread's cores");
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).expect("to be pinned to a core: the bench needs two");
    let done = body();
    sched_setaffinity(None, &before).expect("this thread's cores again");
    done
}

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `command` on a core.
    pub(crate) fn start(core: usize, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = on_core(core, || command.spawn()).expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("its standard output"));
        Self { child, out }
    }

    /// The address that it prints under `name`.
    pub(crate) fn address(&mut self, name: &str) -> SocketAddr {
        let mut line = String::new();
        while self.out.read_line(&mut line).expect("its standard output") > 0 {
            if let Some((said, address)) = line.trim_end().split_once(" http://")
                && said == name
            {
                return address.parse().expect("an address");
            }
            line.clear();
        }
        panic!("it ended before it said where its {name} is");
    }

    /// CPU time that it has used, user and system, all threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("its statistics");
        // The name may hold spaces; the fields behind it do not. User and system time are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    /// The most memory that it has had, in bytes.
    pub(crate) fn peak_rss(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1_024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::KILL)
        {
            eprintln!("it has ended already: {error}");
        }
        if let Err(error) = self.child.wait() {
            eprintln!("it could not be waited for: {error}");
        }
    }
}

/// A collector by `forebay serve` and, in a process of its own, the S3 server of `forebay dev`.
#[derive(Debug)]
pub(crate) struct Node {
    /// The collector's process.
    pub(crate) collector: Process,
    /// Where calls are taken.
    pub(crate) public: SocketAddr,
    /// Where it is asked.
    pub(crate) admin: SocketAddr,
    /// The data directory of the S3 server.
    pub(crate) s3_dir: PathBuf,
    program: PathBuf,
    _s3_server: Process,
}

impl Node {
    /// Starts both in `dir`, each on its core. Objects are cut at `flush_bytes`.
    pub(crate) fn start(
        program: &Path,
        dir: &Path,
        cores: (usize, usize),
        write_keys: &[String],
        flush_bytes: u64,
    ) -> Self {
        let (core, s3_core) = cores;
        let s3_dir = dir.join("dev");
        let mut dev = Command::new(program);
        dev.args(["--log", "warn", "dev", "--data-dir"]).arg(&s3_dir);
        dev.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0"]);
        let mut s3_server = Process::start(s3_core, &mut dev);
        let s3 = s3_server.address("s3");
        let file = dir.join("forebay.toml");
        std::fs::write(&file, configuration(dir, s3, write_keys, flush_bytes)).expect("a configuration");
        let mut serve = Command::new(program);
        serve.args(["--log", "warn", "serve", "--config"]).arg(&file);
        serve.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        let mut collector = Process::start(core, &mut serve);
        let public = collector.address("collector");
        let admin = collector.address("console");
        Self { collector, public, admin, s3_dir, program: program.to_owned(), _s3_server: s3_server }
    }

    /// Waits until everything that was acknowledged is in the bucket.
    pub(crate) fn flush(&self) {
        let mut flush = Command::new(&self.program);
        flush.args(["flush", "--admin", &format!("http://{}", self.admin)]).stdout(Stdio::null());
        // It waits some time by itself, and fails where something is still left then.
        let delivered = (0..10).any(|_| flush.status().expect("`forebay flush` runs").success());
        assert!(delivered, "what was acknowledged was not delivered");
    }

    /// A counter or gauge of its metrics, all labels together.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = get(self.admin, "/metrics").expect("its metrics");
        text.lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

fn configuration(dir: &Path, s3: SocketAddr, write_keys: &[String], flush_bytes: u64) -> String {
    let mut text = format!(
        r#"[collector]
listen = "127.0.0.1:0"
max_body = "2 MiB"
[admin]
listen = "127.0.0.1:0"
[spool]
dir = "{}"
max_bytes = "16 GB"
unsafe_filesystem = true
[s3]
bucket = "{BUCKET}"
region = "us-east-1"
endpoint_url = "http://{s3}"
path_style = true
[flush]
max_bytes = "{flush_bytes} B"
max_age = "1 h"
"#,
        dir.join("spool").display(),
    );
    for key in write_keys {
        text.push_str(&format!("[[source]]\nid = \"{key}\"\nwrite_keys = [\"{key}\"]\n"));
    }
    text
}

fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
