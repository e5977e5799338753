//! The S3 server inside the process, for `forebay dev` and for tests: the S3 protocol of `s3s` over our own
//! backend.
//!
//! On disk, below the data directory:
//!
//! ```text
//! lock                     held while a server uses the directory
//! buckets/<name>.json      one for each bucket
//! objects/<digest>.json    one for each object: bucket, key, headers, metadata, and the name of its body
//! uploads/<id>.json        one for each multipart upload: headers and parts
//! bodies/<id>              bytes of an object or a part, never changed once it is here
//! tmp/<id>                 bytes that are being received; removed at start
//! ```
//!
//! No file is named by a key: keys are up to 1,024 arbitrary bytes, and `x` and `x/y` may both exist.
//! `<digest>` is the SHA-256 of bucket and key. Before a put is answered with 200, the server syncs the body,
//! then its name in `bodies`, then the object's file, then its name in `objects`. Replacing an object renames
//! one small file that names another body, so after a crash either the old or the new object exists, and at
//! worst a body without an object, which the next start removes.
//!
//! The index in memory is rebuilt at start. A listing is a range of it and does not read the disk. The store
//! is meant for development on one machine: one key pair, one region, no versions, policies or tags. Nothing
//! is encrypted; encryption headers are checked, kept and answered as S3 would.
//!
//! The protocol layer logs requests with their headers at debug level, and every refused request as an error,
//! under the target `s3s`: exclude that target from logs. `refusals` logs them once a minute.

mod beside;
mod disk;
mod listing;
mod meta;
mod multipart;
mod objects;
mod receive;
mod refusals;
mod server;
mod service;
mod settings;
mod sums;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};

pub use self::beside::Beside;
use self::beside::{BesideRoute, NoObjects};
use self::server::Bounds;
pub use self::server::DevS3Running;
use self::service::Service;
pub use self::settings::{
    ACCESS_KEY_ID, BUCKET, CONNECTIONS_MAX, DevS3Error, DevS3Settings, KeyPair, REGION, SECRET_ACCESS_KEY,
};
use self::vault::Vault;

/// How long a connection of a server without objects takes new requests, and how long its last one may still
/// take: each request is small.
const LIFETIME: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30));

/// The server; start it with [`DevS3::start`].
#[derive(Debug)]
pub struct DevS3;

impl DevS3 {
    /// Reads the disk, creates the bucket [`BUCKET`] if missing, and serves on `listener`.
    /// Errors: the directory is in use, cannot be read or written, or contains a damaged file.
    pub async fn start(
        listener: std::net::TcpListener,
        settings: DevS3Settings,
    ) -> Result<DevS3Running, DevS3Error> {
        Self::start_with(listener, settings, None).await
    }

    /// The same; requests that are for `beside` are answered by it.
    /// Errors: as [`DevS3::start`].
    pub async fn start_with(
        listener: std::net::TcpListener,
        settings: DevS3Settings,
        beside: Option<Arc<dyn Beside>>,
    ) -> Result<DevS3Running, DevS3Error> {
        let bounds = Bounds { connections: settings.connections, lifetime: None };
        let vault =
            tokio::task::spawn_blocking(move || Vault::open(settings)).await.map_err(DevS3Error::Task)??;
        let mut builder = S3ServiceBuilder::new(Service::new(Arc::new(vault)));
        builder.set_auth(OneUser(KeyPair::of_dev()));
        if let Some(beside) = beside {
            builder.set_route(BesideRoute(beside));
        }
        DevS3Running::start(listener, builder.build(), bounds)
    }

    /// Serves `beside` alone to the owner of `keys`. S3 requests are refused by name. A connection ends after a
    /// minute and a half at the latest, whatever its client does.
    /// Errors: the listener is unusable.
    pub fn start_without_objects(
        listener: std::net::TcpListener,
        keys: KeyPair,
        beside: Arc<dyn Beside>,
        connections: usize,
    ) -> Result<DevS3Running, DevS3Error> {
        let mut builder = S3ServiceBuilder::new(NoObjects);
        builder.set_auth(OneUser(keys));
        builder.set_access(NoObjects);
        builder.set_route(BesideRoute(beside));
        DevS3Running::start(listener, builder.build(), Bounds { connections, lifetime: Some(LIFETIME) })
    }
}

/// The one user, whose requests must be signed.
struct OneUser(KeyPair);

#[async_trait::async_trait]
impl S3Auth for OneUser {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.0.id {
            return Ok(SecretKey::from(self.0.secret.as_str()));
        }
        if self.0.id == ACCESS_KEY_ID {
            return Err(s3_error!(InvalidAccessKeyId, "the access key id of this server is {ACCESS_KEY_ID}"));
        }
        Err(s3_error!(InvalidAccessKeyId, "this server does not know the access key id"))
    }
}
