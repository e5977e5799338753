//! A wall clock that libfaketime can step while the program runs. Its monotonic clock is unaffected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::{extra, skipped};

/// The path of the library, and the file that it reads.
#[derive(Debug)]
pub(crate) struct Faketime {
    library: PathBuf,
    file: PathBuf,
}

impl Faketime {
    /// A clock with its settings in `folder`, showing the right time. `None`, with a message, if the library
    /// is missing or does not work here.
    pub(crate) fn new(folder: &Path) -> Option<Self> {
        let library = extra("faketime/libfaketimeMT.so.1", "tests/faketime")?;
        let faketime = Self { library, file: folder.join("faketime") };
        faketime.set_ahead_ms(-86_400_000 * 1_000);
        let mut command = Command::new("date");
        command.args(["+%s%3N"]).envs(faketime.environment());
        let said = command.output().expect("date");
        let said: i64 = String::from_utf8_lossy(&said.stdout).trim().parse().unwrap_or_default();
        let off = (said + 86_400_000 * 1_000 - unix_ms()).abs();
        if off > 10_000 {
            skipped(&format!("libfaketime does not work here: it is {off} ms off"));
            return None;
        }
        faketime.set_ahead_ms(0);
        Some(faketime)
    }

    /// Sets the clock this many milliseconds ahead of the right time; behind it if negative.
    #[expect(clippy::disallowed_methods, reason = "no power is cut here")]
    pub(crate) fn set_ahead_ms(&self, ms: i64) {
        let sign = if ms < 0 { '-' } else { '+' };
        let (seconds, rest) = (ms.unsigned_abs() / 1_000, ms.unsigned_abs() % 1_000);
        // Replaced atomically, because the program reads it at every reading of the clock.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{sign}{seconds}.{rest:03}\n")).expect("a file");
        fs::rename(new, &self.file).expect("a file");
    }

    /// Sets the clock to a time in Unix milliseconds, from which it continues.
    pub(crate) fn set_ms(&self, ms: i64) {
        self.set_ahead_ms(ms - unix_ms());
    }

    /// Removes what the library leaves behind after a process was killed.
    pub(crate) fn clear_after(pid: u32) {
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            match fs::remove_file(Path::new("/dev/shm").join(&name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{name}: {error}"),
                _ => {}
            }
        }
    }

    /// The environment of a process that uses this clock.
    pub(crate) fn environment(&self) -> [(&'static str, String); 6] {
        let shown = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", shown(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", shown(&self.file)),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
            ("TZ", "UTC".to_owned()),
        ]
    }
}

/// The right time.
#[expect(clippy::disallowed_methods, reason = "from outside the program")]
pub(crate) fn unix_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
