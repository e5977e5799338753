//! Where all forms of manifests hand their tasks on.

use std::io;

use super::error::ManifestError;
use super::progress::Progress;
use super::row_checks::{check_bucket, check_key, check_version};
use crate::jobs::task::Task;
use crate::words::grouped;

/// The most tasks of a job.
pub const TASKS_MAX: u64 = 1_000_000_000;

/// Takes the tasks, in the order of their rows. An error ends the reading.
pub type Taker<'a> = &'a mut dyn FnMut(&Task) -> io::Result<()>;

/// Checks tasks and hands them on.
pub(super) struct Outlet<'a> {
    taker: Taker<'a>,
    pub(super) progress: &'a Progress,
    /// The present task; its memory is used again.
    task: Task,
    /// Whether the first row named a version, and so all have to.
    versioned: Option<bool>,
    pub(super) tasks: u64,
    pub(super) has_args: bool,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(taker: Taker<'a>, progress: &'a Progress) -> Self {
        let task = Task { bucket: String::new(), key: String::new(), version: None, args: Vec::new() };
        Self { taker, progress, task, versioned: None, tasks: 0, has_args: false }
    }

    /// Hands on the task of a row at this line. Its encoded key has at most `chars_max` characters. An empty
    /// version is none.
    pub(super) fn give(
        &mut self,
        line: u64,
        bucket: &str,
        key: &str,
        chars_max: usize,
        version: Option<&str>,
    ) -> Result<(), ManifestError> {
        self.give_with(line, bucket, key, chars_max, version, Vec::new())
    }

    /// The same with arguments of the task.
    pub(super) fn give_with(
        &mut self,
        line: u64,
        bucket: &str,
        key: &str,
        chars_max: usize,
        version: Option<&str>,
        args: Vec<(String, String)>,
    ) -> Result<(), ManifestError> {
        let wrong = |what: String| ManifestError::line(line, what);
        // The key first: raw JSON has commas, so its rows are wrong in other ways too.
        check_key(key, chars_max).map_err(wrong)?;
        // Most rows have the bucket of the row before. No row before the first has one.
        if self.task.bucket != bucket || bucket.is_empty() {
            check_bucket(bucket).map_err(wrong)?;
            bucket.clone_into(&mut self.task.bucket);
        }
        let version = version.filter(|version| !version.is_empty());
        let versioned = *self.versioned.get_or_insert(version.is_some());
        match version {
            None if versioned => {
                let what =
                    "the row has no version, and the first one has; name a version in all rows or in none";
                return Err(wrong(what.to_owned()));
            }
            Some(_) if !versioned => {
                let what = "the row has a version, and the first one has none; name a version in all rows or in none";
                return Err(wrong(what.to_owned()));
            }
            None => self.task.version = None,
            Some(version) => {
                check_version(version).map_err(wrong)?;
                version.clone_into(self.task.version.get_or_insert_default());
            }
        }
        if self.tasks == TASKS_MAX {
            let most = grouped(TASKS_MAX);
            return Err(wrong(format!(
                "the manifest has more than {most} rows; divide it among several jobs"
            )));
        }
        key.clone_into(&mut self.task.key);
        self.has_args |= !args.is_empty();
        self.task.args = args;
        (self.taker)(&self.task).map_err(ManifestError::Taker)?;
        self.tasks += 1;
        self.progress.add_row();
        Ok(())
    }
}
