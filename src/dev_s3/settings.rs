//! The settings of the S3 server of dev mode, and its fixed names.

use std::path::PathBuf;
use std::sync::Arc;

use crate::random::Random;
use crate::time::Clock;

/// The bucket that always exists after a start.
pub const BUCKET: &str = "forebay";
/// The region of every bucket.
pub const REGION: &str = "us-east-1";
/// The access key id of the one user.
pub const ACCESS_KEY_ID: &str = "forebay";
/// The secret access key of the one user. It protects nothing: the server is only for loopback.
pub const SECRET_ACCESS_KEY: &str = "forebay-secret";
/// The most connections at once, if there are enough file handles. At the limit, new connections wait to be
/// accepted.
pub const CONNECTIONS_MAX: usize = 512;

/// The server's data directory, clock and random source.
#[derive(Debug)]
pub struct DevS3Settings {
    /// The data directory, which is created if it is missing.
    pub data_dir: PathBuf,
    /// The clock for `LastModified`.
    pub clock: Arc<dyn Clock>,
    /// The random numbers for body names and upload ids.
    pub random: Arc<dyn Random>,
    /// The most connections at once: [`CONNECTIONS_MAX`], or as many as there are file handles for.
    pub connections: usize,
}
