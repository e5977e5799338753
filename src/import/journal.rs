//! The journal: what the log does not keep of imports. It remembers each file for good, so that a file is
//! imported once, however long ago that was.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fmt, fs, io};

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, StorageBackend,
    TableDefinition,
};

use super::record::Record;
use super::row_hash::RowCount;
use crate::lock::lock;
use crate::log::ImportKey;

/// Records as JSON, by the import's key.
const RECORDS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("imports");
/// How often rows are known: stored, in the file that had one last, and that file.
const ROWS: TableDefinition<'_, u128, (u32, u32, u64)> = TableDefinition::new("rows");
/// Bytes of the database that are kept in memory. Each import reads and writes one
/// record, and the counts of its rows if they are known by their content.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the import journal: {0}")]
pub struct JournalError(String);

impl JournalError {
    /// A journal failed for this reason.
    pub fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// The records of all files. Every write is durable when it returns. All methods wait for the disk.
pub trait Journal: Send + Sync + fmt::Debug {
    /// The record of a file.
    ///
    /// # Errors
    /// [`JournalError`].
    fn read(&self, key: ImportKey) -> Result<Option<Record>, JournalError>;

    /// Replaces the records of files, all or none.
    ///
    /// # Errors
    /// [`JournalError`]: nothing has changed.
    fn write(&self, records: &[Record]) -> Result<(), JournalError>;

    /// How often rows are known, by their keys. Unknown ones are left out.
    ///
    /// # Errors
    /// [`JournalError`].
    fn row_counts(&self, keys: &[u128]) -> Result<Vec<(u128, RowCount)>, JournalError>;

    /// Replaces the counts of rows and the record of their file, all or none.
    ///
    /// # Errors
    /// [`JournalError`]: nothing has changed.
    fn write_rows(&self, counts: &[(u128, RowCount)], record: &Record) -> Result<(), JournalError>;

    /// Passes every record to `each`, in no particular order.
    ///
    /// # Errors
    /// [`JournalError`].
    fn each(&self, each: &mut dyn FnMut(Record)) -> Result<(), JournalError>;

    /// How many records there are. It does not read them.
    ///
    /// # Errors
    /// [`JournalError`].
    fn count(&self) -> Result<u64, JournalError>;
}

/// A journal in an embedded database: one file, used by one process. The file is created with the first record.
#[derive(Debug)]
pub struct LocalJournal {
    path: PathBuf,
    database: Mutex<Option<Arc<Database>>>,
}

impl LocalJournal {
    /// Opens the journal in a file, which need not exist.
    ///
    /// # Errors
    /// [`JournalError`]: it is damaged, another process uses it, or the disk refuses.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let journal = Self { path: path.to_owned(), database: Mutex::default() };
        if path.exists() {
            journal.made()?;
        }
        Ok(journal)
    }

    /// Opens a journal in storage that a test can break.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn over(backend: impl StorageBackend) -> Result<Self, JournalError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        let database = with_table(database.map_err(JournalError::of)?)?;
        Ok(Self { path: PathBuf::new(), database: Mutex::new(Some(Arc::new(database))) })
    }

    /// The database, created if need be.
    fn made(&self) -> Result<Arc<Database>, JournalError> {
        let mut known = lock(&self.database);
        if let Some(database) = &*known {
            return Ok(Arc::clone(database));
        }
        if !self.path.exists() {
            self.make()?;
        }
        Ok(Arc::clone(known.insert(Arc::new(database_in(&self.path)?))))
    }

    /// Makes an empty database, which gets its name only when it is complete: one that is cut short while it is
    /// made is none, and could never be opened.
    #[expect(clippy::disallowed_methods, reason = "the file is synced before, and its directory after")]
    fn make(&self) -> Result<(), JournalError> {
        let temporary = self.path.with_extension("tmp");
        let made = || -> Result<(), JournalError> {
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(JournalError::of(error)),
                _ => {}
            }
            // Names of files may be personal data, and the rest of the spool is for its owner only, too.
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600).open(&temporary).map_err(JournalError::of)?;
            drop(database_in(&temporary)?);
            let sync = |path: &Path| fs::File::open(path).and_then(|file| file.sync_all());
            sync(&temporary).map_err(JournalError::of)?;
            fs::rename(&temporary, &self.path).map_err(JournalError::of)?;
            let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
            sync(dir.unwrap_or(Path::new("."))).map_err(JournalError::of)
        };
        made().map_err(|error| JournalError(format!("{} cannot be made: {}", self.path.display(), error.0)))
    }

    fn if_made(&self) -> Option<Arc<Database>> {
        lock(&self.database).clone()
    }
}

fn database_in(path: &Path) -> Result<Database, JournalError> {
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
    let cannot = |error| JournalError(format!("{} cannot be opened: {error}", path.display()));
    with_table(database.map_err(cannot)?)
}

fn with_table(database: Database) -> Result<Database, JournalError> {
    let begun = database.begin_write().map_err(JournalError::of)?;
    begun.open_table(RECORDS).map_err(JournalError::of)?;
    begun.open_table(ROWS).map_err(JournalError::of)?;
    begun.commit().map_err(JournalError::of)?;
    Ok(database)
}

impl Journal for LocalJournal {
    fn read(&self, key: ImportKey) -> Result<Option<Record>, JournalError> {
        let Some(database) = self.if_made() else { return Ok(None) };
        let table = database.begin_read().map_err(JournalError::of)?;
        let table = table.open_table(RECORDS).map_err(JournalError::of)?;
        let found = table.get(key.0).map_err(JournalError::of)?;
        found.map(|json| serde_json::from_slice(json.value()).map_err(JournalError::of)).transpose()
    }

    fn write(&self, records: &[Record]) -> Result<(), JournalError> {
        let begun = self.made()?.begin_write().map_err(JournalError::of)?;
        {
            let mut table = begun.open_table(RECORDS).map_err(JournalError::of)?;
            for record in records {
                let json = serde_json::to_vec(record).map_err(JournalError::of)?;
                table.insert(record.key.0, json.as_slice()).map_err(JournalError::of)?;
            }
        }
        begun.commit().map_err(JournalError::of)
    }

    fn row_counts(&self, keys: &[u128]) -> Result<Vec<(u128, RowCount)>, JournalError> {
        let Some(database) = self.if_made() else { return Ok(Vec::new()) };
        let table = database.begin_read().map_err(JournalError::of)?;
        let table = table.open_table(ROWS).map_err(JournalError::of)?;
        let mut counts = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(count) = table.get(*key).map_err(JournalError::of)? {
                let (stored, in_file, file) = count.value();
                counts.push((*key, RowCount { stored, in_file, file }));
            }
        }
        Ok(counts)
    }

    fn write_rows(&self, counts: &[(u128, RowCount)], record: &Record) -> Result<(), JournalError> {
        let begun = self.made()?.begin_write().map_err(JournalError::of)?;
        {
            let mut table = begun.open_table(ROWS).map_err(JournalError::of)?;
            for (key, RowCount { stored, in_file, file }) in counts {
                table.insert(*key, (*stored, *in_file, *file)).map_err(JournalError::of)?;
            }
            let mut table = begun.open_table(RECORDS).map_err(JournalError::of)?;
            let json = serde_json::to_vec(record).map_err(JournalError::of)?;
            table.insert(record.key.0, json.as_slice()).map_err(JournalError::of)?;
        }
        begun.commit().map_err(JournalError::of)
    }

    fn each(&self, each: &mut dyn FnMut(Record)) -> Result<(), JournalError> {
        let Some(database) = self.if_made() else { return Ok(()) };
        let table = database.begin_read().map_err(JournalError::of)?;
        let table = table.open_table(RECORDS).map_err(JournalError::of)?;
        for entry in table.iter().map_err(JournalError::of)? {
            let (_, json) = entry.map_err(JournalError::of)?;
            each(serde_json::from_slice(json.value()).map_err(JournalError::of)?);
        }
        Ok(())
    }

    fn count(&self) -> Result<u64, JournalError> {
        let Some(database) = self.if_made() else { return Ok(0) };
        let table = database.begin_read().map_err(JournalError::of)?;
        let table = table.open_table(RECORDS).map_err(JournalError::of)?;
        table.len().map_err(JournalError::of)
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::*;
    use crate::log::ImportProgress;
    use crate::time::UnixMillis;

    /// Found by the simulation: after a crash while the journal was made, no start accepted its file.
    #[test]
    fn a_journal_that_was_cut_short_while_it_was_made_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("imports.redb");
        // What a crash leaves: all of its length, and nothing else.
        fs::write(path.with_extension("tmp"), vec![0; 1024 * 1024]).unwrap();
        let record = Record::of_progress(ImportKey(1), ImportProgress::default(), UnixMillis(1));
        LocalJournal::open(&path).unwrap().write(std::slice::from_ref(&record)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let again = LocalJournal::open(&path).unwrap();
        assert_eq!(again.read(ImportKey(1)).unwrap(), Some(record));
    }

    #[test]
    fn a_journal_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("imports.redb");
        let record = Record::of_progress(ImportKey(1), ImportProgress::default(), UnixMillis(1));
        LocalJournal::open(&path).unwrap().write(&[record]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
