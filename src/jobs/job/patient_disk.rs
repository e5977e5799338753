//! The disk of a job for work that cannot begin again, as the copying of a manifest from standard input: what this
//! machine lacks for it is waited for by the thread that does it.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::sleep;
use std::time::Duration;

use super::troubles::{NO_HANDLES, TroubleOf, Troubles};
use crate::disk::{Disk, DiskFile, is_no_handle, is_no_space};

/// How often what failed is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// A disk whose operations return once there is space and a file handle for them, or the work is halted. A sync that
/// failed is never repeated: the kernel may have dropped what it was for.
#[derive(Clone, Debug)]
pub struct PatientDisk {
    disk: Arc<dyn Disk>,
    patience: Arc<Patience>,
}

#[derive(Debug)]
struct Patience {
    /// They end with the job: a thread that is late must not take away the troubles of its next holder.
    troubles: Weak<Troubles>,
    halt: Arc<AtomicBool>,
    /// What the job says while there is no space.
    no_space: &'static str,
}

impl Patience {
    fn until_done<T>(&self, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut waited_for = None;
        let ended = loop {
            let error = match work() {
                Ok(done) => break Ok(done),
                Err(error) => error,
            };
            let (of, what) = match &error {
                error if is_no_space(error) => (TroubleOf::Disk, self.no_space),
                error if is_no_handle(error) => (TroubleOf::Handles, NO_HANDLES),
                _ => break Err(error),
            };
            if self.halt.load(Ordering::Relaxed) {
                break Err(error);
            }
            if let Some(troubles) = self.troubles.upgrade() {
                waited_for
                    .replace(of)
                    .filter(|before| *before != of)
                    .iter()
                    .for_each(|of| troubles.is_over(*of));
                troubles.waits(of, what);
            }
            sleep(RETRY_EVERY);
        };
        if let (Some(of), Some(troubles)) = (waited_for, self.troubles.upgrade()) {
            troubles.is_over(of);
        }
        ended
    }
}

impl PatientDisk {
    /// The same disk. `no_space` is what the job says while it is full; `halt` ends the wait.
    pub fn new(
        disk: Arc<dyn Disk>,
        troubles: &Arc<Troubles>,
        halt: Arc<AtomicBool>,
        no_space: &'static str,
    ) -> Self {
        let troubles = Arc::downgrade(troubles);
        Self { disk, patience: Arc::new(Patience { troubles, halt, no_space }) }
    }

    fn file(&self, opened: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(PatientFile { file: opened, patience: Arc::clone(&self.patience) })
    }
}

impl Disk for PatientDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.patience.until_done(|| self.disk.open(name)).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.patience.until_done(|| self.disk.create(name)).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.patience.until_done(|| self.disk.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        // Without a handle for the directory nothing was synced yet.
        self.patience.until_done(|| match self.disk.sync_dir(dir) {
            Err(error) if is_no_space(&error) => Err(io::Error::other(error)),
            synced => synced,
        })
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.patience.until_done(|| self.disk.list(dir))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.disk.path(name)
    }
}

#[derive(Debug)]
struct PatientFile {
    file: Arc<dyn DiskFile>,
    patience: Arc<Patience>,
}

impl DiskFile for PatientFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        // Bytes that an earlier try has written are written again in their place.
        self.patience.until_done(|| self.file.write_at(parts, at))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::disk::write_durably;
    use crate::jobs::job::crash_disk::{CrashDisk, Dice};
    use crate::jobs::job::id::JobId;
    use crate::jobs::job::troubles::read;
    use crate::lock::lock;
    use crate::runtime::SystemClock;

    const FULL: &str = "the disk is full; free space";

    /// A disk that has no handle for so many operations that need one.
    #[derive(Debug)]
    struct FewHandles(CrashDisk, Mutex<u32>);

    impl FewHandles {
        fn handle(&self) -> io::Result<()> {
            let mut left = lock(&self.1);
            match left.checked_sub(1) {
                None => Ok(()),
                Some(less) => {
                    *left = less;
                    Err(rustix::io::Errno::MFILE.into())
                }
            }
        }
    }

    impl Disk for FewHandles {
        fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
            self.handle().and_then(|()| self.0.open(name))
        }
        fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
            self.handle().and_then(|()| self.0.create(name))
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.0.remove(name)
        }
        fn sync_dir(&self, dir: &str) -> io::Result<()> {
            self.handle().and_then(|()| self.0.sync_dir(dir))
        }
        fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
            self.0.list(dir)
        }
        fn path(&self, name: &str) -> Option<PathBuf> {
            self.0.path(name)
        }
    }

    fn troubles(disk: &CrashDisk) -> Arc<Troubles> {
        let job = JobId::random(&Dice::new(1));
        Arc::new(Troubles::new(job, Arc::new(disk.clone()), Arc::new(SystemClock::new())))
    }

    /// Waits in real time for what another thread does.
    fn until(mut is_so: impl FnMut() -> bool) {
        for _ in 0..3_000 {
            if is_so() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        panic!("it did not become so");
    }

    #[test]
    fn a_full_disk_is_waited_for_and_nothing_is_written_twice() {
        let disk = CrashDisk::new(1);
        let (troubles, halt) = (troubles(&disk), Arc::<AtomicBool>::default());
        let patient = PatientDisk::new(Arc::new(disk.clone()), &troubles, halt, FULL);
        let file = patient.create("f").unwrap();
        file.write_at(&[IoSlice::new(b"one")], 0).unwrap();
        disk.fill(true);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| file.write_at(&[IoSlice::new(b"two"), IoSlice::new(b"3")], 3));
            until(|| read(&disk).unwrap().iter().any(|trouble| trouble.what == FULL));
            assert!(!writing.is_finished());
            disk.fill(false);
            writing.join().unwrap().unwrap();
        });
        assert_eq!(read(&disk).unwrap(), []);
        assert_eq!(crate::disk::read_all(&*disk.open("f").unwrap()).unwrap(), b"onetwo3");
    }

    #[test]
    fn file_handles_are_waited_for() {
        let disk = CrashDisk::new(2);
        let (few, halt) = (FewHandles(disk.clone(), Mutex::new(0)), Arc::<AtomicBool>::default());
        let (few, troubles) = (Arc::new(few), troubles(&disk));
        let patient = PatientDisk::new(Arc::clone(&few) as _, &troubles, halt, FULL);
        *lock(&few.1) = 1;
        write_durably(&patient, "f", b"bytes").unwrap();
        *lock(&few.1) = 1;
        assert_eq!(crate::disk::read_all(&*patient.open("f").unwrap()).unwrap(), b"bytes");
        assert_eq!((*lock(&few.1), read(&disk).unwrap()), (0, Vec::new()));
    }

    #[test]
    fn the_wait_ends_with_the_work_and_other_errors_are_none_of_it() {
        let disk = CrashDisk::new(3);
        let (troubles, halt) = (troubles(&disk), Arc::<AtomicBool>::default());
        let patient = PatientDisk::new(Arc::new(disk.clone()), &troubles, Arc::clone(&halt), FULL);
        assert_eq!(patient.open("none").unwrap_err().kind(), io::ErrorKind::NotFound);
        let file = patient.create("f").unwrap();
        disk.fill(true);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| file.write_at(&[IoSlice::new(b"x")], 0));
            until(|| !read(&disk).unwrap().is_empty());
            halt.store(true, Ordering::Relaxed);
            assert!(is_no_space(&writing.join().unwrap().unwrap_err()));
        });
        assert_eq!(read(&disk).unwrap(), []);
    }
}
