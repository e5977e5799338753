//! Finds what the rows of a file become.

use crate::call::CallKind;
use crate::import::csv::{self, FileType, TypeSaid};
use crate::import::{FileError, FileFault};
use crate::object::Collection;

/// What rows become, as far as a person names it.
#[derive(Clone, Debug, Default)]
pub struct NamedType {
    /// The type of the calls; `None`: the names of the files begin with it.
    pub kind: Option<NamedKind>,
    /// The collection of object files; `None`: their names show it.
    pub collection: Option<Collection>,
}

/// A type that a person names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedKind {
    /// Calls of one kind.
    Calls(CallKind),
    /// Objects of a collection.
    Objects,
}

/// What the rows of a file with this name become.
/// Errors: [`FileError`]: neither the name nor the person says what rows become.
pub(super) fn type_of(name: &str, named_type: &NamedType, said: TypeSaid) -> Result<FileType, FileError> {
    let NamedType { kind, collection } = named_type;
    // An entry whose own name has no type is of the type of its archive.
    let archive = name.rsplit_once('!').map(|(archive, _)| archive);
    let of_archive = || archive.and_then(|archive| csv::of_name(archive, collection.as_ref(), said).ok());
    let named = csv::of_name(name, collection.as_ref(), said).or_else(|none| of_archive().ok_or(none));
    match (kind, named) {
        (Some(NamedKind::Calls(kind)), _) => Ok(FileType::Calls(*kind)),
        (Some(NamedKind::Objects), named) => match (collection, named) {
            (Some(collection), _) => Ok(FileType::Objects(collection.clone())),
            (None, Ok(FileType::Objects(collection))) => Ok(FileType::Objects(collection)),
            (None, _) => Err(FileError::new(
                FileFault::Local,
                "E-CSV-TYPE",
                "--type object needs --collection, because the name of the file shows none",
            )),
        },
        (None, named) => named,
    }
}
