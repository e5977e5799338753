//! The objects of a shared journal, of which each request that may pass is tried again: a broken connection is no
//! outage.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::files::{ClaimFiles, FilesPage};
use crate::import::shared_progress::{Answer, Stored, Tag, WriteError};
use crate::random::Random;
use crate::retry::Backoff;

/// How often a request is tried, and the waits in between: less than a second together. A store that answers late has
/// no further try, and what lasts longer is for whoever asked.
const TRIES: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(1) };

/// Objects of which requests are tried again.
#[derive(Debug)]
pub(super) struct Retried {
    pub(super) files: Arc<dyn ClaimFiles>,
    pub(super) random: Arc<dyn Random>,
}

impl Retried {
    /// Asks until there is an answer, or too often.
    async fn ask<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, WriteError>
    where
        F: Future<Output = Result<T, WriteError>>,
    {
        let (mut tries, until) = (1, Instant::now() + PATIENCE);
        loop {
            match ask().await {
                Err(WriteError::Unknown(_)) if tries < TRIES && Instant::now() < until => {
                    tokio::time::sleep(AGAIN.wait(tries, &*self.random)).await;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }
}

impl ClaimFiles for Retried {
    fn read_file<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Stored>> {
        Box::pin(self.ask(move || self.files.read_file(name)))
    }

    fn read_listed<'a>(&'a self, name: &'a str, tag: &'a Tag) -> Answer<'a, Bytes> {
        Box::pin(self.ask(move || self.files.read_listed(name, tag)))
    }

    // The condition is the same each time. So a write that was applied although its answer was lost makes the next
    // try fail as changed, and whoever asked reads what is there.
    fn write_file<'a>(&'a self, name: &'a str, bytes: Bytes, replaces: Option<&'a Tag>) -> Answer<'a, Tag> {
        Box::pin(self.ask(move || self.files.write_file(name, bytes.clone(), replaces)))
    }

    fn list<'a>(&'a self, folder: &'a str, next: Option<&'a str>) -> Answer<'a, FilesPage> {
        Box::pin(self.ask(move || self.files.list(folder, next)))
    }
}
