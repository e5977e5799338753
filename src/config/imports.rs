//! `[[import]]`: buckets of files that become calls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::convert::{Converter, DataType, FILE_BYTES_MAX, Field, Strategy};
use crate::import::{NotAnAction, OnRowError};
use crate::object::{BucketString, ExternalId, OBJECTS, RoleArn};
use crate::sources::SourceId;
use crate::words::nearest;

use super::import_discovery::{Queues, discovery, refuse_serial};
use super::import_keys::{self, JOURNAL, Keys, MOVED_FILES, OfImport, REJECTED_ROWS};
use super::import_settings::{After, ImportConverter, ImportSettings, OnChange};
use super::import_texts::{after, description, journal, modified_after, prefix, rejects};
use super::problem::{ConfigProblem, SettingPlace};
use super::raw::Table;
use super::reader::{self, Reader};
use super::s3_location;
use super::secret::Outside;
use super::sources::Source;
use super::units::Period;
use super::values::{self, Endpoint, Words};

/// The most imports of a configuration.
const IMPORTS_MAX: usize = 64;
/// The most files that an import reads at once.
const PARALLEL_MAX: usize = 64;
/// The longest object of S3: 5 TB, in powers of two as S3 counts it.
const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// How long rows are compared by their `insert_id`, unless it is set.
const INSERT_ID_WINDOW: Duration = Duration::from_secs(7 * 86_400);
/// The default of `max_size`.
const MAX_SIZE: u64 = 5_000_000_000;
/// The defaults of the intervals.
pub(super) const SCAN_INTERVAL: Duration = Duration::from_secs(60);
const FULL_SCAN_EVERY: Duration = Duration::from_secs(3_600);
/// The source of imports in dev mode, if none is named.
const DEV_SOURCE: &str = "csv";
/// The bucket of dev mode.
const DEV_BUCKET: &str = "forebay";
/// The default of `scan_interval` in dev mode.
pub(super) const DEV_SCAN_INTERVAL: Duration = Duration::from_secs(2);
/// The default of `rejects_max`.
const REJECTS_MAX: u64 = 1 << 30;

pub(super) const ON_CHANGE: Words<OnChange> =
    &[("ignore", OnChange::Ignore), ("reprocess", OnChange::Reprocess)];
/// Whether a missing file fails.
pub(super) const ON_MISSING: Words<bool> = &[("skip", false), ("fail", true)];

/// What imports are checked against.
pub(super) struct Around<'a> {
    /// The sources; `None` in dev mode, where every id is one.
    pub(super) sources: Option<&'a [Source]>,
    /// The endpoint of `[s3]`.
    pub(super) endpoint: Option<&'a Endpoint>,
    /// The default of `scan_interval`.
    pub(super) scan_interval: Duration,
    /// The longest call, in bytes.
    pub(super) max_event: usize,
    pub(super) outside: &'a Outside<'a>,
}

/// What all imports must have of their own, so far.
#[derive(Default)]
struct Taken {
    names: BTreeSet<SourceId>,
    queues: Queues,
}

/// Reads every import, whether it is enabled or not.
pub(super) fn check(
    tables: &[Table],
    around: &Around<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> Vec<ImportSettings> {
    if tables.len() > IMPORTS_MAX {
        let what = format!("is given {} times: at most {IMPORTS_MAX} are allowed", tables.len());
        problems.push(ConfigProblem::new(SettingPlace::Nowhere, "import", what));
        return Vec::new();
    }
    let (mut taken, mut of_keys, mut imports) = (Taken::default(), Vec::new(), Vec::new());
    for table in tables {
        let before = problems.len();
        let (settings, keys) = settings(table, around, &mut taken, problems);
        imports.extend(settings.filter(|_| problems.len() == before));
        of_keys.extend(keys);
    }
    import_keys::check(&of_keys, objects(around), problems);
    imports
}

/// The keys of the objects that calls go to, with what they are called.
fn objects(around: &Around<'_>) -> Vec<(String, Keys)> {
    let endpoint = around.endpoint.map(|endpoint| endpoint.as_str().to_owned());
    let Some(sources) = around.sources else {
        let keys = Keys { endpoint, bucket: DEV_BUCKET.to_owned(), prefix: OBJECTS.to_owned() };
        return vec![("the objects of dev mode".to_owned(), keys)];
    };
    let of_source = |source: &Source| {
        let bucket = &source.location.as_ref()?.bucket;
        let (endpoint, prefix) = (endpoint.clone(), bucket.below(OBJECTS));
        let keys = Keys { endpoint, bucket: bucket.bucket().to_owned(), prefix };
        Some((format!("the objects of source {}", source.id), keys))
    };
    sources.iter().filter_map(of_source).collect()
}

/// What a person should know about imports that are right as they are.
pub(super) fn warnings(imports: &[ImportSettings]) -> Vec<String> {
    let mut warnings = Vec::new();
    for import in imports {
        let ImportSettings { name, prefix, journal, serial, insert_id_window, .. } = import;
        if journal.is_some() && *serial {
            warnings.push(format!(
                "import.{name}.serial holds within one instance: several that share a journal read files at once"
            ));
        }
        // Without a converter, nothing is known of it.
        let reads_insert_id = import.converter.as_ref().is_none_or(|of| of.compiled.reads(Field::InsertId));
        if journal.is_some() && !insert_id_window.is_zero() && reads_insert_id {
            warnings.push(format!(
                "import.{name}.insert_id_window holds within one instance: rows with equal insert_ids in files of different \
                 instances are all stored, with equal messageIds"
            ));
        }
        let has_dots = prefix.split('/').any(|part| matches!(part, "." | ".."));
        if prefix.starts_with('/') || prefix.contains("//") || has_dots {
            warnings.push(format!(
                "import.{name}.prefix = {prefix:?}: keys are no paths, so only those match that have /, //, . or .. in the same \
                 places; such as \"orders/\" is usual"
            ));
        }
        if !prefix.is_empty() && !prefix.ends_with('/') {
            warnings.push(format!(
                "import.{name}.prefix = {prefix:?} does not end with /: keys of other folders may begin with it, too"
            ));
        }
    }
    warnings
}

fn settings<'t>(
    table: &'t Table,
    around: &Around<'_>,
    taken: &mut Taken,
    problems: &mut Vec<ConfigProblem>,
) -> (Option<ImportSettings>, Option<OfImport<'t>>) {
    let mut reader = Reader::new(table, problems);
    let name = reader.optional("name", reader::id);
    if !reader.has("name") {
        reader.refuse("name", "is not set: each import needs a name, such as \"orders\"");
    }
    if name.as_ref().is_some_and(|name| !taken.names.insert(name.clone())) {
        reader.refuse("name", "is also the name of another import");
    }
    let shown = name.as_ref().map_or_else(|| table.name.clone(), ToString::to_string);
    let description = reader.get("description", String::new(), description);
    let enabled = reader.flag("enabled", true);
    let source = source(&mut reader, around.sources);
    let bucket = bucket(&mut reader);
    let prefix = reader.get("prefix", String::new(), prefix);
    let region = reader.optional("region", reader::from_text(values::region));
    let own_endpoint = reader.optional("endpoint_url", reader::from_text(Endpoint::parse));
    if let (Some(bucket), Some(endpoint)) = (&bucket, &own_endpoint)
        && let Some(what) = s3_location::twice(endpoint, bucket)
    {
        reader.refuse("endpoint_url", what);
    }
    let endpoint = own_endpoint.or_else(|| around.endpoint.cloned());
    let role = reader.optional("role_arn", reader::from_text(RoleArn::parse));
    let external_id = reader.optional("external_id", reader::from_text(ExternalId::parse));
    if reader.has("external_id") && !reader.has("role_arn") {
        reader.refuse("external_id", "is used only with a role: set role_arn, or remove external_id");
    }
    let has_own_external_id = reader.has("external_id");
    let external_id = match (&role, &name) {
        (Some(_), Some(name)) if !reader.has("external_id") => match ExternalId::parse(name.as_str()) {
            Ok(external_id) => Some(external_id),
            Err(_) => {
                let what = "is not set, and the import's name is too short to stand for it: set external_id";
                reader.refuse("external_id", what);
                None
            }
        },
        _ => external_id,
    };
    let modified_after = reader.optional("modified_after", modified_after).flatten();
    let discovery = discovery(&mut reader, &shown, &mut taken.queues);
    let scan_interval = reader.seconds("scan_interval", around.scan_interval, 1..=86_400);
    let full_scan_every = reader.seconds("full_scan_every", FULL_SCAN_EVERY, 1..=7 * 86_400);
    let (data_type, strategy) = kind(&mut reader);
    let serial = reader.flag("serial", strategy == Strategy::Mirror);
    refuse_serial(&mut reader, &discovery, serial);
    let parallel = reader.get("parallel", 4, reader::count(1, PARALLEL_MAX));
    let insert_id_window = insert_id_window(&mut reader, (data_type, strategy));
    let converter_needed = around.outside.converters_needed;
    let converter = match converter_needed {
        true => converter(&mut reader, (data_type, strategy), around),
        false => converter(&mut Reader::new(table, &mut Vec::new()), (data_type, strategy), around),
    };
    let on_change = reader.word("on_change", OnChange::Ignore, ON_CHANGE);
    let size = size(&mut reader);
    let on_row_error = reader.get("on_row_error", OnRowError::default(), |value| {
        let parsed = reader::text(value)?.trim().parse();
        parsed.map_err(|error: NotAnAction| error.to_string())
    });
    let missing_fails = reader.word("on_missing", false, ON_MISSING);
    let allow_expansion = reader.flag("allow_expansion", false);
    let rejects = reader.optional("rejects", rejects);
    let rejects_max = reader.size("rejects_max", REJECTS_MAX, 1 << 20..=100_000_000_000_000);
    let journal = reader.get("journal", None, journal);
    let after = reader.get("after", After::Nothing, after);
    let of_keys = bucket.as_ref().map(|bucket| {
        let endpoint_of = || endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned());
        let keys =
            |prefix: String| Keys { endpoint: endpoint_of(), bucket: bucket.bucket().to_owned(), prefix };
        // Journals and rejected rows are in the store of [s3].
        let own = around.endpoint.map(|endpoint| endpoint.as_str().to_owned());
        let places = [(REJECTED_ROWS, rejects.as_deref()), (JOURNAL, journal.as_deref())];
        let placed =
            |(what, place): (&'static str, Option<&str>)| Some((what, Keys::below(own.clone(), place?)?));
        let moved = match &after {
            After::Move(to) => Some((MOVED_FILES, keys(to.clone()))),
            _ => None,
        };
        OfImport {
            table,
            name: shown,
            reads: keys(prefix.clone()),
            writes: places.into_iter().filter_map(placed).chain(moved).collect(),
            removes: matches!(after, After::Move(_) | After::Delete),
        }
    });
    let settings = || {
        Some(ImportSettings {
            name: name?,
            description,
            enabled,
            source: source?,
            bucket: bucket?,
            prefix,
            region,
            endpoint,
            role,
            external_id,
            has_own_external_id,
            modified_after,
            discovery,
            scan_interval,
            full_scan_every,
            insert_id_window,
            data_type,
            serial,
            parallel,
            converter: if converter_needed { Some(converter?) } else { converter },
            on_change,
            size,
            on_row_error,
            missing_fails,
            allow_expansion,
            rejects,
            rejects_max,
            after,
            journal,
        })
    };
    (settings(), of_keys)
}

/// The source of the calls: the only one, if none is named.
fn source(reader: &mut Reader<'_>, known: Option<&[Source]>) -> Option<SourceId> {
    let Some(known) = known else {
        let named = reader.optional("source", reader::id);
        return if reader.has("source") { named } else { SourceId::new(DEV_SOURCE).ok() };
    };
    let named = reader.optional("source", |value| {
        let text = reader::text(value)?.trim();
        let found = known.iter().find(|source| source.id.as_str() == text);
        found.map(|source| source.id.clone()).ok_or_else(|| {
            let near = nearest(text, known.iter().map(|source| source.id.as_str()));
            let near = near.map(|near| format!(": did you mean {near:?}?")).unwrap_or_default();
            format!("is the id of no [[source]]{near}")
        })
    });
    if reader.has("source") {
        return named;
    }
    match known {
        [only] => Some(only.id.clone()),
        // That there is no source is reported elsewhere.
        [] => None,
        _ => {
            reader.refuse("source", "is not set, and there are several sources: name the one of the calls");
            None
        }
    }
}

fn bucket(reader: &mut Reader<'_>) -> Option<BucketString> {
    if !reader.has("bucket") {
        reader.refuse("bucket", "is not set: expected the name of a bucket");
    }
    reader.optional("bucket", |value| {
        let bucket = s3_location::bucket(value)?;
        match bucket.prefix() {
            "" => Ok(bucket),
            prefix => Err(format!("expected the name alone: write {prefix:?} as prefix")),
        }
    })
}

fn kind(reader: &mut Reader<'_>) -> (DataType, Strategy) {
    let data_type = reader.get("data_type", DataType::Event, |value| {
        let typed = reader::text(value).ok().and_then(|text| DataType::of(text.trim()));
        typed.ok_or_else(|| format!("expected {}", quoted(DataType::ALL.map(DataType::name))))
    });
    let strategy = reader.optional("strategy", |value| {
        let typed = reader::text(value).ok().and_then(|text| Strategy::of(text.trim()));
        let strategy =
            typed.ok_or_else(|| format!("expected {}", quoted(Strategy::ALL.map(Strategy::name))))?;
        data_type.check(strategy).map_err(|error| format!("E-STRATEGY: {error}"))?;
        Ok(strategy)
    });
    (data_type, strategy.unwrap_or(data_type.default_strategy()))
}

fn quoted<const N: usize>(names: [&str; N]) -> String {
    names.map(|name| format!("{name:?}")).join(" or ")
}

/// How long rows are compared; zero if they are not.
fn insert_id_window(reader: &mut Reader<'_>, (data_type, strategy): (DataType, Strategy)) -> Duration {
    let bounds = Period::from_millis(0)..=Period::from_secs(INSERT_ID_WINDOW.as_secs());
    let window = reader.optional("insert_id_window", reader::period(bounds));
    if data_type == DataType::Event && strategy == Strategy::AppendOnly {
        return window.unwrap_or(INSERT_ID_WINDOW);
    }
    if window.is_some_and(|window| !window.is_zero()) {
        let what = "is only for data_type = \"event\" with strategy = \"append_only\"";
        reader.refuse("insert_id_window", what);
    }
    Duration::ZERO
}

fn size(reader: &mut Reader<'_>) -> std::ops::RangeInclusive<u64> {
    let least = reader.size("min_size", 0, 0..=OBJECT_BYTES_MAX);
    let most = reader.size("max_size", MAX_SIZE, 1..=OBJECT_BYTES_MAX);
    if least > most {
        let key = if reader.has("min_size") { "min_size" } else { "max_size" };
        reader.refuse(key, "min_size cannot be more than max_size");
    }
    least..=most
}

/// Loads the converter. Its problems are those of the setting.
fn converter(
    reader: &mut Reader<'_>,
    (data_type, strategy): (DataType, Strategy),
    around: &Around<'_>,
) -> Option<ImportConverter> {
    if !reader.has("converter") {
        let what = "is not set: expected a file with a converter, relative to the folder of this file";
        reader.refuse("converter", what);
    }
    let path = reader.optional("converter", |value| match reader::text(value)? {
        "" => Err("expected a file with a converter".to_owned()),
        path if path.contains('\0') => Err("expected a path without NUL characters".to_owned()),
        path => Ok(PathBuf::from(path)),
    })?;
    let text = match around.outside.text_below(Path::new(&path), FILE_BYTES_MAX as u64) {
        Ok(text) => text,
        Err(what) => {
            reader.refuse("converter", format!("cannot be read: {what}"));
            return None;
        }
    };
    match Converter::load(text.as_bytes(), data_type, strategy, around.max_event) {
        Ok(compiled) => {
            Some(ImportConverter { path, text: text.into_bytes().into(), compiled: Arc::new(compiled) })
        }
        Err(error) => {
            error.0.iter().for_each(|problem| reader.refuse("converter", problem.to_string()));
            None
        }
    }
}
