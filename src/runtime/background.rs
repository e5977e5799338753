//! Threads for work that nobody waits for, which give way to those for which somebody does.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much further these threads give way than the process does: beside threads that have something to do they get about a
/// tenth of a core (the weight of nice 10 is 110, that of nice 0 is 1,024; Linux, `sched(7)`), and they wait for nothing
/// where a core is idle.
const NICER: i32 = 10;
/// The lowest priority there is.
const NICE_MAX: i32 = 19;

/// Threads of low priority for work that computes. On the same core an encoder that is at work would otherwise hold up every
/// answer for as long as the kernel lets it run.
#[derive(Debug)]
pub struct Background {
    /// Only its threads for blocking work are used.
    runtime: Runtime,
}

impl Background {
    /// Makes it. Threads are started when there is work for them.
    ///
    /// # Errors
    /// What the system says.
    pub fn start() -> io::Result<Self> {
        let runtime =
            Builder::new_current_thread().thread_name("background").on_thread_start(give_way).build()?;
        Ok(Self { runtime })
    }

    /// By which work is started on it: [`Handle::spawn_blocking`].
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Ends it without waiting for what is at work.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }
}

/// Lowers the priority of the calling thread (on Linux it is each thread's own). It cannot be raised again.
fn give_way() {
    let lowered = rustix::process::getpriority_process(None)
        .and_then(|nice| rustix::process::setpriority_process(None, (nice + NICER).min(NICE_MAX)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "encoding stays at the priority of all other work");
    }
}
