//! The rows of a report, for a job that has none, or none yet.

use std::io::Write;

use crate::jobs::job::folder::{JobsFolder, SeenJob};
use crate::jobs::job::spec::ReportScope;
use crate::jobs::joined::ReportRows;
use crate::jobs::report::write::each_row;
use crate::jobs::task_rows::{ROWS, TaskRows};

use super::job_error::JobError;

/// Prints a row for each task of the scope that has ended, as the report has it. Returns the number of tasks that are left
/// out, because their rows are damaged. Reads the whole log, and blocks.
/// Errors: [`JobError`]; the manifest may not be copied yet.
pub fn print_rows(
    folder: &JobsFolder,
    seen: &SeenJob,
    scope: ReportScope,
    out: &mut dyn Write,
) -> Result<u64, JobError> {
    let disk = folder.disk_to_look(seen.id);
    let mut rows = ReportRows::of(TaskRows::open(&disk, ROWS)?);
    Ok(each_row(&disk, seen.id, scope, &mut rows, &mut |row| out.write_all(row))?)
}
