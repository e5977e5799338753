//! The completion report of an earlier job as a manifest: its failed tasks are run again.
//!
//! A report has no arguments of single tasks. One whose failed tasks had some says so, and is refused: they would run
//! with the arguments of the job alone.

use serde::Deserialize;

use super::checked_file::{Known, parse_md5};
use super::csv_reader::CsvReader;
use super::error::ManifestError;
use super::files::ManifestFiles;
use super::named_files::{NamedFile, Schema, bucket_name};
use super::outlet::Outlet;
use super::row_checks::{ENCODED_KEY_CHARS_MAX, shown};
use crate::words::counted;

/// The format of reports.
pub(super) const REPORT_FORMAT: &str = "Report_CSV_20180820";

/// The `manifest.json` of a report.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EarlierReport {
    format: String,
    results: Vec<ResultFile>,
    report_schema: String,
    #[serde(default)]
    failed_tasks_had_args: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResultFile {
    task_execution_status: String,
    bucket: String,
    #[serde(rename = "MD5Checksum")]
    md5: String,
    key: String,
}

/// Reads the files of failed tasks. Errors: [`ManifestError`], with the file.
pub(super) fn read(
    report: &EarlierReport,
    files: &dyn ManifestFiles,
    outlet: &mut Outlet<'_>,
) -> Result<(), ManifestError> {
    if report.format != REPORT_FORMAT {
        let format = shown(&report.format);
        let what =
            format!("the report's format is {format}; a job reads reports of the format {REPORT_FORMAT}");
        return Err(ManifestError::content(what));
    }
    if report.failed_tasks_had_args {
        let what = "failed tasks of the report had args of their own, which a report does not keep; make a manifest of JSON \
                    lines of them, each with its args";
        return Err(ManifestError::content(what));
    }
    let schema = Schema::parse(&report.report_schema);
    // The other columns are not read: AWS writes two of them in another order than its schema says.
    let [bucket_at, key_at] = [schema.need("Bucket")?, schema.need("Key")?];
    let [version_at, status_at] = [schema.need("VersionId")?, schema.need("TaskStatus")?];
    let progress = outlet.progress;
    for ResultFile { task_execution_status, bucket, md5, key } in &report.results {
        match task_execution_status {
            status if is_failed(status) => {}
            status if status.eq_ignore_ascii_case("succeeded") => continue,
            status => {
                let what = format!("the status {} is neither succeeded nor failed", shown(status));
                return Err(ManifestError::content(what).of_part(key));
            }
        }
        let md5 = parse_md5(md5).map_err(|what| ManifestError::content(what).of_part(key))?;
        let file =
            NamedFile { bucket: bucket_name(bucket)?, key, known: Known { len: None, md5: Some(md5) } };
        file.read(files, progress, |name, text| {
            let mut rows = CsvReader::new(name, text);
            while let Some(row) = rows.next()? {
                let wrong = |what: String| ManifestError::line(row.line, what);
                if row.width() != schema.width() {
                    let columns = counted(row.width() as u64, "column", "columns");
                    return Err(wrong(format!("the row has {columns}, and the report {}", schema.width())));
                }
                let status = row.field(status_at)?;
                if !is_failed(status) {
                    return Err(wrong(format!("the task's status is {}, and must be failed", shown(status))));
                }
                let (bucket, key, version) =
                    (row.field(bucket_at)?, row.field(key_at)?, row.field(version_at)?);
                outlet.give(row.line, bucket, key, ENCODED_KEY_CHARS_MAX, Some(version))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn is_failed(status: &str) -> bool {
    status.eq_ignore_ascii_case("failed")
}
