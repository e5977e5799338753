//! `forebay serve` on a spool chosen by the test; its store is a separate process that outlives it.

use std::fs;
use std::path::{Path, PathBuf};

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::checker;
use super::load::{Journal, Load, SOURCES};
use super::source_tables;
use crate::support::bucket::Bucket;
use crate::support::forebay::{Flush, Forebay, Starting};
use crate::support::tcp_proxy::TcpProxy;

/// The minimum number of calls acknowledged in the last life.
const LAST_CALLS: usize = 200;

/// Everything that outlives the program.
#[derive(Debug)]
pub(crate) struct Stand {
    pub(crate) folder: TempDir,
    store: Forebay,
    /// The link to the store, which can be cut.
    pub(crate) link: TcpProxy,
}

impl Stand {
    /// Starts the store.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Forebay::dev(&folder.path().join("store"), Flush::SOON).await;
        let address = store.s3.strip_prefix("http://").expect("an address").parse().expect("an address");
        let link = TcpProxy::start(address).await;
        Self { folder, store, link }
    }

    /// Writes a configuration with this spool, additional lines `more` in its section, and this `max_age`.
    pub(crate) fn config(&self, spool: &Path, more: &str, max_age: &str) -> PathBuf {
        self.config_with(spool, more, &format!("max_age = \"{max_age}\""), &SOURCES)
    }

    /// Like [`Stand::config`], with the lines of the section `[flush]` and these sources, each with its id as
    /// write key.
    pub(crate) fn config_with(&self, spool: &Path, more: &str, flush: &str, sources: &[&str]) -> PathBuf {
        let sources = source_tables(sources);
        let text = format!(
            "[collector]\nlisten = \"127.0.0.1:0\"\ndrain_delay = \"0 s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [spool]\ndir = \"{}\"\n{more}\n[s3]\nbucket = \"forebay\"\nendpoint_url = \"{}\"\npath_style = true\n\
             [flush]\n{flush}\n{sources}",
            spool.display(),
            self.link.url,
        );
        let file = self.folder.path().join("forebay.toml");
        fs::write(&file, text).expect("a configuration");
        file
    }

    /// Prepares the start of the program.
    pub(crate) fn starting(&self, config: &Path) -> Starting {
        let credentials =
            [("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)];
        Starting::serve(config, &credentials)
    }

    /// Starts the program and waits until it accepts calls.
    pub(crate) async fn serve(&self, config: &Path) -> Forebay {
        self.starting(config).serve_ready().await
    }

    /// The bucket, bypassing the link.
    pub(crate) fn bucket(&self) -> Bucket {
        Bucket::new(&self.store.s3, "forebay", ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    }

    /// Runs a last life in which calls without an answer are sent again and everything is delivered, and then
    /// the checker. Returns the checker's counts.
    pub(crate) async fn settle(&self, config: &Path, journal: &mut Journal, random: &mut StdRng) -> String {
        let forebay = self.serve(config).await;
        let load = Load::start(&forebay.collector, journal, random);
        load.until_acknowledged(LAST_CALLS).await;
        load.stop(journal).await;
        forebay.flush().await;
        let report = checker::check(journal, &self.bucket(), "segment-logs/").await;
        assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
        report.unwrap_or_default()
    }
}
