//! The storage class of an object.

use std::fmt;

/// Every class that a put can ask for, by the name that S3 gives it.
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
    /// What S3 does where none is asked for.
    Standard,
    /// Seldom read.
    StandardIa,
    /// Seldom read, kept in one zone.
    OneZoneIa,
    /// Moved between tiers as it is read.
    IntelligentTiering,
    /// Archived, read at once.
    GlacierIr,
    /// Archived: cannot be read before it is restored.
    Glacier,
    /// Archived deeper: cannot be read before it is restored.
    DeepArchive,
}

impl StorageClass {
    /// Reads the name that S3 gives it.
    ///
    /// # Errors
    /// The names there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        NAMES.iter().find(|(name, _)| *name == text).map(|(_, class)| *class).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            format!("expected a storage class: {}", names.join(", "))
        })
    }

    /// The name that S3 gives it.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, class)| *class == self).map_or("STANDARD", |(name, _)| *name)
    }

    /// Whether objects must be restored before anybody can read them.
    pub fn is_archive(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for StorageClass {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<StorageClass> for String {
    fn from(class: StorageClass) -> Self {
        class.as_str().to_owned()
    }
}

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
