//! The storage class of an object.

closed_list! {
    /// A storage class of S3 (`x-amz-storage-class`), by its S3 name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    #[serde(try_from = "String", into = "String")]
    pub enum StorageClass by as_str and named {
        /// The default of S3.
        Standard = "STANDARD",
        /// Infrequent access.
        StandardIa = "STANDARD_IA",
        /// Infrequent access, kept in one zone.
        OneZoneIa = "ONEZONE_IA",
        /// Moved between tiers according to access.
        IntelligentTiering = "INTELLIGENT_TIERING",
        /// Archived, but readable at once.
        GlacierIr = "GLACIER_IR",
        /// Archived: must be restored before reading.
        Glacier = "GLACIER",
        /// Archived deeper: must be restored before reading.
        DeepArchive = "DEEP_ARCHIVE",
    }
}

impl StorageClass {
    /// Parses the S3 name. Errors: the allowed names.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a storage class: {}", Self::ALL.map(Self::as_str).join(", "));
        Self::named(text).ok_or_else(expected)
    }

    /// Whether objects must be restored before they can be read.
    pub fn is_archive(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }
}

shown_as_text!(StorageClass);

text_form!(StorageClass, String, StorageClass::parse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_name() {
        for class in StorageClass::ALL {
            assert_eq!(StorageClass::parse(class.as_str()), Ok(class));
        }
        assert_eq!(StorageClass::GlacierIr.as_str(), "GLACIER_IR");
        assert!(StorageClass::parse("standard").is_err());
    }
}
