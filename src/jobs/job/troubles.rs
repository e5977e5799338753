//! What keeps a running job from going on for now, for its log and for the commands of other processes.
//!
//! The holder of a job overwrites the file in its place: its space is taken when the job is opened, so that a full disk
//! can be told of. The file says something only while its process holds the job, so it is never synced. One that is
//! read while it is overwritten is known by its checksum.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::id::JobId;
use super::sealed::{Kind, SealError, read_sealed, seal};
use crate::disk::{Disk, DiskFile};
use crate::lock::lock;
use crate::once_a_minute::OnceAMinute;
use crate::time::{Clock, UnixMillis};
use crate::words::outside_text_within;

/// The file, in the job's folder.
pub const TROUBLE: &str = "trouble";
/// The length of the file.
const FILE_BYTES: usize = 8_192;
/// The text of one trouble is cut at so many bytes. In JSON it takes at most twice as many.
const TEXT_MAX: usize = 400;
const KIND: Kind = Kind { name: "trouble", version: 1 };
/// How often a file is read that is being overwritten.
const READS_MAX: u32 = 5;

/// What a job says while this machine has nothing left to read a manifest, run a task or store a report with.
pub const NO_HANDLES: &str = "this process gets no more file handles, processes or memory: tasks wait, and no try is counted; raise \
                              the limits (ulimit -n, ulimit -u), or let fewer run at once (--concurrency of `batch run`, \
                              --active-jobs of a server)";

/// What a job says while its function takes no more requests.
pub const THROTTLED: &str = "the function takes no more requests now (429 of an address, throttled by AWS Lambda): tasks wait, \
                             and no try is counted; let fewer run at once (--concurrency), or let the function take more";

/// What is in the way. There is one text of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleOf {
    /// The disk of the job's folder takes no more.
    Disk,
    /// The bucket of the report takes nothing.
    Report,
    /// This machine has no file handles or processes left.
    Handles,
    /// The requests beside the job cannot be read.
    Requests,
    /// The function takes no more requests.
    Throttle,
    /// What failed the last run of the job in this process: it is tried again.
    Run,
}

/// One trouble, as other processes see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When it began.
    pub since: UnixMillis,
    /// What it is, and what to do.
    pub what: String,
}

/// The troubles of a job that this process holds. Dropping this removes the file.
#[derive(Debug)]
pub struct Troubles {
    job: JobId,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
    /// `None`: the disk has no space for it.
    file: Option<Arc<dyn DiskFile>>,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    all: BTreeMap<TroubleOf, Trouble>,
    lines: OnceAMinute<TroubleOf>,
}

impl Troubles {
    /// No troubles so far.
    pub fn new(job: JobId, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Self {
        let made = disk.create(TROUBLE).and_then(|file| write(&*file, &[]).map(|()| file));
        let file = made
            .inspect_err(
                |error| tracing::warn!(%job, %error, "`describe` cannot show what the job waits for"),
            )
            .ok();
        Self { job, clock, disk, file, now: Mutex::default() }
    }

    /// The job waits for this, and tries again by itself. `what` says what to do. True: it is time for a line in the
    /// log, which was written.
    pub fn waits(&self, of: TroubleOf, what: &str) -> bool {
        let what = text_of(what);
        let mut now = lock(&self.now);
        let line = now.lines.happened(of, self.clock.monotonic());
        if let Some(line) = line {
            tracing::warn!(job = %self.job, times = line.times, "{what}");
        }
        self.put(&mut now, of, what);
        line.is_some()
    }

    /// The same without a line in the log: whoever found the trouble writes one.
    pub fn shows(&self, of: TroubleOf, what: &str) {
        self.put(&mut lock(&self.now), of, text_of(what));
    }

    fn put(&self, now: &mut Now, of: TroubleOf, what: String) {
        let since = now.all.get(&of).map_or_else(|| self.clock.wall(), |known| known.since);
        let trouble = Trouble { since, what };
        if now.all.get(&of) != Some(&trouble) {
            now.all.insert(of, trouble);
            self.write(now);
        }
    }

    /// The job does not wait for this any longer.
    pub fn is_over(&self, of: TroubleOf) {
        let mut now = lock(&self.now);
        if let Some(Trouble { since, .. }) = now.all.remove(&of) {
            let seconds = self.clock.wall().since(since).as_secs();
            tracing::info!(job = %self.job, seconds, "the job goes on: {}", over(of));
            self.write(&now);
        }
    }

    /// The same without a line in the log.
    pub fn forget(&self, of: TroubleOf) {
        let mut now = lock(&self.now);
        if now.all.remove(&of).is_some() {
            self.write(&now);
        }
    }

    fn write(&self, now: &Now) {
        let all: Vec<Trouble> = now.all.values().cloned().collect();
        let Some(file) = &self.file else { return };
        if let Err(error) = write(&**file, &all) {
            tracing::warn!(job = %self.job, %error, "`describe` cannot show what the job waits for");
        }
    }
}

impl Drop for Troubles {
    fn drop(&mut self) {
        if let Err(error) = self.disk.remove(TROUBLE) {
            tracing::warn!(job = %self.job, %error, "cannot remove {TROUBLE} from the folder of the job");
        }
    }
}

fn over(of: TroubleOf) -> &'static str {
    match of {
        TroubleOf::Disk => "the disk takes its results",
        TroubleOf::Report => "the bucket takes its report",
        TroubleOf::Handles => "there are file handles and processes again",
        TroubleOf::Requests => "requests beside it can be read",
        TroubleOf::Throttle => "the function takes requests again",
        TroubleOf::Run => "what failed it is tried again",
    }
}

/// A trouble as it is shown.
pub fn text_of(what: &str) -> String {
    outside_text_within(what, TEXT_MAX).to_string()
}

fn write(file: &dyn DiskFile, all: &[Trouble]) -> io::Result<()> {
    let mut bytes = seal(KIND, &all)?;
    if bytes.len() > FILE_BYTES {
        return Err(io::Error::other(format!("{} bytes for a file of {FILE_BYTES}", bytes.len())));
    }
    // Spaces after JSON mean nothing.
    bytes.resize(FILE_BYTES, b' ');
    file.write_at(&[IoSlice::new(&bytes)], 0)
}

/// The troubles of a job that some process holds, as its file says.
/// Errors: [`SealError`]; a file that is missing is none of them.
pub fn read(disk: &dyn Disk) -> Result<Vec<Trouble>, SealError> {
    let mut reads = 1;
    loop {
        match read_sealed(disk, TROUBLE, KIND) {
            Err(SealError::Damaged(_)) if reads < READS_MAX => reads += 1,
            Err(SealError::Missing) => return Ok(Vec::new()),
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::jobs::job::crash_disk::Dice;
    use crate::jobs::job::folder_disk::FolderDisk;

    #[derive(Debug, Default)]
    struct Hands(Mutex<u64>);

    impl Clock for Hands {
        fn wall(&self) -> UnixMillis {
            UnixMillis(1_000)
        }

        fn monotonic(&self) -> Duration {
            Duration::from_secs(*lock(&self.0))
        }
    }

    #[test]
    fn a_trouble_that_lasts_is_a_line_a_minute_and_other_processes_see_it() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, clock) = (FolderDisk::of(dir.path()), Arc::new(Hands::default()));
        assert_eq!(read(&disk).unwrap(), []);
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let troubles = Troubles::new(
            JobId::random(&Dice::new(1)),
            shared,
            Arc::<Hands>::clone(&clock) as Arc<dyn Clock>,
        );
        assert_eq!(read(&disk).unwrap(), []);
        let mut lines = 0;
        for second in 0..180 {
            *lock(&clock.0) = second;
            lines += u32::from(troubles.waits(TroubleOf::Disk, "the disk is full: free space"));
        }
        assert_eq!(lines, 3);
        // The longest texts fit, of whatever characters.
        for of in [TroubleOf::Report, TroubleOf::Handles, TroubleOf::Requests, TroubleOf::Throttle] {
            troubles.waits(of, &"\"\\\n".repeat(1_000));
        }
        troubles.shows(TroubleOf::Run, &"\"\\\n".repeat(1_000));
        let seen = read(&disk).unwrap();
        assert_eq!(seen.len(), 6);
        assert_eq!(
            seen[0],
            Trouble { since: UnixMillis(1_000), what: "the disk is full: free space".into() }
        );
        troubles.is_over(TroubleOf::Report);
        troubles.is_over(TroubleOf::Report);
        troubles.forget(TroubleOf::Run);
        assert_eq!(read(&disk).unwrap().len(), 4);
        drop(troubles);
        assert_eq!(disk.list("").unwrap(), []);
    }

    #[test]
    fn a_file_that_is_damaged_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FolderDisk::of(dir.path());
        std::fs::write(dir.path().join(TROUBLE), "{").unwrap();
        assert!(matches!(read(&disk), Err(SealError::Damaged(_))));
    }
}
