//! Low-priority threads for work that no client waits for.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much nicer these threads are than the process. Beside busy threads they get about a tenth of a core
/// (the weight of nice 10 is 110, that of nice 0 is 1,024; Linux, `sched(7)`). On an idle core they run at
/// full speed.
const NICER: i32 = 10;
/// The lowest priority.
const NICE_MAX: i32 = 19;

/// Low-priority threads for computation. Otherwise a running encoder would delay every answer on the same
/// core for as long as the kernel lets it run.
#[derive(Debug)]
pub struct Background {
    /// Only its threads for blocking work are used.
    runtime: Runtime,
}

impl Background {
    /// Creates the pool. Threads start when there is work for them.
    pub fn start() -> io::Result<Self> {
        let runtime =
            Builder::new_current_thread().thread_name("background").on_thread_start(give_way).build()?;
        Ok(Self { runtime })
    }

    /// The handle of the pool. Start work with [`Handle::spawn_blocking`].
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Shuts the pool down without waiting for running work.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }
}

/// Lowers the priority of the calling thread (on Linux each thread has its own). It cannot be raised again.
fn give_way() {
    let lowered = rustix::process::getpriority_process(None)
        .and_then(|nice| rustix::process::setpriority_process(None, (nice + NICER).min(NICE_MAX)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "encoding stays at the priority of all other work");
    }
}
