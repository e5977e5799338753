//! A store in a folder, for several processes: an object is put only if there is none of its name, and answers are
//! lost now and then.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use forebay::object::{ObjectKey, S3Location};
use forebay::store::{Attempted, Body, Fault, Head, ObjectStore, Put, StoreError, Stored};

/// Of so many answers, one is lost.
const LOST_OF: u64 = 5;

/// A store in a folder.
#[derive(Debug)]
pub(crate) struct FolderStore {
    folder: PathBuf,
    puts: AtomicU64,
}

/// What a file holds: metadata in one line, and the object.
type File = (BTreeMap<String, String>, Vec<u8>);

impl FolderStore {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), puts: AtomicU64::new(0) }
    }

    fn place(&self, key: &ObjectKey) -> PathBuf {
        self.folder.join(key.as_str().replace('/', "_"))
    }

    fn put_now(&self, put: &Put) -> Result<Stored, StoreError> {
        let bytes = match &put.body {
            Body::Bytes(bytes) => bytes.to_vec(),
            Body::File { path, .. } => fs::read(path).map_err(|error| local(&error))?,
        };
        let metadata: BTreeMap<String, String> =
            put.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut whole = tempfile::NamedTempFile::new_in(&self.folder).unwrap();
        whole.write_all(&serde_json::to_vec(&metadata).unwrap()).unwrap();
        whole.write_all(b"\n").unwrap();
        whole.write_all(&bytes).unwrap();
        match fs::hard_link(whole.path(), self.place(&put.key)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(StoreError::answered(Fault::Exists, 412, Some("PreconditionFailed"), "it exists"))
            }
            linked => {
                linked.unwrap();
                Ok(Stored::default())
            }
        }
    }
}

fn local(error: &std::io::Error) -> StoreError {
    StoreError::answered(Fault::Local, 0, None, &error.to_string())
}

fn read(place: &Path) -> Option<File> {
    let mut file = fs::read(place).ok()?;
    let line = file.iter().position(|byte| *byte == b'\n').unwrap();
    let bytes = file.split_off(line + 1);
    Some((serde_json::from_slice(&file).unwrap(), bytes))
}

impl ObjectStore for FolderStore {
    fn put<'a>(&'a self, put: &'a Put) -> Attempted<'a, Stored> {
        Box::pin(async move {
            let answer = self.put_now(put);
            let number = self.puts.fetch_add(1, Ordering::Relaxed);
            if answer.is_ok() && number.is_multiple_of(LOST_OF) {
                return Err(StoreError::answered(Fault::Transient, 503, None, "the answer is lost"));
            }
            answer
        })
    }

    fn head<'a>(&'a self, _location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, Head> {
        Box::pin(async move {
            match read(&self.place(key)) {
                Some((metadata, bytes)) => {
                    Ok(Head { len: Some(bytes.len() as u64), metadata, ..Head::default() })
                }
                None => Err(StoreError::answered(Fault::NotFound, 404, Some("NoSuchKey"), "there is none")),
            }
        })
    }
}

/// How often each call is in the store, and the number of objects.
pub(crate) fn stored(folder: &Path) -> (BTreeMap<String, u32>, usize) {
    let (mut calls, mut objects): (BTreeMap<String, u32>, usize) = (BTreeMap::new(), 0);
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        // A part that is being written has another name.
        if !path.to_str().unwrap().ends_with(".gz") {
            continue;
        }
        let Some((_, bytes)) = read(&path) else { continue };
        objects += 1;
        for call in crate::delivered::calls_of(&bytes) {
            *calls.entry(call).or_default() += 1;
        }
    }
    (calls, objects)
}
