//! The file that keeps rejected rows, and its description: whose rows they are, and how they were read.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file_id::FileId;
use super::options_hash::OptionsHash;
use super::reject::{RAW_MAX, Reject};
use super::rejects_room::RejectsRoom;
use crate::disk::own_files;

/// The most bytes of a line: a row takes up to six times as many bytes in JSON, and four thirds in base64.
const LINE_MAX: usize = 16 * RAW_MAX;

/// The most bytes of a description: names of columns, and a schema.
const DESCRIPTION_MAX: u64 = 64 << 20;

const IN_USE: &str =
    "another command uses it; run this command again when that one has ended, or name another file";
const NO_REJECTS: &str = "it holds something else than rejected rows";

/// How the rows in a rejects file are numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectsOf {
    /// As in the file that the rows come from.
    File,
    /// As in this file of rejected rows: the rows were read there, and rejected again.
    Retry(FileId),
}

impl RejectsOf {
    /// The number of a row in the order of the import.
    fn number(&self, reject: &Reject) -> Option<u64> {
        match (self, reject.retried) {
            (Self::File, _) => Some(reject.row),
            (Self::Retry(file), Some(retried)) if retried.file == *file => Some(retried.row),
            (Self::Retry(_), _) => None,
        }
    }
}

/// Describes how the rows in a rejects file were read.
type Describe = Arc<dyn Fn() -> io::Result<serde_json::Value> + Send + Sync>;

/// The import that a rejects file belongs to. A file has rows of one import only, because rows of two could
/// not be told apart.
#[derive(Clone)]
pub struct RejectsOwner {
    /// Distinguishes the import from all others.
    pub import: String,
    /// The options that the rows are read with. All rows in a file were read with the same options.
    pub options: OptionsHash,
    /// Gives a JSON object that says how the rows were read. May block; called for the first row.
    pub describe: Describe,
}

debug_fields!(RejectsOwner { import });

/// The description of a rejects file.
#[derive(serde::Serialize, serde::Deserialize)]
struct Described {
    import: String,
    options: String,
    #[serde(flatten)]
    how: serde_json::Value,
}

/// The description of the rejects file at `path`, as bytes.
/// Errors: the file system's error; also if the description is not a regular file, or is longer than any that
/// was written.
pub fn description(path: &Path) -> io::Result<Vec<u8>> {
    own_files::read(&description_of(path), DESCRIPTION_MAX)
}

impl RejectsOwner {
    /// The description of the file at `path`, if it is of this import.
    fn described(&self, path: &Path) -> Option<Described> {
        let json = description(path).ok()?;
        let described: Described = serde_json::from_slice(&json).ok()?;
        (described.import == self.import).then_some(described)
    }

    /// Writes the description of the file at `path`, whole or not at all.
    fn write(&self, path: &Path) -> io::Result<()> {
        let (import, options) = (self.import.clone(), self.options.recorded().to_owned());
        write_description(path, &Described { import, options, how: (self.describe)()? })
    }
}

/// Changes the options that the description of the rejects file at `path` names, if there is one.
/// Errors: the disk's error; the description is as it was.
pub(super) fn describe_with(path: &Path, options: &OptionsHash) -> io::Result<()> {
    let json = match description(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    let described: Described = serde_json::from_slice(&json)?;
    write_description(path, &Described { options: options.recorded().to_owned(), ..described })
}

/// Writes the description of the file at `path`, whole or not at all.
fn write_description(path: &Path, described: &Described) -> io::Result<()> {
    let path = description_of(path);
    let temporary = path.with_added_extension("tmp");
    let mut file = own_files::replace(&temporary, 0o600)?;
    file.write_all(&serde_json::to_vec_pretty(described)?)?;
    file.sync_data()?;
    own_files::rename_durably(&temporary, &path)
}

/// The path of a rejects file's description. The name is longer than that of the file, which may have any
/// extension.
pub fn description_of(rejects: &Path) -> PathBuf {
    rejects.with_added_extension("how.json")
}

fn locked(file: File) -> io::Result<File> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other(IN_USE)),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A rejects file that no other command uses, if the file exists.
///
/// An import takes the file before it begins, and keeps it to its end. Otherwise it could remove rows that
/// another import of the same file has just added and reported to the target.
#[derive(Debug)]
pub struct TakenRejects {
    path: PathBuf,
    owner: RejectsOwner,
    file: Option<File>,
}

impl TakenRejects {
    /// Takes the file at `path` for an import, if there is one.
    /// Errors: the disk's error; also if the file is not of this import, or another command uses it.
    pub fn take(path: &Path, owner: &RejectsOwner) -> io::Result<Self> {
        loop {
            let none = Self { path: path.to_owned(), owner: owner.clone(), file: None };
            let file = match own_files::open(path, OpenOptions::new().read(true).append(true)) {
                Ok(file) => locked(file)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(none),
                Err(error) => return Err(error),
            };
            let about = file.metadata()?;
            // The last user of the file may have removed or replaced it after it was opened here.
            match fs::symlink_metadata(path) {
                Ok(now) if (now.dev(), now.ino()) == (about.dev(), about.ino()) => {
                    if about.len() > 0 && owner.described(path).is_none() {
                        return Err(io::Error::other(
                            "it is not of this import (what stands beside it in .how.json says whose it is): name another \
                             file, or a folder (ending in /)",
                        ));
                    }
                    return Ok(Self { file: Some(file), ..none });
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }

    /// Continues the file for an import that will read the rows of `reread`: these are removed from the file.
    /// `None`: another command has made the file since it was taken, and the caller begins again.
    /// Errors: the disk's error; also if the file holds something else than rejected rows: it is then left as
    /// it is.
    pub fn open(self, of: &RejectsOf, reread: &Range<u64>) -> io::Result<Option<RejectsFile>> {
        let Self { path, owner, file } = self;
        let Some(file) = file else {
            let is_made = path.try_exists()?;
            return Ok((!is_made).then_some(RejectsFile { path, owner, out: None, rows: 0 }));
        };
        let temporary = path.with_added_extension("tmp");
        let out = own_files::replace(&temporary, 0o600)?;
        out.set_permissions(file.metadata()?.permissions())?;
        // The file is locked before it gets its name, so that nobody can take it in between.
        let mut out = BufWriter::new(locked(out)?);
        let mut lines = RejectLines::new(&file);
        let mut rows = 0;
        while let Some(line) = lines.next()? {
            match serde_json::from_slice::<Reject>(line).map(|reject| of.number(&reject)) {
                Ok(Some(number)) if reread.contains(&number) => {}
                Ok(_) => {
                    rows += 1;
                    out.write_all(line)?;
                    out.write_all(b"\n")?;
                }
                // A line that a crash cut off is the last one, and its row is read again.
                Err(_) if lines.is_cut() => {}
                Err(_) => {
                    fs::remove_file(&temporary)?;
                    return Err(io::Error::other(NO_REJECTS));
                }
            }
        }
        if rows > 0 && owner.described(&path).is_none_or(|described| !owner.options.is(&described.options)) {
            fs::remove_file(&temporary)?;
            let why = "it keeps rows that were read with other options: name another file";
            return Err(io::Error::other(why));
        }
        if rows == 0 {
            fs::remove_file(&temporary)?;
            fs::remove_file(&path)?;
            return Ok(Some(RejectsFile { path, owner, out: None, rows }));
        }
        out.flush()?;
        out.get_ref().sync_data()?;
        own_files::rename_durably(&temporary, &path)?;
        Ok(Some(RejectsFile { path, owner, out: Some(out), rows }))
    }
}

/// The lines of a rejects file.
#[derive(Debug)]
pub(super) struct RejectLines<R> {
    file: BufReader<R>,
    line: Vec<u8>,
}

impl<R: Read> RejectLines<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file: BufReader::new(file), line: Vec::new() }
    }

    /// The next line, without its end. Blank lines are left out: editors add them.
    /// Errors: the file cannot be read, or a line is longer than that of any row.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let read = loop {
            self.line.clear();
            let read = self.file.by_ref().take(LINE_MAX as u64).read_until(b'\n', &mut self.line)?;
            if read >= LINE_MAX {
                return Err(io::Error::other(NO_REJECTS));
            }
            if read == 0 || !self.line.trim_ascii().is_empty() {
                break read;
            }
        };
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok((read > 0).then_some(line))
    }

    /// Whether the line that was read last has no end.
    fn is_cut(&self) -> bool {
        !self.line.ends_with(b"\n")
    }
}

/// Keeps the rejected rows of a file, one JSON object per line. The file is created with the first row, and
/// stays locked as long as this value lives.
#[derive(Debug)]
pub struct RejectsFile {
    path: PathBuf,
    owner: RejectsOwner,
    out: Option<BufWriter<File>>,
    /// Rows of this import in the file.
    rows: u64,
}

impl RejectsFile {
    /// Adds rows, and waits until they are on the disk.
    /// Errors: the disk's error; also if another command has made the file since this import began.
    pub fn add(&mut self, rejects: &[Reject]) -> io::Result<()> {
        self.add_within(rejects, None)
    }

    /// Adds the rows that find room, and waits until they are on the disk. The room counts the others.
    /// Errors: as of [`RejectsFile::add`].
    pub(super) fn add_within(&mut self, rejects: &[Reject], room: Option<&RejectsRoom>) -> io::Result<()> {
        let mut line = Vec::new();
        for reject in rejects {
            line.clear();
            serde_json::to_writer(&mut line, reject)?;
            line.push(b'\n');
            if let Some(room) = room
                && !room.take(line.len(), self.out.is_none())?
            {
                continue;
            }
            let out = match &mut self.out {
                Some(out) => out,
                none => {
                    let file = made(&self.path)?;
                    self.owner.write(&self.path)?;
                    none.insert(BufWriter::new(file))
                }
            };
            out.write_all(&line)?;
            self.rows += 1;
        }
        if let Some(out) = &mut self.out {
            out.flush()?;
            out.get_ref().sync_data()?;
        }
        Ok(())
    }

    /// The path of the file; `None` if it has no rows.
    pub fn path(&self) -> Option<&Path> {
        (self.rows > 0).then_some(&*self.path)
    }
}

/// Makes a rejects file, for its owner only: rows may be personal data.
fn made(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        own_files::make_folders(folder)?;
    }
    let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::other(IN_USE),
        _ => error,
    })?;
    let file = locked(file)?;
    own_files::sync_folder_of(path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::reject::Retried;
    use super::*;

    fn reject(row: u64) -> Reject {
        Reject {
            file: "a.csv".to_owned(),
            row,
            line: row + 2,
            byte: 10 * row,
            code: "width".to_owned(),
            message: "expected 8 fields, got 9".to_owned(),
            raw: "1,2".to_owned(),
            raw_base64: None,
            content: None,
            id_taken: None,
            retried: None,
        }
    }

    fn owner(import: &str) -> RejectsOwner {
        let describe = Arc::new(|| Ok(serde_json::json!({"delimiter": ","})));
        RejectsOwner { import: import.to_owned(), options: OptionsHash::of(b"1"), describe }
    }

    fn take(path: &Path, import: &str) -> io::Result<TakenRejects> {
        TakenRejects::take(path, &owner(import))
    }

    fn open(path: &Path, import: &str, next_row: u64) -> io::Result<RejectsFile> {
        take(path, import)?.open(&RejectsOf::File, &(next_row..u64::MAX)).map(Option::unwrap)
    }

    fn rows(path: &Path) -> Vec<u64> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str::<Reject>(line).unwrap().row).collect()
    }

    #[test]
    fn rows_that_are_read_again_are_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rejects/a.ndjson");
        let mut file = open(&path, "a.csv", 0).unwrap();
        assert_eq!(file.path(), None, "no row, no file");
        file.add(&[reject(1), reject(5)]).unwrap();
        file.add(&[reject(9)]).unwrap();
        drop(file);
        let whole = fs::read(&path).unwrap();
        let last = whole.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap();
        for left in [1, 7, 8, last - 10, last] {
            fs::write(&path, &whole[..whole.len() - 1 - last + left]).unwrap();
            drop(open(&path, "a.csv", 5).unwrap());
            assert_eq!(rows(&path), [1], "{left} bytes of the last line");
            fs::write(&path, &whole).unwrap();
        }
        let mut again = open(&path, "a.csv", 5).unwrap();
        assert_eq!(rows(&path), [1]);
        again.add(&[reject(5), reject(9)]).unwrap();
        assert_eq!((rows(&path), again.path()), (vec![1, 5, 9], Some(&*path)));
        drop(again);
        drop(open(&path, "a.csv", 0).unwrap());
        assert!(!path.exists(), "an import from the first row begins an empty file");
    }

    /// Their numbers in their first file say nothing about how far the retry came.
    #[test]
    fn rows_that_a_killed_retry_rejected_again_are_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("again.ndjson");
        let of: FileId = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
        // The third row of the rejects file is row 900 of its first file.
        let again =
            |place: u64, row: u64| Reject { retried: Some(Retried { file: of, row: place }), ..reject(row) };
        let open =
            |next_row| take(&path, "retry").unwrap().open(&RejectsOf::Retry(of), &(next_row..u64::MAX));
        let mut killed = open(0).unwrap().unwrap();
        killed.add(&[again(2, 900), again(7, 2_000)]).unwrap();
        killed.add(&[again(12, 5_000)]).unwrap();
        drop(killed);
        let mut resumed = open(10).unwrap().unwrap();
        assert_eq!((rows(&path), resumed.path()), (vec![900, 2_000], Some(&*path)));
        resumed.add(&[again(12, 5_000)]).unwrap();
        assert_eq!(rows(&path), [900, 2_000, 5_000]);
    }

    #[test]
    fn a_file_with_something_else_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        for text in ["my notes\n", "{\"mine\":1}", "{\"file\":1}\nmore\n"] {
            fs::write(&path, text).unwrap();
            open(&path, "a.csv", 0).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        // As root it would be removed.
        assert!(open(Path::new("/dev/null"), "a.csv", 0).is_err() && Path::new("/dev/null").exists());
    }

    #[test]
    fn a_file_is_of_one_import() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.ndjson");
        // Also if it was killed after its first row.
        open(&path, "a.csv", 0).unwrap().add(&[reject(1), reject(5)]).unwrap();
        let refused = open(&path, "b.csv", 0).unwrap_err().to_string();
        assert!(refused.starts_with("it is not of this import"), "{refused}");
        assert_eq!(rows(&path), [1, 5]);
        let described: serde_json::Value =
            serde_json::from_slice(&fs::read(description_of(&path)).unwrap()).unwrap();
        assert_eq!(
            described,
            serde_json::json!({"delimiter": ",", "import": "a.csv", "options": OptionsHash::of(b"1").recorded()})
        );
        // Nothing says whose it is.
        fs::write(description_of(&path), "").unwrap();
        open(&path, "a.csv", 5).unwrap_err();
    }

    #[test]
    fn only_rows_that_are_read_again_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ndjson");
        open(&path, "a.csv", 0).unwrap().add(&[reject(1), reject(5), reject(9)]).unwrap();
        drop(take(&path, "a.csv").unwrap().open(&RejectsOf::File, &(4..8)).unwrap());
        assert_eq!(rows(&path), [1, 9]);
        // What stays was read with other options: it could not be described.
        let other = RejectsOwner { options: OptionsHash::of(b"2"), ..owner("a.csv") };
        let open =
            |from| TakenRejects::take(&path, &other).unwrap().open(&RejectsOf::File, &(from..u64::MAX));
        assert!(open(4).unwrap_err().to_string().contains("other options"));
        assert_eq!(rows(&path), [1, 9]);
        drop(open(0).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_file_is_used_by_one_import_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ndjson");
        let is_refused = |result: io::Result<TakenRejects>| {
            assert!(result.unwrap_err().to_string().starts_with("another command uses it"));
        };
        // Both begin without a file, and both reject rows.
        let (mut first, mut second) = (open(&path, "a.csv", 0).unwrap(), open(&path, "a.csv", 0).unwrap());
        let before = take(&path, "a.csv").unwrap();
        first.add(&[reject(1)]).unwrap();
        let refused = second.add(&[reject(1)]).unwrap_err();
        assert!(refused.to_string().starts_with("another command uses it"), "{refused}");
        assert!(before.open(&RejectsOf::File, &(0..u64::MAX)).unwrap().is_none(), "begin again");
        is_refused(take(&path, "a.csv"));
        drop(first);
        // The file that takes its place is locked, too.
        let third = open(&path, "a.csv", 5).unwrap();
        is_refused(take(&path, "a.csv"));
        drop(third);
        assert_eq!(rows(&path), [1]);
    }

    /// In a folder where others may write, somebody can guess these names.
    #[test]
    fn planted_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let path = at("a.ndjson");
        fs::write(at("precious"), "precious").unwrap();
        let plant = |link: &str| std::os::unix::fs::symlink(at("precious"), at(link)).unwrap();
        plant("a.ndjson.how.json.tmp");
        open(&path, "a.csv", 0).unwrap().add(&[reject(1), reject(5)]).unwrap();
        plant("a.ndjson.tmp");
        drop(open(&path, "a.csv", 5).unwrap());
        assert_eq!(rows(&path), [1]);
        for name in ["a.ndjson", "a.ndjson.how.json"] {
            assert!(fs::symlink_metadata(at(name)).unwrap().is_file(), "{name}");
        }
        // The names themselves.
        fs::remove_file(&path).unwrap();
        plant("a.ndjson");
        let refused = open(&path, "a.csv", 0).unwrap_err().to_string();
        assert!(refused.contains("symbolic link"), "{refused}");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "{}\n").unwrap();
        fs::remove_file(description_of(&path)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", description_of(&path)).unwrap();
        open(&path, "a.csv", 0).unwrap_err();
        assert_eq!(fs::read_to_string(at("precious")).unwrap(), "precious");
    }

    #[test]
    fn rejected_rows_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ndjson");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        open(&path, "a.csv", 0).unwrap().add(&[reject(1)]).unwrap();
        assert_eq!(mode(), 0o600);
        // What a person allows stays allowed.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        drop(open(&path, "a.csv", 5).unwrap());
        assert_eq!(mode(), 0o640);
    }
}
