//! A row that is not a call, and the file that keeps such rows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// The most bytes of a row that are kept.
pub const RAW_MAX: usize = 64 * 1_024;

/// A row that is not a call.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reject {
    /// The name of its file.
    pub file: String,
    /// Its number, from 0.
    pub row: u64,
    /// The line of the file that it begins on, from 1.
    pub line: u64,
    /// Where it begins in the decoded text, in bytes.
    pub byte: u64,
    /// Why it is no call, for programs: `missing:userId`, `width`, `bad-time`, …
    pub code: String,
    /// Why it is no call, for people.
    pub message: String,
    /// The row itself, at most [`RAW_MAX`] bytes. Bytes that are not UTF-8 are replaced.
    pub raw: String,
}

impl Reject {
    /// The text of a row, cut to what is kept.
    pub fn raw_of(bytes: &[u8]) -> String {
        let kept = bytes.get(..RAW_MAX).unwrap_or(bytes);
        String::from_utf8_lossy(kept).into_owned()
    }
}

#[expect(clippy::disallowed_methods, reason = "the folder is synced right after it")]
fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Keeps the rejected rows of a file, one JSON object per line. The file is created with the first row.
#[derive(Debug)]
pub struct RejectsFile {
    path: PathBuf,
    out: Option<BufWriter<File>>,
    /// Rows of this import in the file.
    rows: u64,
}

impl RejectsFile {
    /// Continues the file at `path` for the import of the file `name` that goes on at `next_row`. Rows from there on
    /// are read again, so they are removed from the file. Rows of other files stay.
    ///
    /// # Errors
    /// The disk's error, or the file holds something else than rejected rows: it is left as it is.
    pub fn open(path: &Path, name: &str, next_row: u64) -> io::Result<Self> {
        let (mut kept, mut rows) = (Vec::new(), 0);
        match File::open(path) {
            Ok(file) => {
                let mut lines = BufReader::new(file).lines().peekable();
                while let Some(line) = lines.next() {
                    let line = line?;
                    match serde_json::from_str::<Reject>(&line) {
                        Ok(reject) if reject.file != name => kept.push(line),
                        Ok(reject) if reject.row < next_row => {
                            kept.push(line);
                            rows += 1;
                        }
                        Ok(_) => {}
                        // A line that a crash cut off is the last, and of a row that is read again.
                        Err(_) if lines.peek().is_none() && line.starts_with("{\"file\":") => {}
                        Err(_) => return Err(io::Error::other("it holds something else than rejected rows")),
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut rejects = Self { path: path.to_owned(), out: None, rows };
        if kept.is_empty() {
            if path.exists() {
                fs::remove_file(path)?;
            }
            return Ok(rejects);
        }
        let temporary = path.with_added_extension("tmp");
        let mut out = BufWriter::new(File::create(&temporary)?);
        for line in kept {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        out.get_ref().sync_data()?;
        rename_durably(&temporary, path)?;
        rejects.out = Some(out);
        Ok(rejects)
    }

    /// Adds rows, and waits until they are on the disk.
    ///
    /// # Errors
    /// The disk's error.
    pub fn add(&mut self, rejects: &[Reject]) -> io::Result<()> {
        if rejects.is_empty() {
            return Ok(());
        }
        let out = match &mut self.out {
            Some(out) => out,
            none => {
                if let Some(folder) = self.path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
                none.insert(BufWriter::new(file))
            }
        };
        for reject in rejects {
            serde_json::to_writer(&mut *out, reject)?;
            out.write_all(b"\n")?;
        }
        self.rows += rejects.len() as u64;
        out.flush()?;
        out.get_ref().sync_data()
    }

    /// Where they are; `None` if there are none.
    pub fn path(&self) -> Option<&Path> {
        (self.rows > 0).then_some(&*self.path)
    }
}

#[cfg(test)]
mod tests {
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
        }
    }

    fn rows(path: &Path) -> Vec<u64> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str::<Reject>(line).unwrap().row).collect()
    }

    #[test]
    fn rows_that_are_read_again_are_kept_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rejects/a.ndjson");
        let mut file = RejectsFile::open(&path, "a.csv", 0).unwrap();
        assert_eq!(file.path(), None, "no row, no file");
        file.add(&[reject(1), reject(5)]).unwrap();
        file.add(&[reject(9)]).unwrap();
        drop(file);
        let cut = fs::read(&path).unwrap();
        fs::write(&path, &cut[..cut.len() - 10]).unwrap();
        let mut again = RejectsFile::open(&path, "a.csv", 5).unwrap();
        assert_eq!(rows(&path), [1]);
        again.add(&[reject(5), reject(9)]).unwrap();
        assert_eq!((rows(&path), again.path()), (vec![1, 5, 9], Some(&*path)));
        drop(RejectsFile::open(&path, "a.csv", 0).unwrap());
        assert!(!path.exists(), "an import from the first row begins an empty file");
    }

    #[test]
    fn a_file_with_something_else_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        for text in ["my notes\n", "{\"mine\":1}", "{\"file\":1}\nmore\n"] {
            fs::write(&path, text).unwrap();
            RejectsFile::open(&path, "a.csv", 0).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn rows_of_other_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.ndjson");
        let mut file = RejectsFile::open(&path, "a.csv", 0).unwrap();
        file.add(&[reject(1), reject(5)]).unwrap();
        drop(file);
        let mut other = RejectsFile::open(&path, "b.csv", 0).unwrap();
        assert_eq!(other.path(), None, "none of its own yet");
        other.add(&[Reject { file: "b.csv".to_owned(), ..reject(0) }]).unwrap();
        assert_eq!(rows(&path), [1, 5, 0]);
    }
}
