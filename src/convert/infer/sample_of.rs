//! What is known of a sample beside its rows.

use crate::convert::file::{Compression, FileFormat};

/// What is known of a sample beside its rows.
#[derive(Clone, Copy, Debug)]
pub struct SampleOf<'s> {
    /// The sample's name or key, for the pattern of the files' keys; `None`: it has none.
    pub name: Option<&'s str>,
    /// The format.
    pub format: FileFormat,
    /// The compression that was found.
    pub compression: Compression,
    /// The byte between two fields of CSV.
    pub delimiter: Option<u8>,
}
