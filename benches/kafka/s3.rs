//! A bucket for all logs: the S3 server of `forebay dev`, in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::node::s3_server;
use crate::process::Process;

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct S3 {
    pub(crate) address: SocketAddr,
    /// Its data directory.
    pub(crate) dir: PathBuf,
    _process: Process,
}

impl S3 {
    /// Starts one with an empty bucket.
    pub(crate) fn start(program: &Path, dir: &Path, cores: &[usize]) -> Self {
        let dir = dir.join("dev");
        let mut process = s3_server(program, &dir, cores, SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { address: process.address("s3"), dir, _process: process }
    }
}
