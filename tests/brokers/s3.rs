//! The S3 server of dev mode, for programs, and what it has: read from its files, not with its own protocol.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use forebay::dev_s3::{CONNECTIONS_MAX, DevS3, DevS3Running, DevS3Settings};
use forebay::runtime::{SystemClock, SystemRandom};

use crate::delivered::{calls_of, runtime};

/// A running server, and its folder.
pub(crate) struct S3 {
    running: DevS3Running,
    folder: tempfile::TempDir,
}

impl S3 {
    /// Starts one with an empty bucket.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = DevS3Settings {
            data_dir: folder.path().to_owned(),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            connections: CONNECTIONS_MAX,
        };
        let running = runtime().block_on(DevS3::start(listener, settings)).unwrap();
        Self { running, folder }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        self.running.url()
    }

    /// The calls of each object, by key.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<String>> {
        objects_in(self.folder.path())
    }

    /// The calls of all objects, sorted.
    pub(crate) fn calls(&self) -> Vec<String> {
        sorted(self.objects())
    }
}

/// The calls of each object of a server with this folder, by key.
fn objects_in(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let of = |file: &Path| {
        // A file that is replaced or removed meanwhile is no object.
        let object: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let key = object["key"].as_str()?.to_owned();
        let body = fs::read(folder.join("bodies").join(object["body"].as_str()?)).ok()?;
        key.ends_with(".gz").then(|| (key, calls_of(&body)))
    };
    let files = fs::read_dir(folder.join("objects")).unwrap();
    files.filter_map(|file| of(&file.unwrap().path())).collect()
}

fn sorted(objects: BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut calls: Vec<String> = objects.into_values().flatten().collect();
    calls.sort();
    calls
}

/// The calls of all objects of a server with this folder, sorted.
pub(crate) fn calls_in(folder: &Path) -> Vec<String> {
    sorted(objects_in(folder))
}
