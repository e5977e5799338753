//! The program under test: the release binary, started like by a user, and its bucket.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::CertifiedKey;

use crate::load::Target;
use crate::process::Process;

/// The bucket of dev mode.
pub(crate) const BUCKET: &str = "forebay";
/// Its credentials.
pub(crate) const ACCESS_KEY_ID: &str = "forebay";
/// Its credentials.
pub(crate) const SECRET_ACCESS_KEY: &str = "forebay-secret";
/// The name in the certificate.
const HOST: &str = "localhost";
/// Enough for the longest measured outage, so that a lack of space never triggers anything.
pub(crate) const SPOOL_MAX: &str = "32 GB";

/// How a node is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup<'s> {
    /// The build of the program.
    pub(crate) program: &'s Path,
    /// The directory for everything except the spool.
    pub(crate) dir: &'s Path,
    /// The directory for the spool.
    pub(crate) spool: &'s Path,
    /// The cores of the collector.
    pub(crate) cores: &'s [usize],
    /// The cores of the S3 server.
    pub(crate) s3_cores: &'s [usize],
    /// The number of sources.
    pub(crate) sources: usize,
    /// Whether calls come over TLS.
    pub(crate) tls: bool,
    /// Bytes at which objects are cut.
    pub(crate) flush_bytes: u64,
    /// `spool.max_bytes`.
    pub(crate) spool_max: &'s str,
}

impl Setup<'_> {
    /// A write key for each source.
    pub(crate) fn write_keys(&self) -> Vec<String> {
        (0..self.sources).map(|number| format!("bench-{number}")).collect()
    }
}

/// A collector by `forebay serve` and, in a separate process, the S3 server of `forebay dev`.
#[derive(Debug)]
pub(crate) struct Node {
    /// The collector's process.
    pub(crate) collector: Process,
    /// The data directory of the S3 server.
    pub(crate) s3_dir: PathBuf,
    public: SocketAddr,
    ca: Option<PathBuf>,
    /// The address of the admin listener.
    pub(crate) admin: SocketAddr,
    program: PathBuf,
    s3_cores: Vec<usize>,
    s3: SocketAddr,
    s3_server: Option<Process>,
}

impl Node {
    /// Starts both processes.
    pub(crate) fn start(setup: &Setup<'_>) -> Self {
        Self::start_with(setup, "")
    }

    /// The same with more sections in the configuration.
    pub(crate) fn start_with(setup: &Setup<'_>, more: &str) -> Self {
        let Setup { program, dir, .. } = *setup;
        let s3_dir = dir.join("dev");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut s3_server = s3_server(program, &s3_dir, setup.s3_cores, any);
        let s3 = s3_server.address("s3");
        let tls = setup.tls.then(|| (free_address(), certificate(dir)));
        let file = dir.join("forebay.toml");
        let text = configuration(setup, s3, tls.as_ref()) + more;
        std::fs::write(&file, text).expect("a configuration");
        let mut serve = Command::new(program);
        serve.args(["--log", "warn", "serve", "--config"]).arg(&file);
        serve.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        let mut collector = Process::start(setup.cores, &mut serve);
        let plain = collector.address("collector");
        let admin = collector.address("console");
        let (public, ca) = tls.map_or((plain, None), |(address, ca)| (address, Some(ca)));
        Self {
            collector,
            s3_dir,
            public,
            ca,
            admin,
            program: program.to_owned(),
            s3_cores: setup.s3_cores.to_vec(),
            s3,
            s3_server: Some(s3_server),
        }
    }

    /// The target for calls.
    pub(crate) fn target(&self, path: &str) -> Target {
        match &self.ca {
            None => Target::plain(self.public, path),
            Some(ca) => Target::tls(self.public, path, HOST, ca).expect("a valid certificate"),
        }
    }

    /// Ends the S3 server, so that nothing can be delivered.
    pub(crate) fn cut_store_off(&mut self) {
        self.s3_server = None;
    }

    /// Starts the S3 server again, with its previous content.
    pub(crate) fn bring_store_back(&mut self) {
        let mut back = s3_server(&self.program, &self.s3_dir, &self.s3_cores, self.s3);
        assert_eq!(back.address("s3"), self.s3, "the address must not change");
        self.s3_server = Some(back);
    }

    /// Waits until everything acknowledged is in the bucket.
    pub(crate) fn flush(&self) {
        let mut flush = Command::new(&self.program);
        flush.args(["flush", "--admin", &format!("http://{}", self.admin)]).stdout(Stdio::null());
        // One flush waits for some time, and fails if something is still pending.
        let delivered = (0..10).any(|_| flush.status().expect("`forebay flush` runs").success());
        assert!(delivered, "acknowledged calls were not delivered");
    }

    /// The sum of a counter or gauge over all labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = get(self.admin, "/metrics").expect("its metrics");
        text.lines()
            .filter_map(|line| line.strip_prefix(name))
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }
}

/// Starts an S3 server, which prints its address as `s3`.
pub(crate) fn s3_server(program: &Path, dir: &Path, cores: &[usize], address: SocketAddr) -> Process {
    // It shares its core with the load generator, and would disturb the measurement there.
    let mut dev = Command::new("chrt");
    dev.args(["--idle", "0"]).arg(program);
    // Errors only: it would warn about the spool of its idle collector, which is in memory too.
    dev.args(["--log", "error", "dev", "--data-dir"]).arg(dir);
    dev.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--s3-listen"]);
    Process::start(cores, dev.arg(address.to_string()))
}

/// An address for the TLS listener, which the program does not print.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// Makes a key (ECDSA on P-256, as is common) and a self-signed certificate. Returns the certificate's file.
fn certificate(dir: &Path) -> PathBuf {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
    let file = dir.join("tls.crt");
    std::fs::write(&file, cert.pem()).expect("space for a certificate");
    std::fs::write(dir.join("tls.key"), signing_key.serialize_pem()).expect("space for a key");
    file
}

fn configuration(setup: &Setup<'_>, s3: SocketAddr, tls: Option<&(SocketAddr, PathBuf)>) -> String {
    let tls = tls.map_or_else(String::new, |(address, certificate)| {
        format!(
            "tls_listen = \"{address}\"\ntls_cert = \"{}\"\ntls_key = \"{}\"\n",
            certificate.display(),
            certificate.with_extension("key").display()
        )
    });
    let mut text = format!(
        r#"[collector]
listen = "127.0.0.1:0"
max_body = "2 MiB"
{tls}[admin]
listen = "127.0.0.1:0"
[spool]
dir = "{}"
max_bytes = "{}"
unsafe_filesystem = true
[s3]
bucket = "{BUCKET}"
region = "us-east-1"
endpoint_url = "http://{s3}"
path_style = true
[flush]
max_bytes = "{} B"
max_age = "1 h"
"#,
        setup.spool.display(),
        setup.spool_max,
        setup.flush_bytes,
    );
    for key in setup.write_keys() {
        text.push_str(&format!("[[source]]\nid = \"{key}\"\nwrite_keys = [\"{key}\"]\n"));
    }
    text
}

/// What an admin listener answers.
///
/// # Errors
/// If it cannot be reached.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
