//! The process group of a program that this process has started as the leader of one.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// The process group of a program. Dropping this kills all of it.
#[derive(Debug)]
pub struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group of a program that was started as the leader of a group (`process_group(0)`).
    pub fn of(leader: &Child) -> Self {
        Self(leader.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program has ended by itself. What it left running may continue, and its id may soon belong to another
    /// process.
    pub fn leave_alone(&mut self) {
        self.0 = None;
    }

    /// Kills the group now.
    pub fn kill(&mut self) {
        if let Some(group) = self.0.take()
            && let Err(error) = kill_process_group(group, Signal::KILL)
            // All of it has ended.
            && error != Errno::SRCH
        {
            let group = group.as_raw_nonzero();
            tracing::warn!(%error, group, "cannot kill a program and what it has started");
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
