//! The folders of all jobs below the state folder: made, held, listed, and removed when they are old.

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::creation_lock::{CREATING, CreationLock, take as take_creation};
use super::folder_disk::FolderDisk;
use super::holder::{Holder, Taken, holder_of, take};
use super::id::JobId;
use super::sealed::{Kind, SealError, read_sealed, seal};
use super::spec::JobSpec;
use super::spec_checks::SpecError;
use super::state::JobState;
use super::transition::is_expired;
use super::troubles::{TROUBLE, Trouble, read};
use super::wishes::is_unfinished_wish;
use crate::disk::{Disk, if_there, own_files, write_durably};
use crate::jobs::attempts::LogError;
use crate::jobs::attempts::entry::Change;
use crate::jobs::attempts::log::create;
use crate::jobs::attempts::peek::{Peeked, peek};
use crate::time::UnixMillis;
use crate::words::{shell_word, with_causes};

/// The folder of all jobs, in the state folder.
pub const BATCH: &str = "batch";
/// What a job was asked to do, in its folder.
pub const JOB_FILE: &str = "job.json";
/// Jobs that are kept at once, finished ones among them. A further one is refused.
pub const JOBS_MAX: usize = 10_000;

/// Its version is that of the whole folder.
const JOB: Kind = Kind { name: "job", version: 1 };
/// The prefix of the folder of a job that is being made.
const NEW: &str = "new-";
/// The prefix of the folder of a job that is being removed.
const OLD: &str = "old-";

/// Why a job cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file system reported an error.
    #[error("{0} {1}")]
    Disk(&'static str, PathBuf, #[source] io::Error),
    /// There is no such job.
    #[error("there is no job {0} in {1}; `forebay batch list{2}` shows those that there are")]
    NoSuchJob(JobId, PathBuf, StateOption),
    /// Another process holds it.
    #[error(
        "job {0} is held by {by}; end that process first, or ask it by `forebay batch pause {0}{2}` or `forebay batch cancel \
         {0}{2}`", by = process(*.1)
    )]
    Held(JobId, Option<u32>, StateOption),
    /// What it was asked to do cannot be read.
    #[error("{JOB_FILE} of job {0}")]
    JobFile(JobId, #[source] SealError),
    /// It is the folder of another job.
    #[error("the folder of job {0} holds job {1}; put the right one back")]
    OtherJob(JobId, JobId),
    /// Its log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its specification has wrong values.
    #[error("make a job: {0}")]
    Spec(#[from] SpecError),
    /// There are too many.
    #[error(
        "{0} holds {JOBS_MAX} jobs, its bound; finished jobs are removed after 90 days, or use another --state folder"
    )]
    TooMany(PathBuf),
}

fn process(id: Option<u32>) -> String {
    id.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

#[derive(Serialize, Deserialize)]
struct JobFile {
    id: JobId,
    spec: JobSpec,
}

/// How the commands on the jobs of a folder name it: ` --state DIR`, or nothing where that is not needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateOption(String);

impl StateOption {
    /// That of the folder `state`.
    pub fn of(state: &Path) -> Self {
        Self(format!(" --state {}", shell_word(&state.to_string_lossy())))
    }
}

impl fmt::Display for StateOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of all jobs.
#[derive(Clone, Debug)]
pub struct JobsFolder {
    root: PathBuf,
    option: StateOption,
    /// Nobody has made it so far, perhaps: then it has no jobs.
    may_be_missing: bool,
}

/// A job that this process holds, while this value exists.
#[derive(Debug)]
pub struct HeldJob {
    /// Its id.
    pub id: JobId,
    /// What it was asked to do.
    pub spec: JobSpec,
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// How commands name the folder of all jobs.
    pub option: StateOption,
    _holder: Holder,
}

/// A job as any process sees it.
#[derive(Debug)]
pub struct SeenJob {
    /// Its id.
    pub id: JobId,
    /// What it was asked to do.
    pub spec: JobSpec,
    /// Its state and counts.
    pub now: Peeked,
    /// Whether a process holds it, and its id if that is written already.
    pub holder: Option<Option<u32>>,
    /// What it waits for, if a process holds it.
    pub troubles: Vec<Trouble>,
    /// How commands name the folder of all jobs.
    pub option: StateOption,
}

/// All jobs.
#[derive(Debug, Default)]
pub struct Listed {
    /// Those that can be read, the oldest first.
    pub jobs: Vec<SeenJob>,
    /// Those that cannot, and why.
    pub damaged: Vec<(JobId, FolderError)>,
}

/// What was removed.
#[derive(Debug, Default)]
pub struct Tidied {
    /// Jobs that had ended long enough ago.
    pub removed: Vec<JobId>,
    /// Jobs that were never made to the end, or whose removal was not ended.
    pub leftovers: usize,
    /// What could not be removed, and why.
    pub failed: Vec<(String, io::Error)>,
}

impl JobsFolder {
    /// The folder of all jobs below a state folder. It is made (0700) if it is missing.
    /// Errors: the file system's error.
    pub fn open(state: &Path) -> Result<Self, FolderError> {
        let root = state.join(BATCH);
        let failed = |error| FolderError::Disk("make the folder", root.clone(), error);
        own_files::make_folders(&root).map_err(failed)?;
        own_files::sync_folder_of(&root).map_err(failed)?;
        Ok(Self { root, option: StateOption::default(), may_be_missing: false })
    }

    /// The folder of all jobs for those who only look. Nothing is made or changed, so it may be on a file system that
    /// is mounted read-only.
    pub fn to_look(state: &Path) -> Self {
        Self { root: state.join(BATCH), option: StateOption::default(), may_be_missing: true }
    }

    /// The same folder, which commands name like this.
    #[must_use]
    pub fn named(self, option: StateOption) -> Self {
        Self { option, ..self }
    }

    /// How commands name the folder.
    pub fn option(&self) -> &StateOption {
        &self.option
    }

    /// The folder of a job.
    pub fn path(&self, id: JobId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// The files of a job, for a process that does not hold it: it makes wishes, and reads their answers.
    pub fn disk(&self, id: JobId) -> FolderDisk {
        FolderDisk::of(&self.path(id))
    }

    /// The files of a job, for a process that only reads them.
    pub fn disk_to_look(&self, id: JobId) -> FolderDisk {
        FolderDisk::to_look(&self.path(id))
    }

    /// Waits until no other server makes a job here, and keeps others from it while the lock exists. Blocks.
    /// Errors: [`FolderError`]; another server may not end.
    pub fn lock_creation(&self) -> Result<CreationLock, FolderError> {
        take_creation(&self.root).map_err(|error| FolderError::Disk("lock", self.root.join(CREATING), error))
    }

    /// Makes a job and holds it. It is there as a whole, or not at all.
    /// Errors: [`FolderError`].
    pub fn make(&self, id: JobId, spec: &JobSpec) -> Result<HeldJob, FolderError> {
        spec.check()?;
        if self.ids()?.len() >= JOBS_MAX {
            return Err(FolderError::TooMany(self.root.clone()));
        }
        let new = self.root.join(format!("{NEW}{id}"));
        let failed = |error| FolderError::Disk("make the folder", new.clone(), error);
        DirBuilder::new().mode(0o700).create(&new).map_err(failed)?;
        let holder = self.fill(&new, id, spec).inspect_err(|_| {
            // If this fails as well, it is removed when old jobs are.
            drop(fs::remove_dir_all(&new));
        })?;
        let (disk, option) = (Arc::new(self.disk(id)), self.option.clone());
        Ok(HeldJob { id, spec: spec.clone(), disk, option, _holder: holder })
    }

    /// Writes the files of a new job, and gives its folder the name under which it is found.
    fn fill(&self, new: &Path, id: JobId, spec: &JobSpec) -> Result<Holder, FolderError> {
        let failed = |error| FolderError::Disk("make the folder", new.to_owned(), error);
        let holder = match take(new).map_err(failed)? {
            Taken::Ours(holder) => holder,
            Taken::By(by) => return Err(FolderError::Held(id, by, self.option.clone())),
        };
        let disk = FolderDisk::of(new);
        let at = spec.made_at;
        create(&disk, id, &Change { at, state: JobState::new(spec.priority, at), wish: None })?;
        let file = seal(JOB, &JobFile { id, spec: spec.clone() }).map_err(failed)?;
        write_durably(&disk, JOB_FILE, &file).map_err(failed)?;
        own_files::rename_durably(new, &self.path(id)).map_err(failed)?;
        Ok(holder)
    }

    /// Holds a job. Files that an earlier holder did not finish are removed.
    /// Errors: [`FolderError`]; another process may hold it.
    pub fn hold(&self, id: JobId) -> Result<HeldJob, FolderError> {
        let path = self.path(id);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => self.no_such_job(id),
            _ => FolderError::Disk("lock", path.clone(), error),
        };
        let holder = match take(&path).map_err(failed)? {
            Taken::Ours(holder) => holder,
            Taken::By(by) => return Err(FolderError::Held(id, by, self.option.clone())),
        };
        let disk = self.disk(id);
        let spec = read_spec(&disk, id)?;
        let unfinished = |error| FolderError::Disk("remove unfinished files in", path.clone(), error);
        for (name, _) in disk.list("").map_err(unfinished)? {
            // Other processes may still write a wish.
            if name.ends_with(".tmp") && !is_unfinished_wish(&name) {
                disk.remove(&name).map_err(unfinished)?;
            }
        }
        Ok(HeldJob { id, spec, disk: Arc::new(disk), option: self.option.clone(), _holder: holder })
    }

    /// Looks at a job, whoever holds it.
    /// Errors: [`FolderError`].
    pub fn look(&self, id: JobId) -> Result<SeenJob, FolderError> {
        let (path, disk) = (self.path(id), self.disk_to_look(id));
        if !path.is_dir() {
            return Err(self.no_such_job(id));
        }
        let spec = read_spec(&disk, id)?;
        let now = peek(&disk, id)?;
        let holder = holder_of(&path).map_err(|error| FolderError::Disk("read the lock in", path, error))?;
        let troubles = holder.map_or_else(Vec::new, |_| troubles_in(&disk, &now));
        Ok(SeenJob { id, spec, now, holder, troubles, option: self.option.clone() })
    }

    fn no_such_job(&self, id: JobId) -> FolderError {
        FolderError::NoSuchJob(id, self.root.clone(), self.option.clone())
    }

    /// What a job was asked to do, also if its log is damaged.
    /// Errors: [`FolderError`].
    pub fn spec(&self, id: JobId) -> Result<JobSpec, FolderError> {
        if !self.path(id).is_dir() {
            return Err(self.no_such_job(id));
        }
        read_spec(&self.disk_to_look(id), id)
    }

    /// The ids of all jobs, damaged ones among them.
    /// Errors: the folder cannot be read.
    pub fn ids(&self) -> Result<Vec<JobId>, FolderError> {
        Ok(self.names()?.iter().filter_map(|name| JobId::parse(name).ok()).collect())
    }

    /// All jobs. A damaged one does not hide the others.
    /// Errors: the folder cannot be read.
    pub fn list(&self) -> Result<Listed, FolderError> {
        let mut listed = Listed::default();
        for id in self.ids()? {
            match self.look(id) {
                Ok(job) => listed.jobs.push(job),
                // Removed meanwhile.
                Err(FolderError::NoSuchJob(..)) => {}
                Err(error) => listed.damaged.push((id, error)),
            }
        }
        listed.jobs.sort_by_key(|job| (job.spec.made_at, job.id));
        Ok(listed)
    }

    /// Removes jobs that ended 90 days ago, and what crashes left of jobs that were being made or removed.
    /// Damaged jobs stay.
    /// Errors: the folder cannot be read.
    pub fn tidy(&self, now: UnixMillis) -> Result<Tidied, FolderError> {
        let mut tidied = Tidied::default();
        for name in self.names()? {
            let path = self.root.join(&name);
            let removed = if let Ok(id) = JobId::parse(&name) {
                let expired = peek(&self.disk_to_look(id), id).is_ok_and(|job| is_expired(&job.state, now));
                if !expired {
                    continue;
                }
                self.retire(&path, &name).inspect(|done| tidied.removed.extend(done.then_some(id)))
            } else if name.starts_with(OLD) {
                fs::remove_dir_all(&path).map(|()| true).inspect(|_| tidied.leftovers += 1)
            } else if name.starts_with(NEW) {
                self.retire(&path, &name).inspect(|done| tidied.leftovers += usize::from(*done))
            } else {
                continue;
            };
            if let Err(error) = removed {
                tidied.failed.push((name, error));
            }
        }
        Ok(tidied)
    }

    /// Removes a folder that no process holds. It first gets a name under which nobody finds it.
    fn retire(&self, path: &Path, name: &str) -> io::Result<bool> {
        let Taken::Ours(_holder) = take(path)? else { return Ok(false) };
        let old = self.root.join(format!("{OLD}{name}"));
        own_files::rename_durably(path, &old)?;
        fs::remove_dir_all(&old).map(|()| true)
    }

    /// The names of the folders.
    fn names(&self) -> Result<Vec<String>, FolderError> {
        let failed = |error| FolderError::Disk("read the folder", self.root.clone(), error);
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.root) {
            Err(error) if self.may_be_missing && error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let kind = if_there(entry.file_type()).map_err(failed)?;
            if let (Some(true), Ok(name)) = (kind.map(|kind| kind.is_dir()), entry.file_name().into_string())
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

fn read_spec(disk: &dyn Disk, id: JobId) -> Result<JobSpec, FolderError> {
    let file: JobFile = read_sealed(disk, JOB_FILE, JOB).map_err(|error| FolderError::JobFile(id, error))?;
    if file.id == id { Ok(file.spec) } else { Err(FolderError::OtherJob(id, file.id)) }
}

/// What a job waits for. A file that cannot be read is a trouble itself.
fn troubles_in(disk: &FolderDisk, now: &Peeked) -> Vec<Trouble> {
    read(disk).unwrap_or_else(|error| {
        let what =
            format!("what the job waits for cannot be read: {TROUBLE} {}; see its log", with_causes(&error));
        vec![Trouble { since: now.last_seen, what }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::attempts::log::AttemptsLog;
    use crate::jobs::job::crash_disk::Dice;
    use crate::jobs::job::spec_checks::tests::described;
    use crate::jobs::job::status::Status;
    use crate::words::with_causes;

    fn folder() -> (tempfile::TempDir, JobsFolder) {
        let dir = tempfile::tempdir().unwrap();
        let jobs = JobsFolder::open(&dir.path().join("state")).unwrap();
        (dir, jobs)
    }

    fn id(n: u64) -> JobId {
        JobId::random(&Dice::new(n))
    }

    fn end(job: &HeldJob, ended_at: i64) {
        let (mut log, _) = AttemptsLog::open(&*job.disk, job.id, &mut |_| Ok(())).unwrap();
        let at = UnixMillis(ended_at);
        let state =
            JobState { status: Status::Complete, ended_at: Some(at), ..JobState::new(job.spec.priority, at) };
        log.change(&Change { at, state, wish: None }).unwrap();
    }

    #[test]
    fn a_job_is_made_held_once_and_found_again() {
        let (_dir, jobs) = folder();
        let made = jobs.make(id(1), &described()).unwrap();
        let ours = std::process::id();
        assert_eq!(
            jobs.hold(id(1)).unwrap_err().to_string(),
            format!(
                "job {0} is held by process {ours}; end that process first, or ask it by `forebay batch pause {0}` or \
                 `forebay batch cancel {0}`",
                id(1)
            )
        );
        let seen = jobs.look(id(1)).unwrap();
        assert_eq!(
            (seen.spec, seen.now.state.status, seen.holder),
            (described(), Status::New, Some(Some(ours)))
        );
        made.disk.create("rows.tmp").unwrap();
        made.disk.create("wish-00000000000000000007-000000000000000a.tmp").unwrap();
        drop(made);
        let held = jobs.hold(id(1)).unwrap();
        assert_eq!(held.spec, described());
        let names: Vec<String> = held.disk.list("").unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["LOCK", "job.json", "log", "wish-00000000000000000007-000000000000000a.tmp"]);
        assert!(matches!(jobs.hold(id(2)), Err(FolderError::NoSuchJob(..))));
        assert!(matches!(jobs.look(id(2)), Err(FolderError::NoSuchJob(..))));
        assert!(
            matches!(jobs.make(id(1), &described()), Err(FolderError::Disk(..))),
            "a second job of this id"
        );
        assert_eq!(jobs.names().unwrap(), [id(1).to_string()], "nothing is left of it");
        let wrong = JobSpec { concurrency: 0, ..described() };
        assert!(matches!(jobs.make(id(3), &wrong), Err(FolderError::Spec(_))));
    }

    #[test]
    fn damaged_jobs_are_named_and_the_others_are_listed() {
        let (_dir, jobs) = folder();
        for n in 1..=6 {
            let spec = JobSpec { made_at: UnixMillis(100 - i64::try_from(n).unwrap()), ..described() };
            drop(jobs.make(id(n), &spec).unwrap());
        }
        let file = |n: u64, name: &str| jobs.path(id(n)).join(name);
        let mut flipped = fs::read(file(1, JOB_FILE)).unwrap();
        flipped[100] ^= 1;
        fs::write(file(1, JOB_FILE), flipped).unwrap();
        fs::remove_file(file(2, JOB_FILE)).unwrap();
        fs::remove_file(file(3, "log")).unwrap();
        fs::copy(file(5, JOB_FILE), file(4, JOB_FILE)).unwrap();
        let later = seal(Kind { version: 2, ..JOB }, &"another form").unwrap();
        fs::write(file(6, JOB_FILE), later).unwrap();
        fs::write(jobs.root.join("README"), "x").unwrap();
        fs::create_dir(jobs.root.join("mine")).unwrap();
        let listed = jobs.list().unwrap();
        assert_eq!(listed.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [id(5)]);
        let why = |n: u64| {
            let (_, error) = listed.damaged.iter().find(|(job, _)| *job == id(n)).unwrap();
            with_causes(error).to_string()
        };
        assert!(why(1).contains("damaged: its checksum is wrong"), "{}", why(1));
        assert!(why(2).ends_with("is missing"), "{}", why(2));
        assert!(why(3).contains("the log of job") && why(3).contains("is missing"), "{}", why(3));
        assert!(why(4).contains("holds job"), "{}", why(4));
        assert!(why(6).contains("is of version 2"), "{}", why(6));
        // Nothing of them is ever removed or changed.
        assert_eq!(jobs.tidy(UnixMillis(i64::MAX)).unwrap().removed, []);
        assert!(jobs.hold(id(6)).is_err() && file(6, JOB_FILE).exists());
    }

    #[test]
    fn finished_jobs_go_after_90_days_and_leftovers_of_crashes_at_once() {
        let (_dir, jobs) = folder();
        let day = 86_400_000;
        let spec = JobSpec { made_at: UnixMillis(0), ..described() };
        for (n, ended) in [(1, 0), (2, day), (3, 0)] {
            end(&jobs.make(id(n), &spec).unwrap(), ended);
        }
        drop(jobs.make(id(4), &spec).unwrap());
        let held = jobs.hold(id(3)).unwrap();
        for name in ["new-x", "old-y"] {
            fs::create_dir(jobs.root.join(name)).unwrap();
            fs::write(jobs.root.join(name).join("log"), "x").unwrap();
        }
        assert_eq!(jobs.tidy(UnixMillis(90 * day - 1)).unwrap().removed, []);
        assert!(!jobs.root.join("new-x").exists() && !jobs.root.join("old-y").exists());
        let tidied = jobs.tidy(UnixMillis(90 * day)).unwrap();
        assert_eq!((tidied.removed, tidied.leftovers, tidied.failed.len()), (vec![id(1)], 0, 0));
        drop(held);
        assert_eq!(jobs.tidy(UnixMillis(90 * day)).unwrap().removed, [id(3)]);
        assert_eq!(jobs.names().unwrap().len(), 2);
    }

    #[test]
    fn a_job_that_is_being_made_is_neither_listed_nor_removed() {
        let (_dir, jobs) = folder();
        let new = jobs.root.join("new-1");
        fs::create_dir(&new).unwrap();
        let Taken::Ours(holder) = take(&new).unwrap() else { panic!("held by nobody") };
        let listed = jobs.list().unwrap();
        assert!(listed.jobs.is_empty() && listed.damaged.is_empty());
        assert_eq!(jobs.tidy(UnixMillis(0)).unwrap().leftovers, 0);
        assert!(new.exists());
        drop(holder);
        assert_eq!(jobs.tidy(UnixMillis(0)).unwrap().leftovers, 1);
    }
}
