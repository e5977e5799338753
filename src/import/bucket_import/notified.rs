//! Imports objects that notifications name: each as a pass would, with the same journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

use super::after::AfterDone;
use super::after::sweep::after_import;
use super::claimed::shared;
use super::conversions::keep;
use super::decide::{Skip, Wanted};
use super::deps::PassDeps;
use super::not_ours::NotOurs;
use super::object_end::ObjectEnd;
use super::object_import::{ObjectImport, on_disk};
use super::pass::{PassError, forget_converters, id_of, never_read_again};
use super::report::Became;
use super::scan::Scan;
use super::settings::BucketImport;
use crate::import::import_id::ImportId;
use crate::import::run::FileReport;
use crate::object::ObjectKey;
use crate::store::StoreError;
use crate::store::reader::Listed;
use crate::words::Told;

/// What became of an object that a notification names.
#[derive(Debug)]
pub enum NotifiedEnd {
    /// It is not imported.
    Skipped(Skip),
    /// What became of its files, and what was done with it then.
    Files(Vec<(Became, FileReport)>, BTreeMap<AfterDone, u64>),
    /// It belongs to another instance, which has delivered it.
    DeliveredElsewhere,
    /// It belongs to another instance, which has not delivered it.
    Elsewhere,
    /// Nobody knows whose it is before a person has repaired its claim; the text says why.
    Unknown(String),
    /// The shared journal cannot be used; the text says why.
    Unclaimed(Told),
}

/// The objects of an import that notifications name, as long as its settings stay the same.
#[derive(Debug)]
pub struct NotifiedObjects {
    import: Arc<BucketImport>,
    deps: PassDeps,
    id: ImportId,
    /// Whether it is noted that files of the import have begun.
    begun: OnceCell<()>,
}

impl NotifiedObjects {
    /// The objects of an import under its name.
    /// Errors: [`PassError`]: the import cannot be used under its name, or the journal cannot be read.
    pub async fn of(import: Arc<BucketImport>, deps: PassDeps) -> Result<Self, PassError> {
        let id = id_of(&import, &deps, false).await?;
        let import = never_read_again(import, &deps.journal, Some(id)).await?;
        // The queue names the files, so the claims of others need not be listed.
        let deps = PassDeps { scan: Scan::Nothing, ..deps };
        let known = shared(ObjectImport::new(Arc::clone(&import), deps.clone(), id)).await?;
        let mut id = known.id;
        if !known.share_name().await? {
            // Another instance has made the name just now: its id counts.
            id = shared(ObjectImport::new(Arc::clone(&import), deps.clone(), id)).await?.id;
        }
        let objects = Self { import, deps, id, begun: OnceCell::new() };
        // Passes do so after each that ended a file, and there may be none.
        forget_converters(&objects.object_import()).await;
        Ok(objects)
    }

    /// How many objects the import reads at once.
    pub fn parallel(&self) -> usize {
        self.import.parallel_now()
    }

    /// The places of objects that are read at once; a pass takes them, too.
    pub fn places(&self) -> Arc<Semaphore> {
        self.deps.importer.objects().places.of(self.id, self.parallel())
    }

    /// Why an object is not imported, as far as its name shows and nothing of it is stored.
    /// Errors: [`PassError`]: the journal cannot be read.
    pub async fn skips(&self, bucket: &str, key: &str) -> Result<Option<Skip>, PassError> {
        if bucket != self.import.location.bucket.bucket() || !key.starts_with(self.import.prefix.as_str()) {
            return Ok(Some(Skip::Foreign));
        }
        let why = Wanted::of(&self.import).skips_name(key);
        Ok(self.object_import().skip_of(why, key).await?)
    }

    /// The version of the object that is there now; `null` in a bucket without versions.
    /// Errors: [`StoreError`]: it cannot be found out, or there is no object.
    pub async fn version_now(&self, key: &str) -> Result<String, StoreError> {
        let key = ObjectKey::listed(key.to_owned());
        let head = self.deps.store.head_of(&self.import.location, &key, None).await?;
        Ok(head.version.and_then(|version| version.id).unwrap_or_else(|| "null".to_owned()))
    }

    /// Imports the object that is there now. Not cancel-safe: stop it with [`PassDeps::stop`].
    /// Errors: [`PassError`]: nothing was read.
    pub async fn import(&self, key: &str) -> Result<NotifiedEnd, PassError> {
        self.imported(key, self.object_import()).await
    }

    /// Imports the object that is there now, until `stop`. Not cancel-safe.
    /// Errors: [`PassError`]: nothing was read.
    pub async fn import_until(&self, key: &str, stop: CancellationToken) -> Result<NotifiedEnd, PassError> {
        let deps = PassDeps { stop, ..self.deps.clone() };
        self.imported(key, ObjectImport::new(Arc::clone(&self.import), deps, self.id)).await
    }

    async fn imported(&self, key: &str, objects: ObjectImport) -> Result<NotifiedEnd, PassError> {
        self.begun.get_or_try_init(|| self.begin()).await?;
        let listed = Listed::of_key(key.to_owned());
        Ok(match objects.run(listed).await {
            ObjectEnd::Skipped(why) => NotifiedEnd::Skipped(why),
            ObjectEnd::Files(files) => {
                if files.iter().all(|(became, _)| became.is_settled()) {
                    objects.finished(key);
                } else {
                    objects.unfinished_too(key);
                }
                after_import(&objects, key).await;
                NotifiedEnd::Files(files, objects.tally.take())
            }
            ObjectEnd::NotOurs(NotOurs::Theirs { version, .. }) => {
                match objects.is_delivered_elsewhere(key, version.as_ref()).await {
                    Ok(true) => NotifiedEnd::DeliveredElsewhere,
                    Ok(false) => NotifiedEnd::Elsewhere,
                    Err(error) => NotifiedEnd::Unclaimed(Told::plain(error.to_string())),
                }
            }
            ObjectEnd::NotOurs(NotOurs::Unknown(why)) => NotifiedEnd::Unknown(why),
            ObjectEnd::NotOurs(NotOurs::Unclaimed) => {
                let why = objects.claims_problem().map(|outage| outage.told);
                NotifiedEnd::Unclaimed(why.unwrap_or_else(|| "the shared journal cannot be used".into()))
            }
        })
    }

    /// Notes that files of the import begin now, and keeps its converter for them.
    async fn begin(&self) -> Result<(), PassError> {
        let id = id_of(&self.import, &self.deps, true).await?;
        let (import, chosen) = (Arc::clone(&self.import), self.object_import().chosen);
        on_disk(&self.deps.journal, move |journal| keep(journal, id, &import, &chosen)).await?;
        Ok(())
    }

    fn object_import(&self) -> ObjectImport {
        ObjectImport::new(Arc::clone(&self.import), self.deps.clone(), self.id)
    }
}
