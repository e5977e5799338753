//! The storage class of an object.

use std::fmt;

/// Every class that a put can request, by its S3 name.
const NAMES: [(&str, StorageClass); 7] = [
    ("STANDARD", StorageClass::Standard),
    ("STANDARD_IA", StorageClass::StandardIa),
    ("ONEZONE_IA", StorageClass::OneZoneIa),
    ("INTELLIGENT_TIERING", StorageClass::IntelligentTiering),
    ("GLACIER_IR", StorageClass::GlacierIr),
    ("GLACIER", StorageClass::Glacier),
    ("DEEP_ARCHIVE", StorageClass::DeepArchive),
];

/// A storage class of S3 (`x-amz-storage-class`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StorageClass {
    /// The default of S3.
    Standard,
    /// Infrequent access.
    StandardIa,
    /// Infrequent access, kept in one zone.
    OneZoneIa,
    /// Moved between tiers according to access.
    IntelligentTiering,
    /// Archived, but readable at once.
    GlacierIr,
    /// Archived: must be restored before reading.
    Glacier,
    /// Archived deeper: must be restored before reading.
    DeepArchive,
}

impl StorageClass {
    /// Parses the S3 name. Errors: the allowed names.
    pub fn parse(text: &str) -> Result<Self, String> {
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, class)| *class).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("expected a storage class: {}", names.join(", "))
        })
    }

    /// The S3 name.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, class)| *class == self).map_or("STANDARD", |(name, _)| *name)
    }

    /// Whether objects must be restored before they can be read.
    pub fn is_archive(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

text_form!(StorageClass, String, StorageClass::parse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_name() {
        for (name, class) in NAMES {
            assert_eq!((class.as_str(), StorageClass::parse(name)), (name, Ok(class)));
        }
        assert!(StorageClass::parse("standard").is_err());
    }
}
