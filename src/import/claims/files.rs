//! Where claims and names are: small objects that are read, listed, and written on a condition.

use std::fmt;

use bytes::Bytes;

use crate::import::shared_progress::{Answer, Stored, Tag};
use crate::time::UnixMillis;

/// An object of the shared journal, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedFile {
    /// Its name below the folder that was listed.
    pub name: String,
    /// Its version.
    pub tag: Tag,
    /// When it was written, as the store says.
    pub at: Option<UnixMillis>,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesPage {
    /// Objects, in the order of their names on S3.
    pub files: Vec<ListedFile>,
    /// What the listing continues with; `None` on the last page.
    pub next: Option<String>,
}

/// The objects of a shared journal. Reads give the last write, and writes have a condition. Each is one try.
pub trait ClaimFiles: Send + Sync + fmt::Debug {
    /// An object with its version; `None` if there is none.
    /// Errors: `Unknown` if it may be readable later, `Refused` if not.
    fn read_file<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Stored>>;

    /// The bytes of the version that a listing showed. Errors: as above, and `Changed` if it is another one
    /// now.
    fn read_listed<'a>(&'a self, name: &'a str, tag: &'a Tag) -> Answer<'a, Bytes>;

    /// Writes an object that replaces this version, or none. Returns the version that was written.
    /// Errors: `Changed` if another one is there, `Unknown` if nobody knows whether it was written,
    /// `Refused`.
    fn write_file<'a>(&'a self, name: &'a str, bytes: Bytes, replaces: Option<&'a Tag>) -> Answer<'a, Tag>;

    /// One page of the objects in a folder, whose name ends with a slash. Errors: `Unknown` and `Refused`.
    fn list<'a>(&'a self, folder: &'a str, next: Option<&'a str>) -> Answer<'a, FilesPage>;
}
