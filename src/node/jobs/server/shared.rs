//! What the parts of a server of jobs share.

use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::known::KnownJobs;
use super::settings::ServerSettings;
use crate::node::jobs::one_job::{Around, Turns};

/// Manifests that are read at once: each takes a thread, a connection and the buffers of its files.
const PREPARING_MAX: usize = 4;
/// Logs that are read at once when jobs are opened.
const OPENING_MAX: usize = 4;

/// What the parts of a server share.
#[derive(Debug)]
pub(super) struct Shared {
    /// As it was started.
    pub(super) settings: ServerSettings,
    /// All jobs.
    pub(super) known: Mutex<KnownJobs>,
    /// The turns of the jobs.
    pub(super) turns: Turns,
    /// One permit for each log that may be read at once.
    pub(super) opening: Semaphore,
    /// Held while a job is made: of two requests with one token the second finds the job of the first. Other
    /// servers of the folder are kept out by its lock.
    pub(super) creating: tokio::sync::Mutex<()>,
    /// Ends everything in order.
    pub(super) stop: CancellationToken,
    /// All tasks.
    pub(super) tasks: TaskTracker,
}

impl Shared {
    pub(super) fn new(settings: ServerSettings, known: KnownJobs) -> Self {
        let turns =
            Turns { preparing: Arc::new(Semaphore::new(PREPARING_MAX)), changed: Arc::new(Notify::new()) };
        Self {
            settings,
            known: Mutex::new(known),
            turns,
            opening: Semaphore::new(OPENING_MAX),
            creating: tokio::sync::Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// What a job gets from this process.
    pub(super) fn around(&self) -> Around {
        Around {
            clock: Arc::clone(&self.settings.clock),
            random: Arc::clone(&self.settings.random),
            stop: self.stop.clone(),
            turns: Some(self.turns.clone()),
        }
    }
}
