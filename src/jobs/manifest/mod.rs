//! Manifests: what a job works on.
//!
//! A manifest is a CSV file, a file of JSON lines, an inventory, or the report of an earlier job; compressed
//! with gzip or zstd or not. [`read_manifest`] finds out which by its first bytes, and hands on its tasks one
//! by one. Memory does not grow with the rows. A manifest is taken whole or not at all: one wrong row refuses
//! it.
//!
//! Decisions:
//! - Keys of CSV manifests, inventories and reports are URL-encoded and are handed on as written. A key of a
//!   CSV manifest has at most 1,024 characters as written. Programs encode the keys of the other forms, so
//!   the limit of S3 holds there: 1,024 bytes of the plain key.
//! - Empty lines are no rows, and are counted as lines. A byte order mark of UTF-8 is skipped.

mod checked_file;
mod csv_reader;
mod csv_rows;
mod earlier_report;
mod error;
pub mod fields;
pub mod files;
mod form;
mod inventory;
mod json_rows;
pub mod listing;
mod named_files;
mod outlet;
mod progress;
mod row_checks;

pub use csv_reader::{COLUMNS_MAX, ROW_BYTES_MAX};
pub use error::{ContentError, ManifestError};
pub use form::DOCUMENT_BYTES_MAX;
pub use outlet::{TASKS_MAX, Taker};
pub use progress::Progress;
pub use row_checks::{ENCODED_KEY_CHARS_MAX, KEY_CHARS_MAX, PLAIN_KEY_BYTES_MAX, VERSION_BYTES_MAX};

use checked_file::{CheckedFile, Known};
use fields::Fields;
use files::{ManifestFiles, OpenFile};
use form::{Document, Form, document};
use outlet::Outlet;

closed_list! {
    /// The form of a manifest, by its name in the API where it has one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ManifestForm by as_str and named {
        /// A CSV file.
        Csv = "S3BatchOperations_CSV_20180820",
        /// The `manifest.json` of an inventory.
        Inventory = "S3InventoryReport_CSV_20161130",
        /// A file of JSON lines.
        JsonRows = "JSON lines",
        /// The `manifest.json` of an earlier job's report.
        EarlierReport = "Report_CSV_20180820",
    }
}

/// What is said of a manifest beforehand.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Its ETag.
    pub etag: Option<String>,
    /// Its form.
    pub form: Option<ManifestForm>,
    /// The columns of a CSV manifest.
    pub fields: Option<Fields>,
}

/// A manifest that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRead {
    /// Its form.
    pub form: ManifestForm,
    /// The columns of a CSV manifest.
    pub fields: Option<Fields>,
    /// The tasks; at least one.
    pub tasks: u64,
    /// The rows of an inventory that are delete markers, which are no tasks.
    pub delete_markers: u64,
    /// Whether any task has arguments of its own, which only invocation schema 2.0 can pass.
    pub has_args: bool,
    /// Its ETag, if it is in a store.
    pub etag: Option<String>,
    /// Why it was not compared with the checksum beside it, if it should have been.
    pub not_compared: Option<String>,
}

/// Reads a manifest and hands its tasks to `taker`, in their order. Blocks.
/// Errors: [`ManifestError`]. Some tasks may have been handed on before it.
pub fn read_manifest(
    files: &dyn ManifestFiles,
    wanted: &Wanted,
    progress: &Progress,
    taker: Taker<'_>,
) -> Result<ManifestRead, ManifestError> {
    let name = files.name();
    let file = files.manifest().map_err(|cause| ManifestError::Unread { name: name.clone(), cause })?;
    check_etag(&name, wanted.etag.as_deref(), &file)?;
    let etag = file.etag.clone();
    progress.expect(file.len.unwrap_or(0));
    let (checked, text) = CheckedFile::open(&name, file, Known::default(), progress)?;
    let mut outlet = Outlet::new(taker, progress);
    let read = Form::of(&name, text).and_then(|form| read_form(files, wanted, form, &mut outlet));
    let Found { form, fields, delete_markers, not_compared } = checked.end(read)?;
    let (tasks, has_args) = (outlet.tasks, outlet.has_args);
    if tasks == 0 {
        return Err(ManifestError::content(no_task(form)));
    }
    Ok(ManifestRead { form, fields, tasks, delete_markers, has_args, etag, not_compared })
}

/// What was found in a manifest beside its tasks.
struct Found {
    form: ManifestForm,
    fields: Option<Fields>,
    delete_markers: u64,
    not_compared: Option<String>,
}

/// Reads a manifest of this form to its end.
fn read_form(
    files: &dyn ManifestFiles,
    wanted: &Wanted,
    form: Form,
    outlet: &mut Outlet<'_>,
) -> Result<Found, ManifestError> {
    let name = files.name();
    let plain = |form| Found { form, fields: None, delete_markers: 0, not_compared: None };
    match form {
        Form::Csv(text) => {
            check_form(wanted, ManifestForm::Csv)?;
            let fields = csv_rows::read(&name, text, wanted.fields.as_ref(), outlet)?;
            Ok(Found { fields, ..plain(ManifestForm::Csv) })
        }
        Form::JsonRows(text) => {
            check_form(wanted, ManifestForm::JsonRows)?;
            json_rows::read(&name, text, outlet)?;
            Ok(plain(ManifestForm::JsonRows))
        }
        Form::Document(bytes) => match document(&bytes)? {
            Document::Inventory(inventory) => {
                check_form(wanted, ManifestForm::Inventory)?;
                let not_compared = named_files::check_document(files, "manifest.checksum", &bytes)?;
                let delete_markers = inventory::read(&inventory, files, outlet)?;
                Ok(Found { delete_markers, not_compared, ..plain(ManifestForm::Inventory) })
            }
            Document::Report(report) => {
                check_form(wanted, ManifestForm::EarlierReport)?;
                let not_compared = named_files::check_document(files, "manifest.json.md5", &bytes)?;
                earlier_report::read(&report, files, outlet)?;
                Ok(Found { not_compared, ..plain(ManifestForm::EarlierReport) })
            }
        },
    }
}

/// Errors: the manifest is not the one that was meant.
fn check_etag(name: &str, wanted: Option<&str>, file: &OpenFile) -> Result<(), ManifestError> {
    let plain = |etag: &str| etag.trim().trim_matches('"').to_owned();
    let Some(wanted) = wanted.map(plain) else { return Ok(()) };
    let name = name.to_owned();
    match file.etag.as_deref().map(plain) {
        None => Err(ManifestError::NoETag { name }),
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(ManifestError::ETag { name, wanted, found }),
    }
}

/// Errors: the manifest has another form than was said, or fields were named for one that has none.
fn check_form(wanted: &Wanted, form: ManifestForm) -> Result<(), ManifestError> {
    if let Some(said) = wanted.form.filter(|said| *said != form) {
        let (said, found) = (said.as_str(), form.as_str());
        let what = format!(
            "the job's format is {said}, and the manifest is {found}; name the manifest's own format"
        );
        return Err(ManifestError::content(what));
    }
    if wanted.fields.is_some() && form != ManifestForm::Csv {
        let what = format!("fields are for CSV manifests, and this one is {}; leave them out", form.as_str());
        return Err(ManifestError::content(what));
    }
    Ok(())
}

/// What is wrong with a manifest of this form that has no task.
fn no_task(form: ManifestForm) -> &'static str {
    match form {
        ManifestForm::Csv | ManifestForm::JsonRows => "it has no rows; a manifest has a row for each object",
        ManifestForm::Inventory => "the inventory lists no object; wait for the next one, or name another",
        ManifestForm::EarlierReport => "the report has no failed task, so there is nothing to run again",
    }
}

#[cfg(test)]
mod tests;
