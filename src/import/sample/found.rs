//! Finds the files that the arguments name. Each may be opened several times.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encoding_rs::Encoding;
use tokio::runtime::Handle;

use super::limits::FILES_MAX;
use crate::convert::{FileFormat, FilePattern};
use crate::import::csv::of_io;
use crate::import::discovery::inputs::{Input, inputs, location_of, s3_url};
use crate::import::file_error::FileError;
use crate::import::own_thread::bug;
use crate::import::reading::Limits;
use crate::import::reading::bytes_of::BytesOf;
use crate::import::reading::compression::Compression;
use crate::import::reading::local::{LocalFile, LocalInput, open_pipe};
use crate::import::reading::names::is_hidden;
use crate::import::reading::open_file::OpenFile;
use crate::import::reading::opened::{Opened, Options, Text};
use crate::import::reading::s3_object::S3Object;
use crate::import::reading::temporary::Copied;
use crate::import::unusable::Unusable;
use crate::object::ObjectKey;
use crate::random::Random;
use crate::store::reader::{ListFrom, Listed, StoreReader};
use crate::words::{counted, grouped, outside_text};

/// The most pages of a listing in which files are searched.
const PAGES_MAX: usize = 10;

/// How files are opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The folder for copies of archives and of standard input.
    pub temporary: PathBuf,
    /// Whether files may expand more than a thousand times.
    pub allow_expansion: bool,
    /// Spreads retries over time.
    pub random: Arc<dyn Random>,
}

impl Opening {
    fn options(&self, encoding: Option<&'static Encoding>) -> Options {
        let limits = Limits { allow_expansion: self.allow_expansion, ..Limits::default() };
        Options { encoding, limits, temporary: self.temporary.clone() }
    }
}

/// A file that can be opened any number of times.
#[derive(Clone, Debug)]
pub struct SampleFile {
    /// The file's name, for people.
    pub name: String,
    /// The object's key, or the name of a local file; `None`: the file has no name.
    pub key: Option<String>,
    bytes_of: BytesOf,
    compression: Compression,
    /// Whether the bytes, as they are stored, begin as parquet does.
    pub(super) begins_as_parquet: bool,
}

/// Files that were found.
#[derive(Debug, Default)]
pub struct SampleFiles {
    /// The first files; of those that cannot be opened the name, and why.
    pub found: Vec<Result<SampleFile, (String, FileError)>>,
    /// How many more there are, as far as they were listed.
    pub left: usize,
    /// The keys that were listed, whether they match a pattern or not.
    pub(super) keys: Keys,
}

/// Keys below prefixes: the first ones.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// What follows the prefix, of each.
    pub(super) rests: Vec<String>,
    /// How many of them do not match the pattern, and the first of these.
    pub(super) foreign: u64,
    pub(super) first_foreign: Option<String>,
}

impl Keys {
    /// That a pattern leaves out some of the keys.
    pub(super) fn warning(&self, pattern: Option<&FilePattern>) -> Option<String> {
        let (pattern, first) = (pattern?, self.first_foreign.as_ref()?);
        let all = self.rests.len() as u64;
        Some(format!(
            "filterPattern {} matches {} of {}: an import leaves out the others, the first is {}",
            outside_text(pattern.as_str()),
            grouped(all.saturating_sub(self.foreign)),
            counted(all, "key that was listed", "keys that were listed"),
            outside_text(first)
        ))
    }
}

impl SampleFile {
    /// How the file is compressed: `none`, `gzip`, `zip` or `zstd`.
    pub fn compression(&self) -> &'static str {
        self.compression.as_str()
    }

    /// Opens the file at its beginning, in this encoding unless a byte order mark says otherwise. Blocks.
    /// Errors: [`FileError`]: it cannot be read.
    pub(super) fn open(
        &self,
        encoding: Option<&'static Encoding>,
        opening: &Opening,
    ) -> Result<Text, FileError> {
        let options = opening.options(encoding);
        self.bytes_of.text(&self.name, &options, &opening.random).map_err(|error| of_io(&error))
    }

    /// Opens the file as one of this format. Blocks. Errors: as for [`SampleFile::open`].
    pub(super) fn file_as(
        &self,
        format: FileFormat,
        encoding: Option<&'static Encoding>,
        opening: &Opening,
    ) -> Result<OpenFile, FileError> {
        let options = opening.options(encoding);
        self.bytes_of.file_as(format, &self.name, &options, &opening.random).map_err(|error| of_io(&error))
    }
}

/// The files that the arguments name: the first ones, at most [`FILES_MAX`]. Of the keys below a prefix only
/// those that match the pattern. `store` reads from S3.
/// Errors: [`Unusable`]: something is missing or cannot be listed.
pub async fn sample_files(
    args: &[OsString],
    store: Option<&Arc<dyn StoreReader>>,
    pattern: Option<&FilePattern>,
    opening: &Opening,
) -> Result<SampleFiles, Unusable> {
    let (mut all, mut keys) = (Vec::new(), Keys::default());
    let mut listed = 0;
    for arg in args {
        let prefix = arg.to_str().and_then(s3_url).filter(|(_, key)| key.is_empty() || key.ends_with('/'));
        match (prefix, store) {
            (Some((bucket, prefix)), Some(store)) => {
                let which = Which { pattern, of_import: None };
                listed += below((bucket, prefix), store, &which, (&mut all, &mut keys)).await?;
            }
            _ => {
                not_a_folder(Path::new(arg))?;
                all.extend(inputs(std::slice::from_ref(arg), store).await?);
            }
        }
    }
    Ok(SampleFiles { keys, ..all_opened(all, listed, opening).await })
}

/// Whether an import reads an object, as far as a listing shows and its pattern is not concerned.
pub type IsOfImport<'i> = &'i (dyn Fn(&Listed) -> bool + Sync);

/// Which objects below a prefix are files.
struct Which<'w> {
    /// The pattern of their keys.
    pattern: Option<&'w FilePattern>,
    /// What an import says of others; `None`: no import reads them, so hidden names are left out.
    of_import: Option<IsOfImport<'w>>,
}

impl Which<'_> {
    /// Whether an object is a file if the pattern matches its key. `rest`: what follows the prefix.
    fn takes(&self, listed: &Listed, rest: &str) -> bool {
        match self.of_import {
            Some(is_of_import) => is_of_import(listed),
            None => listed.len > 0 && !rest.ends_with('/') && !is_hidden(rest),
        }
    }

    /// What is said of a place without such files, where so many keys do not match and so many others are no files.
    fn none_found(&self, foreign: u64, skipped: u64) -> String {
        match (self.pattern, self.of_import) {
            (Some(pattern), _) if foreign > 0 => {
                format!(" that matches filterPattern {} ({foreign} do not)", outside_text(pattern.as_str()))
            }
            (_, Some(_)) if skipped > 0 => {
                format!(
                    " that the import reads (its settings skip {})",
                    counted(skipped, "object", "objects")
                )
            }
            _ => String::new(),
        }
    }
}

/// The first files of an import below its prefix of a bucket: those that `is_of_import` takes and whose keys match the
/// pattern, at most [`FILES_MAX`].
/// Errors: [`Unusable`]: the bucket cannot be listed, or there is no such file.
pub async fn sample_below(
    place: (&str, &str),
    store: &Arc<dyn StoreReader>,
    pattern: Option<&FilePattern>,
    is_of_import: IsOfImport<'_>,
    opening: &Opening,
) -> Result<SampleFiles, Unusable> {
    let (mut all, mut keys) = (Vec::new(), Keys::default());
    let which = Which { pattern, of_import: Some(is_of_import) };
    let listed = below(place, store, &which, (&mut all, &mut keys)).await?;
    Ok(SampleFiles { keys, ..all_opened(all, listed, opening).await })
}

/// Opens the first inputs. `listed`: how many more there are.
async fn all_opened(all: Vec<Input>, listed: usize, opening: &Opening) -> SampleFiles {
    let mut files =
        SampleFiles { left: all.len().saturating_sub(FILES_MAX) + listed, ..SampleFiles::default() };
    for input in all.into_iter().take(FILES_MAX) {
        let name = input.name();
        match opened(input, opening).await {
            Ok(found) => files.found.extend(found.into_iter().map(Ok)),
            Err(error) => files.found.push(Err((name, error))),
        }
    }
    files.left += files.found.len().saturating_sub(FILES_MAX);
    files.found.truncate(FILES_MAX);
    files
}

/// Folders mean tables elsewhere. Here the files may be of any format, so they are named.
fn not_a_folder(path: &Path) -> Result<(), Unusable> {
    if !path.is_dir() {
        return Ok(());
    }
    let path = path.display();
    Err(Unusable::Wrong(format!("{path} is a folder: name its files, such as '{path}/*.json'")))
}

/// Adds the first objects below a prefix. Returns how many more were listed.
async fn below(
    (bucket, prefix): (&str, &str),
    store: &Arc<dyn StoreReader>,
    which: &Which<'_>,
    (all, keys): (&mut Vec<Input>, &mut Keys),
) -> Result<usize, Unusable> {
    let to = location_of(bucket)?;
    let (mut found, mut left, mut skipped, mut next) = (0, 0, 0_u64, None);
    let foreign_before = keys.foreign;
    for _ in 0..PAGES_MAX {
        // An import reads archived objects that are restored.
        let restored = which.of_import.is_some();
        let from = ListFrom { prefix, next: next.as_deref(), restored, ..ListFrom::default() };
        let failed = |cause| Unusable::Store { what: format!("list s3://{bucket}/{prefix}"), cause };
        let page = store.list(&to, from).await.map_err(failed)?;
        for listed in page.objects {
            let key = listed.key.as_str();
            let rest = key.strip_prefix(prefix).unwrap_or(key);
            if !which.takes(&listed, rest) {
                skipped += 1;
                continue;
            }
            keys.rests.push(rest.to_owned());
            if which.pattern.is_some_and(|pattern| !pattern.matches(key, prefix)) {
                keys.foreign += 1;
                keys.first_foreign.get_or_insert_with(|| key.to_owned());
                continue;
            }
            if found == FILES_MAX {
                left += 1;
                continue;
            }
            found += 1;
            all.push(Input::Object {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                store: Arc::clone(store),
                bytes: Some(listed.len),
                head: None,
            });
        }
        next = page.next;
        if next.is_none() || found == FILES_MAX {
            break;
        }
    }
    if found == 0 {
        let why = which.none_found(keys.foreign.saturating_sub(foreign_before), skipped);
        return Err(Unusable::Wrong(format!("no object in s3://{bucket}/{prefix}{why}")));
    }
    Ok(left)
}

/// The file of an input, or the files in an archive.
async fn opened(input: Input, opening: &Opening) -> Result<Vec<SampleFile>, FileError> {
    let name = input.name();
    let (key, bytes_of) = match input {
        Input::Object { bucket, key, store, head, .. } => {
            let location =
                location_of(&bucket).map_err(|error| FileError::content("E-S3", error.to_string()))?;
            let object_key = ObjectKey::listed(key.clone());
            let object = S3Object::find(store, location, object_key, head.as_deref()).await;
            let object = object.map_err(crate::import::discovery::files::unread)?;
            (Some(key), BytesOf::Object(Arc::new(object), Handle::current()))
        }
        Input::Local(local) => {
            let folder = opening.temporary.clone();
            let read = tokio::task::spawn_blocking(move || local_file(&local, &folder)).await;
            let (key, file) =
                read.unwrap_or_else(|error| Err(error.into())).map_err(|error| of_io(&error))?;
            (key, BytesOf::File(file))
        }
    };
    let opening = opening.clone();
    let made = tokio::task::spawn_blocking(move || made(name, key, bytes_of, &opening)).await;
    made.unwrap_or_else(|error| Err(bug(&error)))
}

fn local_file(local: &LocalInput, folder: &Path) -> io::Result<(Option<String>, LocalFile)> {
    let key = |path: &Path| Some(path.to_string_lossy().into_owned());
    Ok(match local {
        LocalInput::File(path) => (key(path), LocalFile::open(path)?),
        LocalInput::Found { path, folder } => (key(path), LocalFile::open_below(folder, path)?),
        LocalInput::Pipe(path) => (None, Copied::to_folder(&mut open_pipe(path)?, folder)?.file),
        LocalInput::Stdin => (None, Copied::to_folder(&mut std::io::stdin().lock(), folder)?.file),
    })
}

fn made(
    name: String,
    key: Option<String>,
    bytes_of: BytesOf,
    opening: &Opening,
) -> Result<Vec<SampleFile>, FileError> {
    let looks = bytes_of.looks(&name, &opening.random).map_err(|error| of_io(&error))?;
    let (compression, begins_as_parquet) = looks;
    if compression != Compression::Zip {
        return Ok(vec![SampleFile { name, key, bytes_of, compression, begins_as_parquet }]);
    }
    let opened = bytes_of.open(&name, &opening.options(None), &opening.random);
    let zip = match opened.map_err(|error| of_io(&error))? {
        Opened::Zip(zip) => Arc::new(zip),
        Opened::Text(_) => return Err(FileError::content("E-READ", "it is no longer an archive")),
    };
    let mut files = Vec::new();
    let listed = zip.each_entry(|entry| {
        if files.len() < FILES_MAX && entry.is_file() {
            files.push(SampleFile {
                name: format!("{name}!{}", entry.name),
                key: key.clone(),
                bytes_of: BytesOf::Entry(Arc::clone(&zip), entry),
                compression,
                begins_as_parquet: false,
            });
        }
    });
    listed.map_err(|error| of_io(&error))?;
    if files.is_empty() {
        return Err(FileError::content("E-EMPTY", "the archive has no file"));
    }
    Ok(files)
}
