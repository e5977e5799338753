//! The durable local log that calls are written to before they are acknowledged.
//!
//! # Files
//!
//! | name | what |
//! | --- | --- |
//! | `LOCK` | locked while a process uses the spool |
//! | `IDENT`, `IDENT.copy` | spool id and fingerprint key: written once, in two copies |
//! | `MANIFEST-n` | the state, in two copies, and notes: buckets, seals, commits, releases; see [`manifest`] |
//! | `wal-n.seg` | a segment: blocks of frames; see `format/segment.rs` and [`frame`](crate::log::frame) |
//! | `wal-n.idx` | a closed segment's index: a cache; see `format/segment_index.rs` |
//! | `seen-n` | a closed segment's fingerprints, which outlive it |
//! | `keys-n` | a run of keys of imported rows, which outlive their segments; see `row_keys` |
//! | `spare-n` | a released segment that can be used again |
//! | `reserve` | the file that becomes the next manifest, so that a full disk needs no free space for one |
//! | `staging/`, `parked/`, `quarantine/` | objects being made, objects waiting to be put, damaged bytes |
//!
//! # Four orders that never change
//!
//! - O1: a block is synced, then its requests are answered (`writer`).
//! - O2: a seal is synced, then the first byte of its object is uploaded ([`Seals`](crate::log::Seals)).
//! - O3: the store's success is verified, then the commit is synced, then the segment may be released
//!   ([`Seals`](crate::log::Seals)).
//! - O4: a new file is written, synced, renamed, its directory synced, and only then used
//!   ([`write_durably`](crate::disk::write_durably)).
//!
//! Any error of a write or sync on a segment or the manifest stops the spool for good: the kernel may have
//! dropped the pages, and a second sync would report success wrongly. A restart reads the truth from the disk
//! (`recovery`).

mod capped_disk;
pub mod format;
mod handles;
mod imports;
mod index;
pub mod manifest;
pub mod offline;
mod options;
mod outgoing;
mod reading;
mod recovery;
mod row_keys;
pub mod share;
mod shared;
#[cfg(any(test, feature = "testing", feature = "kafka"))]
mod stepped;
#[cfg(test)]
mod tests;
mod writing;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

#[cfg(test)]
pub(crate) use capped_disk::capped;
pub use handles::Handles;
pub use options::{CacheDamaged, DELIVERIES, Holds, SpoolOptions};
pub(crate) use options::{SEEN_MAX, beside_calls};
pub(crate) use outgoing::CALLS_PERCENT_MIN;
pub use recovery::{OpenError, Recovered};
#[cfg(any(test, feature = "testing", feature = "kafka"))]
pub use stepped::Stepped;
pub use writing::housekeeper::SPARES_MAX;

use crate::disk::Disk;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::Clock;

/// An open spool: its handles, and the two threads that own its files.
#[derive(Debug)]
pub struct Spool {
    handles: Handles,
    commit_loop: Option<JoinHandle<()>>,
    housekeeper: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Deref for Spool {
    type Target = Handles;
    fn deref(&self) -> &Handles {
        &self.handles
    }
}

impl Spool {
    /// Opens the spool on `disk`, recovering what an earlier process left, and starts its threads.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: SpoolOptions,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered), OpenError> {
        let opened = recovery::open(disk, options, clock, random, metrics)?;
        let spawn_failed = |cause| OpenError::Disk("start a thread", cause);
        let handles = Handles::of(opened.shared);
        let (appender, writer) = (handles.appender.clone(), opened.writer);
        let thread = std::thread::Builder::new().name("commit".into());
        let commit_loop = thread.spawn(move || appender.run(writer)).map_err(spawn_failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (housekeeper, stopped) = (opened.housekeeper, Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("housekeeper".into());
        let housekeeper = thread.spawn(move || housekeeper.run(&stopped)).map_err(spawn_failed)?;
        let spool = Self { handles, commit_loop: Some(commit_loop), housekeeper: Some(housekeeper), stop };
        Ok((spool, opened.recovered))
    }

    /// Stores queued requests, takes no more, and ends the threads. Blocks until they have ended.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.appender.close();
        // The housekeeper runs until the commit loop has ended, because queued requests may need another
        // segment.
        join(self.commit_loop.take());
        self.stop.store(true, Ordering::Release);
        self.log.shared.wake_housekeeper();
        join(self.housekeeper.take());
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.end();
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        tracing::error!("a spool thread panicked; this is a bug in Forebay");
    }
}
