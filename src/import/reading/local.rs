//! Finds the local files of a command, and reads them.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, FileTypeExt as _, MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::ReadingError;
use super::names::has_csv_extension;
use crate::import::unusable::Unusable;

/// The most files of one command.
pub const FILES_MAX: usize = 100_000;

/// The most names that are read in folders, of files of any kind.
const NAMES_MAX: usize = 1_000_000;

/// The most things that are listed as skipped.
const SKIPPED_MAX: usize = 100;

/// A local input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalInput {
    /// A regular file that a person named. The path is as named, not canonical.
    File(PathBuf),
    /// A file that was found in a folder, for [`LocalFile::open_below`].
    Found {
        /// The file's path: that of the folder, and what follows.
        path: PathBuf,
        /// The folder that a person named. No link leads out of it.
        folder: PathBuf,
    },
    /// A named pipe, such as the shell's `<(command)`. A pipe can be read only once.
    Pipe(PathBuf),
    /// Standard input: `-`.
    Stdin,
}

/// Something in a folder that will not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is skipped: {why}", path.display())]
pub struct Skipped {
    /// The path where it was found.
    pub path: PathBuf,
    /// Why it is not read.
    pub why: &'static str,
}

/// The files that arguments mean, each file once, in the order of the arguments; and what was found in
/// folders and will not be read.
///
/// - `-` is standard input.
/// - A folder means the tables in it and below, sorted by name; hidden files and folders are left out. Links
///   that lead out of the folder, and pipes, devices and sockets under the names of tables, are [`Skipped`].
///   A table that cannot be opened is among the files, and fails by itself.
/// - A file or a pipe means itself, whatever its name. A device or a socket is refused.
/// - Otherwise an argument with `*`, `?` or `[` is a pattern. Each match means what it means in a folder,
///   whatever its extension. The folder is the part of the pattern before the first name with one of these
///   characters. Errors: [`Unusable`]: an argument means nothing that can be read, or too many files.
pub fn expand(args: &[OsString]) -> Result<(Vec<LocalInput>, Vec<Skipped>), Unusable> {
    let mut found = Found::default();
    for arg in args {
        if arg == "-" {
            if !found.sources.contains(&LocalInput::Stdin) {
                found.sources.push(LocalInput::Stdin);
            }
            continue;
        }
        let path = Path::new(arg);
        let pattern = arg.to_str().filter(|text| text.contains(['*', '?', '[']));
        match (fs::metadata(path), pattern) {
            (Ok(_), _) => found.named(path)?,
            (Err(error), Some(pattern)) if error.kind() == io::ErrorKind::NotFound => {
                found.pattern(pattern)?
            }
            (Err(cause), _) => return Err(unreadable(path, &cause)),
        }
    }
    Ok((found.sources, found.skipped))
}

/// What was found so far.
#[derive(Default)]
struct Found {
    sources: Vec<LocalInput>,
    /// Canonical paths of the files, and paths of the pipes.
    files: HashSet<PathBuf>,
    /// Device and inode of the folders that were read, because a link may lead back.
    folders: HashSet<(u64, u64)>,
    names: usize,
    skipped: Vec<Skipped>,
}

/// A folder that a person named, or with which a pattern begins.
struct Root {
    path: PathBuf,
    canonical: PathBuf,
}

impl Root {
    fn new(path: &Path) -> Result<Self, Unusable> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let canonical = path.canonicalize().map_err(|cause| unreadable(path, &cause))?;
        Ok(Self { path: path.to_owned(), canonical })
    }

    /// The folder with which a pattern begins.
    fn of_pattern(pattern: &str) -> Result<Self, Unusable> {
        let plain = pattern.find(['*', '?', '[']).and_then(|at| pattern.get(..at)).unwrap_or(pattern);
        let folder = plain.rsplit_once('/').map_or("", |(folder, _)| folder);
        Self::new(Path::new(if folder.is_empty() && plain.starts_with('/') { "/" } else { folder }))
    }

    /// Whether a path leads out of the folder. Broken links lead nowhere.
    fn is_left_by(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| !path.starts_with(&self.canonical))
    }
}

/// A name for what is neither a file nor a folder.
fn special(kind: fs::FileType) -> &'static str {
    match () {
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}

const LEADS_OUT: &str = "it leads out of the folder; to import what it leads to, name that";

impl Found {
    fn pattern(&mut self, pattern: &str) -> Result<(), Unusable> {
        let malformed =
            |cause: glob::PatternError| Unusable::Wrong(format!("malformed pattern {pattern}: {cause}"));
        let options = glob::MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            // Without this setting, glob 0.3.4 panics in a folder that has a name which is not UTF-8.
            require_literal_leading_dot: false,
        };
        let matches = glob::glob_with(pattern, options).map_err(malformed)?;
        let with_dot = pattern.split('/').filter(|part| part.starts_with('.')).map(glob::Pattern::new);
        let with_dot = with_dot.collect::<Result<Vec<_>, _>>().map_err(malformed)?;
        let is_hidden = |name: &str| name.starts_with('.') && !with_dot.iter().any(|part| part.matches(name));
        let (mut any, mut root) = (false, None);
        for path in matches {
            self.count_name()?;
            let path = match path {
                Ok(path) => path,
                Err(error) if error.error().kind() == io::ErrorKind::PermissionDenied => {
                    return Err(unreadable(error.path(), error.error()));
                }
                // Broken links, and links to themselves, are left out.
                Err(_) => continue,
            };
            if !path.iter().filter_map(|name| name.to_str()).any(is_hidden) {
                let root = match &mut root {
                    Some(root) => root,
                    none => none.insert(Root::of_pattern(pattern)?),
                };
                any |= self.matched(&path, root)?;
            }
        }
        if any {
            return Ok(());
        }
        let none = || format!("no file matches {pattern}");
        Err(Unusable::Wrong(self.skipped.last().map_or_else(none, Skipped::to_string)))
    }

    /// Adds a path that matches a pattern. The path means what it means in a folder, but with any extension.
    fn matched(&mut self, path: &Path, root: &Root) -> Result<bool, Unusable> {
        if root.is_left_by(path) {
            self.skip(path, LEADS_OUT);
            return Ok(false);
        }
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => self.below(path, root),
            Ok(about) if about.is_file() => self.found(path, root).map(|()| true),
            Ok(about) => {
                self.skip(path, special(about.file_type()));
                Ok(false)
            }
            Err(_) => self.add(LocalInput::File(path.to_owned())).map(|()| true),
        }
    }

    fn skip(&mut self, path: &Path, why: &'static str) {
        let skipped = Skipped { path: path.to_owned(), why };
        if !self.skipped.contains(&skipped) && self.skipped.len() < SKIPPED_MAX {
            self.skipped.push(skipped);
        }
    }

    /// Adds a path that a person named.
    fn named(&mut self, path: &Path) -> Result<(), Unusable> {
        let about = fs::metadata(path).map_err(|cause| unreadable(path, &cause))?;
        if about.is_file() {
            return self.add_once(path, true, LocalInput::File(path.to_owned()));
        }
        if about.file_type().is_fifo() {
            return self.add_once(path, false, LocalInput::Pipe(path.to_owned()));
        }
        if !about.is_dir() {
            let (path, what) = (path.display(), special(about.file_type()));
            return Err(Unusable::Wrong(format!(
                "{path} is {what}, which is not read; name a file or a pipe"
            )));
        }
        let before = self.skipped.len();
        if self.below(path, &Root::new(path)?)? {
            return Ok(());
        }
        let nothing = || {
            format!(
                "no .csv, .tsv or .txt file (or one of these with .gz, .zst or .zip) in the folder {}",
                path.display()
            )
        };
        Err(Unusable::Wrong(self.skipped.get(before).map_or_else(nothing, Skipped::to_string)))
    }

    /// Adds the tables in a folder and below. Returns whether there are any, even if they were found before.
    fn below(&mut self, folder: &Path, root: &Root) -> Result<bool, Unusable> {
        let mut any = false;
        // A list replaces recursion, because whoever made the folders decides how deep they are.
        let mut left = vec![folder.to_owned()];
        while let Some(path) = left.pop() {
            let is_table = path.file_name().is_some_and(|name| has_csv_extension(&name.to_string_lossy()));
            let about = match fs::metadata(&path) {
                Ok(about) if root.is_left_by(&path) => {
                    if is_table || about.is_dir() {
                        self.skip(&path, LEADS_OUT);
                    }
                    continue;
                }
                Ok(about) => about,
                Err(_) if is_table => {
                    self.add(LocalInput::File(path))?;
                    any = true;
                    continue;
                }
                // A broken link, a link to itself, or a file that was just deleted is left out.
                Err(_) if path != folder => continue,
                Err(cause) => return Err(unreadable(&path, &cause)),
            };
            if about.is_dir() {
                if self.folders.insert((about.dev(), about.ino())) {
                    left.extend(self.names_in(&path)?.into_iter().rev());
                } else {
                    // The folder was read before: its tables were found, or an error said that it has none.
                    any |= path == folder;
                }
            } else if is_table && about.is_file() {
                self.found(&path, root)?;
                any = true;
            } else if is_table {
                self.skip(&path, special(about.file_type()));
            }
        }
        Ok(any)
    }

    /// The sorted paths in a folder, without hidden ones.
    fn names_in(&mut self, folder: &Path) -> Result<Vec<PathBuf>, Unusable> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(|cause| unreadable(folder, &cause))? {
            let name = entry.map_err(|cause| unreadable(folder, &cause))?.file_name();
            self.count_name()?;
            if !name.as_encoded_bytes().starts_with(b".") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names.into_iter().map(|name| folder.join(name)).collect())
    }

    fn found(&mut self, path: &Path, root: &Root) -> Result<(), Unusable> {
        let source = LocalInput::Found { path: path.to_owned(), folder: root.path.clone() };
        self.add_once(path, true, source)
    }

    fn add_once(&mut self, path: &Path, regular: bool, source: LocalInput) -> Result<(), Unusable> {
        // The pipe of the shell's `<(command)` is a link to a name that does not exist, such as `pipe:[123]`.
        let known_as = match regular {
            true => path.canonicalize().map_err(|cause| unreadable(path, &cause))?,
            false => path.to_owned(),
        };
        if self.files.insert(known_as) { self.add(source) } else { Ok(()) }
    }

    fn add(&mut self, source: LocalInput) -> Result<(), Unusable> {
        if self.sources.len() >= FILES_MAX {
            return Err(too_many(FILES_MAX, "files"));
        }
        self.sources.push(source);
        Ok(())
    }

    fn count_name(&mut self) -> Result<(), Unusable> {
        self.names += 1;
        if self.names > NAMES_MAX {
            return Err(too_many(NAMES_MAX, "names in folders"));
        }
        Ok(())
    }
}

fn unreadable(path: &Path, cause: &io::Error) -> Unusable {
    let path = path.display();
    match cause.kind() {
        io::ErrorKind::NotFound => Unusable::Wrong(format!("no such file or folder: {path}")),
        io::ErrorKind::PermissionDenied => Unusable::Denied(format!("cannot read {path}: {cause}")),
        _ => Unusable::Wrong(format!("cannot read {path}: {cause}")),
    }
}

fn too_many(max: usize, what: &str) -> Unusable {
    Unusable::Wrong(format!("over {max} {what}: name fewer files or folders"))
}

/// An open regular file, as it was when it was opened. Clones share the handle and nothing else, so several
/// readers do not disturb each other.
#[derive(Clone, Debug)]
pub struct LocalFile {
    file: Arc<File>,
    size: u64,
    modified_ns: i128,
}

impl LocalFile {
    /// Opens a file. Errors: it is missing, unreadable, or not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        // The check comes before opening, which can have an effect on a device.
        if !fs::metadata(path)?.is_file() {
            return Err(not_regular());
        }
        // The file may have been replaced since the check: without this flag, a pipe would wait for a writer.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        Self::of_open(OpenOptions::new().read(true).custom_flags(flags).open(path)?)
    }

    /// Opens a file in `folder` or below. Links that stay in the folder are followed. Even if somebody
    /// changes a link during the call, a file outside the folder is never opened.
    /// Errors: as for [`LocalFile::open`]; also if the file is not in the folder.
    pub fn open_below(folder: &Path, path: &Path) -> io::Result<Self> {
        let (folder, path) = (folder.canonicalize()?, path.canonicalize()?);
        let below = path.strip_prefix(&folder).map_err(|_| io::Error::other(LEADS_OUT))?;
        // A canonical path has no link. A link that has replaced one of its parts since is not followed.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at: OwnedFd = File::open(&folder)?.into();
        let mut names = below.iter().peekable();
        while let Some(name) = names.next() {
            let kind = if names.peek().is_some() { OFlags::DIRECTORY } else { OFlags::NONBLOCK };
            at = rustix::fs::openat(&at, name, flags | kind, Mode::empty())?;
        }
        Self::of_open(at.into())
    }

    /// Takes a file that is open already. Errors: the file is not a regular one.
    pub fn of_open(file: File) -> io::Result<Self> {
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(not_regular());
        }
        let (size, modified_ns) = (about.len(), modified_ns(&about));
        Ok(Self { file: Arc::new(file), size, modified_ns })
    }

    /// The file's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When the file was modified, in nanoseconds since 1970.
    pub fn modified_ns(&self) -> i128 {
        self.modified_ns
    }

    /// Reads bytes at `at`; returns 0 only at the end. Errors: the file cannot be read.
    pub fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buf, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Fills `buf` from `at`, where the file had bytes when it was opened.
    /// Errors: the file cannot be read, or it shrank: [`ReadingError::Changed`].
    pub fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadingError::Changed.into(),
            _ => error,
        })
    }

    /// Checks that the file is still as it was when it was opened.
    /// Errors: [`ReadingError::Changed`], or the file cannot be read.
    pub fn check_unchanged(&self) -> io::Result<()> {
        let about = self.file.metadata()?;
        if (about.len(), modified_ns(&about)) == (self.size, self.modified_ns) {
            Ok(())
        } else {
            Err(ReadingError::Changed.into())
        }
    }

    /// Reads the file from its beginning to the end that it had when it was opened. A change meanwhile gives
    /// [`ReadingError::Changed`], at the end at the latest.
    pub fn reader(&self) -> FileReader {
        FileReader { file: self.clone(), at: 0 }
    }
}

/// Opens a pipe, and waits for its writer. Errors: the pipe is missing or unreadable, or is not a pipe.
pub fn open_pipe(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.file_type().is_fifo() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a pipe")),
    }
}

fn modified_ns(about: &fs::Metadata) -> i128 {
    i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec())
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Reads a [`LocalFile`] from its beginning.
#[derive(Debug)]
pub struct FileReader {
    file: LocalFile,
    at: u64,
}

impl Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        if buf.is_empty() {
            return Ok(0);
        }
        if left == 0 {
            self.file.check_unchanged()?;
            return Ok(0);
        }
        let read = self.file.read_at(buf.get_mut(..len).unwrap_or_default(), self.at)?;
        if read == 0 {
            return Err(ReadingError::Changed.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::super::typed;
    use super::*;

    /// A folder with files, named by their paths.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "id\n1\n").unwrap();
        }
        dir
    }

    /// What arguments below the folder mean, as paths below it.
    fn expanded(dir: &Path, args: &[&str]) -> Result<Vec<String>, Unusable> {
        let args: Vec<OsString> =
            args.iter().map(|arg| if *arg == "-" { "-".into() } else { dir.join(arg).into() }).collect();
        let shown = |source: LocalInput| match source {
            LocalInput::File(path) | LocalInput::Found { path, .. } => {
                path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned()
            }
            LocalInput::Pipe(path) => format!("pipe {}", path.display()),
            LocalInput::Stdin => "-".to_owned(),
        };
        Ok(expand(&args)?.0.into_iter().map(shown).collect())
    }

    #[test]
    fn a_folder_means_its_tables_sorted() {
        let dir = folder(&[
            "b/2.csv", "b/10.TSV.gz", "b/x.json", "a.txt", "c.csv.zst", ".hidden.csv", ".git/d.csv", "b.csv",
            "b/c/d/e.csv.zip", "notes",
        ]);
        let all = ["a.txt", "b/10.TSV.gz", "b/2.csv", "b/c/d/e.csv.zip", "b.csv", "c.csv.zst"];
        assert_eq!(expanded(dir.path(), &[""]).unwrap(), all);
        // A hidden file that is named is meant.
        assert_eq!(expanded(dir.path(), &[".hidden.csv", "notes"]).unwrap(), [".hidden.csv", "notes"]);
    }

    #[test]
    fn links_are_followed_once() {
        let dir = folder(&["a/1.csv", "b/2.csv"]);
        fs::create_dir(dir.path().join("a/sub")).unwrap();
        fs::write(dir.path().join("a/sub/2.txt"), "id\n").unwrap();
        symlink("sub/2.txt", dir.path().join("a/link.csv")).unwrap();
        symlink("..", dir.path().join("a/sub/up")).unwrap();
        symlink(".", dir.path().join("a/self")).unwrap();
        symlink("missing", dir.path().join("a/broken")).unwrap();
        assert_eq!(expanded(dir.path(), &["a"]).unwrap(), ["a/1.csv", "a/link.csv"]);
        symlink("itself", dir.path().join("a/itself")).unwrap();
        // Under the name of a table it is one, and fails by itself.
        symlink("missing.csv", dir.path().join("a/broken.csv")).unwrap();
        symlink("itself.csv", dir.path().join("a/itself.csv")).unwrap();
        let all = ["a/1.csv", "a/broken.csv", "a/itself.csv", "a/link.csv"];
        assert_eq!(expanded(dir.path(), &["a"]).unwrap(), all);
        let mut matched = expanded(dir.path(), &["a/*.csv"]).unwrap();
        matched.sort_unstable();
        assert_eq!(matched, all);
        assert!(LocalFile::open(&dir.path().join("a/broken.csv")).is_err());
    }

    #[test]
    fn links_that_lead_out_of_the_folder_are_skipped_and_devices_are_refused() {
        let dir = folder(&["a/1.csv", "a/sub/2.csv", "b/3.csv"]);
        let link = |to: &str, at: &str| symlink(to, dir.path().join(at)).unwrap();
        link("../b/3.csv", "a/out.csv");
        link("../b", "a/folder");
        link("/dev/zero", "a/zero.csv");
        link("sub/2.csv", "a/within.csv");
        link("a", "named");
        for arg in ["a", "a/*", "a/**/*.csv", "named"] {
            let means = expanded(dir.path(), &[arg]).unwrap();
            assert!(
                means.iter().all(|file| file.ends_with("1.csv") || file.ends_with("2.csv")),
                "{arg}: {means:?}"
            );
        }
        let error = expanded(dir.path(), &["/dev/zero"]).unwrap_err();
        assert!(error.to_string().contains("/dev/zero"), "{error}");
    }

    /// What was a file of the folder when it was listed may be a link out of it when it is opened.
    #[test]
    fn what_is_opened_is_in_the_folder() {
        let dir = folder(&["a/sub/1.csv", "a/2.csv", "b/1.csv"]);
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        symlink("sub/1.csv", a.join("link.csv")).unwrap();
        for name in ["sub/1.csv", "2.csv", "link.csv"] {
            LocalFile::open_below(&a, &a.join(name)).unwrap();
        }
        fs::remove_dir_all(a.join("sub")).unwrap();
        symlink(&b, a.join("sub")).unwrap();
        symlink("/dev/zero", a.join("zero.csv")).unwrap();
        for name in ["sub/1.csv", "link.csv", "zero.csv"] {
            let error = LocalFile::open_below(&a, &a.join(name)).unwrap_err();
            assert!(error.to_string().contains("out of the folder"), "{name}: {error}");
        }
        LocalFile::open_below(&a, &a).unwrap_err();
    }

    #[test]
    fn pipes_in_a_folder_are_skipped() {
        let dir = folder(&["a/1.csv"]);
        let pipe = dir.path().join("a/2.csv");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(expanded(dir.path(), &["a"]).unwrap(), ["a/1.csv"]);
        assert_eq!(expanded(dir.path(), &["a/*.csv"]).unwrap(), ["a/1.csv"]);
        let named = format!("pipe {}", pipe.display());
        assert_eq!(expanded(dir.path(), &["a/2.csv"]).unwrap(), [named]);
    }

    #[test]
    fn a_pattern_means_its_matches() {
        let dir = folder(&["a/1.csv", "a/2.csv", "a/.3.csv", "b/1.csv", "b/x.json", "odd[1].csv"]);
        let refused = |arg| expanded(dir.path(), &[arg]).unwrap_err().to_string();
        let check = |arg, means: &[&str]| assert_eq!(expanded(dir.path(), &[arg]).unwrap(), means, "{arg}");
        check("*/1.csv", &["a/1.csv", "b/1.csv"]);
        check("a/*", &["a/1.csv", "a/2.csv"]);
        check("b/?.*", &["b/1.csv", "b/x.json"]);
        check("**/[12].csv", &["a/1.csv", "a/2.csv", "b/1.csv"]);
        check("odd[1].csv", &["odd[1].csv"]);
        check("a/.[13].csv", &["a/.3.csv"]);
        let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"a/\xFF.csv");
        fs::write(dir.path().join(odd), "id\n").unwrap();
        check("a/*", &["a/1.csv", "a/2.csv"]);
        check("[b]", &["b/1.csv"]);
        assert!(refused("*.tsv").starts_with("no file matches "));
        assert!(refused("a[.csv").starts_with("malformed pattern "));
    }

    #[test]
    fn each_file_is_read_once_in_the_order_of_the_arguments() {
        let dir = folder(&["a/1.csv", "a/2.csv"]);
        let means = expanded(dir.path(), &["a/2.csv", "-", "a", "a/../a/1.csv", "-", "a/*", "a"]).unwrap();
        assert_eq!(means, ["a/2.csv", "-", "a/1.csv"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = folder(&["empty/x.json", "a.csv"]);
        let check = |args: &[&str], start: &str, end: &str| {
            let error = expanded(dir.path(), args).unwrap_err().to_string();
            assert!(error.starts_with(start) && error.ends_with(end), "{error}");
        };
        check(&["a.csv", "b.csv"], "no such file or folder: ", "/b.csv");
        check(&["empty"], "no .csv, .tsv or .txt file (", "/empty");
        check(&["a.csv", "empty"], "no .csv, .tsv or .txt file (", "/empty");
        check(&["emp*"], "no file matches ", "/emp*");
        assert_eq!(expanded(dir.path(), &["*"]).unwrap(), ["a.csv"]);
        check(&["a.csv/b.csv"], "cannot read ", "/a.csv/b.csv: Not a directory (os error 20)");
    }

    #[test]
    fn a_pipe_of_the_shell_is_read_once() {
        use std::os::fd::AsRawFd as _;
        let (reader, _writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let (sources, _) = expand(&[path.clone().into(), path.clone().into()]).unwrap();
        assert_eq!(sources, [LocalInput::Pipe(path.into())]);
    }

    #[test]
    fn a_file_is_read_to_its_end() {
        let dir = folder(&["a.csv"]);
        let mut text = String::new();
        let file = LocalFile::open(&dir.path().join("a.csv")).unwrap();
        file.reader().read_to_string(&mut text).unwrap();
        assert_eq!(text, "id\n1\n");
        assert!(LocalFile::open(dir.path()).is_err());
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_noticed() {
        let check = |change: fn(&Path)| {
            let dir = folder(&["a.csv"]);
            let path = dir.path().join("a.csv");
            let mut reader = LocalFile::open(&path).unwrap().reader();
            assert_eq!(reader.read(&mut [0; 2]).unwrap(), 2);
            change(&path);
            let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
            assert_eq!(typed::<ReadingError>(&error), Some(&ReadingError::Changed));
        };
        check(|path| File::options().append(true).open(path).unwrap().write_all(b"2\n").unwrap());
        check(|path| File::options().write(true).open(path).unwrap().set_len(3).unwrap());
        check(|path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        });
    }
}
