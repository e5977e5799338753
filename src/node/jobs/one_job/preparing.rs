//! The first step of a job: its manifest is copied into its folder.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{LOOK_EVERY, OneJob, REPORT_NOT_STORED, due};
use crate::disk::{has_no_handle, is_no_handle, is_no_space};
use crate::jobs::job::patient_disk::PatientDisk;
use crate::jobs::job::spec::ManifestPlace;
use crate::jobs::job::status::{Failure, FailureClass, Status};
use crate::jobs::job::transition::Event;
use crate::jobs::job::troubles::{NO_HANDLES, TroubleOf};
use crate::jobs::manifest::ManifestError;
use crate::jobs::run::past::Past;
use crate::jobs::task_rows::{ROWS, TaskRows, TaskRowsError};
use crate::node::jobs::job_error::JobError;
use crate::node::jobs::prepare::{ManifestReader, remove_part};
use crate::node::jobs::reporting::never_stored;
use crate::node::jobs::tools::JobStore;
use crate::words::causes::io_causes;
use crate::words::{grouped, with_causes};

/// How long the end of a reading that was halted is waited for: it may wait for standard input.
const HALT_WAIT: Duration = Duration::from_secs(2);

const NO_SPACE_FOR_COPY: &str = "the disk of the job's folder is full: the manifest is not copied to its end; free space, and \
                                 the job goes on by itself";

/// Ends the reading of a manifest, also when the job fails meanwhile: the next try must not find two.
struct Halt(Arc<AtomicBool>);

impl Drop for Halt {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl OneJob {
    /// Copies the manifest when it is the job's turn.
    pub(super) async fn prepare_in_turn(&mut self) -> Result<(), JobError> {
        let Some(turns) = &self.around.turns else { return self.prepare().await };
        let turn = Arc::clone(&turns.preparing).acquire_owned();
        tokio::pin!(turn);
        let _turn = loop {
            tokio::select! {
                // It is never closed.
                turn = &mut turn => break turn,
                () = self.wait() => {}
            }
            self.obey().await?;
            let waits = matches!(self.state().status, Status::New | Status::Preparing);
            if !waits || self.around.stop.is_cancelled() {
                return Ok(());
            }
        };
        self.prepare().await
    }

    /// Copies the manifest. A copy that is there is whole: an earlier process ended right after it was made.
    async fn prepare(&mut self) -> Result<(), JobError> {
        if self.state().status == Status::New {
            self.apply(Status::New, Event::PreparingStarted).await?;
        }
        match TaskRows::open(&*self.held.disk, ROWS) {
            Ok(rows) => return self.prepared(rows).await,
            Err(TaskRowsError::Missing(_)) => {}
            Err(error) if io_causes(&error).any(is_no_handle) => return self.lacks(TroubleOf::Handles).await,
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(job = %self.held.id, error, "the manifest is copied once more");
            }
        }
        if self.held.spec.manifest.place == ManifestPlace::StandardInput && !self.is_new {
            let what = "the manifest was on standard input of a command that ended before it was copied; make the job again";
            return self
                .fails_by(Failure::new(FailureClass::Manifest, "ManifestUnreadable", what), what)
                .await;
        }
        let JobStore { store, role } = self.from.store(&self.held.spec);
        // Found after the last task, it could not be fixed any more.
        if let Some(to) = &self.held.spec.report
            && let Some(why) = never_stored(to, role.as_ref(), &*store).await
        {
            let failure = Failure::new(FailureClass::Access, REPORT_NOT_STORED, &why);
            return self.fails_by(failure, &why).await;
        }
        let random = Arc::clone(&self.around.random);
        let reader =
            ManifestReader::of(&self.held.spec, role.as_ref(), store as _, Handle::current(), random);
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                let text = with_causes(&error);
                let failure = Failure::new(FailureClass::Manifest, "InvalidManifest", &text);
                return self.fails_by(failure, &text).await;
            }
        };
        let halt = Halt(Arc::clone(&reader.halt));
        self.shown.send_modify(|shown| {
            (shown.status, shown.reading) = (Status::Preparing, reader.progress.clone());
        });
        let patient = PatientDisk::new(
            Arc::clone(&self.held.disk),
            &self.troubles,
            Arc::clone(&reader.halt),
            NO_SPACE_FOR_COPY,
        );
        let mut copying = spawn_blocking(move || {
            let copied = reader.copy(&patient).map(|read| (read, TaskRows::open(&patient, ROWS)));
            (reader, copied)
        });
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let copied = loop {
            tokio::select! {
                copied = &mut copying => break copied?,
                () = due(&mut look, &self.handle) => self.obey().await?,
                () = self.around.stop.cancelled() => {}
            }
            if self.around.stop.is_cancelled() || self.state().status != Status::Preparing {
                halt.0.store(true, Ordering::Relaxed);
                match timeout(HALT_WAIT, &mut copying).await {
                    Ok(copied) => break copied?,
                    // The thread finds `halt` when its read ends, and publishes nothing.
                    Err(_) => return Ok(()),
                }
            }
        };
        if self.state().status != Status::Preparing {
            // Nobody reads it any more: the thread has ended, and the job is to end.
            remove_part(&*self.held.disk);
            return Ok(());
        }
        match copied {
            (_, Ok((read, rows))) => {
                let (job, form) = (self.held.id, read.form.as_str());
                let (tasks, markers) = (read.tasks, read.delete_markers);
                tracing::info!(%job, form, tasks, markers, "the manifest is copied");
                if let Some(why) = read.not_compared {
                    tracing::warn!(%job, why, "the manifest was not compared with its checksum");
                }
                self.prepared(rows?).await
            }
            (_, Err(ManifestError::Taker(_))) if halt.0.load(Ordering::Relaxed) => Ok(()),
            (reader, Err(error)) => match (self.lack_behind(&error), reader.failure(&error)) {
                (Some(lack), _) => self.lacks(lack).await,
                (None, Some(failure)) => self.fails_by(failure, &with_causes(&error)).await,
                (None, None) => Err(JobError::Copy(error)),
            },
        }
    }

    /// What this machine lacked for a reading that has failed, if the manifest can be read again.
    fn lack_behind(&self, error: &ManifestError) -> Option<TroubleOf> {
        if self.held.spec.manifest.place == ManifestPlace::StandardInput {
            return None;
        }
        let any = |is: fn(&io::Error) -> bool| io_causes(error).any(is);
        // A store and a file say no more than that they cannot be read.
        let is_unread = matches!(error, ManifestError::Unread { .. });
        if any(is_no_space) {
            Some(TroubleOf::Disk)
        } else {
            (any(is_no_handle) || is_unread && has_no_handle()).then_some(TroubleOf::Handles)
        }
    }

    /// Waits a while for what this machine lacks. Whoever runs the job then begins to read again.
    async fn lacks(&mut self, of: TroubleOf) -> Result<(), JobError> {
        let what = if of == TroubleOf::Disk { NO_SPACE_FOR_COPY } else { NO_HANDLES };
        self.troubles.waits(of, what);
        self.wait().await;
        Ok(())
    }

    async fn prepared(&mut self, rows: TaskRows) -> Result<(), JobError> {
        self.troubles.is_over(TroubleOf::Disk);
        self.troubles.is_over(TroubleOf::Handles);
        let total = rows.len();
        let Some(past) = Past::new(total) else {
            let what = format!("{} tasks do not fit into the memory of this machine", grouped(total));
            return self
                .fails_by(Failure::new(FailureClass::Manifest, "InvalidManifestContent", &what), &what)
                .await;
        };
        let needs_confirmation = self.held.spec.confirmation_required;
        self.apply(Status::Preparing, Event::Prepared { total, needs_confirmation }).await?;
        (self.rows, self.past) = (Some(Arc::new(rows)), Some(past));
        self.shown.send_modify(|shown| shown.tasks.total = total);
        Ok(())
    }

    async fn fails_by(&mut self, failure: Failure, why: &str) -> Result<(), JobError> {
        self.why = Some(format!("{}: {}", failure.code, bare(why, &failure.code)));
        self.apply(Status::Preparing, Event::ManifestFailed(failure)).await
    }
}

/// A text without the code at its beginning.
fn bare<'a>(text: &'a str, code: &str) -> &'a str {
    text.strip_prefix(code).map_or(text, |rest| rest.trim_start_matches([':', ' ']))
}
