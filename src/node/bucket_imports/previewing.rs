//! A preview of an import, as a configuration says: from its bucket, with its converter. It needs no spool.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::{ImportPlan, ImportStores, plans};
use crate::admin::BucketImportError;
use crate::check::DeniedRight;
use crate::config::Config;
use crate::import::sample::{
    AskedConverter, InferError, Inferred, Opening, Preview, infer_first, preview_files, sample_below,
};
use crate::import::{FileFault, Unusable};
use crate::node::error::NodeError;
use crate::object::{ObjectKey, S3Location};
use crate::runtime::SystemClock;
use crate::sources::SourceId;
use crate::store::reader::{ByteRange, ListFrom, ListPage, Listed, ObjectBody, RangeBytes, StoreReader};
use crate::store::{Attempted, Head, ObjectVersion};
use crate::time::Clock as _;
use crate::words::Told;

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

/// The store of an import, for the one bucket that it reads.
async fn of_import(config: &Config, plan: &ImportPlan, location: S3Location) -> Arc<dyn StoreReader> {
    let store = ImportStores::of(config, "import").await.client_of(plan).await;
    Arc::new(OfImport { store, location })
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
    let store = of_import(config, &plan, import.location.clone()).await;
    let place = (import.location.bucket.bucket(), import.prefix.as_str());
    let pattern = import.converter.file().pattern.as_ref();
    let is_of_import = |listed: &Listed| plan.wants_whatever_its_name(listed);
    let files = sample_below(place, &store, pattern, &is_of_import, &opening).await;
    let files = files.map_err(|error| with_right(&plan, error))?;
    let now = SystemClock::new().wall();
    let mut preview = preview_files(files, import.converter, opening, samples, now).await?;
    let denied = preview.files.iter().find(|file| file.fault == Some(FileFault::Denied));
    let denied = denied.map(|file| DeniedRight::of_file(file.error.as_deref().unwrap_or_default()));
    preview.warnings.extend(plan.granted_by(denied));
    Ok(preview)
}

/// The same with what grants the right that is missing.
fn with_right(plan: &ImportPlan, error: Unusable) -> NodeError {
    let denied = match &error {
        Unusable::Store { cause, .. } => DeniedRight::of_listing(cause),
        _ => None,
    };
    match plan.granted_by(denied) {
        Some(grant) => Unusable::Denied(format!("{error}; {grant}")).into(),
        None => error.into(),
    }
}

/// The same of a file that cannot be read.
fn infer_with_right(plan: &ImportPlan, error: InferError) -> InferError {
    let InferError::File(mut error) = error else { return error };
    let denied = (error.fault == FileFault::Denied).then(|| DeniedRight::of_file(error.message.full()));
    if let Some(grant) = plan.granted_by(denied) {
        error.message = error.message.and(&Told::plain(format!("; {grant}")));
    }
    InferError::File(error)
}

/// A first converter for the first file of an import of the configuration, which may be without one.
/// Errors: [`NodeError`]: there is no such import, or its files cannot be listed. Inside it [`InferError`]:
/// no converter can be made of the file.
pub async fn infer_import(
    config: &Config,
    name: &SourceId,
    mut opening: Opening,
    asked: AskedConverter,
) -> Result<Result<Inferred, InferError>, NodeError> {
    let plan = plan_of(config, name)?;
    let reader = plan.reader().map_err(|what| NodeError::from(Unusable::Wrong(what)))?;
    opening.allow_expansion |= plan.settings.allow_expansion;
    let store = of_import(config, &plan, reader.location.clone()).await;
    let place = (reader.location.bucket.bucket(), reader.prefix.as_str());
    let is_of_import = |listed: &Listed| plan.wants_whatever_its_name(listed);
    let files = sample_below(place, &store, None, &is_of_import, &opening).await;
    let files = files.map_err(|error| with_right(&plan, error))?;
    let wanted = asked.wanted(plan.settings.data_type, config.collector.max_event);
    let inferred = infer_first(files, opening, wanted, SystemClock::new().wall()).await;
    Ok(inferred.map_err(|error| infer_with_right(&plan, error)))
}
