//! What a journal keeps of imports that have names, beside the records of files: values by a text.

/// What a value is about. Each kind has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeptOf {
    /// The id of an import, and the settings that cannot change, by the import's name.
    Name,
    /// The converter that files began with, by the import's id and the hash of their options.
    Converter,
    /// The version of an object that is imported, by the import's id and the key in the bucket.
    Object,
    /// An imported object that is still to be tagged, moved or deleted, by the same; and the prefixes to
    /// which objects were moved.
    After,
    /// Whose an object is if several instances share a journal, by the import's id and the claim's name.
    Claim,
}

/// A value that takes the place of the one before; `None`: there is no value any more.
#[derive(Clone, Debug)]
pub struct KeptValue {
    /// What the value is about.
    pub kind: KeptOf,
    /// The text by which the value is found.
    pub by: String,
    /// The value.
    pub value: Option<Vec<u8>>,
}

impl KeptValue {
    /// A value as JSON. Errors: [`serde_json::Error`]: it has no such form.
    pub(super) fn json(kind: KeptOf, by: String, value: &impl serde::Serialize) -> serde_json::Result<Self> {
        Ok(Self { kind, by, value: Some(serde_json::to_vec(value)?) })
    }
}
