//! What a configuration says of an import of a bucket, with what the rest of it means for the import.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::ImportReader;
use crate::config::{Config, ImportSettings, OnChange as Changes};
use crate::import::bucket_import::{BucketImport, OnChange, OnMissing, Wanted};
use crate::import::discovery::inputs::s3_folder;
use crate::object::{BucketString, Encryption, ExternalId, OBJECTS, Role, S3Location};
use crate::store::reader::{Listed, StoreReader};
use crate::store::s3::{S3Settings, S3Store};

/// The folders in the directory of the spool: for rejected rows, unless the import names one, and for
/// temporary copies of archives.
const REJECTS: &str = "rejects";
const TEMPORARY: &str = "imports.tmp";

/// One import, and what it must know of the rest of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportPlan {
    /// What the configuration says.
    pub settings: ImportSettings,
    /// What keys of its bucket begin with that this node writes.
    never: Vec<String>,
    /// The longest call, in bytes of JSON.
    max_event: usize,
    rejects: PathBuf,
    temporary: PathBuf,
}

/// The imports of a configuration, whether they are enabled or not.
pub fn plans(config: &Config) -> Vec<ImportPlan> {
    let endpoint = config.s3.endpoint.as_ref().map(|endpoint| endpoint.as_str());
    let written: Vec<&BucketString> = config.sources.iter().map(|source| &source.location.bucket).collect();
    ImportPlan::all(&config.imports, &config.spool.dir, config.collector.max_event, (endpoint, &written))
}

impl ImportPlan {
    /// The plans of imports of a node whose spool is in `dir`, and which writes to these buckets of a store.
    /// Their shared journals are in that store, too.
    pub fn all(
        imports: &[ImportSettings],
        dir: &Path,
        max_event: usize,
        (endpoint, written): (Option<&str>, &[&BucketString]),
    ) -> Vec<Self> {
        let journals: Vec<(&str, String)> =
            imports.iter().filter_map(|import| s3_folder(import.journal.as_deref()?)).collect();
        let plan = |settings| {
            let mut plan = Self::new(settings, dir, max_event, (endpoint, written));
            if plan.settings.endpoint.as_ref().map(|endpoint| endpoint.as_str()) == endpoint {
                let is_here = |(bucket, _): &&(&str, String)| *bucket == settings.bucket.bucket();
                plan.never.extend(journals.iter().filter(is_here).map(|(_, prefix)| prefix.clone()));
                plan.never.sort();
                plan.never.dedup();
            }
            plan
        };
        imports.iter().map(plan).collect()
    }

    fn new(
        settings: &ImportSettings,
        dir: &Path,
        max_event: usize,
        (endpoint, written): (Option<&str>, &[&BucketString]),
    ) -> Self {
        let is_same_store = settings.endpoint.as_ref().map(|endpoint| endpoint.as_str()) == endpoint;
        let is_here = |bucket: &&&BucketString| is_same_store && bucket.bucket() == settings.bucket.bucket();
        let mut never: Vec<String> =
            written.iter().filter(is_here).map(|bucket| bucket.below(OBJECTS)).collect();
        never.sort();
        never.dedup();
        let rejects = settings.rejects.as_ref().map_or_else(|| dir.join(REJECTS), PathBuf::from);
        Self { settings: settings.clone(), never, max_event, rejects, temporary: dir.join(TEMPORARY) }
    }

    /// What a pass works with. Errors: the settings cannot be used; the text says what to do.
    pub(super) fn import(&self) -> Result<BucketImport, String> {
        let settings = &self.settings;
        let Some(converter) = &settings.converter else {
            return Err(format!("import.{}.converter is not loaded", settings.name));
        };
        Ok(BucketImport {
            name: settings.name.to_string(),
            location: self.location()?,
            endpoint: settings.endpoint.as_ref().map_or_else(String::new, |url| url.as_str().to_owned()),
            prefix: settings.prefix.clone(),
            never: self.never.clone(),
            source: settings.source.clone(),
            converter: Arc::clone(&converter.compiled),
            converter_text: Arc::clone(&converter.text),
            max_event: self.max_event,
            insert_id_window: Some(settings.insert_id_window).filter(|window| !window.is_zero()),
            min_size: *settings.size.start(),
            max_size: *settings.size.end(),
            on_row_error: settings.on_row_error,
            allow_expansion: settings.allow_expansion,
            claims: None,
            parallel: settings.parallel,
            serial: settings.serial,
            modified_after: settings.modified_after,
            on_missing: if settings.missing_fails { OnMissing::Fail } else { OnMissing::Skip },
            on_change: match settings.on_change {
                Changes::Ignore => OnChange::Ignore,
                Changes::Reprocess => OnChange::Reprocess,
            },
            rejects: self.rejects.clone(),
            temporary: self.temporary.clone(),
        })
    }

    /// The bucket, and how it is read. Errors: the settings cannot be used; the text says what to do.
    fn location(&self) -> Result<S3Location, String> {
        let settings = &self.settings;
        let role = match (&settings.role, &settings.external_id) {
            (None, _) => None,
            (Some(arn), Some(id)) => Some(Role { arn: arn.clone(), external_id: id.clone() }),
            (Some(arn), None) => {
                // As that of a source: its own name.
                let external_id = ExternalId::parse(settings.name.as_str())
                    .map_err(|what| format!("import.{}.external_id is not set: {what}", settings.name))?;
                Some(Role { arn: arn.clone(), external_id })
            }
        };
        Ok(S3Location {
            region: settings.region.clone(),
            role,
            ..S3Location::new(settings.bucket.clone(), Encryption::None)
        })
    }

    /// Who reads the bucket, and what. Errors: as of [`ImportPlan::location`].
    pub(in crate::node) fn reader(&self) -> Result<ImportReader, String> {
        let Self { settings, .. } = self;
        let (name, prefix) = (settings.name.to_string(), settings.prefix.clone());
        Ok(ImportReader { name, location: self.location()?, prefix })
    }

    /// Whether the import would read an object, as far as a listing shows. Without a converter any name is
    /// right.
    pub(in crate::node) fn wants(&self, listed: &Listed) -> bool {
        let Self { settings, never, .. } = self;
        let converter = settings.converter.as_ref();
        let wanted = Wanted {
            prefix: &settings.prefix,
            pattern: converter.and_then(|converter| converter.compiled.file().pattern.as_ref()),
            never,
            sizes: (*settings.size.start(), *settings.size.end()),
            modified_after: settings.modified_after,
        };
        wanted.skips(listed).is_none()
    }

    /// What is listed, for people.
    pub(super) fn place(&self) -> String {
        format!("s3://{}/{}", self.settings.bucket.bucket(), self.settings.prefix)
    }
}

/// The stores that imports read: the node's own, or others at other endpoints.
#[derive(Clone, Debug)]
pub struct ImportStores {
    /// The store of the node.
    pub own: Arc<S3Store>,
    /// How it is reached, and others but for the endpoint.
    pub settings: S3Settings,
}

impl ImportStores {
    /// The store of an import.
    pub(super) async fn of(&self, plan: &ImportPlan) -> Arc<dyn StoreReader> {
        self.client_of(plan).await
    }

    /// The same, with what only a client of S3 can tell.
    pub(in crate::node) async fn client_of(&self, plan: &ImportPlan) -> Arc<S3Store> {
        let endpoint = plan.settings.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned());
        if endpoint.is_none() || endpoint == self.settings.endpoint_url {
            return Arc::clone(&self.own);
        }
        let settings = S3Settings { endpoint_url: endpoint, path_style: true, ..self.settings.clone() };
        Arc::new(S3Store::new(settings).await)
    }
}
