//! Opens an input: one file, or one for each entry of an archive. Each has an id and the kind of its calls.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::inputs::{Input, location_of};
use super::row_type::{NamedType, type_of};
use crate::import::csv::{self, CsvOptions, CsvRows, FileType, FoundTypes, OpenedCsv, TypeSaid};
use crate::import::file_id::FileId;
use crate::import::identity;
use crate::import::own_thread::on_own_thread;
use crate::import::reading::ReadingError;
use crate::import::reading::bytes_of::BytesOf;
use crate::import::reading::counted::RawBytes;
use crate::import::reading::local::{LocalFile, LocalInput, open_pipe};
use crate::import::reading::names::has_csv_extension;
use crate::import::reading::opened::{Opened, Options, Text};
use crate::import::reading::s3_object::S3Object;
use crate::import::reading::temporary::Copied;
use crate::import::reading::zip::Entry;
use crate::import::{FileError, FileFault};
use crate::lock::lock;
use crate::object::ObjectKey;
use crate::random::Random;
use crate::store::StoreError;
use crate::words::{Told, outside_text};

/// How inputs are opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// What rows become, if it is not taken from the names.
    pub named_type: NamedType,
    /// How a person can say what rows become.
    pub said: TypeSaid,
    /// How texts are read.
    pub csv: CsvOptions,
    /// How bytes are read.
    pub reading: Options,
    /// Whether the log may quote the file: it may if it is read only by people who have the file.
    pub quotes: bool,
    /// Spreads retries over time.
    pub random: Arc<dyn Random>,
}

/// A file, ready to be read.
#[derive(Clone, Debug)]
pub struct CsvFile {
    /// The file's name, for people.
    pub name: String,
    /// Where the file is: the same for all of its versions.
    pub place: String,
    /// The file's id.
    pub id: FileId,
    /// Names where the file is; `None`: the file has no other versions.
    pub place_id: Option<FileId>,
    /// What the file's rows become.
    pub kind: FileType,
    /// The file's length in bytes, as stored.
    pub bytes: u64,
    bytes_of: BytesOf,
    opening: Arc<Opening>,
    watched: Watched,
    warned: Arc<Mutex<bool>>,
    /// The types that were found, if they were asked for.
    types: Option<Arc<Mutex<FoundTypes>>>,
    /// What was found, for a person.
    note: Option<Told>,
}

/// Counts the bytes read of the texts that are open.
#[derive(Clone, Debug, Default)]
pub struct Watched(Arc<Mutex<Vec<RawBytes>>>);

impl Watched {
    /// Bytes read of all texts opened so far.
    pub fn bytes(&self) -> u64 {
        lock(&self.0).iter().map(RawBytes::get).sum()
    }

    /// Counts the bytes of one more text.
    fn add(&self, bytes: RawBytes) {
        lock(&self.0).push(bytes);
    }
}

impl CsvFile {
    /// Opens the file at its first row. Blocks. Errors: [`FileError`]: the file cannot be read as a table.
    pub fn open(&self) -> Result<CsvRows, FileError> {
        let OpenedCsv { rows, warnings, .. } = self.opened(|text| self.watched.add(text.raw_bytes()))?;
        if !std::mem::replace(&mut *lock(&self.warned), true) {
            for warning in warnings {
                tracing::warn!("{}: {}", self.name, warning.shown(self.opening.quotes));
            }
            if let Some(note) = &self.note {
                tracing::info!("{}: {}", self.name, note.shown(self.opening.quotes));
            }
        }
        let rows = rows.with_ids_in(self.opening.reading.temporary.clone());
        Ok(match &self.types {
            Some(types) => rows.with_types(types),
            None => rows,
        })
    }

    /// The types that were found for the columns, if they were asked for.
    pub fn types(&self) -> Option<FoundTypes> {
        self.types.as_deref().map(|types| lock(types).clone())
    }

    /// Opens the file for a look at what is imported already: its bytes are not counted. Blocks.
    /// Errors: [`FileError`]: the file cannot be read as a table.
    pub fn open_unwatched(&self) -> Result<CsvRows, FileError> {
        self.opened(|_| {}).map(|opened| opened.rows)
    }

    fn opened(&self, watch: impl FnOnce(&Text)) -> Result<OpenedCsv, FileError> {
        let text = self.text().map_err(|error| csv::of_io(&error))?;
        watch(&text);
        let found = self.types().map(|types| CsvOptions { found: Some(types), ..self.opening.csv.clone() });
        let options = found.as_ref().unwrap_or(&self.opening.csv);
        CsvRows::open(&self.name, (self.id, self.kind.clone(), &self.place), text, options)
    }

    /// Finds the types of the columns, if they are asked for. Blocks.
    /// Errors: [`FileError`]: the file cannot be read now. One that is no table has no types.
    fn with_types(mut self) -> Result<Self, FileError> {
        if !self.opening.csv.infers() {
            return Ok(self);
        }
        match self.opened(|_| {}) {
            Ok(OpenedCsv { note, options, .. }) => {
                self.types = options.found.map(|found| Arc::new(Mutex::new(found)));
                self.note = note;
            }
            Err(error) if error.fault == FileFault::Content => {}
            Err(error) => return Err(error),
        }
        Ok(self)
    }

    /// Checks that the file is still as it was when it was found. A file that is gone counts as unchanged.
    /// Blocks. Errors: [`FileError`]: the file has changed, or it cannot be checked.
    pub fn check_unchanged(&self) -> Result<(), FileError> {
        match &self.bytes_of {
            BytesOf::File(file) => file.check_unchanged().map_err(|error| csv::of_io(&error)),
            BytesOf::Entry(archive, _) => archive.check_unchanged().map_err(|error| csv::of_io(&error)),
            BytesOf::Object(object, runtime) => {
                match runtime.block_on(object.is_current()).map_err(ReadingError::from) {
                    Ok(true) | Err(ReadingError::Missing) => Ok(()),
                    Ok(false) => Err(FileError::unread(&ReadingError::Changed)),
                    Err(error) => Err(FileError::unread(&error)),
                }
            }
        }
    }

    /// The options, with all that was found in this file: its delimiter, the names of its columns, and more.
    /// Blocks. Errors: [`FileError`]: the file cannot be read as a table.
    pub fn how_read(&self) -> Result<CsvOptions, FileError> {
        let OpenedCsv { columns, options, .. } = self.opened(|_| {})?;
        Ok(CsvOptions { columns: Some(columns), ..options })
    }

    fn text(&self) -> io::Result<Text> {
        self.bytes_of.text(&self.name, &self.opening.reading, &self.opening.random)
    }
}

/// A file of an input; or the name of an archive's entry that cannot be read, and why.
pub type Found = Result<CsvFile, (String, FileError)>;

/// The files of an input: one, or those in an archive. Hidden entries, and entries whose names are not those
/// of tables, are left out. Errors: [`FileError`] about the input as a whole.
pub async fn files(
    input: &Input,
    opening: &Arc<Opening>,
    watched: &Watched,
) -> Result<Vec<Found>, FileError> {
    let name = input.name();
    let (place, (id, place_id), bytes_of) = match input {
        Input::Object { bucket, key, store, head, .. } => {
            let location =
                location_of(bucket).map_err(|error| FileError::content("E-S3", error.to_string()))?;
            let key = ObjectKey::listed(key.clone());
            let object = S3Object::find(Arc::clone(store), location, key, head.as_deref()).await;
            let object = object.map_err(unread)?;
            let (id, place_id) = object.ids();
            (name.clone(), (id, Some(place_id)), BytesOf::Object(Arc::new(object), Handle::current()))
        }
        Input::Local(source) => {
            let (source, folder) = (source.clone(), opening.reading.temporary.clone());
            let opened = tokio::task::spawn_blocking(move || local(&source, &folder)).await;
            let (path, ids, file) =
                opened.unwrap_or_else(|error| Err(error.into())).map_err(|error| csv::of_io(&error))?;
            let place = path.map_or_else(|| name.clone(), |path| path.display().to_string());
            (place, ids, BytesOf::File(file))
        }
    };
    let (opening, watched) = (Arc::clone(opening), watched.clone());
    let made = on_own_thread(move || made((&name, &place), (id, place_id), bytes_of, &opening, &watched));
    made.await.and_then(|made| made)
}

/// The ids of a file and of its place, or of the bytes of a file without a name.
type Ids = (FileId, Option<FileId>);

/// A local file with its ids, and its canonical path if it has a name.
fn local(source: &LocalInput, folder: &Path) -> io::Result<(Option<PathBuf>, Ids, LocalFile)> {
    let named = |file: LocalFile, path: &Path| {
        let path = path.canonicalize()?;
        let (id, place_id) = identity::of_open_file(&file, &path)?;
        Ok((Some(path), (id, Some(place_id)), file))
    };
    let copied = match source {
        LocalInput::File(path) => return named(LocalFile::open(path)?, path),
        LocalInput::Found { path, folder } => return named(LocalFile::open_below(folder, path)?, path),
        LocalInput::Pipe(path) => Copied::to_folder(&mut open_pipe(path)?, folder)?,
        LocalInput::Stdin => Copied::to_folder(&mut std::io::stdin().lock(), folder)?,
    };
    Ok((None, (copied.id, None), copied.file))
}

fn made(
    (name, place): (&str, &str),
    (id, place_id): Ids,
    bytes_of: BytesOf,
    opening: &Arc<Opening>,
    watched: &Watched,
) -> Result<Vec<Found>, FileError> {
    let csv_file =
        |(name, place): (String, String), (id, place_id), bytes_of: BytesOf| -> Result<_, FileError> {
            let file = CsvFile {
                kind: type_of(&name, &opening.named_type, opening.said)?,
                name,
                place,
                id,
                place_id,
                bytes: bytes_of.len(),
                bytes_of,
                opening: Arc::clone(opening),
                watched: watched.clone(),
                warned: Arc::default(),
                types: None,
                note: None,
            };
            file.with_types()
        };
    match bytes_of.open(name, &opening.reading, &opening.random).map_err(|error| csv::of_io(&error))? {
        Opened::Text(_) => {
            let names = (name.to_owned(), place.to_owned());
            Ok(vec![Ok(csv_file(names, (id, place_id), bytes_of)?)])
        }
        Opened::Zip(zip) => {
            let zip = Arc::new(zip);
            let (mut entries, mut workbook) = (Vec::new(), false);
            let listed = zip.each_entry(|entry| {
                workbook |= entry.name.starts_with("xl/");
                if entry.is_file() && has_csv_extension(&entry.name) {
                    entries.push(entry);
                }
            });
            listed.map_err(|error| csv::of_io(&error))?;
            // A `readme.txt` beside tables is not a table, unless its own name or the person says so.
            let is_note = |entry: &Entry| {
                let is_text = entry.name.to_ascii_lowercase().ends_with(".txt");
                is_text
                    && opening.named_type.kind.is_none()
                    && csv::of_name(&entry.name, None, opening.said).is_err()
            };
            if !entries.iter().all(is_note) {
                entries.retain(|entry| {
                    let is_note = is_note(entry);
                    if is_note {
                        let entry = outside_text(&entry.name);
                        tracing::warn!(
                            "{name}!{entry} is left out: its name has no call type (or pass --type)"
                        );
                    }
                    !is_note
                });
            }
            let mut files = Vec::with_capacity(entries.len());
            for entry in entries {
                let of = |archive: &str| format!("{archive}!{}", entry.name);
                let names = (of(name), of(place));
                let ids = (id.entry(&entry.name), place_id.map(|id| id.entry(&entry.name)));
                let named = names.0.clone();
                let file = csv_file(names, ids, BytesOf::Entry(Arc::clone(&zip), entry));
                files.push(file.map_err(|error| (named, error)));
            }
            if !files.is_empty() {
                return Ok(files);
            }
            let what = match workbook {
                true => "this is an Excel workbook (.xlsx): save it as CSV",
                false => "the archive has no .csv, .tsv or .txt file",
            };
            Err(FileError::content("E-EMPTY", what))
        }
    }
}

/// The error of an object that cannot be read.
pub fn unread(error: StoreError) -> FileError {
    let error = ReadingError::from(error);
    let unread = FileError::unread(&error);
    match error {
        ReadingError::Missing => {
            let message = unread.message.and(&Told::plain(" (a prefix ends with /)"));
            FileError { message, ..unread }
        }
        _ => unread,
    }
}

/// The folder for temporary copies, below the state folder.
pub fn temporary(state: &Path) -> PathBuf {
    state.join("tmp")
}
