//! A job that this process has open, for parts of the process that do not run it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, watch};

use super::job_progress::JobProgress;
use crate::jobs::attempts::LogError;
use crate::jobs::job::id::JobId;
use crate::jobs::job::live_state::{EventError, LiveState};
use crate::jobs::job::slots::Candidate;
use crate::jobs::job::state::JobState;
use crate::jobs::job::status::Status;
use crate::jobs::job::transition::Event;
use crate::lock::lock;
use crate::time::UnixMillis;
use crate::words::with_causes;

/// A job that this process has open. Once it is not open any longer, every change is refused
/// ([`LogError::Ended`]).
#[derive(Clone, Debug)]
pub struct JobHandle {
    id: JobId,
    made_at: UnixMillis,
    live: Arc<Mutex<LiveState>>,
    progress: watch::Receiver<JobProgress>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whoever runs the job is to look at it.
    nudged: Notify,
    /// The job wants no slot, because it failed a moment ago.
    is_resting: AtomicBool,
    /// Why a change could not be logged. The job has to be opened again.
    broken: Mutex<Option<String>>,
}

impl JobHandle {
    /// The job with this state.
    pub(super) fn new(
        id: JobId,
        made_at: UnixMillis,
        live: Arc<Mutex<LiveState>>,
        progress: watch::Receiver<JobProgress>,
    ) -> Self {
        Self { id, made_at, live, progress, shared: Arc::default() }
    }

    /// What decides on its slot. A slot that was given counts also while a full disk does not take it. Blocks while
    /// its log is synced.
    pub fn candidate(&self) -> Candidate {
        let live = lock(&self.live);
        let status = if live.is_to_start() { Status::Active } else { live.state().status };
        Candidate { id: self.id, priority: live.state().priority, made_at: self.made_at, status }
    }

    /// Whether it wants no slot now, because it failed a moment ago.
    pub fn is_resting(&self) -> bool {
        self.shared.is_resting.load(Ordering::Relaxed)
    }

    /// Its state. Blocks while its log is synced.
    pub fn state(&self) -> JobState {
        lock(&self.live).state().clone()
    }

    /// How far it is.
    pub fn progress(&self) -> JobProgress {
        self.progress.borrow().clone()
    }

    /// Applies an event: it is durable when this returns, and whoever runs the job acts on it at once. Blocks.
    /// Errors: [`EventError`]. If it cannot be logged, the job is opened again; but if its disk is full, the change is
    /// in force once there is space, and whoever runs the job waits for that.
    pub fn apply(&self, event: &Event, at: UnixMillis) -> Result<JobState, EventError> {
        let applied = lock(&self.live).apply(event, at).cloned();
        match &applied {
            Ok(_) | Err(EventError::Log(LogError::Ended(_)) | EventError::Refused(_)) => {}
            Err(EventError::Log(error)) if error.is_no_space() => {}
            // The log may have the change or not, and only its bytes say so.
            Err(error) => *lock(&self.shared.broken) = Some(with_causes(error).to_string()),
        }
        self.shared.nudged.notify_one();
        applied
    }

    /// Whether a sync of its log failed: no process knows then what the disk holds. Blocks while it is synced.
    pub fn is_stopped(&self) -> bool {
        lock(&self.live).log().is_stopped()
    }

    /// Returns when the job is to be looked at. One caller gets each nudge, also one that came before.
    pub(super) async fn nudged(&self) {
        self.shared.nudged.notified().await;
    }

    pub(super) fn set_resting(&self, is_resting: bool) {
        self.shared.is_resting.store(is_resting, Ordering::Relaxed);
    }

    pub(super) fn broken(&self) -> Option<String> {
        lock(&self.shared.broken).clone()
    }
}
