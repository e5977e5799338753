//! Imports rejected rows that a person corrected in their file.
//!
//! A description beside each file of rejected rows says how the rows were read, so that they are read the
//! same way again. A corrected row keeps the messageId of its position in the file that it came from.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::csv::{CsvOptions, FileType, RejectRows};
use super::discovery::files::CsvFile;
use super::file_id::FileId;
use super::identity;
use super::import_id::ImportId;
use super::reading::local::LocalFile;
use super::rejects_output::RejectsOutput;
use super::{
    Begin, FileError, FileFault, Job, OnRowError, OptionsHash, RejectsOf, RejectsOwner, RowLimits, RowReader,
    WantedSource, description, description_of, short_hash,
};
use crate::sources::{SourceId, WriteKeyHash};

/// How the rows of a file were read.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct HowRead {
    name: String,
    file: FileId,
    #[serde(rename = "type")]
    kind: FileType,
    /// The source, if it was named by its id. Write keys are not kept.
    source: Option<SourceId>,
    /// Where the file is, for rows that are known by their content.
    #[serde(default)]
    place: String,
    csv: CsvOptions,
}

/// What the description of rejected rows of an import of a bucket has beside others.
#[derive(serde::Deserialize)]
struct OfBucket {
    #[serde(rename = "import_id")]
    _id: ImportId,
}

/// Words that distinguish the source from others, without the secret of a write key.
fn into_words(wanted: &WantedSource) -> String {
    match wanted {
        WantedSource::WriteKey(key) => {
            format!("key {}", WriteKeyHash::of(key).map_or_else(String::new, |hash| hash.hex16()))
        }
        WantedSource::Default => "Default".to_owned(),
        WantedSource::Id(id) => format!("Id({id})"),
    }
}

/// The source, if it was named by its id.
fn id_of(wanted: &WantedSource) -> Option<SourceId> {
    if let WantedSource::Id(id) = wanted { Some(id.clone()) } else { None }
}

/// The owner of the rejects file of an import of `file`, with the description of how its rows were read.
pub fn owner_of(file: &CsvFile, wanted: &WantedSource, options: &OptionsHash) -> RejectsOwner {
    let import = short_hash(format!("file {} {}", file.id, into_words(wanted)).as_bytes());
    let (file, source) = (file.clone(), id_of(wanted));
    let describe = move || {
        let csv = file.how_read().map_err(io::Error::other)?;
        let (name, kind, place) = (file.name.clone(), file.kind.clone(), file.place.clone());
        let how = HowRead { name, file: file.id, kind, source: source.clone(), place, csv };
        serde_json::to_value(how).map_err(io::Error::from)
    };
    RejectsOwner { import, options: options.clone(), describe: Arc::new(describe) }
}

/// The options for importing the rows of a rejects file.
#[derive(Clone, Debug)]
pub struct RetryOptions<'a> {
    /// Where rows go that are rejected again.
    pub place: &'a RejectsOutput,
    /// The source of the calls; the default one means the source of the first import.
    pub source: &'a WantedSource,
    /// Whether the target remembers each row. Importers that share their progress share no memory of rows:
    /// they rely on the messageIds, which stay the same.
    pub remembers: bool,
    /// See [`Begin::limits`].
    pub limits_hash: String,
    /// How many rows may be rejected.
    pub on_row_error: OnRowError,
    /// See [`Job::rate`].
    pub rate: Option<u32>,
}

/// The import of the rows of one file, and the kind of their calls.
/// Errors: [`FileError`]: the file cannot be read, or is not one of rejected rows.
pub fn retry_of(rejects: &Path, how: RetryOptions<'_>) -> Result<(Job, FileType), FileError> {
    let RetryOptions { place, source, remembers, limits_hash, on_row_error, rate } = how;
    let how_path = description_of(rejects);
    let unread = |path: &Path, error: &dyn std::fmt::Display| {
        FileError::content("E-REJECTS", format!("{} cannot be read: {error}", path.display()))
    };
    let json = description(rejects).map_err(|error| unread(&how_path, &error))?;
    if serde_json::from_slice::<OfBucket>(&json).is_ok() {
        let what = format!(
            "{} has rejected rows of an import of a bucket, which this command does not read: put the corrected \
             rows into a new file below the prefix of the import",
            rejects.display()
        );
        return Err(FileError::new(FileFault::Local, "E-REJECTS", what));
    }
    let how: HowRead = serde_json::from_slice(&json).map_err(|error| {
        unread(&how_path, &format!("{error}; import the file that the rows are of again, with --force"))
    })?;
    let kind = how.kind.clone();
    let file = LocalFile::open(rejects).map_err(|error| unread(rejects, &error))?;
    // The description is part of the identity, because rows of different files may look the same.
    let mut hasher = blake3::Hasher::new();
    hasher.update(&json);
    hasher.update_reader(file.reader()).map_err(|error| unread(rejects, &error))?;
    let id = identity::of_content(hasher.finalize().as_bytes(), file.size());
    let rejected_again = place.of(id, source);
    if rejected_again.canonicalize().ok() == rejects.canonicalize().ok() {
        let what =
            format!("{} is the file that is read: name another file with --rejects", rejects.display());
        return Err(FileError::new(FileFault::Local, "E-REJECTS", what));
    }
    let begin = Begin {
        file: id,
        name: format!("{} (rejected rows)", how.name),
        bytes: Some(file.size()),
        source: match (source.clone(), &how.source) {
            (WantedSource::Default, Some(id)) => WantedSource::Id(id.clone()),
            (named, _) => named,
        },
        import: None,
        insert_id_window: None,
        options: OptionsHash::of(&json),
        types: None,
        limits: limits_hash,
        by_content: remembers,
        retry_of: Some(how.file),
        force: false,
        // The content names the file, so its place does not matter.
        place: None,
        version: None,
    };
    let rejects_owner = {
        let import = short_hash(format!("retry {id} {}", into_words(&begin.source)).as_bytes());
        let again = HowRead { source: id_of(&begin.source), ..how.clone() };
        let describe = move || serde_json::to_value(&again).map_err(io::Error::from);
        RejectsOwner { import, options: begin.options.clone(), describe: Arc::new(describe) }
    };
    let open = {
        let how = Arc::new(how);
        Arc::new(move || {
            let of = (how.place.as_str(), how.file, how.kind.clone());
            let rows = RejectRows::open((id, file.reader()), of, &how.csv, remembers)?;
            Ok(Box::new(rows) as Box<dyn RowReader>)
        })
    };
    let job = Job {
        begin,
        open,
        unchanged: None,
        limits: RowLimits { on_row_error, ..RowLimits::default() },
        rejects: rejected_again,
        rejects_of: RejectsOf::Retry(id),
        rejects_owner,
        rate,
        rejects_room: None,
        reject_sink: None,
        part_bytes: None,
        patience: None,
    };
    Ok((job, kind))
}
