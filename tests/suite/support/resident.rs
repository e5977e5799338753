//! The resident memory of a process.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Pid;
use tokio::task::JoinHandle;

/// How often it is measured.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// Measures the resident memory of a process.
#[derive(Debug)]
pub(crate) struct Resident {
    peak: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Resident {
    /// Measures from now on.
    pub(crate) fn watch(pid: Pid) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let watched = Arc::clone(&peak);
        let watching = tokio::spawn(async move {
            // Until the process is gone.
            while let Some(bytes) = resident(pid) {
                watched.fetch_max(bytes, Ordering::Relaxed);
                tokio::time::sleep(CHECK_EVERY).await;
            }
        });
        Self { peak, watching }
    }

    /// The highest value since the last call.
    pub(crate) fn peak(&self) -> u64 {
        assert!(!self.watching.is_finished(), "the process ended");
        self.peak.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn resident(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}
