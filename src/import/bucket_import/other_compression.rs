//! Objects that are compressed in another way than the converter's `compressionType` says.

use std::sync::Mutex;

use crate::convert::Compression as Named;
use crate::import::reading::compression::Compression;
use crate::lock::lock;

/// How many objects of a pass are compressed in another way than the converter says. Their content decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCompression {
    /// How many objects.
    pub objects: u64,
    /// The name of the first one.
    pub first: String,
    /// How the first one is compressed.
    pub compression: Compression,
    /// What the converter says.
    pub named: Named,
}

/// Such objects, as a pass meets them.
#[derive(Debug, Default)]
pub(super) struct OtherCompressions(Mutex<Option<OtherCompression>>);

impl OtherCompressions {
    /// Notes how an object is compressed.
    pub(super) fn note(&self, name: &str, compression: Compression, named: Named) {
        if named == Named::Auto || named.name() == compression.as_str() {
            return;
        }
        let first = || OtherCompression { objects: 0, first: name.to_owned(), compression, named };
        lock(&self.0).get_or_insert_with(first).objects += 1;
    }

    /// What was met.
    pub(super) fn met(&self) -> Option<OtherCompression> {
        lock(&self.0).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_that_are_compressed_in_another_way_are_counted_and_the_first_is_named() {
        let others = OtherCompressions::default();
        others.note("a", Compression::Gzip, Named::Auto);
        others.note("b", Compression::Gzip, Named::Gzip);
        assert_eq!(others.met(), None);
        others.note("c", Compression::None, Named::Gzip);
        others.note("d", Compression::Zip, Named::Gzip);
        let met = others.met().unwrap();
        assert_eq!((met.objects, met.first.as_str(), met.compression), (2, "c", Compression::None));
    }
}
