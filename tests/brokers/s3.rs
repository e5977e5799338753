//! The S3 server of dev mode, for programs, and what it has: read from its files, not with its own protocol.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use forebay::dev_s3::{CONNECTIONS_MAX, DevS3, DevS3Running, DevS3Settings};
use forebay::runtime::{SystemClock, SystemRandom};

use crate::delivered::{calls_of, runtime};
use crate::tcp_proxy::{Link, TcpProxy};

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

    /// A proxy to it that breaks about one of so many requests: it is cut off, its answer is lost, or it is answered as
    /// by an overloaded store.
    pub(crate) fn behind_a_flaky_link(&self, one_in: u32) -> TcpProxy {
        let to = self.url().trim_start_matches("http://").parse().unwrap();
        let proxy = runtime().block_on(TcpProxy::start(to));
        proxy.set(Link::Flaky { one_in });
        proxy
    }

    /// The objects of calls.
    pub(crate) fn whole_objects(&self) -> Vec<Whole> {
        whole_objects_in(self.folder.path()).collect()
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

/// An object of calls.
pub(crate) struct Whole {
    pub(crate) key: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) bytes: Vec<u8>,
}

/// The objects of calls of a server with this folder.
fn whole_objects_in(folder: &Path) -> impl Iterator<Item = Whole> {
    let of = move |file: &Path| {
        // A file that is replaced or removed meanwhile is no object.
        let object: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        let key = object["key"].as_str().filter(|key| key.ends_with(".gz"))?.to_owned();
        let bytes = fs::read(folder.join("bodies").join(object["body"].as_str()?)).ok()?;
        let metadata = serde_json::from_value(object["described"]["metadata"].clone()).unwrap();
        Some(Whole { key, metadata, bytes })
    };
    let files = fs::read_dir(folder.join("objects")).unwrap();
    files.filter_map(move |file| of(&file.unwrap().path()))
}

/// The calls of each object of a server with this folder, by key.
fn objects_in(folder: &Path) -> BTreeMap<String, Vec<String>> {
    whole_objects_in(folder).map(|object| (object.key, calls_of(&object.bytes))).collect()
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
