//! What the manifest says of a run of keys of imported rows.

/// A run of keys of imported rows: a file beside the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeyRun {
    /// Its number.
    pub number: u64,
    /// How often it was made of others.
    pub level: u8,
    /// The day of its newest key, counted from 1970.
    pub day: u32,
    /// How many keys it has; at least one.
    pub keys: u64,
    /// When its newest row was received, in seconds since 1970.
    pub newest: u32,
}
