//! `manifest.json` of a report.

use serde::Serialize;

use super::report_file::ReportFile;
use crate::time::UnixMillis;
use crate::words::rfc3339;

/// The format of the report.
pub const REPORT_FORMAT: &str = "Report_CSV_20180820";
/// The schema text of AWS's samples. Their rows have the HTTP status before the error code.
pub const REPORT_SCHEMA: &str =
    "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ManifestJson<'a> {
    format: &'static str,
    report_creation_date: String,
    results: Vec<ResultFile<'a>>,
    report_schema: &'static str,
    /// Ours, and only where it is true: AWS has no arguments of single tasks, and its readers no use for this.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    failed_tasks_had_args: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResultFile<'a> {
    task_execution_status: &'static str,
    bucket: &'a str,
    #[serde(rename = "MD5Checksum")]
    md5_checksum: String,
    key: &'a str,
}

/// The bytes of `manifest.json`, indented as in AWS's sample. `failed_tasks_had_args`: a failed task had arguments of its
/// own, so that the report is no manifest.
/// Errors: never with these values.
pub fn manifest_json(
    bucket: &str,
    date: UnixMillis,
    files: &[ReportFile],
    failed_tasks_had_args: bool,
) -> serde_json::Result<Vec<u8>> {
    let results = files.iter().map(|file| ResultFile {
        task_execution_status: if file.succeeded { "succeeded" } else { "failed" },
        bucket,
        md5_checksum: hex::encode(file.md5),
        key: &file.key,
    });
    let manifest = ManifestJson {
        format: REPORT_FORMAT,
        report_creation_date: rfc3339(date),
        results: results.collect(),
        report_schema: REPORT_SCHEMA,
        failed_tasks_had_args,
    };
    let mut bytes = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    manifest.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, form))?;
    Ok(bytes)
}
