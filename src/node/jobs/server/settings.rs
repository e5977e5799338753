//! What a server of jobs is given.

use std::sync::Arc;

use crate::jobs::job::folder::JobsFolder;
use crate::metrics::Metrics;
use crate::node::jobs::tools::MakeTools;
use crate::random::Random;
use crate::time::Clock;

/// What a server of jobs is given.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The folder of all jobs.
    pub folder: JobsFolder,
    /// Jobs whose tasks run at once: `--active-jobs`.
    pub active_jobs: usize,
    /// The region of the jobs' ARNs.
    pub region: String,
    /// Makes what jobs work with.
    pub tools: Arc<dyn MakeTools>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// What is counted of jobs.
    pub metrics: Metrics,
}
