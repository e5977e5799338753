//! The journal: what the log does not keep of imports. The journal remembers each file for good, so that a
//! file is imported once, however long ago that was.

use std::error::Error;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fmt, fs, io};

use redb::{
    Builder, Database, DatabaseError, Key, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, StorageBackend, StorageError, TableDefinition, Value,
};

use super::kept::{KeptOf, KeptValue};
use super::record::ImportRecord;
use super::row_hash::RowCount;
use super::untouched::Untouched;
use crate::disk::own_files;
use crate::lock::lock;
use crate::log::ImportKey;
use crate::tasks::{caught_now, caught_quietly};

/// Records as JSON, by the import's key.
const RECORDS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("imports");
/// How often rows are known: copies stored, copies in the file that had one last, and that file.
const ROWS: TableDefinition<'_, u128, (u32, u32, u64)> = TableDefinition::new("rows");
/// The import that a later version of a file continues, by the key that an import of this version alone would
/// have; and the last import of a place in a source, by the key of both.
const LINKS: TableDefinition<'_, u128, u128> = TableDefinition::new("links");
/// See [`KeptOf`]. Journals of earlier releases do not have these tables.
const NAMES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("names");
const CONVERTERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("converters");
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const AFTER: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("after");
const CLAIMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("claims");
/// Bytes of the database that are kept in memory. Each import reads and writes one record, and the counts of
/// its rows if they are known by their content.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// The journal's name in the directory of a spool.
pub const JOURNAL: &str = "imports.redb";
/// The part that the name of a damaged journal gets when the file is set aside.
const ASIDE: &str = "damaged";
/// The extension of the note that says that a journal was made.
const NOTE: &str = "made";

/// Why the journal cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the import journal: {what}")]
pub struct JournalError {
    what: String,
    kind: Kind,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A retry may succeed.
    Passing,
    /// The file is no longer what was written.
    Damaged,
    /// Another process uses the file.
    Used,
    /// Imports are refused until a person decides.
    Lost,
}

impl JournalError {
    /// The error of a journal that failed for this reason. A retry may succeed.
    pub fn of(error: impl fmt::Display) -> Self {
        Self { what: error.to_string(), kind: Kind::Passing }
    }

    /// The error of a journal without which imports are refused until a person decides.
    fn lost(what: String) -> Self {
        Self { what, kind: Kind::Lost }
    }

    /// Whether no retry can succeed before a person has decided something.
    pub fn needs_a_person(&self) -> bool {
        self.kind == Kind::Lost
    }
}

/// What one write changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// Records that replace those of their files.
    pub records: &'a [ImportRecord],
    /// Keys, and the imports that are linked with them.
    pub links: &'a [(u128, ImportKey)],
    /// Counts that replace those of rows, by their keys.
    pub counts: &'a [(u128, RowCount)],
    /// Values that replace those before.
    pub kept: &'a [KeptValue],
}

/// Takes a value and the text by which it is found. Returns whether the next one is wanted, too.
pub type EachKept<'e> = &'e mut dyn FnMut(&str, &[u8]) -> bool;

/// The records of all files. Every write is durable when it returns. All methods wait for the disk.
pub trait Journal: Send + Sync + fmt::Debug {
    /// The record of a file. Errors: [`JournalError`]: the journal cannot be read.
    fn read(&self, key: ImportKey) -> Result<Option<ImportRecord>, JournalError>;

    /// Changes all or nothing. Errors: [`JournalError`]: nothing has changed.
    fn change(&self, change: Change<'_>) -> Result<(), JournalError>;

    /// Replaces the records of files, as [`Journal::change`] does.
    /// Errors: [`JournalError`]: nothing has changed.
    fn write(&self, records: &[ImportRecord]) -> Result<(), JournalError> {
        self.change(Change { records, ..Change::default() })
    }

    /// The import that is linked with a key. Errors: [`JournalError`]: the journal cannot be read.
    fn linked(&self, key: u128) -> Result<Option<ImportKey>, JournalError>;

    /// How often rows are known, by their keys. Unknown rows are left out.
    /// Errors: [`JournalError`]: the journal cannot be read.
    fn row_counts(&self, keys: &[u128]) -> Result<Vec<(u128, RowCount)>, JournalError>;

    /// A value. Errors: [`JournalError`]: the journal cannot be read.
    fn kept(&self, kind: KeptOf, by: &str) -> Result<Option<Vec<u8>>, JournalError>;

    /// The texts by which values of this kind are found, in order.
    /// Errors: [`JournalError`]: the journal cannot be read.
    fn kept_by(&self, kind: KeptOf) -> Result<Vec<String>, JournalError>;

    /// Passes values of this kind to `each` in the order of their texts, from `from` on, until it returns
    /// false.
    /// Errors: [`JournalError`]: the journal cannot be read.
    fn kept_from(&self, kind: KeptOf, from: &str, each: EachKept<'_>) -> Result<(), JournalError>;

    /// Passes every record to `each`, in no particular order.
    /// Errors: [`JournalError`]: the journal cannot be read.
    fn each(&self, each: &mut dyn FnMut(ImportRecord)) -> Result<(), JournalError>;

    /// How many records there are. The records are not read.
    /// Errors: [`JournalError`]: the journal cannot be read.
    fn count(&self) -> Result<u64, JournalError>;
}

/// A journal in an embedded database: one file, used by one process. The file is created with the first
/// record. After a failure the database is opened again, because it takes nothing more before that.
///
/// A damaged file is set aside. A note beside the file says that a journal was made, so a missing file is
/// noticed. In both cases every method fails until a person has decided: without the journal, files would be
/// imported again.
#[derive(Debug)]
pub struct LocalJournal {
    path: PathBuf,
    database: Mutex<Option<Arc<Database>>>,
    /// Held while the file is made: two that begin at once use one temporary name.
    making: Mutex<()>,
}

impl LocalJournal {
    /// Opens the journal in a file, which may be missing. If the journal cannot be used, every method says
    /// why. Errors: [`JournalError`]: another process uses it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let journal = Self { path: path.to_owned(), database: Mutex::default(), making: Mutex::default() };
        match path.try_exists().map(|exists| exists.then(|| journal.database())) {
            Ok(Some(Err(error))) if error.kind == Kind::Used => Err(error),
            // `database` has set a damaged file aside. A refusal of the disk may pass.
            _ => Ok(journal),
        }
    }

    /// What is wrong with the journal in a file, for a person who checks it while nothing uses it.
    pub fn look(path: &Path) -> Option<String> {
        let journal = Self { path: path.to_owned(), database: Mutex::default(), making: Mutex::default() };
        if let Err(error) = journal.is_whole() {
            return Some(error.what);
        }
        let error = path.exists().then(|| opens(path))?.err()?;
        let what = match &error {
            _ if is_damage(&error) => "is damaged",
            // A running node has the journal open, and watches it.
            DatabaseError::DatabaseAlreadyOpen => return None,
            _ => "cannot be used",
        };
        Some(format!("{} {what}: {error}", path.display()))
    }

    /// Opens a journal in storage that a test can break.
    /// Errors: [`JournalError`]: the database cannot be made.
    pub fn over(backend: impl StorageBackend) -> Result<Self, JournalError> {
        let database = builder().create_with_backend(backend);
        let database = with_table(database.map_err(JournalError::of)?)?;
        let database = Mutex::new(Some(Arc::new(database)));
        Ok(Self { path: PathBuf::new(), database, making: Mutex::default() })
    }

    /// The database, created if it is missing.
    fn made(&self) -> Result<Arc<Database>, JournalError> {
        if let Some(database) = self.if_made()? {
            return Ok(database);
        }
        let _making = lock(&self.making);
        match self.if_made()? {
            Some(database) => Ok(database),
            None => {
                self.make()?;
                self.database()
            }
        }
    }

    /// The database, or `None` if it was not created yet.
    fn if_made(&self) -> Result<Option<Arc<Database>>, JournalError> {
        if let Some(database) = &*lock(&self.database) {
            return Ok(Some(Arc::clone(database)));
        }
        self.is_whole()?;
        match self.path.try_exists().map_err(JournalError::of)? {
            true => self.database().map(Some),
            false => Ok(None),
        }
    }

    /// The database in its file.
    fn database(&self) -> Result<Arc<Database>, JournalError> {
        let mut known = lock(&self.database);
        if let Some(database) = &*known {
            return Ok(Arc::clone(database));
        }
        let database = match database_in(&self.path) {
            Err(error) if error.kind == Kind::Damaged => {
                self.set_aside()?;
                return Err(self.was_damaged());
            }
            database => database?,
        };
        // Journals of earlier releases have no note.
        self.write_note()?;
        Ok(Arc::clone(known.insert(Arc::new(database))))
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension(ASIDE)
    }

    fn note(&self) -> PathBuf {
        self.path.with_extension(NOTE)
    }

    fn was_damaged(&self) -> JournalError {
        JournalError::lost(format!(
            "E-IMPORT-JOURNAL: {path} was damaged and is set aside as {aside}; imports are refused, because files that were \
             imported would be imported again. Put a sound copy in the place of {path} and remove {aside}, or, if no file \
             will come again, remove {aside} and {note}",
            path = self.path.display(),
            aside = self.aside().display(),
            note = self.note().display()
        ))
    }

    /// Fails if a person has to decide.
    fn is_whole(&self) -> Result<(), JournalError> {
        let (path, note) = (self.path.display(), self.note());
        let there = |path: &Path| path.try_exists().map_err(JournalError::of);
        if there(&self.aside())? {
            return Err(self.was_damaged());
        }
        if !there(&self.path)? && there(&note)? {
            return Err(JournalError::lost(format!(
                "E-IMPORT-JOURNAL: {path} is missing; imports are refused, because files that were imported would be \
                 imported again. Put it back, or, if no file will come again, remove {}",
                note.display()
            )));
        }
        Ok(())
    }

    /// Gives a damaged file another name. A file that was set aside earlier is kept.
    fn set_aside(&self) -> Result<(), JournalError> {
        let aside = self.aside();
        if !aside.try_exists().map_err(JournalError::of)? {
            own_files::rename_durably(&self.path, &aside).map_err(JournalError::of)?;
        }
        Ok(())
    }

    /// Writes the note that a journal was made.
    fn write_note(&self) -> Result<(), JournalError> {
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.note()) {
            Ok(_) => own_files::sync_folder_of(&self.path).map_err(JournalError::of),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(JournalError::of(error)),
        }
    }

    /// Does work with the database. After a failure, the next work opens the database again.
    fn with<T>(
        &self,
        database: Arc<Database>,
        work: impl FnOnce(&Database) -> Result<T, Box<dyn Error>>,
    ) -> Result<T, JournalError> {
        // The library may panic at unexpected content of a file.
        let panicked = |_| Err(JournalError::of("its structure is damaged"));
        // The log shows it: `work` may have a bug of its own.
        let done = caught_now(|| work(&database));
        let done = done.map_or_else(panicked, |done| done.map_err(JournalError::of));
        // A database without a file of its own cannot be opened again.
        if done.is_err() && !self.path.as_os_str().is_empty() {
            let closed = caught_quietly(|| {
                drop(database);
                *lock(&self.database) = None;
            });
            closed.map_err(|_| JournalError::of("its structure is damaged"))?;
        }
        done
    }

    /// Reads a table, which is empty as long as the database was not created.
    fn read_from<K: Key + 'static, V: Value + 'static, T: Default>(
        &self,
        table: TableDefinition<'_, K, V>,
        read: impl FnOnce(ReadOnlyTable<K, V>) -> Result<T, Box<dyn Error>>,
    ) -> Result<T, JournalError> {
        let Some(database) = self.if_made()? else { return Ok(T::default()) };
        self.with(database, |database| read(database.begin_read()?.open_table(table)?))
    }

    /// Makes an empty database, which gets its name only when it is complete: a file that a crash cuts short
    /// is no database, and could never be opened.
    fn make(&self) -> Result<(), JournalError> {
        let temporary = self.path.with_extension("tmp");
        let made = || -> Result<(), JournalError> {
            // The file is for its owner only, as the rest of the spool is: names of files may be personal
            // data.
            own_files::replace(&temporary, 0o600).map_err(JournalError::of)?;
            drop(database_in(&temporary)?);
            fs::File::open(&temporary).and_then(|file| file.sync_all()).map_err(JournalError::of)?;
            own_files::rename_durably(&temporary, &self.path).map_err(JournalError::of)
        };
        made().map_err(|error| {
            JournalError::of(format!("{} cannot be made: {}", self.path.display(), error.what))
        })
    }
}

fn is_damage(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(_)) => true,
        // The file is no database, or ends too early.
        DatabaseError::Storage(StorageError::Io(error)) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

/// Whether the database in a file can be opened. The file stays unchanged: what a repair, or the check of
/// every page, would write stays in memory.
fn opens(path: &Path) -> Result<(), DatabaseError> {
    if fs::metadata(path).map_err(|error| DatabaseError::Storage(StorageError::Io(error)))?.len() == 0 {
        return Err(DatabaseError::Storage(StorageError::Corrupted("it is empty".to_owned())));
    }
    let storage = Untouched::open(path).map_err(|error| DatabaseError::Storage(StorageError::Io(error)))?;
    let panicked =
        |_| Err(DatabaseError::Storage(StorageError::Corrupted("its structure is damaged".to_owned())));
    let opened = || builder().create_with_backend(storage).map(drop);
    caught_quietly(opened).unwrap_or_else(panicked)
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    // The check of every page finds a changed byte in a table, which would otherwise be taken for what was
    // written.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn database_in(path: &Path) -> Result<Database, JournalError> {
    // The library would make a database anew in an empty file.
    let is_empty = fs::metadata(path).map_err(JournalError::of)?.len() == 0;
    let is_temporary = path.extension().is_some_and(|extension| extension == "tmp");
    let failed = |kind, error: &dyn fmt::Display| {
        Err(JournalError { what: format!("{} cannot be opened: {error}", path.display()), kind })
    };
    if is_empty && !is_temporary {
        return failed(Kind::Damaged, &"it is empty");
    }
    match caught_quietly(|| builder().create(path)) {
        Ok(Ok(database)) => with_table(database),
        Ok(Err(error)) if is_damage(&error) => failed(Kind::Damaged, &error),
        Ok(Err(error @ DatabaseError::DatabaseAlreadyOpen)) => failed(Kind::Used, &error),
        Ok(Err(error)) => failed(Kind::Passing, &error),
        Err(_) => failed(Kind::Damaged, &"its structure is damaged"),
    }
}

fn with_table(database: Database) -> Result<Database, JournalError> {
    let begun = database.begin_write().map_err(JournalError::of)?;
    begun.open_table(RECORDS).map_err(JournalError::of)?;
    begun.open_table(ROWS).map_err(JournalError::of)?;
    begun.open_table(LINKS).map_err(JournalError::of)?;
    for kind in [KeptOf::Name, KeptOf::Converter, KeptOf::Object, KeptOf::After, KeptOf::Claim] {
        begun.open_table(table_of(kind)).map_err(JournalError::of)?;
    }
    begun.commit().map_err(JournalError::of)?;
    Ok(database)
}

fn table_of(kind: KeptOf) -> TableDefinition<'static, &'static str, &'static [u8]> {
    match kind {
        KeptOf::Name => NAMES,
        KeptOf::Converter => CONVERTERS,
        KeptOf::Object => OBJECTS,
        KeptOf::After => AFTER,
        KeptOf::Claim => CLAIMS,
    }
}

impl Journal for LocalJournal {
    fn read(&self, key: ImportKey) -> Result<Option<ImportRecord>, JournalError> {
        self.read_from(RECORDS, |table| {
            let found = table.get(key.0)?;
            Ok(found.map(|json| serde_json::from_slice(json.value())).transpose()?)
        })
    }

    fn change(&self, change: Change<'_>) -> Result<(), JournalError> {
        self.with(self.made()?, |database| {
            let begun = database.begin_write()?;
            {
                let mut table = begun.open_table(RECORDS)?;
                for record in change.records {
                    let json = serde_json::to_vec(record)?;
                    table.insert(record.key.0, json.as_slice())?;
                }
                let mut table = begun.open_table(LINKS)?;
                for (key, import) in change.links {
                    table.insert(*key, import.0)?;
                }
                let mut table = begun.open_table(ROWS)?;
                for (key, RowCount { stored, in_file, file }) in change.counts {
                    table.insert(*key, (*stored, *in_file, *file))?;
                }
                for KeptValue { kind, by, value } in change.kept {
                    let mut table = begun.open_table(table_of(*kind))?;
                    match value {
                        Some(value) => table.insert(by.as_str(), value.as_slice())?,
                        None => table.remove(by.as_str())?,
                    };
                }
            }
            Ok(begun.commit()?)
        })
    }

    fn linked(&self, key: u128) -> Result<Option<ImportKey>, JournalError> {
        self.read_from(LINKS, |table| Ok(table.get(key)?.map(|key| ImportKey(key.value()))))
    }

    fn row_counts(&self, keys: &[u128]) -> Result<Vec<(u128, RowCount)>, JournalError> {
        self.read_from(ROWS, |table| {
            let mut counts = Vec::with_capacity(keys.len());
            for key in keys {
                if let Some(count) = table.get(*key)? {
                    let (stored, in_file, file) = count.value();
                    counts.push((*key, RowCount { stored, in_file, file }));
                }
            }
            Ok(counts)
        })
    }

    fn kept(&self, kind: KeptOf, by: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.read_from(table_of(kind), |table| Ok(table.get(by)?.map(|value| value.value().to_vec())))
    }

    fn kept_by(&self, kind: KeptOf) -> Result<Vec<String>, JournalError> {
        self.read_from(table_of(kind), |table| {
            let entries = table.iter()?;
            Ok(entries.map(|entry| entry.map(|(by, _)| by.value().to_owned())).collect::<Result<_, _>>()?)
        })
    }

    fn kept_from(&self, kind: KeptOf, from: &str, each: EachKept<'_>) -> Result<(), JournalError> {
        self.read_from(table_of(kind), |table| {
            for entry in table.range(from..)? {
                let (by, value) = entry?;
                if !each(by.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn each(&self, each: &mut dyn FnMut(ImportRecord)) -> Result<(), JournalError> {
        self.read_from(RECORDS, |table| {
            for entry in table.iter()? {
                let (_, json) = entry?;
                each(serde_json::from_slice(json.value())?);
            }
            Ok(())
        })
    }

    fn count(&self) -> Result<u64, JournalError> {
        self.read_from(RECORDS, |table| Ok(table.len()?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::ImportRecord;
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
        let record = ImportRecord::of_progress(ImportKey(1), ImportProgress::default(), UnixMillis(1));
        LocalJournal::open(&path).unwrap().write(std::slice::from_ref(&record)).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "and the note");
        let again = LocalJournal::open(&path).unwrap();
        assert_eq!(again.read(ImportKey(1)).unwrap(), Some(record));
    }

    #[test]
    fn a_journal_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("imports.redb");
        let record = ImportRecord::of_progress(ImportKey(1), ImportProgress::default(), UnixMillis(1));
        LocalJournal::open(&path).unwrap().write(&[record]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    fn record(key: u128) -> ImportRecord {
        ImportRecord::of_progress(ImportKey(key), ImportProgress::default(), UnixMillis(1))
    }

    /// A start failed for good, or took a missing journal for an empty one: every file was imported again.
    #[test]
    fn a_damaged_or_missing_journal_refuses_imports_until_a_person_decides() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("imports.redb");
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 6] = [
            ("missing", |path| fs::remove_file(path).unwrap()),
            ("empty", |path| fs::write(path, []).unwrap()),
            ("no database", |path| fs::write(path, vec![7; 5_000]).unwrap()),
            ("cut", |path| {
                let len = fs::metadata(path).unwrap().len();
                fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len / 3).unwrap();
            }),
            ("header", |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes[..64].fill(0xFF);
                fs::write(path, bytes).unwrap();
            }),
            // It was read as another record.
            ("inside a table", |path| {
                let mut bytes = fs::read(path).unwrap();
                let finder = memchr::memmem::Finder::new(b"\"next_row\":0");
                let all: Vec<usize> = finder.find_iter(&bytes).collect();
                assert!(!all.is_empty());
                for at in all {
                    bytes[at + 11] = b'9';
                }
                fs::write(path, bytes).unwrap();
            }),
        ];
        for (what, damage) in damages {
            LocalJournal::open(&path).unwrap().write(&[record(1)]).unwrap();
            let sound = fs::read(&path).unwrap();
            assert_eq!(LocalJournal::look(&path), None, "{what}");
            damage(&path);
            assert!(LocalJournal::look(&path).is_some(), "{what}");
            for _ in 0..2 {
                let journal = LocalJournal::open(&path).unwrap();
                for error in [
                    journal.read(ImportKey(1)).unwrap_err(),
                    journal.write(&[record(2)]).unwrap_err(),
                    journal.count().unwrap_err(),
                ] {
                    assert!(error.needs_a_person(), "{what}: {error}");
                    assert!(error.to_string().contains("E-IMPORT-JOURNAL"), "{what}: {error}");
                }
            }
            assert!(
                LocalJournal::look(&path).is_some_and(|what| what.contains("E-IMPORT-JOURNAL")),
                "{what}"
            );
            // A person puts a copy in its place.
            fs::write(&path, &sound).unwrap();
            drop(fs::remove_file(path.with_extension(ASIDE)));
            let journal = LocalJournal::open(&path).unwrap();
            assert_eq!(journal.read(ImportKey(1)).unwrap(), Some(record(1)), "{what}");
            drop(journal);
            // Or begins anew.
            damage(&path);
            drop(LocalJournal::open(&path).unwrap().count());
            for name in [ASIDE, NOTE, "redb"] {
                drop(fs::remove_file(path.with_extension(name)));
            }
            assert_eq!(LocalJournal::open(&path).unwrap().read(ImportKey(1)).unwrap(), None, "{what}");
        }
    }

    /// A journal of an earlier release has no links.
    #[test]
    fn an_older_journal_gets_what_it_does_not_have() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("imports.redb");
        let older = Database::create(&path).unwrap();
        let begun = older.begin_write().unwrap();
        let mut json = serde_json::to_value(record(1)).unwrap();
        json.as_object_mut().unwrap().remove("prefix");
        begun.open_table(RECORDS).unwrap().insert(1, json.to_string().as_bytes()).unwrap();
        begun.commit().unwrap();
        drop(older);
        let journal = LocalJournal::open(&path).unwrap();
        assert_eq!(
            (journal.read(ImportKey(1)).unwrap(), journal.linked(7).unwrap()),
            (Some(record(1)), None)
        );
        assert_eq!(journal.kept(KeptOf::Name, "events").unwrap(), None);
        let value = |value: Option<&str>| KeptValue {
            kind: KeptOf::Name,
            by: "events".to_owned(),
            value: value.map(|value| value.as_bytes().to_vec()),
        };
        journal.change(Change { kept: &[value(Some("1"))], ..Change::default() }).unwrap();
        assert_eq!(journal.kept(KeptOf::Name, "events").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(journal.kept(KeptOf::Object, "events").unwrap(), None);
        assert_eq!(journal.kept_by(KeptOf::Name).unwrap(), ["events"]);
        let from = |from: &str| {
            let mut found = Vec::new();
            journal
                .kept_from(KeptOf::Name, from, &mut |by, value| {
                    found.push((by.to_owned(), value.to_vec()));
                    true
                })
                .unwrap();
            found
        };
        assert_eq!(from("events"), [("events".to_owned(), b"1".to_vec())]);
        assert_eq!(from("events\0"), []);
        journal.change(Change { kept: &[value(None)], ..Change::default() }).unwrap();
        assert_eq!(journal.kept_by(KeptOf::Name).unwrap(), [""; 0]);
        for (key, links) in [(2, &[(7, ImportKey(2)), (8, ImportKey(2))][..]), (1, &[(8, ImportKey(1))])] {
            let change = Change { records: &[record(key)], links, ..Change::default() };
            journal.change(change).unwrap();
        }
        drop(journal);
        let journal = LocalJournal::open(&path).unwrap();
        assert_eq!(
            [7, 8, 9].map(|key| journal.linked(key).unwrap()),
            [Some(ImportKey(2)), Some(ImportKey(1)), None]
        );
        assert_eq!(journal.count().unwrap(), 2, "links are no records");
    }

    /// After one failed write the database takes nothing more until it is opened again.
    #[test]
    fn after_a_failure_it_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("imports.redb");
        let journal = LocalJournal::open(&path).unwrap();
        journal.write(&[record(1)]).unwrap();
        let failed = journal.with(journal.made().unwrap(), |database| {
            let begun = database.begin_write()?;
            begun.open_table(RECORDS)?.insert(2, [].as_slice())?;
            drop(begun);
            Err::<(), _>("the disk is full".into())
        });
        assert!(!failed.unwrap_err().needs_a_person());
        assert!(lock(&journal.database).is_none());
        assert_eq!(journal.read(ImportKey(1)).unwrap(), Some(record(1)));
        journal.write(&[record(3)]).unwrap();
        assert_eq!(journal.count().unwrap(), 2);
    }
}
