//! How far each function of each destination has finished, on disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{Disk, read_all, write_durably};

/// The file, in the spool's directory.
pub const FILE: &str = "destinations.json";
/// The version of the file's form.
const VERSION: u32 = 1;

/// One function of one destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LaneId {
    /// The destination's name.
    pub destination: String,
    /// The function's ARN, or a web address.
    pub function: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    lanes: Vec<Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    lane: LaneId,
    finished_through: u64,
}

/// The positions on disk.
#[derive(Debug)]
pub struct Positions {
    disk: Arc<dyn Disk>,
    finished: BTreeMap<LaneId, u64>,
}

impl Positions {
    /// Reads the positions. Without a file there are none.
    ///
    /// # Errors
    /// The disk's error; `InvalidData` if the file is damaged or of a newer release.
    pub fn read(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let file = match disk.open(FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { disk, finished: BTreeMap::new() });
            }
            Err(error) => return Err(error),
        };
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{FILE} {what}"));
        let File { version, lanes } = serde_json::from_slice(&read_all(&*file)?)
            .map_err(|error| wrong(format!("is damaged: {error}")))?;
        if version > VERSION {
            return Err(wrong(format!("is of a newer release (version {version})")));
        }
        let finished = lanes.into_iter().map(|kept| (kept.lane, kept.finished_through)).collect();
        Ok(Self { disk, finished })
    }

    /// How far a function has finished. `None` if it is new.
    pub fn finished_through(&self, lane: &LaneId) -> Option<u64> {
        self.finished.get(lane).copied()
    }

    /// The position after which the log must keep everything: the lowest of all. `None` without functions.
    pub fn lowest(&self) -> Option<u64> {
        self.finished.values().copied().min()
    }

    /// Writes these positions durably in place of all others, unless they are there already.
    ///
    /// # Errors
    /// The disk's error. The file is then as before.
    pub fn keep(&mut self, finished: BTreeMap<LaneId, u64>) -> io::Result<()> {
        if finished == self.finished {
            return Ok(());
        }
        let lanes =
            finished.iter().map(|(lane, through)| Kept { lane: lane.clone(), finished_through: *through });
        let file = File { version: VERSION, lanes: lanes.collect() };
        write_durably(&*self.disk, FILE, &serde_json::to_vec(&file).map_err(io::Error::other)?)?;
        self.finished = finished;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::real_disk::RealDisk;

    fn lane(function: &str) -> LaneId {
        LaneId { destination: "crm".to_owned(), function: function.to_owned() }
    }

    #[test]
    fn positions_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        let mut positions = Positions::read(Arc::clone(&disk)).unwrap();
        assert_eq!((positions.lowest(), positions.finished_through(&lane("a"))), (None, None));
        positions.keep(BTreeMap::from([(lane("a"), 7), (lane("b"), 3)])).unwrap();
        let again = Positions::read(Arc::clone(&disk)).unwrap();
        assert_eq!((again.lowest(), again.finished_through(&lane("a"))), (Some(3), Some(7)));
        write_durably(&*disk, FILE, br#"{"version":2,"lanes":[]}"#).unwrap();
        assert!(Positions::read(Arc::clone(&disk)).unwrap_err().to_string().contains("newer release"));
        write_durably(&*disk, FILE, b"{").unwrap();
        assert!(Positions::read(disk).unwrap_err().to_string().contains("is damaged"));
    }
}
