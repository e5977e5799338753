//! What people and programs see of jobs.

use std::time::Duration;

use serde::Serialize;

use super::job_error::JobError;
use super::last_tries::{LastTries, WATCHED_MAX};
use super::one_job::REPORT_NOT_STORED;
use super::outcome::Outcome;
pub use super::progress_shown::{ProgressShown, Waits};
use crate::jobs::attempts::LogError;
use crate::jobs::attempts::replay::read;
use crate::jobs::job::folder::{FolderError, JobsFolder, Listed, SeenJob, StateOption};
use crate::jobs::job::id::JobId;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::{JobSpec, MadeBy, ManifestPlace};
use crate::jobs::job::state::JobState;
use crate::jobs::job::status::{FAILURE_REASON_MAX, PausedBy, SUSPENDED_CAUSE, Status};
use crate::jobs::job::wish::Wish;
use crate::jobs::job::wishes::seen as seen_wishes;
use crate::jobs::report::write::manifest_key;
use crate::time::{Clock, UnixMillis};
use crate::words::table::{table, wrapped};
use crate::words::url::without_userinfo;
use crate::words::{
    about_duration, grouped, outside_key, outside_message, outside_text, outside_text_within, rfc3339,
};

/// One job.
#[derive(Clone, Debug, Serialize)]
pub struct JobShown {
    /// Its id.
    pub job: String,
    /// Its status, by the name of S3 Batch Operations.
    pub status: &'static str,
    /// Why it is suspended, if it is.
    pub suspended_cause: Option<&'static str>,
    /// Whether a job that is paused was paused by a person.
    pub paused_by_person: Option<bool>,
    /// The job that has the slot of one that is paused without a person. Only of a job that is looked at alone.
    pub preempted_by: Option<SlotHolder>,
    /// Its priority now.
    pub priority: u32,
    /// Its description.
    pub description: Option<String>,
    /// What invokes the function.
    pub handler: String,
    /// Where its manifest was.
    pub manifest: String,
    /// Where its report goes.
    pub report: Option<String>,
    /// The number of its tasks, once that is known.
    pub total: Option<u64>,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// How long it was Active, in seconds.
    pub active_seconds: u64,
    /// When it was made.
    pub made_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// The reason that a person gave with the last request.
    pub update_reason: Option<String>,
    /// Why it failed.
    pub failures: Vec<FailureShown>,
    /// Whether a process holds it.
    pub is_held: bool,
    /// That process, where its id is known.
    pub process: Option<u32>,
    /// What goes on with it while no process holds it.
    #[serde(skip)]
    goes_on: String,
    /// How commands name the folder of all jobs.
    #[serde(skip)]
    folder: StateOption,
    /// Requests that wait beside it. Only of a job that is looked at closely.
    pub requests: Vec<String>,
    /// What it waits for, and what to do.
    pub troubles: Vec<String>,
    /// Why tasks failed or wait. Only of a job that is looked at closely.
    #[serde(flatten)]
    pub last: LastTries,
}

/// A job that has a slot.
#[derive(Clone, Debug, Serialize)]
pub struct SlotHolder {
    /// Its id.
    pub job: String,
    /// Its priority.
    pub priority: u32,
}

/// Why a job failed.
#[derive(Clone, Debug, Serialize)]
pub struct FailureShown {
    /// The code.
    pub code: String,
    /// The reason.
    pub reason: String,
}

/// What invokes the function of a job, in one line. Addresses are shown without what may be secret.
pub fn handler_text(operation: &Operation) -> String {
    let text = operation.text();
    let shown = match operation {
        Operation::Web(_) => {
            let shown = without_userinfo(&text);
            match shown.split_once(['?', '#']) {
                Some((address, _)) => format!("{address}?…"),
                None => shown.into_owned(),
            }
        }
        _ => text,
    };
    outside_text(&shown).to_string()
}

/// What goes on with a job of this folder that no process holds.
pub fn goes_on(spec: &JobSpec, job: JobId, folder: &StateOption) -> String {
    match spec.made_by {
        MadeBy::Run => format!("`forebay batch run --job {job}{folder}` goes on with it"),
        MadeBy::Api { .. } => {
            "a `forebay batch serve --listen ADDR` or `forebay dev` with this folder goes on with it"
                .to_owned()
        }
    }
}

/// Why a job cannot go on that was stopped before its manifest was copied.
const INPUT_LOST: &str =
    "its manifest was on standard input and was not read to its end, so make the job again";

/// What goes on with a job as it is seen, which may have lost its manifest.
fn next_step(seen: &SeenJob) -> String {
    match has_lost_input(seen) {
        true => INPUT_LOST.to_owned(),
        false => goes_on(&seen.spec, seen.id, &seen.option),
    }
}

fn has_lost_input(seen: &SeenJob) -> bool {
    let is_read = !matches!(seen.now.state.status, Status::New | Status::Preparing);
    seen.spec.manifest.place == ManifestPlace::StandardInput && !is_read
}

/// What a person has to know who has stopped the command that ran a job: `error` ended it if the disk was
/// full.
pub fn stopped(folder: &JobsFolder, id: JobId, error: Option<&JobError>) -> String {
    let stopped = match error {
        Some(_) => "stopped while the disk of the job's folder was full, so free space",
        None => "stopped",
    };
    match folder.look(id) {
        Ok(seen) if has_lost_input(&seen) => format!("{stopped}: {INPUT_LOST}"),
        _ => format!("{stopped}; to continue: forebay batch run --job {id}{}", folder.option()),
    }
}

fn manifest_text(place: &ManifestPlace) -> String {
    match place {
        ManifestPlace::Object { bucket, key, .. } => format!("s3://{bucket}/{}", outside_key(key)),
        ManifestPlace::File(path) => outside_key(path).to_string(),
        ManifestPlace::StandardInput => "standard input".to_owned(),
    }
}

fn report_text(spec: &JobSpec, job: JobId) -> Option<String> {
    let report = spec.report.as_ref()?;
    Some(format!("s3://{}/{}", report.bucket, outside_key(&manifest_key(&report.prefix, job))))
}

impl JobShown {
    /// A job as it is seen.
    pub fn of(seen: &SeenJob, now: UnixMillis) -> Self {
        let SeenJob { id, spec, now: peeked, holder, troubles, option } = seen;
        let state = &peeked.state;
        let clean = |text: &String| outside_text(text).to_string();
        // Without a holder the time is that of the last entry of its log.
        let until = if holder.is_some() { now } else { peeked.last_seen };
        Self {
            job: id.to_string(),
            status: state.status.as_str(),
            suspended_cause: (state.status == Status::Suspended).then_some(SUSPENDED_CAUSE),
            paused_by_person: match state.status {
                Status::Paused(by) | Status::Pausing(by) => Some(by == PausedBy::Person),
                _ => None,
            },
            preempted_by: None,
            priority: state.priority.number(),
            description: spec.description.as_ref().map(clean),
            handler: handler_text(&spec.operation),
            manifest: manifest_text(&spec.manifest.place),
            report: report_text(spec, *id),
            total: state.total,
            succeeded: peeked.succeeded,
            failed: peeked.failed,
            active_seconds: state.active_ms_until(until) / 1_000,
            made_at: rfc3339(spec.made_at),
            ended_at: state.ended_at.map(rfc3339),
            update_reason: state.update_reason.as_ref().map(clean),
            failures: state
                .failures
                .iter()
                .map(|failure| FailureShown {
                    code: clean(&failure.code),
                    reason: outside_text_within(&failure.reason, FAILURE_REASON_MAX).to_string(),
                })
                .collect(),
            is_held: holder.is_some(),
            process: holder.flatten(),
            goes_on: next_step(seen),
            folder: option.clone(),
            requests: Vec::new(),
            troubles: troubles
                .iter()
                .map(|trouble| format!("{} (since {})", trouble.what, rfc3339(trouble.since)))
                .collect(),
            last: LastTries::default(),
        }
    }

    /// The text for people.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("job {}: {}{}", self.job, self.status, self.status_note())];
        let mut fact = |name: &str, text: &str| lines.extend(wrapped(&format!("  {name:<11}"), text));
        fact("tasks:", &self.tasks());
        fact("manifest:", &self.manifest);
        fact("handler:", &self.handler);
        self.description.iter().for_each(|text| fact("about:", text));
        self.report.iter().for_each(|text| fact("report:", text));
        let ended = self.ended_at.as_ref().map_or_else(String::new, |at| format!(", ended {at}"));
        let active = about_duration(Duration::from_secs(self.active_seconds));
        fact("made:", &format!("{}{ended}, active for {active}, priority {}", self.made_at, self.priority));
        self.update_reason.iter().for_each(|text| fact("reason:", text));
        if !self.requests.is_empty() {
            fact("asked:", &format!("{}; the process that holds the job obeys", self.requests.join(", ")));
        }
        self.troubles.iter().for_each(|text| fact("waits:", text));
        self.last.facts().for_each(|(name, text)| fact(name, &text));
        for failure in &self.failures {
            fact("failed:", &format!("{}: {}", failure.code, failure.reason));
        }
        lines.join("\n") + "\n"
    }

    /// What a person has to know of the job that ended like this; `None`: every task succeeded, or it has not ended.
    /// `why` it failed, in full where that is known.
    pub fn complaint(&self, outcome: Outcome, state: &JobState, why: Option<String>) -> Option<String> {
        let id = &self.job;
        Some(match outcome {
            Outcome::Complete | Outcome::Interrupted => return None,
            Outcome::SomeFailed => {
                let which = match self.report {
                    Some(_) => "its report names them".to_owned(),
                    None => {
                        format!("`forebay batch report {id} --rows failed` shows which, and why each of them")
                    }
                };
                format!("some tasks of job {id} failed: {}; {which}", grouped(self.failed))
            }
            Outcome::Cancelled => format!("job {id} is cancelled"),
            Outcome::Failed(_) => {
                let known = || state.failures.first().map(ToString::to_string);
                format!("job {id} failed: {}", why.or_else(known).unwrap_or_default())
            }
        })
    }

    /// How far it is, whoever runs it: what its log says. What is under way is known to the process that runs it.
    pub fn progress(&self) -> ProgressShown {
        let (status, total) = (self.status, self.total.unwrap_or(0));
        let (succeeded, failed) = (self.succeeded, self.failed);
        let waits = self.last.waiting.zip(self.last.last_retry.as_ref());
        let waits = waits.map(|(waiting, last)| Waits::of(waiting, last));
        ProgressShown { status, total, succeeded, failed, reading: None, under_way: None, waits }
    }

    /// What the status alone does not say.
    fn status_note(&self) -> String {
        let held = match (self.is_held, self.process) {
            (true, Some(id)) => format!(" (held by process {id})"),
            (true, None) => " (held by a process)".to_owned(),
            (false, _) if self.ended_at.is_some() => String::new(),
            (false, _) => format!(" (no process holds it: {})", self.goes_on),
        };
        let waits = match (self.suspended_cause, self.paused_by_person) {
            (Some(cause), _) => format!(", {cause}: `forebay batch confirm {}{}`", self.job, self.folder),
            (None, Some(true)) => {
                format!(", by a person: `forebay batch resume {}{}`", self.job, self.folder)
            }
            // The trouble says what it waits for.
            (None, Some(false)) if !self.troubles.is_empty() => String::new(),
            (None, Some(false)) => {
                let by = self.preempted_by.as_ref();
                let by = by.map_or_else(String::new, |by| {
                    format!(", by job {} with priority {}", by.job, by.priority)
                });
                format!("{by}, until a slot is free")
            }
            (None, None) => String::new(),
        };
        format!("{waits}{held}")
    }

    fn tasks(&self) -> String {
        match self.total {
            None => "not known yet".to_owned(),
            Some(total) => format!(
                "{} of {}: {} succeeded, {} failed",
                grouped(self.succeeded.saturating_add(self.failed)),
                grouped(total),
                grouped(self.succeeded),
                grouped(self.failed)
            ),
        }
    }
}

/// All jobs of a folder.
#[derive(Clone, Debug, Serialize)]
pub struct JobsShown {
    /// The jobs, the oldest first.
    pub jobs: Vec<JobShown>,
    /// Those that cannot be read.
    pub damaged: Vec<DamagedJob>,
}

/// A job that cannot be read.
#[derive(Clone, Debug, Serialize)]
pub struct DamagedJob {
    /// Its id.
    pub job: String,
    /// Why not.
    pub why: String,
}

impl JobsShown {
    /// Jobs as they are seen.
    pub fn of(listed: &Listed, now: UnixMillis) -> Self {
        let damaged = listed.damaged.iter().map(|(id, error)| DamagedJob {
            job: id.to_string(),
            why: outside_text(&crate::words::with_causes(error)).to_string(),
        });
        Self {
            jobs: listed.jobs.iter().map(|job| JobShown::of(job, now)).collect(),
            damaged: damaged.collect(),
        }
    }

    /// The text for people.
    pub fn text(&self) -> String {
        if self.jobs.is_empty() && self.damaged.is_empty() {
            return "there are no jobs; `forebay batch run --help` shows how one is made\n".to_owned();
        }
        let mut rows = vec![["job", "status", "priority", "done", "of", "failed", "made"].map(str::to_owned)];
        rows.extend(self.jobs.iter().map(|job| {
            [
                job.job.clone(),
                job.status.to_owned(),
                job.priority.to_string(),
                grouped(job.succeeded.saturating_add(job.failed)),
                job.total.map_or_else(|| "?".to_owned(), grouped),
                grouped(job.failed),
                job.made_at.clone(),
            ]
        }));
        let mut lines = if self.jobs.is_empty() { Vec::new() } else { table(&rows, &[2, 3, 4, 5]) };
        lines.extend(self.damaged.iter().map(|job| format!("{} cannot be read: {}", job.job, job.why)));
        lines.join("\n") + "\n"
    }
}

/// The report of a job.
#[derive(Clone, Debug, Serialize)]
pub struct ReportShown {
    /// The job.
    pub job: String,
    /// Its status.
    pub status: &'static str,
    /// The `manifest.json` of the report.
    pub report: Option<String>,
    /// Why there is none.
    pub why_none: Option<String>,
    /// The number of tasks.
    pub total: Option<u64>,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that failed.
    pub failed: u64,
}

impl ReportShown {
    /// The report of a job. Errors: the log of the job cannot be read.
    pub fn of(folder: &JobsFolder, seen: &SeenJob) -> Result<Self, LogError> {
        let (state, id) = (&seen.now.state, seen.id);
        let not_stored = state.failures.iter().find(|failure| failure.code == REPORT_NOT_STORED);
        let was_invoked = || -> Result<bool, LogError> {
            let known = seen.now.succeeded > 0 || seen.now.failed > 0;
            Ok(known || read(&folder.disk_to_look(id), id, &mut |_| Ok(()))?.attempts > 0)
        };
        let why_none = if !state.status.is_final() {
            Some("the job has not ended".to_owned())
        } else if seen.spec.report.is_none() {
            Some(format!(
                "the job was made without a report: `forebay batch report {id}{} --rows failed` prints the rows of failed tasks",
                seen.option
            ))
        } else if let Some(failure) = not_stored.filter(|_| state.total.is_none()) {
            Some(failure.reason.clone())
        } else if let Some(failure) = not_stored {
            let folder = folder.path(id).display().to_string();
            Some(format!("{}; its CSV files are in {}", failure.reason, outside_key(&folder)))
        } else if !was_invoked()? {
            Some("no task was invoked".to_owned())
        } else {
            None
        };
        let report = if why_none.is_none() { report_text(&seen.spec, id) } else { None };
        Ok(Self {
            job: id.to_string(),
            status: state.status.as_str(),
            report,
            why_none,
            total: state.total,
            succeeded: seen.now.succeeded,
            failed: seen.now.failed,
        })
    }

    /// The text for people.
    pub fn text(&self) -> String {
        let place = match (&self.report, &self.why_none) {
            (Some(report), _) => report.clone(),
            (None, why) => format!("none: {}", outside_message(why.as_deref().unwrap_or_default())),
        };
        let total = self.total.map_or_else(|| "?".to_owned(), grouped);
        format!(
            "{place}\n  {}: {} succeeded, {} failed, of {total}\n",
            self.status,
            grouped(self.succeeded),
            grouped(self.failed)
        )
    }
}

/// What a person has to do for a job that waits, if it does.
pub fn waits_for(seen: &SeenJob) -> Option<String> {
    let (job, folder) = (seen.id, &seen.option);
    if let Some(trouble) = seen.troubles.first() {
        return Some(format!("job {job} waits: {}", trouble.what));
    }
    match seen.now.state.status {
        _ if seen.holder.is_none() => Some(format!("no process holds job {job}: {}", next_step(seen))),
        Status::Suspended => {
            Some(format!("job {job} waits to be confirmed: `forebay batch confirm {job}{folder}`"))
        }
        Status::Paused(PausedBy::Person) => {
            Some(format!("job {job} is paused: `forebay batch resume {job}{folder}`"))
        }
        _ => None,
    }
}

/// Looks at a job again. Errors: [`FolderError`].
pub fn look(folder: &JobsFolder, job: JobId, clock: &dyn Clock) -> Result<(SeenJob, JobShown), FolderError> {
    let seen = folder.look(job)?;
    let mut shown = JobShown::of(&seen, clock.wall());
    if seen.now.state.status.is_final() {
        // Not every job that ends has one.
        shown.report = ReportShown::of(folder, &seen)?.report;
    }
    if shown.paused_by_person == Some(false) {
        shown.preempted_by = slot_holder(folder, &seen)?;
    }
    Ok((seen, shown))
}

/// The same, with the tasks that wait for another try if no other one has ended since `done` had: then that
/// is what a job does. Reads the log of the job if it is not long. Errors: [`FolderError`].
pub fn look_on(
    folder: &JobsFolder,
    job: JobId,
    clock: &dyn Clock,
    done: &mut Option<u64>,
) -> Result<(SeenJob, JobShown), FolderError> {
    let (seen, mut shown) = look(folder, job, clock)?;
    let now = seen.now.succeeded.saturating_add(seen.now.failed);
    if done.replace(now) == Some(now) && now <= WATCHED_MAX && seen.now.state.status == Status::Active {
        shown.last = LastTries::of(folder, &seen)?;
    }
    Ok((seen, shown))
}

/// The same with one example of why tasks failed or wait. Reads the log of the job.
/// Errors: [`FolderError`].
pub fn look_closely(folder: &JobsFolder, job: JobId, clock: &dyn Clock) -> Result<JobShown, FolderError> {
    let (seen, mut shown) = look(folder, job, clock)?;
    let unread = |error| FolderError::Disk("read the requests in", folder.path(job), error);
    shown.requests =
        seen_wishes(&folder.disk_to_look(job)).map_err(unread)?.iter().map(Wish::to_string).collect();
    shown.last = LastTries::of(folder, &seen)?;
    Ok(shown)
}

/// The job with the highest priority that has a slot of the server which holds this job.
fn slot_holder(folder: &JobsFolder, of: &SeenJob) -> Result<Option<SlotHolder>, FolderError> {
    let has_slot = |job: &&SeenJob| {
        let is_of_server = matches!(job.spec.made_by, MadeBy::Api { .. }) && job.holder == of.holder;
        is_of_server && of.holder.is_some() && job.id != of.id && job.now.state.status.holds_slot()
    };
    let listed = folder.list()?;
    let first = listed.jobs.iter().filter(has_slot).max_by_key(|job| job.now.state.priority);
    Ok(first.map(|job| SlotHolder { job: job.id.to_string(), priority: job.now.state.priority.number() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let shown = |text: &str| handler_text(&Operation::handler(text).unwrap());
        assert_eq!(shown("http://me:pw@host:1/f?sig=1"), "http://…@host:1/f?…");
        assert_eq!(shown("https://host/f"), "https://host/f");
        assert_eq!(shown("cmd:python3 f.py"), "cmd:python3 f.py");
    }
}
