//! The durable local log that calls are written to before they are acknowledged.
//!
//! # Files
//!
//! | name | what |
//! | --- | --- |
//! | `LOCK` | held for as long as a process uses the spool |
//! | `IDENT`, `IDENT.copy` | spool id and fingerprint key, written once, twice |
//! | `MANIFEST-n` | the state, twice, and notes: destinations, seals, commits, releases; see [`manifest`] |
//! | `wal-n.seg` | a segment: blocks of frames; see [`segment`] and [`frame`] |
//! | `wal-n.idx` | a closed segment's index: a cache; see [`segment_index`] |
//! | `seen-n` | a closed segment's fingerprints, which outlive it |
//! | `spare-n` | a released segment that waits to be used again |
//! | `reserve` | the file that becomes the next manifest, so that a full disk needs no space for one |
//! | `staging/`, `parked/`, `quarantine/` | objects in the making, objects that wait for their destination, damaged bytes |
//!
//! # Four orders that are never swapped
//!
//! - O1: a block is synced, then its requests are answered (`writer`).
//! - O2: a seal is synced, then the first byte of its object is uploaded ([`outlet`]).
//! - O3: the store's success is verified, then the commit is synced, then the segment may go ([`outlet`]).
//! - O4: a new file is written, synced, renamed, its directory synced, and only then used ([`disk::write_durably`]).
//!
//! Any error of a write or sync on a segment or the manifest stops the spool for good: the kernel may have dropped the
//! pages, and a second sync would lie. A restart reads the truth from the disk ([`recovery`]).

pub mod appender;
mod capped_disk;
pub mod closing;
mod damaged_manifest;
pub mod delivered_day;
mod destinations;
pub mod disk;
pub mod frame;
pub mod held;
mod housekeeper;
pub mod ident;
pub mod index;
pub mod inspect;
pub mod ledger;
pub mod locate;
pub mod manifest;
pub mod note;
pub mod outlet;
mod parked;
pub mod read_only;
pub mod reader;
pub mod real_disk;
pub mod recovery;
pub mod request_frames;
pub mod scan;
pub mod seen;
pub mod seen_file;
pub mod segment;
pub mod segment_index;
pub mod shared;
mod spread;
pub mod state;
pub mod stepped;
pub mod survey;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod view;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

pub use appender::{AppendError, Appended, Appender};
pub use disk::{Disk, DiskFile};
pub use held::{FRAME_BYTES, Held, Space};
pub use housekeeper::SPARES_MAX;
pub use outlet::{Encoded, OpenBatch, Outlet};
pub use real_disk::{DirectoryError, RealDisk};
pub use recovery::{OpenError, Recovered};
pub use request_frames::RequestFrames;
pub use shared::{SpoolOptions, Stopped, Usage};
pub use stepped::Stepped;

use crate::call::Fingerprinter;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::Clock;

/// An open spool: the way in, the way out, and the two threads that own its files.
#[derive(Debug)]
pub struct Spool {
    appender: Appender,
    outlet: Outlet,
    commit_loop: Option<JoinHandle<()>>,
    housekeeper: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Spool {
    /// Opens the spool on `disk`, recovering what an earlier process left, and starts its threads.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        disk: Arc<dyn Disk>,
        options: SpoolOptions,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered), OpenError> {
        let opened = recovery::open(disk, options, clock, random, metrics)?;
        let spawn_failed = |cause| OpenError::Disk { what: "start a thread", cause };
        let appender = Appender::new(Arc::clone(&opened.shared));
        let commit_loop = {
            let (appender, writer) = (appender.clone(), opened.writer);
            let thread = std::thread::Builder::new().name("commit".into());
            thread.spawn(move || appender.run(writer)).map_err(spawn_failed)?
        };
        let stop = Arc::new(AtomicBool::new(false));
        let housekeeper = {
            let (housekeeper, stop) = (opened.housekeeper, Arc::clone(&stop));
            let thread = std::thread::Builder::new().name("housekeeper".into());
            thread.spawn(move || housekeeper.run(&stop)).map_err(spawn_failed)?
        };
        let spool = Self {
            appender,
            outlet: Outlet { shared: opened.shared },
            commit_loop: Some(commit_loop),
            housekeeper: Some(housekeeper),
            stop,
        };
        Ok((spool, opened.recovered))
    }

    /// The way in.
    pub fn appender(&self) -> Appender {
        self.appender.clone()
    }

    /// The way out.
    pub fn outlet(&self) -> Outlet {
        self.outlet.clone()
    }

    /// Makes the fingerprints that this spool compares.
    pub fn fingerprinter(&self) -> Fingerprinter {
        Fingerprinter::new(self.outlet.shared.ident.fingerprint_key)
    }

    /// Stores what waits, takes no more, and ends the threads. Blocks until they have ended.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.appender.close();
        // The housekeeper goes on until the commit loop has ended: what waits may need a next segment.
        join(self.commit_loop.take());
        self.stop.store(true, Ordering::Release);
        self.outlet.shared.wake_housekeeper();
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
