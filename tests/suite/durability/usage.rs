//! Samples the disk usage of a spool while the program runs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The sampling interval: parking and recovery hold a second copy of a file for longer than this.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);
/// The bytes of a block of `st_blocks`.
const BLOCK: u64 = 512;

/// The bytes of all files of a directory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// By their lengths.
    pub(crate) apparent: u64,
    /// As allocated by the file system.
    pub(crate) allocated: u64,
    /// Each kind of file: the number, and the sum of the lengths.
    pub(crate) kinds: BTreeMap<String, (usize, u64)>,
}

impl Usage {
    /// Measures a directory. A file that is renamed meanwhile counts once.
    pub(crate) fn of(dir: &Path) -> Self {
        let mut files = BTreeMap::new();
        look(dir, "", &mut files);
        let mut usage = Self::default();
        for (kind, len, blocks) in files.into_values() {
            usage.apparent += len;
            usage.allocated += blocks * BLOCK;
            let of_kind = usage.kinds.entry(kind).or_default();
            *of_kind = (of_kind.0 + 1, of_kind.1 + len);
        }
        usage
    }
}

/// Adds the files below `dir` by their inode: kind, length, blocks.
fn look(dir: &Path, below: &str, files: &mut BTreeMap<u64, (String, u64, u64)>) {
    // It does not exist before the first start.
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        // A file removed meanwhile takes no space.
        let Ok(about) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        // The list of deliveries does not count against the cap (decision 0170).
        if below.is_empty() && ["deliveries.redb", "deliveries.tmp"].contains(&&*name) {
            continue;
        }
        if about.is_dir() {
            look(&entry.path(), &format!("{name}/"), files);
        } else {
            let kind = name.split(|c: char| c == '-' || c == '.' || c.is_ascii_digit()).next();
            let kind = format!("{below}{}", kind.unwrap_or_default());
            files.insert(about.ino(), (kind, about.len(), about.blocks()));
        }
    }
}

/// The highest usage of a directory during sampling. Sampling ends on drop.
#[derive(Debug)]
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<(Usage, Usage)>>,
}

impl Sampler {
    /// Starts sampling a directory.
    pub(crate) fn start(dir: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (stop, dir) = (Arc::clone(&stop), dir.to_owned());
            move || most(&dir, &stop)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops sampling. Returns the usage when the lengths were highest, and when the allocated bytes were.
    pub(crate) fn stop(mut self) -> (Usage, Usage) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is stopped only once").join().expect("the sampler must not panic")
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn most(dir: &Path, stop: &AtomicBool) -> (Usage, Usage) {
    let (mut apparent, mut allocated) = (Usage::default(), Usage::default());
    while !stop.load(Ordering::Relaxed) {
        // A file that is removed and another that is created while the directory is read appear as if both
        // existed: only usage confirmed by a second reading counts.
        let (first, second) = (Usage::of(dir), Usage::of(dir));
        if first.apparent.min(second.apparent) > apparent.apparent {
            apparent = if first.apparent < second.apparent { first.clone() } else { second.clone() };
        }
        if first.allocated.min(second.allocated) > allocated.allocated {
            allocated = if first.allocated < second.allocated { first } else { second };
        }
        std::thread::sleep(SAMPLE_EVERY);
    }
    (apparent, allocated)
}
