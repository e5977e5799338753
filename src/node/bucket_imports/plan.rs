//! What a configuration says of an import of a bucket, with what the rest of it means for the import.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::check::{DeniedRight, ImportReader};
use crate::config::{After as Moves, Config, ImportSettings, OnChange as Changes};
use crate::import::bucket_import::{
    After, BucketImport, Never, OnChange, OnMissing, RejectsInStore, RejectsPlace, Wanted,
};
use crate::import::discovery::inputs::s3_folder;
use crate::node::policies::policy_after;
use crate::node::settings::{bucket_of_dev, store_settings};
use crate::object::{BucketString, Encryption, ExternalId, OBJECTS, Role, S3Location};
use crate::queue::{Queue, QueueAddress, Sqs};
use crate::store::PutMode;
use crate::store::reader::Listed;
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
    /// What keys of its bucket begin with that this node writes. Clones share it.
    never: Never,
    /// The longest call, in bytes of JSON.
    max_event: usize,
    pub(super) rejects: PathBuf,
    /// Where rejected rows go from there, in the store of `[s3]`.
    rejects_in: Option<BucketString>,
    /// The endpoint of that store; empty for that of AWS.
    own_endpoint: String,
    /// How Forebay's own objects are put.
    puts: Puts,
    temporary: PathBuf,
}

/// How objects that are not calls are put into a bucket: as the rest of the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puts {
    /// The encryption.
    pub encryption: Encryption,
    /// Whether a put may replace an object.
    pub mode: PutMode,
}

/// What an import must know of the node: its folder, and what it writes.
#[derive(Clone, Debug)]
pub struct OfNode<'n> {
    /// The directory of the spool.
    pub dir: &'n Path,
    /// The longest call, in bytes of JSON.
    pub max_event: usize,
    /// The endpoint of the store.
    pub endpoint: Option<&'n str>,
    /// The buckets that objects go to.
    pub written: &'n [&'n BucketString],
    /// How other objects are put.
    pub puts: Puts,
}

/// The imports of a configuration, whether they are enabled or not.
pub fn plans(config: &Config) -> Vec<ImportPlan> {
    let of_dev = bucket_of_dev(config);
    let of_sources = config.locations().map(|location| &location.bucket);
    let written: Vec<&BucketString> = of_sources.chain(&of_dev).collect();
    let of_node = OfNode {
        dir: &config.spool.dir,
        max_event: config.collector.max_event,
        endpoint: config.s3.endpoint.as_ref().map(|endpoint| endpoint.as_str()),
        written: &written,
        puts: Puts { encryption: config.s3.encryption.clone(), mode: config.s3.put },
    };
    ImportPlan::all(&config.imports, &of_node)
}

/// Where the imports of a node keep what no import may read, in the store of `[s3]`.
struct OwnPlaces<'i> {
    rejects: Vec<BucketString>,
    /// Buckets and prefixes.
    journals: Vec<(&'i str, String)>,
}

/// What the keys in a place begin with.
fn keys_in(place: &BucketString) -> String {
    if place.prefix().is_empty() { String::new() } else { place.below("") }
}

impl ImportPlan {
    /// The plans of all imports of a node.
    pub fn all(imports: &[ImportSettings], node: &OfNode<'_>) -> Vec<Self> {
        let kept: Vec<BucketString> = imports.iter().filter_map(ImportSettings::rejects_bucket).collect();
        let journals = imports.iter().filter_map(|import| s3_folder(import.journal.as_deref()?)).collect();
        let own = OwnPlaces { rejects: kept, journals };
        imports.iter().map(|import| Self::new(import, &own, node).without_moved(imports)).collect()
    }

    /// The plan of an import of a node, whose imports have these places.
    fn new(settings: &ImportSettings, own: &OwnPlaces<'_>, node: &OfNode<'_>) -> Self {
        let is_same_store = settings.endpoint.as_ref().map(|endpoint| endpoint.as_str()) == node.endpoint;
        let is_here = |bucket: &BucketString| is_same_store && bucket.bucket() == settings.bucket.bucket();
        let objects =
            node.written.iter().filter(|bucket| is_here(bucket)).map(|bucket| bucket.below(OBJECTS));
        let rejects = own.rejects.iter().filter(|bucket| is_here(bucket)).map(keys_in);
        let is_journal_here =
            |(bucket, _): &&(&str, String)| is_same_store && *bucket == settings.bucket.bucket();
        let journals = own.journals.iter().filter(is_journal_here).map(|(_, prefix)| prefix.clone());
        let mut never: Vec<String> = objects.chain(rejects).chain(journals).collect();
        never.sort();
        never.dedup();
        let rejects_in = settings.rejects_bucket();
        let folder = settings.rejects.as_ref().filter(|_| rejects_in.is_none());
        Self {
            settings: settings.clone(),
            never: never.into(),
            max_event: node.max_event,
            rejects: folder.map_or_else(|| node.dir.join(REJECTS), PathBuf::from),
            rejects_in,
            own_endpoint: node.endpoint.unwrap_or_default().to_owned(),
            puts: node.puts.clone(),
            temporary: node.dir.join(TEMPORARY),
        }
    }

    /// The place of rejected rows in a store, if they go to one. Errors: there is no such place.
    pub(in crate::node) fn rejects_in_store(
        &self,
        stores: &ImportStores,
    ) -> Result<Option<RejectsInStore>, String> {
        let Some(place) = &self.rejects_in else { return Ok(None) };
        let bucket = BucketString::parse(place.bucket()).map_err(|error| error.to_string())?;
        Ok(Some(RejectsInStore {
            store: Arc::clone(&stores.own) as _,
            reader: Arc::clone(&stores.own) as _,
            endpoint: self.own_endpoint.clone(),
            location: S3Location::new(bucket, self.puts.encryption.clone()),
            prefix: keys_in(place),
            mode: self.puts.mode,
        }))
    }

    /// The plan of one of these imports: none of them reads what another one, or it itself, has moved away.
    fn without_moved(self, imports: &[ImportSettings]) -> Self {
        let here = (&self.settings.endpoint, self.settings.bucket.bucket());
        let moved = imports.iter().filter(|other| (&other.endpoint, other.bucket.bucket()) == here);
        let moved = moved
            .filter_map(|other| if let Moves::Move(to) = &other.after { Some(to.clone()) } else { None });
        self.never.learn(moved);
        self
    }

    /// Whether an import with this plan goes on as it is under another one. What it never reads may differ: it learns
    /// that while it works. So may what only people read, and how objects are put that it does not put.
    pub(super) fn goes_on_as(&self, other: &Self) -> bool {
        let mut same = Self { never: other.never.clone(), ..self.clone() };
        same.settings.description.clone_from(&other.settings.description);
        if self.rejects_in.is_none() {
            same.puts = other.puts.clone();
        }
        same == *other
    }

    /// Reads nothing either that another plan never reads, also in passes under way.
    pub(super) fn learn_never(&self, other: &Self) {
        self.never.learn(other.never.configured());
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
            after: self.after(),
            rejects: RejectsPlace::folder(self.rejects.clone(), settings.rejects_max),
            temporary: self.temporary.clone(),
        })
    }

    /// What happens to files once they are imported.
    pub(super) fn after(&self) -> Option<After> {
        match &self.settings.after {
            Moves::Nothing => None,
            Moves::Tag => Some(After::Tag),
            Moves::Move(to) => Some(After::Move(to.clone())),
            Moves::Delete => Some(After::Delete),
        }
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
        let after = policy_after(&settings.after);
        Ok(ImportReader { name, location: self.location()?, prefix, after })
    }

    /// What grants a right that is missing, if one is.
    pub(super) fn granted_by(&self, denied: Option<DeniedRight>) -> Option<String> {
        Some(self.reader().ok()?.sentence(&denied?))
    }

    /// Whether the import would read an object, as far as a listing shows. Without a converter any name is
    /// right.
    pub(in crate::node) fn wants(&self, listed: &Listed) -> bool {
        let converter = self.settings.converter.as_ref();
        let pattern = converter.and_then(|converter| converter.compiled.file().pattern.as_ref());
        Wanted { pattern, ..self.wanted() }.skips(listed).is_none()
    }

    /// The same whatever the converter's pattern says of its key.
    pub(super) fn wants_whatever_its_name(&self, listed: &Listed) -> bool {
        self.wanted().skips(listed).is_none()
    }

    /// What of the settings decides, but for the converter.
    fn wanted(&self) -> Wanted<'_> {
        let Self { settings, never, .. } = self;
        Wanted {
            prefix: &settings.prefix,
            pattern: None,
            never,
            sizes: (*settings.size.start(), *settings.size.end()),
            modified_after: settings.modified_after,
        }
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
    /// How others are reached, but for the endpoint.
    pub settings: S3Settings,
}

impl ImportStores {
    /// The stores of a configuration. `node`: its part of the names of sessions.
    pub(in crate::node) async fn of(config: &Config, node: &str) -> Self {
        let own = store_settings(config, node);
        Self { own: Arc::new(S3Store::new(own).await), settings: Self::others(config, node) }
    }

    /// How stores are reached that are not the configuration's own, but for the endpoint. The credentials of
    /// the S3 of dev mode are for nothing else.
    pub(in crate::node) fn others(config: &Config, node: &str) -> S3Settings {
        if config.dev_s3.is_some() { S3Settings::default() } else { store_settings(config, node) }
    }

    /// The queue of an import.
    pub(in crate::node) async fn queue_of(
        &self,
        plan: &ImportPlan,
        address: &QueueAddress,
    ) -> Arc<dyn Queue> {
        let role = plan.location().ok().and_then(|location| location.role);
        let store = self.client_of(plan).await;
        Arc::new(Sqs::new(store, address.clone(), role, plan.settings.region.as_deref()))
    }

    /// The store of an import.
    pub(in crate::node) async fn client_of(&self, plan: &ImportPlan) -> Arc<S3Store> {
        let endpoint = plan.settings.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned());
        if endpoint.is_none() || endpoint == self.settings.endpoint_url {
            return Arc::clone(&self.own);
        }
        let settings = S3Settings { endpoint_url: endpoint, path_style: true, ..self.settings.clone() };
        Arc::new(S3Store::new(settings).await)
    }
}
