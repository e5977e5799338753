//! Threads for work that nobody waits for, which give way to those for which somebody does.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much these threads give way: beside threads that have something to do they get about a tenth of a core (the weight of
/// nice 10 is 110, that of nice 0 is 1,024; Linux, `sched(7)`), and they never wait where a core is idle.
const NICE: i32 = 10;
/// Threads that serve sockets and timers; the work itself is done on those for blocking work.
const WORKERS: usize = 2;

/// A runtime on threads of low priority. On the same core an encoder that is at work would otherwise hold up every answer
/// for as long as the kernel lets it run.
#[derive(Debug)]
pub struct Background {
    runtime: Runtime,
}

impl Background {
    /// Starts it, with at most `blocking_threads` for work that blocks.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start(blocking_threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(blocking_threads)
            .thread_name("background")
            .on_thread_start(give_way)
            .enable_all()
            .build()?;
        Ok(Self { runtime })
    }

    /// By which tasks are started on it.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Ends it without waiting for work that blocks.
    pub fn end(self) {
        self.runtime.shutdown_background();
    }
}

/// Lowers the priority of the calling thread (on Linux it is each thread's own). It cannot be raised again.
fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "background work stays at the priority of all other work");
    }
}
