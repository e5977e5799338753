//! Checks the spool's directory: whether it is usable, its file system, its free space, and the duration of a
//! sync.

use std::path::PathBuf;
use std::time::Duration;

use crate::runtime::filesystem::Trust;
use crate::spool::beside_calls;

use super::finding::{CheckFinding, Remedy, Trial};
use super::holder::{Held, told};
use crate::words::{about_bytes, about_duration};

/// A faster sync of 4 KiB cannot have reached durable storage: the fastest drives take longer for the command
/// alone.
const TOO_FAST: Duration = Duration::from_micros(20);
/// A slower sync delays every request that waits for it.
const SLOW: Duration = Duration::from_millis(50);

/// The configuration of the spool.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// Its directory.
    pub dir: PathBuf,
    /// Bytes that it may use.
    pub max_bytes: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// Whether memory and network file systems are allowed.
    pub unsafe_filesystem: bool,
}

/// The observations of the directory.
#[derive(Clone, Debug)]
pub struct SpoolFacts {
    /// Whether it is usable.
    pub directory: Directory,
    /// The name of its file system, and whether it is trusted.
    pub filesystem: Result<(&'static str, Trust), String>,
    /// Free bytes.
    pub free: Result<u64, String>,
    /// Bytes that the spool uses now.
    pub used: u64,
    /// The durations of synced writes of 4 KiB.
    pub syncs: Result<Vec<Duration>, String>,
}

impl SpoolFacts {
    /// Who holds the directory.
    pub fn held(&self) -> Held {
        match &self.directory {
            Directory::Writable { held } => held.clone(),
            Directory::CanBeMade(_) | Directory::Unusable { .. } => Held::No,
        }
    }

    /// Bytes of the spool that the disk can hold, if known.
    pub fn room(&self) -> Option<u64> {
        self.free.as_ref().ok().map(|free| free.saturating_add(self.used))
    }
}

/// Whether a directory is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directory {
    /// It exists, and files can be created in it.
    Writable {
        /// Who holds its lock.
        held: Held,
    },
    /// It does not exist, but can be created in this directory, the nearest that exists.
    CanBeMade(PathBuf),
    /// It is not usable.
    Unusable {
        /// The directory that failed: itself, or its nearest existing parent.
        at: PathBuf,
        /// The reason.
        why: String,
    },
}

/// The findings about the spool. `listens`: whether the process that holds it listens at an address of the
/// configuration; `None`: this cannot be seen.
pub fn judge(settings: &SpoolSettings, facts: &SpoolFacts, listens: Option<bool>) -> Vec<CheckFinding> {
    let mut all = vec![directory(settings, &facts.directory, listens)];
    if matches!(facts.directory, Directory::Unusable { .. }) {
        return all;
    }
    all.extend([filesystem(settings, &facts.filesystem), space(settings, facts), sync(&facts.syncs)]);
    all
}

fn directory(settings: &SpoolSettings, directory: &Directory, listens: Option<bool>) -> CheckFinding {
    let dir = settings.dir.display();
    let trial = Trial::new("spool", format!("create a file in {dir}"));
    match directory {
        Directory::Writable { held: Held::No } => trial.passed(format!("{dir} is writable")),
        Directory::Writable { held: Held::By(holder) } if listens != Some(false) => trial.passed(format!(
            "{dir} is writable; {} uses it, which is fine if that is the node of this configuration: a second one \
             does not start",
            told(holder.as_ref())
        )),
        Directory::Writable { held: Held::By(holder) } => trial.warning(
            format!(
                "{} uses {dir} and listens at none of this configuration's addresses: `forebay serve` does not start \
                 beside it",
                told(holder.as_ref())
            ),
            vec![Remedy::say(
                "stop that process first if it is the node of this configuration under its old addresses; else set another \
                 spool.dir",
            )],
        ),
        Directory::CanBeMade(below) => {
            trial.passed(format!("{dir} does not exist yet, but can be created in {}", below.display()))
        }
        Directory::Unusable { at, why } => trial.failed(
            format!("{}: {why}", at.display()),
            vec![Remedy::paste(
                "create the directory for the user that Forebay runs as (or set spool.dir)",
                format!("install -d -m 0700 -o forebay '{}'", dir.to_string().replace('\'', r"'\''")),
            )],
        ),
    }
}

fn filesystem(settings: &SpoolSettings, found: &Result<(&'static str, Trust), String>) -> CheckFinding {
    let trial = Trial::new("spool_filesystem", format!("statfs {}", settings.dir.display()));
    let disk = || Remedy::say("put spool.dir on a separate disk with ext4 or xfs");
    match found {
        Ok((name, Trust::Tested)) => trial.passed(*name),
        Ok((name, Trust::Unknown)) => trial.warning(format!("{name}: Forebay is not tested on this file system"), vec![disk()]),
        Ok((name, Trust::Unsafe)) if settings.unsafe_filesystem => trial.warning(
            format!("{name}: a power cut may lose acknowledged calls, which spool.unsafe_filesystem = true accepts"),
            vec![disk()],
        ),
        Ok((name, Trust::Unsafe)) => trial.failed(
            format!("{name}: a sync does not make data durable there, so `forebay serve` does not start"),
            vec![
                disk(),
                Remedy::paste("or accept that a power cut may lose acknowledged calls", "[spool]\nunsafe_filesystem = \
                            true"),
            ],
        ),
        Err(why) => trial.not_tested(format!("it cannot be examined: {why}")),
    }
}

fn space(settings: &SpoolSettings, facts: &SpoolFacts) -> CheckFinding {
    let trial = Trial::new("spool_space", format!("statvfs {}", settings.dir.display()));
    let free = match &facts.free {
        Ok(free) => *free,
        Err(why) => return trial.not_tested(format!("it cannot be examined: {why}")),
    };
    let room = free.saturating_add(facts.used);
    let max = about_bytes(settings.max_bytes);
    let needed = beside_calls(settings.segment_bytes, room);
    if room < needed {
        return trial.failed(
            format!("{} are free, but the smallest spool needs {}", about_bytes(free), about_bytes(needed)),
            vec![Remedy::say("free some space, or put spool.dir on a larger disk")],
        );
    }
    if room < settings.max_bytes {
        return trial.warning(
            format!(
                "{} are free, but spool.max_bytes is {max}: the disk limits the spool",
                about_bytes(free)
            ),
            vec![
                Remedy::say("use a larger disk"),
                Remedy::paste(
                    "or leave a tenth of the space free",
                    format!("[spool]\nmax_bytes = \"{}\"", about_bytes(room / 10 * 9)),
                ),
            ],
        );
    }
    trial.passed(format!("{} are free for the {max} of spool.max_bytes", about_bytes(free)))
}

fn sync(syncs: &Result<Vec<Duration>, String>) -> CheckFinding {
    let trial = Trial::new("spool_sync", "write and sync 4 KiB several times");
    let syncs = match syncs {
        Ok(syncs) if !syncs.is_empty() => syncs,
        Ok(_) => return trial.not_tested("nothing was measured"),
        Err(why) => {
            return trial.failed(
                why.clone(),
                vec![Remedy::say("check the disk: without a sync no call can be acknowledged")],
            );
        }
    };
    let median = median(syncs);
    let shown = about_duration(median);
    if median < TOO_FAST {
        trial.warning(
            format!("a sync takes {shown}, which is implausibly fast: acknowledged calls may be lost in a power \
                     cut"),
            vec![Remedy::say(
                "check whether the disk, its controller or the hypervisor answers before the data is durable (write cache \
                 without a battery, `cache=unsafe`, nobarrier)",
            )],
        )
    } else if median > SLOW {
        trial.warning(
            format!("a sync takes {shown}, and each request waits for one"),
            vec![Remedy::say("put spool.dir on a faster disk, or on one without other writers")],
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
            directory: Directory::Writable { held: Held::No },
            filesystem: Ok(("ext4", Trust::Tested)),
            free: Ok(30_000_000_000),
            used: 0,
            syncs: Ok(vec![Duration::from_micros(800); 5]),
        }
    }

    fn check(what: &str, settings: &SpoolSettings, facts: &SpoolFacts, name: &str, outcome: Outcome) {
        let all = judge(settings, facts, None);
        let finding = all.iter().find(|finding| finding.check == name).unwrap();
        assert_eq!(finding.outcome, outcome, "{what}: {finding:?}");
        let fixed = !matches!(outcome, Outcome::Failed | Outcome::Warning) || !finding.remedies.is_empty();
        assert!(fixed, "{what}: there is no remedy");
    }

    #[test]
    fn each_problem_of_a_disk_is_found() {
        use Outcome::{Failed, NotTested, Passed, Warning};
        let (good, set) = (facts(), settings());
        for name in ["spool", "spool_filesystem", "spool_space", "spool_sync"] {
            check("sound", &set, &good, name, Passed);
        }
        let at = |directory| SpoolFacts { directory, ..facts() };
        let held = at(Directory::Writable { held: Held::By(None) });
        check("held", &set, &held, "spool", Passed);
        let of_other = judge(&set, &held, Some(false));
        assert_eq!(of_other.first().unwrap().outcome, Warning, "{of_other:?}");
        check("missing", &set, &at(Directory::CanBeMade("/".into())), "spool", Passed);
        let denied = at(Directory::Unusable { at: "/".into(), why: "Permission denied".into() });
        check("denied", &set, &denied, "spool", Failed);
        assert_eq!(judge(&set, &denied, None).len(), 1, "nothing else is checked");

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
        check("too fast", &set, &took(3), "spool_sync", Warning);
        check("slow", &set, &took(90_000), "spool_sync", Warning);
        check("broken", &set, &SpoolFacts { syncs: Err("EIO".into()), ..facts() }, "spool_sync", Failed);
    }

    #[test]
    fn a_single_slow_sync_does_not_count() {
        let times: Vec<Duration> = [3, 2, 900, 4, 3].map(Duration::from_micros).to_vec();
        assert_eq!(median(&times), Duration::from_micros(3));
    }
}
