//! The spool's directory: whether it can be used, what it lies on, how much room there is, and how long a sync takes.

use std::path::PathBuf;
use std::time::Duration;

use crate::runtime::filesystem::Trust;
use crate::spool::shared::beside_calls;

use super::finding::{Finding, Remedy, Trial};
use super::words::about_bytes;

/// A sync of 4 KiB that is faster than this cannot have reached anything that survives a power cut: the fastest
/// drives take longer for the command alone.
const TOO_FAST: Duration = Duration::from_micros(20);
/// A sync that is slower than this holds back every request that waits for it.
const SLOW: Duration = Duration::from_millis(50);

/// How the spool is configured.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// Its directory.
    pub dir: PathBuf,
    /// Bytes it may take.
    pub max_bytes: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Whether memory and network file systems are taken.
    pub unsafe_filesystem: bool,
}

/// What was seen of the directory.
#[derive(Clone, Debug)]
pub struct SpoolFacts {
    /// Whether it can be used.
    pub directory: Directory,
    /// The name of its file system, and how far that is to be trusted.
    pub filesystem: Result<(&'static str, Trust), String>,
    /// Bytes that may still be written.
    pub free: Result<u64, String>,
    /// Bytes that the spool takes now.
    pub used: u64,
    /// How long synced writes of 4 KiB took.
    pub syncs: Result<Vec<Duration>, String>,
}

impl SpoolFacts {
    /// Bytes that the disk can hold of the spool, where that is known.
    pub fn room(&self) -> Option<u64> {
        self.free.as_ref().ok().map(|free| free.saturating_add(self.used))
    }
}

/// Whether a directory can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directory {
    /// It is there, and files can be made in it.
    Writable {
        /// Whether a running process holds it.
        in_use: bool,
    },
    /// It is not there, and can be made in this one.
    CanBeMade {
        /// The nearest directory above it that is there.
        below: PathBuf,
    },
    /// It cannot be used.
    Unusable {
        /// Which directory says no: it, or the nearest above it that is there.
        at: PathBuf,
        /// Why.
        why: String,
    },
}

/// All that is said of the spool.
pub fn judge(settings: &SpoolSettings, facts: &SpoolFacts) -> Vec<Finding> {
    let mut all = vec![directory(settings, &facts.directory)];
    if matches!(facts.directory, Directory::Unusable { .. }) {
        return all;
    }
    all.push(filesystem(settings, &facts.filesystem));
    all.push(space(settings, facts));
    all.push(sync(&facts.syncs));
    all
}

fn directory(settings: &SpoolSettings, directory: &Directory) -> Finding {
    let dir = settings.dir.display();
    let trial = Trial::new("spool", format!("make a file in {dir}"));
    match directory {
        Directory::Writable { in_use: false } => trial.passed(format!("{dir} can be written to")),
        Directory::Writable { in_use: true } => {
            trial.passed(format!("{dir} can be written to; a running collector uses it"))
        }
        Directory::CanBeMade { below } => {
            trial.passed(format!("{dir} is not there yet, and can be made in {}", below.display()))
        }
        Directory::Unusable { at, why } => trial.failed(
            format!("{}: {why}", at.display()),
            vec![Remedy::paste(
                "make the directory and give it to the user that Forebay runs as (or set spool.dir)",
                format!("install -d -m 0700 -o forebay '{}'", dir.to_string().replace('\'', r"'\''")),
            )],
        ),
    }
}

fn filesystem(settings: &SpoolSettings, found: &Result<(&'static str, Trust), String>) -> Finding {
    let trial = Trial::new("spool_filesystem", format!("statfs {}", settings.dir.display()));
    let disk = || Remedy::say("put spool.dir on a disk of its own with ext4 or xfs");
    match found {
        Ok((name, Trust::Tested)) => trial.passed(*name),
        Ok((name, Trust::Unknown)) => trial.warning(format!("{name}: Forebay is not tested on it"), vec![disk()]),
        Ok((name, Trust::Unsafe)) if settings.unsafe_filesystem => trial.warning(
            format!("{name}: a power cut may lose acknowledged calls, which spool.unsafe_filesystem = true accepts"),
            vec![disk()],
        ),
        Ok((name, Trust::Unsafe)) => trial.failed(
            format!("{name}: a sync there promises little, so `forebay serve` does not start"),
            vec![
                disk(),
                Remedy::paste("or accept that a power cut may lose acknowledged calls", "[spool]\nunsafe_filesystem = \
                            true"),
            ],
        ),
        Err(why) => trial.not_tested(format!("it cannot be looked at: {why}")),
    }
}

fn space(settings: &SpoolSettings, facts: &SpoolFacts) -> Finding {
    let trial = Trial::new("spool_space", format!("statvfs {}", settings.dir.display()));
    let free = match &facts.free {
        Ok(free) => *free,
        Err(why) => return trial.not_tested(format!("it cannot be looked at: {why}")),
    };
    let room = free.saturating_add(facts.used);
    let max = about_bytes(settings.max_bytes);
    let needed = beside_calls(settings.segment_bytes, room);
    if room < needed {
        return trial.failed(
            format!("{} are free, and the smallest spool needs {}", about_bytes(free), about_bytes(needed)),
            vec![Remedy::say("make room, or put spool.dir on a larger disk")],
        );
    }
    if room < settings.max_bytes {
        return trial.warning(
            format!(
                "{} are free, and spool.max_bytes is {max}: the spool is full when the disk is",
                about_bytes(free)
            ),
            vec![
                Remedy::say("take a larger disk"),
                Remedy::paste(
                    "or leave a tenth to others on this disk",
                    format!("[spool]\nmax_bytes = \"{} MB\"", room / 10 * 9 / 1_000_000),
                ),
            ],
        );
    }
    trial.passed(format!("{} are free for the {max} of spool.max_bytes", about_bytes(free)))
}

fn sync(syncs: &Result<Vec<Duration>, String>) -> Finding {
    let trial = Trial::new("spool_sync", "write and sync 4 KiB, some times");
    let syncs = match syncs {
        Ok(syncs) if !syncs.is_empty() => syncs,
        Ok(_) => return trial.not_tested("nothing was measured"),
        Err(why) => {
            return trial.failed(
                why.clone(),
                vec![Remedy::say("look at the disk: without a sync no call can be acknowledged")],
            );
        }
    };
    let median = median(syncs);
    let shown = in_words(median);
    if median < TOO_FAST {
        trial.warning(
            format!("a sync takes {shown}, which is too fast to be true: what is acknowledged may be lost in a power \
                     cut"),
            vec![Remedy::say(
                "look whether the disk, its controller or the machine beneath answers before the data is safe (write \
                 cache without a battery, `cache=unsafe`, nobarrier)",
            )],
        )
    } else if median > SLOW {
        trial.warning(
            format!("a sync takes {shown}: no request is answered faster"),
            vec![Remedy::say("put spool.dir on a faster disk, or one that nothing else writes to")],
        )
    } else {
        trial.passed(format!("a sync takes {shown}"))
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn in_words(time: Duration) -> String {
    match time.as_micros() {
        micros if micros < 1_000 => format!("{micros} µs"),
        micros => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    fn settings() -> SpoolSettings {
        SpoolSettings {
            dir: PathBuf::from("/spool"),
            max_bytes: 20_000_000_000,
            segment_bytes: 64 << 20,
            unsafe_filesystem: false,
        }
    }

    fn facts() -> SpoolFacts {
        SpoolFacts {
            directory: Directory::Writable { in_use: false },
            filesystem: Ok(("ext4", Trust::Tested)),
            free: Ok(30_000_000_000),
            used: 0,
            syncs: Ok(vec![Duration::from_micros(800); 5]),
        }
    }

    fn check(what: &str, settings: &SpoolSettings, facts: &SpoolFacts, name: &str, outcome: Outcome) {
        let all = judge(settings, facts);
        let finding = all.iter().find(|finding| finding.check == name).unwrap();
        assert_eq!(finding.outcome, outcome, "{what}: {finding:?}");
        let mended = !matches!(outcome, Outcome::Failed | Outcome::Warning) || !finding.remedies.is_empty();
        assert!(mended, "{what}: nothing mends it");
    }

    #[test]
    fn each_trouble_of_a_disk_is_found() {
        use Outcome::{Failed, NotTested, Passed, Warning};
        let (good, set) = (facts(), settings());
        for name in ["spool", "spool_filesystem", "spool_space", "spool_sync"] {
            check("sound", &set, &good, name, Passed);
        }
        let at = |directory| SpoolFacts { directory, ..facts() };
        check("held", &set, &at(Directory::Writable { in_use: true }), "spool", Passed);
        check("not made", &set, &at(Directory::CanBeMade { below: "/".into() }), "spool", Passed);
        let denied = at(Directory::Unusable { at: "/".into(), why: "Permission denied".into() });
        check("denied", &set, &denied, "spool", Failed);
        assert_eq!(judge(&set, &denied).len(), 1, "nothing more can be said");

        let on = |name, trust| SpoolFacts { filesystem: Ok((name, trust)), ..facts() };
        check("btrfs", &set, &on("btrfs", Trust::Unknown), "spool_filesystem", Warning);
        check("tmpfs", &set, &on("tmpfs", Trust::Unsafe), "spool_filesystem", Failed);
        let accepted = SpoolSettings { unsafe_filesystem: true, ..settings() };
        check("accepted", &accepted, &on("tmpfs", Trust::Unsafe), "spool_filesystem", Warning);
        check(
            "hidden",
            &set,
            &SpoolFacts { filesystem: Err("x".into()), ..facts() },
            "spool_filesystem",
            NotTested,
        );

        let free = |free, used| SpoolFacts { free: Ok(free), used, ..facts() };
        check("half", &set, &free(10_000_000_000, 0), "spool_space", Warning);
        check("its own bytes count", &set, &free(10_000_000_000, 15_000_000_000), "spool_space", Passed);
        check("little", &set, &free(100_000_000, 0), "spool_space", Warning);
        check("none", &set, &free(30_000_000, 0), "spool_space", Failed);

        let took = |micros| SpoolFacts { syncs: Ok(vec![Duration::from_micros(micros); 3]), ..facts() };
        check("lies", &set, &took(3), "spool_sync", Warning);
        check("slow", &set, &took(90_000), "spool_sync", Warning);
        check("broken", &set, &SpoolFacts { syncs: Err("EIO".into()), ..facts() }, "spool_sync", Failed);
    }

    #[test]
    fn one_slow_sync_among_fast_ones_does_not_count() {
        let times: Vec<Duration> = [3, 2, 900, 4, 3].map(Duration::from_micros).to_vec();
        assert_eq!(median(&times), Duration::from_micros(3));
        assert_eq!(in_words(Duration::from_micros(999)), "999 µs");
        assert_eq!(in_words(Duration::from_micros(2_340)), "2.3 ms");
    }
}
