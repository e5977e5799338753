//! ministack: an AWS emulator that shares no code with Forebay.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::bucket::Bucket;
use super::recorder::Recorder;
use super::tools::in_venv;
use super::wait;

/// It loads its Python modules first.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running ministack that enforces signatures and policies. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Ministack {
    _child: Child,
    _folder: tempfile::TempDir,
    /// The address for the tests' own clients.
    pub(crate) address: SocketAddr,
    /// The proxy in front of it, for the program.
    pub(crate) recorder: Recorder,
}

impl Ministack {
    /// The access key, and also the secret, of the user that no policy restricts.
    pub(crate) const ROOT: &str = "test";

    /// Starts ministack on a free port; `None` if it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        let program = in_venv("ministack")?;
        let folder = tempfile::tempdir().expect("a folder");
        // ministack cannot choose a port itself: until it starts, another program might take this one.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let address = free.expect("a free port");
        let mut child = Command::new(program)
            .current_dir(folder.path())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", address.port().to_string())
            .env("AUTH", "true")
            // On by default, on a fixed port of every address.
            .env("IOT_MTLS_ENABLED", "0")
            // For the functions that it runs, which else would ask AWS.
            .env("AWS_ENDPOINT_URL", format!("http://{address}"))
            // Functions that it runs inherit its environment, and Forebay refuses variables that it does not
            // know.
            .env_remove("FOREBAY_TEST_TOOLS")
            .env_remove("FOREBAY_NO_SKIP")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("ministack");
        wait::until("ministack to accept", START_TIMEOUT, async || {
            let ended = child.try_wait().expect("its status");
            assert_eq!(ended, None, "ministack ended");
            TcpStream::connect(address).await.ok().map(drop)
        })
        .await;
        let recorder = Recorder::start(address).await;
        Some(Self { _child: child, _folder: folder, address, recorder })
    }

    /// The base URL for the tests' own clients.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a new bucket.
    pub(crate) async fn make_bucket(&self, name: &str) -> Bucket {
        let bucket = Bucket::new(&self.url(), name, Self::ROOT, Self::ROOT);
        bucket.client.create_bucket().bucket(name).send().await.expect("a new bucket");
        bucket
    }
}
