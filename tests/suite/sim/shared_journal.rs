//! The journal that two instances share, as a process sees it: each request waits for the world.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use forebay::import::claims::{ClaimFiles, FilesPage, SharedImport};
use forebay::import::s3_records::S3Records;
use forebay::import::shared_progress::{Answer, Stored, Tag, WriteError};
use forebay::log::Reports;
use forebay::node::bucket_imports::UndeliveredInLog;
use forebay::store::fake::FakeStore;

use super::objects::Objects;
use super::passing::{At, Baton, Fate};
use super::process::Seeded;
use crate::support::sim_disk::Dice;

/// The claims of one process, over the records of production.
#[derive(Debug)]
struct Claims {
    records: S3Records,
    baton: Arc<Baton>,
    objects: Objects,
}

impl Claims {
    async fn fate(&self, what: &'static str) -> Result<Fate, WriteError> {
        match self.baton.gate(At::Store(what)).await {
            Fate::Fails => Err(WriteError::Unknown("simulated".into())),
            Fate::Denied => Err(WriteError::Refused("simulated".into())),
            fate => Ok(fate),
        }
    }
}

impl ClaimFiles for Claims {
    fn read_file<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Stored>> {
        Box::pin(async move {
            self.fate("read a claim").await?;
            self.records.read_file(name).await
        })
    }

    /// Several are read at once, and nothing follows from a read alone: it does not wait.
    fn read_listed<'a>(&'a self, name: &'a str, tag: &'a Tag) -> Answer<'a, Bytes> {
        self.records.read_listed(name, tag)
    }

    fn write_file<'a>(&'a self, name: &'a str, bytes: Bytes, replaces: Option<&'a Tag>) -> Answer<'a, Tag> {
        Box::pin(async move {
            let fate = self.fate("write a claim").await?;
            let before = self.records.read_file(name).await.ok().flatten();
            let written = self.records.write_file(name, bytes.clone(), replaces).await;
            if written.is_ok() {
                self.objects.claim_written(before.as_ref().map(|(before, _)| &before[..]), &bytes);
            }
            if fate == Fate::Lost { Err(WriteError::Unknown("simulated".into())) } else { written }
        })
    }

    fn list<'a>(&'a self, folder: &'a str, next: Option<&'a str>) -> Answer<'a, FilesPage> {
        Box::pin(async move {
            self.fate("list claims").await?;
            self.records.list(folder, next).await
        })
    }
}

/// What a process shares with the other instance.
pub(super) fn shared(
    journal: &FakeStore,
    log: Arc<dyn Reports>,
    (baton, objects): (&Arc<Baton>, &Objects),
) -> Arc<SharedImport> {
    let records = S3Records::named("journal", "s3://journal/forebay/", Arc::new(journal.clone())).unwrap();
    let (url, instance) = (records.url(), log.spool_id());
    let claims = Arc::new(Claims { records, baton: Arc::clone(baton), objects: objects.clone() });
    // It spreads the waits before retries over time, and nothing else.
    let random = Arc::new(Seeded(Mutex::new(Dice(1))));
    let shared = SharedImport::new(claims, url, instance, Arc::new(UndeliveredInLog::of(log)), random);
    Arc::new(shared.one_at_a_time())
}
