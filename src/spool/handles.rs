//! What each holder sees of an open spool.

use std::sync::Arc;

use crate::call::Fingerprinter;
use crate::disk::{Disk, StagingDisk};
use crate::log::{Append, Follow, Imports, Log, Reports, SetLocations};
use crate::spool::outgoing::SpoolLog;
use crate::spool::shared::Shared;
use crate::spool::writing::appender::Appender;

/// An open spool for its holders, with or without threads of its own.
#[derive(Debug)]
pub struct Handles {
    pub(in crate::spool) appender: Appender,
    pub(in crate::spool) log: SpoolLog,
}

impl Handles {
    pub(in crate::spool) fn of(shared: Arc<Shared>) -> Self {
        Self { appender: Appender::new(Arc::clone(&shared)), log: SpoolLog { shared } }
    }

    /// Appends calls.
    pub fn appender(&self) -> Arc<dyn Append> {
        Arc::new(self.appender.clone())
    }

    /// What delivery needs.
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.log.clone())
    }

    /// What status, console and metrics report.
    pub fn reports(&self) -> Arc<dyn Reports> {
        Arc::new(self.log.clone())
    }

    /// Where the frames of each source go.
    pub fn locations(&self) -> Arc<dyn SetLocations> {
        Arc::new(self.log.clone())
    }

    /// The progress of imported files.
    pub fn imports(&self) -> Arc<dyn Imports> {
        Arc::new(self.log.clone())
    }

    /// What a second reader needs.
    pub fn follow(&self) -> Arc<dyn Follow> {
        Arc::new(self.log.clone())
    }

    /// The disk of the spool's directory, with its cap.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.log.shared.disk
    }

    /// Where objects of this spool are staged. The spool keeps space to park them.
    pub fn staging_disk(&self) -> StagingDisk {
        let (disk, in_memory) = (&self.log.shared.disk, &self.log.shared.staged_in_memory);
        StagingDisk { disk: Arc::clone(disk), in_memory: Arc::clone(in_memory) }
    }

    /// Makes the fingerprints that this spool compares.
    pub fn fingerprinter(&self) -> Fingerprinter {
        Fingerprinter::new(self.log.shared.ident.fingerprint_key)
    }
}
