//! MinIO with a key service of its own: a store that really encrypts and that evaluates the conditions of
//! policies.
//!
//! It applies bucket policies only to unsigned callers. Signed callers are restricted by the policies of
//! their user, with the same conditions, so the tests put the statements of a bucket policy there.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aws_sdk_s3::Client;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::bucket::Bucket;
use super::recorder::Recorder;
use super::{tools, wait};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const ROOT: &str = "minio-root";
const ROOT_SECRET: &str = "minio-root-secret";

/// A running MinIO. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Minio {
    _child: Child,
    folder: TempDir,
    client: PathBuf,
    /// The URL for the tests' own clients.
    url: String,
    /// The proxy in front of it, for the program. Over TLS nothing can be recorded.
    recorder: Option<Recorder>,
}

/// A user with policies of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) id: &'static str,
    pub(crate) secret: &'static str,
}

impl User {
    /// The user of the program.
    pub(crate) const COLLECTOR: Self = Self { id: "collector", secret: "collector-secret" };

    /// The environment variables that give the program these credentials.
    pub(crate) fn credentials(self) -> [(&'static str, &'static str); 2] {
        [("AWS_ACCESS_KEY_ID", self.id), ("AWS_SECRET_ACCESS_KEY", self.secret)]
    }
}

impl Minio {
    /// The only key of its key service.
    pub(crate) const KEY: &str = "events-key";

    /// Starts MinIO on a free port; `None` if it was not built.
    pub(crate) async fn start() -> Option<Self> {
        Self::launch(None).await
    }

    /// Starts MinIO with TLS as `localhost`, with the certificate and key of these PEM texts.
    pub(crate) async fn start_with_tls(certificate: &str, key: &str) -> Option<Self> {
        Self::launch(Some((certificate, key))).await
    }

    async fn launch(tls: Option<(&str, &str)>) -> Option<Self> {
        let program = tools::extra("minio/minio", "tests/minio/install")?;
        let client = tools::extra("minio/mc", "tests/minio/install")?;
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = folder.path().join("certificates");
        fs::create_dir(&certificates).expect("a folder for certificates");
        if let Some((certificate, key)) = tls {
            fs::write(certificates.join("public.crt"), certificate).expect("a certificate");
            fs::write(certificates.join("private.key"), key).expect("a key");
        }
        // MinIO cannot choose a port itself: until it starts, another program might take this one.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr());
        let address = free.expect("a free port");
        let key = format!("{}:{}", Self::KEY, STANDARD.encode([7; 32]));
        let mut child = Command::new(program)
            .args(["server", "--quiet", "--address", &address.to_string(), "--certs-dir"])
            .arg(&certificates)
            .arg(folder.path().join("data"))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("MINIO_ROOT_USER", ROOT)
            .env("MINIO_ROOT_PASSWORD", ROOT_SECRET)
            .env("MINIO_KMS_SECRET_KEY", key)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("MinIO");
        wait::until("MinIO to accept", START_TIMEOUT, async || {
            let ended = child.try_wait().expect("its status");
            assert_eq!(ended, None, "MinIO ended");
            TcpStream::connect(address).await.ok().map(drop)
        })
        .await;
        let (url, recorder) = match tls {
            Some(_) => (format!("https://localhost:{}", address.port()), None),
            None => (format!("http://{address}"), Some(Recorder::start(address).await)),
        };
        let minio = Self { _child: child, folder, client, url, recorder };
        // It accepts connections a moment before it is ready.
        wait::until("MinIO to answer", START_TIMEOUT, async || {
            minio.try_admin(&["info", "m"]).await.ok().map(drop)
        })
        .await;
        Some(minio)
    }

    /// The URL for the program.
    pub(crate) fn url(&self) -> String {
        self.recorder.as_ref().map_or_else(|| self.url.clone(), Recorder::url)
    }

    /// Makes a new bucket, with its owner's access.
    pub(crate) async fn make_bucket(&self, name: &str) -> Bucket {
        let made = self.mc(&["mb", &format!("m/{name}")]).await;
        made.unwrap_or_else(|said| panic!("make {name}: {said}"));
        Bucket::new(&self.url, name, ROOT, ROOT_SECRET)
    }

    /// A client without restrictions.
    pub(crate) fn root(&self) -> Client {
        Bucket::new(&self.url, "", ROOT, ROOT_SECRET).client
    }

    /// Adds a user that policies restrict; it has none yet.
    pub(crate) async fn add_user(&self, user: User) {
        self.admin(&["user", "add", "m", user.id, user.secret]).await;
    }

    /// From now on, exactly these statements apply to a user.
    pub(crate) async fn bind(&self, user: User, statements: &[Value]) {
        let file = self.folder.path().join("policy.json");
        let policy = json!({ "Version": "2012-10-17", "Statement": statements });
        fs::write(&file, policy.to_string()).expect("a policy");
        let name = format!("of-{}", user.id);
        self.admin(&["policy", "create", "m", &name, &file.display().to_string()]).await;
        let listed = self.admin(&["user", "info", "m", user.id]).await;
        if !listed.contains(&name) {
            self.admin(&["policy", "attach", "m", &name, "--user", user.id]).await;
        }
    }

    /// All bytes that it keeps for a bucket, file after file.
    pub(crate) fn bytes_on_disk(&self, bucket: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        read_below(&self.folder.path().join("data").join(bucket), &mut bytes);
        bytes
    }

    async fn admin(&self, arguments: &[&str]) -> String {
        self.try_admin(arguments).await.unwrap_or_else(|said| panic!("mc admin {arguments:?}: {said}"))
    }

    async fn try_admin(&self, arguments: &[&str]) -> Result<String, String> {
        self.mc(&[&["admin"], arguments].concat()).await
    }

    async fn mc(&self, arguments: &[&str]) -> Result<String, String> {
        let (scheme, place) = self.url.split_once("://").expect("a URL");
        let mut command = std::process::Command::new(&self.client);
        command.arg("--config-dir").arg(self.folder.path().join("mc")).args(["--insecure", "--json"]);
        command.args(arguments).env("HOME", self.folder.path());
        command.env("MC_HOST_m", format!("{scheme}://{ROOT}:{ROOT_SECRET}@{place}"));
        let output = tools::run(command).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    }
}

fn read_below(folder: &Path, into: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).expect("a folder of the store") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read_below(&path, into);
        } else {
            into.extend(fs::read(&path).expect("a file of the store"));
        }
    }
}
