//! Rejected rows in a store: objects of gzipped JSON lines. The names follow from the rows, so a repetition
//! after a crash puts nothing twice.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::kept_rows::KeptRows;
use super::set::Set;
use crate::disk::own_files;
use crate::import::file_error::{FileError, FileFault};
use crate::import::import_id::ImportId;
use crate::object::{ObjectKey, S3Location};
use crate::store::reader::{ByteRange, StoreReader};
use crate::store::reason::{Action, Denial, Reason};
use crate::store::{Fault, ObjectStore, Outlook, Put, PutMode, StoreError};
use crate::words::Told;

/// The object that shows whether objects can be put.
const TRIED: &[u8] = b"`forebay import test-credentials NAME` puts this object.\n";
/// Bytes of lines after which an object ends.
const OBJECT_BYTES: usize = 8 << 20;

/// A prefix of a bucket for rejected rows.
#[derive(Clone, Debug)]
pub struct RejectsInStore {
    /// Takes the objects.
    pub store: Arc<dyn ObjectStore>,
    /// Reads them again.
    pub reader: Arc<dyn StoreReader>,
    /// The endpoint of the store; empty for that of AWS.
    pub endpoint: String,
    /// The bucket, and how objects are encrypted there.
    pub location: S3Location,
    /// What the keys begin with: empty, or with `/` at the end.
    pub prefix: String,
    /// Whether a put may replace an object: only where the store knows no conditions.
    pub mode: PutMode,
}

impl RejectsInStore {
    fn key(&self, import: ImportId, set: Set, first: u64) -> ObjectKey {
        ObjectKey::listed(format!("{}{}-{first}.ndjson.gz", self.folder(import), set.name_in_store()))
    }

    /// What the keys of an import begin with.
    fn folder(&self, import: ImportId) -> String {
        format!("{}{import}/", self.prefix)
    }

    /// What all keys begin with that an import puts here, and none of anybody else's objects.
    pub(in super::super) fn keys_of(&self, import: ImportId) -> [String; 2] {
        [self.folder(import), self.tried_key().as_str().to_owned()]
    }

    /// The place, for people.
    pub fn text(&self) -> String {
        format!("s3://{}/{}", self.location.bucket.bucket(), self.prefix)
    }

    /// Puts a small object and reads it, as rejected rows are put and read, to see whether both are allowed.
    /// Nothing is read if nothing was put.
    pub async fn try_rights(&self) -> (Result<(), StoreError>, Option<Result<(), StoreError>>) {
        let put = self.try_put().await;
        if put.is_err() {
            return (put, None);
        }
        let first = ByteRange { from: 0, len: 1 };
        let got = self.reader.range(&self.location, &self.tried_key(), None, first).await;
        (put, Some(got.map(drop)))
    }

    async fn try_put(&self) -> Result<(), StoreError> {
        let mut put = Put::plain(self.location.clone(), self.tried_key(), TRIED, self.mode);
        let mut answer = self.store.put(&put).await;
        if answer.as_ref().is_err_and(|error| error.fault == Fault::Region) {
            answer = self.store.put(&put).await;
        }
        if answer.as_ref().is_err_and(|error| error.fault == Fault::Exists) {
            // An earlier test put it. S3 asks for a key only if it stores something.
            put.mode = PutMode::Overwrite;
            answer = self.store.put(&put).await;
            if answer.as_ref().is_err_and(|error| lets_none_be_replaced(error.reason)) {
                // That is no need of rejected rows: what they need was allowed before.
                return Ok(());
            }
        }
        answer.map(drop)
    }

    fn tried_key(&self) -> ObjectKey {
        ObjectKey::listed(format!("{}test-credentials.txt", self.prefix))
    }

    /// Puts the rows of a set, which is in a file. Returns the first row of each object.
    /// Errors: [`FileError`]: not all rows are there, and the file is still needed.
    pub(super) async fn put(
        &self,
        import: ImportId,
        set: Set,
        mut rows: KeptRows,
    ) -> Result<Vec<u64>, FileError> {
        let mut firsts = Vec::new();
        loop {
            let made =
                tokio::task::spawn_blocking(move || next_object(&mut rows).map(|object| (object, rows)));
            let object;
            (object, rows) = made.await.unwrap_or_else(|error| Err(local(&error)))?;
            let Some((first, bytes)) = object else { return Ok(firsts) };
            let len = bytes.len() as u64;
            let put = Put::plain(self.location.clone(), self.key(import, set, first), bytes, self.mode);
            match self.store.put(&put).await {
                Ok(_) => {}
                // An earlier process put it, and ended before it noted that.
                Err(error) if error.fault == Fault::Exists => self.is_there(&put.key, len).await?,
                Err(error) => return Err(refused(&format!("put {} to", put.key), &self.text(), &error)),
            }
            firsts.push(first);
        }
    }

    /// Checks that an object with this key and length is there.
    async fn is_there(&self, key: &ObjectKey, len: u64) -> Result<(), FileError> {
        let head = self.store.head(&self.location, key).await;
        let head = head.map_err(|error| refused(&format!("look at {key} in"), &self.text(), &error))?;
        if head.len == Some(len) {
            return Ok(());
        }
        let what =
            format!("{key} is another object than the rejected rows that belong there: remove or rename it");
        Err(FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what)))
    }

    /// Writes the rows of a set into a file, whole or not at all.
    /// Errors: [`FileError`]: there is no such file now.
    pub(super) async fn get(
        &self,
        import: ImportId,
        set: Set,
        firsts: &[u64],
        to: &Path,
    ) -> Result<(), FileError> {
        let temporary = to.with_added_extension("tmp");
        let (folder, path) = (to.parent().map(Path::to_owned), temporary.clone());
        let mut file = blocking(move || {
            folder.as_deref().map_or(Ok(()), own_files::make_folders)?;
            own_files::replace(&path, 0o600)
        })
        .await?;
        for first in firsts {
            let key = self.key(import, set, *first);
            let unread = |error: &StoreError| refused(&format!("get {key} from"), &self.text(), error);
            let mut body = self.reader.get(&self.location, &key).await.map_err(|error| unread(&error))?;
            let mut bytes = Vec::new();
            while let Some(more) = body.next().await.map_err(|error| unread(&error))? {
                bytes.extend_from_slice(&more);
            }
            file = blocking(move || {
                // A row takes more room in an object than it does here only if it cannot be compressed.
                let mut lines = MultiGzDecoder::new(bytes.as_slice()).take(2 * OBJECT_BYTES as u64);
                io::copy(&mut lines, &mut file)?;
                Ok(file)
            })
            .await?;
        }
        let to = to.to_owned();
        blocking(move || {
            file.sync_data()?;
            own_files::rename_durably(&temporary, &to)
        })
        .await
    }
}

/// Whether a store denies to replace an object, and not to use a key.
fn lets_none_be_replaced(reason: Reason) -> bool {
    matches!(reason, Reason::Denied(denial) if denial != Denial::Missing(Action::Kms))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FileError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.into()));
    done.map_err(|error| local(&error))
}

/// The next rows of a set as an object, with the number of the first one; `None` at the end.
fn next_object(rows: &mut KeptRows) -> Result<Option<(u64, Vec<u8>)>, FileError> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let (mut first, mut len, mut line) = (None, 0, Vec::new());
    while len < OBJECT_BYTES
        && let Some(reject) = rows.next()?
    {
        line.clear();
        serde_json::to_writer(&mut line, &reject).map_err(|error| local(&error))?;
        line.push(b'\n');
        encoder.write_all(&line).map_err(|error| local(&error))?;
        len += line.len();
        first.get_or_insert(reject.row);
    }
    let Some(first) = first else { return Ok(None) };
    Ok(Some((first, encoder.finish().map_err(|error| local(&error))?)))
}

fn local(error: &dyn std::fmt::Display) -> FileError {
    FileError::new(
        FileFault::Local,
        "E-REJECTS",
        Told::plain(format!("rejected rows cannot be moved: {error}")),
    )
}

fn refused(what: &str, place: &str, error: &StoreError) -> FileError {
    let fault = match error.outlook() {
        Outlook::Denied => FileFault::Denied,
        Outlook::Passing => FileFault::Transient,
        _ => FileFault::Local,
    };
    FileError::new(fault, "E-REJECTS", Told::plain(format!("{what} {place}: ")).and(&error.with_remedy()))
}
