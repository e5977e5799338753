//! The completion report, as S3 Batch Operations writes it.
//!
//! ```text
//! <prefix>/job-<job id>/manifest.json
//! <prefix>/job-<job id>/manifest.json.md5                 the MD5 of manifest.json in hexadecimal digits
//! <prefix>/job-<job id>/results/<SHA-1 of the file>.csv   for each status, a new one after a million rows
//! ```
//!
//! A row is `Bucket,Key,VersionId,TaskStatus,HTTPStatusCode,ErrorCode,ResultMessage`, as in the sample rows
//! of AWS's documentation, without a header. (`ReportSchema` names ErrorCode before HTTPStatusCode there; the
//! text is kept.) Bucket, key and version are as in the manifest; the message stands in quotes.
//!
//! The report holds every task of its scope that has a final result, once, in the order of the log. It
//! depends on the log and the manifest alone, so that a report which is written again after a crash has the
//! same bytes.

pub mod csv_row;
pub mod manifest_json;
pub mod report_file;
pub mod seen_rows;
pub mod staged;
pub mod write;

#[cfg(test)]
mod tests;
