//! A preview of an import, as a configuration says: from its bucket, with its converter. It needs no spool.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::{ImportPlan, plans};
use crate::admin::BucketImportError;
use crate::config::Config;
use crate::import::Unusable;
use crate::import::sample::{Opening, Preview, preview_files, sample_below};
use crate::node::error::NodeError;
use crate::node::import_store::import_store;
use crate::object::{ObjectKey, S3Location};
use crate::runtime::SystemClock;
use crate::sources::SourceId;
use crate::store::reader::{ByteRange, ListFrom, ListPage, ObjectBody, RangeBytes, StoreReader};
use crate::store::{Attempted, Head, ObjectVersion};
use crate::time::Clock as _;

/// A store that reads one bucket as an import does: with its role, in its region.
#[derive(Debug)]
struct OfImport {
    store: Arc<dyn StoreReader>,
    location: S3Location,
}

impl StoreReader for OfImport {
    fn list<'a>(&'a self, _: &'a S3Location, from: ListFrom<'a>) -> Attempted<'a, ListPage> {
        self.store.list(&self.location, from)
    }

    fn head_of<'a>(
        &'a self,
        _: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a str>,
    ) -> Attempted<'a, Head> {
        self.store.head_of(&self.location, key, version)
    }

    fn get<'a>(&'a self, _: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, ObjectBody> {
        self.store.get(&self.location, key)
    }

    fn range<'a>(
        &'a self,
        _: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a ObjectVersion>,
        wanted: ByteRange,
    ) -> Attempted<'a, RangeBytes> {
        self.store.range(&self.location, key, version, wanted)
    }
}

fn plan_of(config: &Config, name: &SourceId) -> Result<ImportPlan, NodeError> {
    plans(config).into_iter().find(|plan| plan.settings.name == *name).ok_or_else(|| {
        let known = config.imports.iter().map(|import| import.name.to_string()).collect();
        Unusable::Wrong(BucketImportError::Unknown(name.to_string(), known).to_string()).into()
    })
}

/// The file with the converter of an import of the configuration in `file`.
/// Errors: [`NodeError`]: there is no such import.
pub fn converter_path(config: &Config, name: &SourceId, file: &Path) -> Result<PathBuf, NodeError> {
    let plan = plan_of(config, name)?;
    let path = plan.settings.converter.map(|converter| converter.path).unwrap_or_default();
    Ok(file.parent().map_or(path.clone(), |folder| folder.join(&path)))
}

/// Looks at the first files of an import of the configuration. Shows at most `samples` rows.
/// Errors: [`NodeError`]: there is no such import, or its files cannot be listed.
pub async fn preview_import(
    config: &Config,
    name: &SourceId,
    mut opening: Opening,
    samples: usize,
) -> Result<Preview, NodeError> {
    let wrong = |what: String| NodeError::from(Unusable::Wrong(what));
    let plan = plan_of(config, name)?;
    let import = plan.import().map_err(wrong)?;
    opening.allow_expansion |= import.allow_expansion;
    let store = import_store(Some(config), plan.settings.endpoint.as_ref()).await;
    let store: Arc<dyn StoreReader> = Arc::new(OfImport { store, location: import.location.clone() });
    let place = (import.location.bucket.bucket(), import.prefix.as_str());
    let pattern = import.converter.file().pattern.as_ref();
    let files = sample_below(place, &store, pattern, &opening).await?;
    let now = SystemClock::new().wall();
    Ok(preview_files(files, import.converter, opening, samples, now).await?)
}
