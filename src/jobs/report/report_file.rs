//! A file of results of a report.

/// A file of results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    /// Its object key.
    pub key: String,
    /// Whether its tasks succeeded.
    pub succeeded: bool,
    /// The name of the staged file, in the job's folder.
    pub staged: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Its MD5.
    pub md5: [u8; 16],
}
