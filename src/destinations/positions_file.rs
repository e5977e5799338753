//! The file of what is kept of destinations: two copies, each with a checksum, because without it nobody
//! knows which calls a function has.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::positions::{All, LaneId, Piece, lanes, lowest};
use super::queue;
use crate::crc32c;
use crate::disk::{Disk, if_there, is_no_handle, is_no_space, read_all, temporary_name, write_durably};

/// The file, in the spool's directory.
pub const FILE: &str = "destinations.json";
/// Its copy.
pub const COPY: &str = "destinations.copy.json";
/// The file and its copy, in the order in which a change is written.
const FILES: [&str; 2] = [COPY, FILE];
/// Bytes of disk that are kept for the next version of the file: only once it is written, what destinations
/// have finished is freed.
const RESERVE: &str = "destinations.reserve";
/// The least bytes of the reserve.
const RESERVE_MIN: usize = 4_096;
/// The version of the file's form. Version 1 had neither a checksum nor a copy, and did not list the files of
/// queues.
const VERSION: u32 = 2;
/// Where files go that cannot be used, and may be needed.
const QUARANTINE: &str = "quarantine";

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    version: u32,
    /// Counts the versions of the file, so that the newer of two copies is known.
    #[serde(default)]
    written: u64,
    /// CRC-32C of the other members.
    #[serde(default)]
    checksum: Option<String>,
    #[serde(borrow)]
    destinations: &'a RawValue,
}

impl Written<'_> {
    fn crc(&self) -> String {
        let before = crc32c::crc32c(format!("{} {} ", self.version, self.written).as_bytes());
        format!("{:08x}", crc32c::append(before, self.destinations.get().as_bytes()))
    }
}

/// One copy, as it was read.
enum Copied {
    Missing,
    Sound { version: u32, written: u64, kept: All },
    Damaged(String),
    Newer(u64),
}

impl Copied {
    fn read(disk: &dyn Disk, file: &str) -> io::Result<Self> {
        match if_there(disk.open(file).and_then(|open| read_all(&*open))) {
            Ok(bytes) => Ok(bytes.map_or(Self::Missing, |bytes| Self::parse(&bytes))),
            // A passing failure to read is no damage.
            Err(error) if is_no_handle(&error) => Err(error),
            Err(error) => Ok(Self::Damaged(format!("cannot be read: {error}"))),
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        let damaged = |what: String| Self::Damaged(format!("is damaged: {what}"));
        let version = |value: &serde_json::Value| value.get("version").and_then(serde_json::Value::as_u64);
        let written = match serde_json::from_slice::<Written<'_>>(bytes) {
            Ok(written) => written,
            Err(error) => {
                let newer = serde_json::from_slice(bytes).ok().as_ref().and_then(version);
                return match newer.filter(|version| *version > u64::from(VERSION)) {
                    Some(version) => Self::Newer(version),
                    None => damaged(error.to_string()),
                };
            }
        };
        match &written.checksum {
            Some(checksum) if *checksum == written.crc() => {}
            None if written.version == 1 => {}
            _ if written.version > VERSION => return Self::Newer(written.version.into()),
            _ => return damaged("its checksum is wrong".to_owned()),
        }
        if written.version > VERSION {
            return Self::Newer(written.version.into());
        }
        match serde_json::from_str(written.destinations.get()) {
            Ok(kept) => Self::Sound { version: written.version, written: written.written, kept },
            Err(error) => damaged(error.to_string()),
        }
    }
}

/// The file.
#[derive(Debug)]
pub struct Positions {
    disk: Arc<dyn Disk>,
    kept: All,
    /// The number of the last version.
    written: u64,
    /// Whether a copy may be other than what is kept: the last write failed, or one is damaged or missing.
    unsure: bool,
    /// Bytes of the reserve.
    reserved: usize,
    /// Copies that cannot be used, and why.
    damaged: Vec<String>,
    /// Whether there is no copy that can be used, although there was one.
    is_lost: bool,
}

impl Positions {
    /// Reads the file. If it was never written, there are no destinations. It changes nothing.
    /// Errors: the disk's error; `InvalidData` if a newer release wrote the file. A damaged or missing file
    /// is no error: [`Positions::is_lost`].
    pub fn read(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let reserve = disk.open(RESERVE).and_then(|file| file.len());
        let had_reserve = reserve.is_ok();
        let reserved = usize::try_from(reserve.unwrap_or(0)).unwrap_or(0);
        let (mut best, mut damaged, mut missing, mut newer): (Option<(u32, u64, All)>, _, _, _) =
            (None, Vec::new(), Vec::new(), None);
        let mut numbers = Vec::new();
        for file in FILES {
            match Copied::read(&*disk, file)? {
                Copied::Missing => missing.push(file),
                Copied::Damaged(what) => damaged.push(format!("{file} {what}")),
                Copied::Newer(version) => newer = Some(version),
                Copied::Sound { version, written, kept } => {
                    numbers.push(written);
                    if best.as_ref().is_none_or(|(_, known, _)| *known < written) {
                        best = Some((version, written, kept));
                    }
                }
            }
        }
        if let Some(version) = newer.filter(|_| best.is_none()) {
            let what = format!("{FILE} is of a newer release (version {version})");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        // Files of version 1 have no copy.
        let is_first = best.as_ref().is_some_and(|(version, ..)| *version == 1);
        let was_there = had_reserve || !disk.list(queue::DIRECTORY)?.is_empty();
        let is_lost = best.is_none() && (was_there || !damaged.is_empty());
        if (is_lost || best.is_some()) && !is_first {
            damaged.extend(missing.iter().map(|file| format!("{file} is missing")));
        }
        let is_same = numbers.iter().all(|number| numbers.first() == Some(number));
        let unsure = !damaged.is_empty() || is_first || !is_same;
        let (written, mut kept) = best.map_or_else(Default::default, |(_, written, kept)| (written, kept));
        if is_first {
            list_pieces(&*disk, &mut kept)?;
        }
        Ok(Self { disk, kept, written, unsure, reserved, damaged, is_lost })
    }

    /// The positions as they are kept.
    pub fn kept(&self) -> &All {
        &self.kept
    }

    /// The position after which the log must keep everything. `None` without functions.
    pub fn lowest(&self) -> Option<u64> {
        if self.is_lost { Some(0) } else { lowest(&self.kept) }
    }

    /// Whether there is no copy that can be used, although there was one: nobody knows which calls the
    /// functions have.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Copies that are damaged or missing, and why. The next write makes them again.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// Whether the file is as what is kept: the last write did not fail.
    pub fn is_certain(&self) -> bool {
        !self.unsure
    }

    /// Whether [`Positions::keep`] of this would write nothing.
    pub fn has(&self, kept: &All) -> bool {
        self.is_certain() && *kept == self.kept
    }

    /// Writes what is to be kept durably into both copies, unless it is there already.
    /// Errors: the disk's error. The file is then as before, or becomes so with the next call.
    pub fn keep(&mut self, kept: All) -> io::Result<()> {
        if self.has(&kept) {
            return Ok(());
        }
        self.unsure = true;
        let destinations = serde_json::value::to_raw_value(&kept).map_err(io::Error::other)?;
        let mut file = Written {
            version: VERSION,
            written: self.written + 1,
            checksum: None,
            destinations: &destinations,
        };
        file.checksum = Some(file.crc());
        let bytes = serde_json::to_vec(&file).map_err(io::Error::other)?;
        for name in FILES {
            match write_durably(&*self.disk, name, &bytes) {
                Err(error) if is_no_space(&error) => {
                    self.disk.remove(RESERVE)?;
                    self.reserved = 0;
                    write_durably(&*self.disk, name, &bytes)?;
                }
                written => written?,
            }
        }
        if !kept.is_empty() {
            self.reserve(bytes.len());
        }
        (self.kept, self.written) = (kept, self.written + 1);
        (self.unsure, self.is_lost) = (false, false);
        self.damaged.clear();
        Ok(())
    }

    /// If the file is lost: the files of these functions' queues. Whatever else is there goes to quarantine.
    /// Errors: the disk's error. The next start does it again.
    pub fn find_pieces(&self, lanes: &[LaneId]) -> io::Result<BTreeMap<LaneId, Vec<Piece>>> {
        let mut found = BTreeMap::new();
        for lane in lanes {
            let pieces = queue::found(&*self.disk, lane, None)?;
            if !pieces.is_empty() {
                found.insert(lane.clone(), pieces);
            }
        }
        for name in queue::unknown(&*self.disk, lanes.iter())? {
            self.disk.rename(&format!("{}/{name}", queue::DIRECTORY), &format!("{QUARANTINE}/{name}"))?;
        }
        for name in FILES.into_iter().filter(|name| self.disk.open(name).is_ok()) {
            self.disk.rename(name, &self.free_name(name)?)?;
        }
        for directory in [QUARANTINE, queue::DIRECTORY, ""] {
            self.disk.sync_dir(directory)?;
        }
        Ok(found)
    }

    fn free_name(&self, name: &str) -> io::Result<String> {
        let taken = self.disk.list(QUARANTINE)?;
        let mut names = (1..).map(|number: u64| format!("{number}-{name}"));
        let free = names.find(|free| !taken.iter().any(|(name, _)| name == free));
        Ok(format!("{QUARANTINE}/{}", free.unwrap_or_default()))
    }

    /// Makes the reserve, if there is none for a file of `len` bytes. Without space it is made another time.
    fn reserve(&mut self, len: usize) {
        if self.reserved > len {
            return;
        }
        let wanted = (2 * len).max(RESERVE_MIN);
        // The bytes are not zero, so that every file system allocates them.
        match write_durably(&*self.disk, RESERVE, &vec![0xFF; wanted]) {
            Ok(()) => self.reserved = wanted,
            Err(error) => {
                tracing::debug!(%error, "no space is reserved for {FILE}");
                if let Err(error) = self.disk.remove(&temporary_name(RESERVE)) {
                    tracing::debug!(%error, "the beginning of {RESERVE} stays until the next start");
                }
            }
        }
    }
}

/// A file of version 1 does not list the files of queues: they are as they are found.
fn list_pieces(disk: &dyn Disk, kept: &mut All) -> io::Result<()> {
    for (lane, (finished, copied)) in lanes(kept) {
        let Some(copied) = copied else { continue };
        let mut pieces = queue::found(disk, &lane, Some(copied))?;
        pieces.retain(|piece| piece.through > finished);
        if let Some(one) = kept.get_mut(&lane.destination).filter(|_| !pieces.is_empty()) {
            one.pieces.insert(lane.function, pieces);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::positions::{advanced, reconfigured};
    use crate::destinations::settings::tests::settings;
    use crate::disk::real_disk::RealDisk;
    use crate::sources::SourceId;

    fn lane(destination: &str, function: &str) -> LaneId {
        LaneId { destination: SourceId::new(destination).unwrap(), function: function.to_owned() }
    }

    fn kept(after: u64) -> All {
        reconfigured(All::new(), &[settings("crm", &[("track", "a"), ("page", "b")])], after)
    }

    #[test]
    fn a_full_disk_has_space_for_the_next_version() {
        let dir = tempfile::tempdir().unwrap();
        let real: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        let capped = |max: u64| crate::spool::capped(Arc::clone(&real), max);
        let mut positions = Positions::read(capped(1 << 20)).unwrap();
        let at = |position: u64| reconfigured(All::new(), &[settings("crm", &[("track", "f")])], position);
        positions.keep(at(1)).unwrap();
        let used: u64 = real.list("").unwrap().into_iter().map(|(_, len)| len).sum();
        // Not a byte is free.
        let mut positions = Positions::read(capped(used)).unwrap();
        positions.keep(at(2)).unwrap();
        assert_eq!(*Positions::read(Arc::clone(&real)).unwrap().kept(), at(2));
        // Once there is space, it is reserved again.
        let mut positions = Positions::read(capped(1 << 20)).unwrap();
        positions.keep(at(3)).unwrap();
        let again: u64 = real.list("").unwrap().into_iter().map(|(_, len)| len).sum();
        assert_eq!(again, used);
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        let mut positions = Positions::read(Arc::clone(&disk)).unwrap();
        assert_eq!((positions.lowest(), positions.kept().len(), positions.is_lost()), (None, 0, false));
        let kept = advanced(kept(3), &BTreeMap::from([(lane("crm", "a"), 7)]));
        positions.keep(kept.clone()).unwrap();
        let again = Positions::read(Arc::clone(&disk)).unwrap();
        assert_eq!((again.lowest(), again.kept(), again.damaged().len()), (Some(3), &kept, 0));
        for file in FILES {
            write_durably(&*disk, file, br#"{"version":3,"lanes":[]}"#).unwrap();
        }
        assert!(Positions::read(Arc::clone(&disk)).unwrap_err().to_string().contains("newer release"));
    }

    #[test]
    fn a_file_of_the_first_form_is_read_and_gets_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        let old = r#"{"version":1,"destinations":{"crm":{"typed":"","removed":false,"routes":[{"after":3,"selection":
            {"sources":null,"functions":{"track":"a"},"function":null,"respect_integrations":true,"name":"crm"}}],
            "lanes":{"a":7},"copied":{"a":20}}}}"#;
        write_durably(&*disk, FILE, old.as_bytes()).unwrap();
        let mut positions = Positions::read(Arc::clone(&disk)).unwrap();
        assert_eq!(
            (positions.lowest(), positions.damaged(), positions.is_lost()),
            (Some(20), &[][..], false)
        );
        positions.keep(positions.kept().clone()).unwrap();
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        assert_eq!(Positions::read(disk).unwrap().kept(), positions.kept());
    }

    #[test]
    fn one_copy_is_enough_and_any_damage_of_it_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        Positions::read(Arc::clone(&disk)).unwrap().keep(kept(3)).unwrap();
        let good = std::fs::read(dir.path().join(FILE)).unwrap();
        let bad = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let mut damages: Vec<Option<Vec<u8>>> = (0..good.len()).map(|at| Some(bad(at))).collect();
        damages.extend([None, Some(Vec::new()), Some(good[..good.len() / 2].to_vec())]);
        for damage in damages {
            for files in [&FILES[..1], &FILES[1..], &FILES[..]] {
                for file in files {
                    match &damage {
                        None => std::fs::remove_file(dir.path().join(file)).unwrap(),
                        Some(bytes) => std::fs::write(dir.path().join(file), bytes).unwrap(),
                    }
                }
                let what = damage.as_deref().map(String::from_utf8_lossy);
                match Positions::read(Arc::clone(&disk)) {
                    // A version that grew: a newer release may have written both.
                    Err(error) => {
                        assert!(files.len() == 2 && error.to_string().contains("newer"), "{what:?}")
                    }
                    Ok(found) => {
                        let is_sound = found.damaged().is_empty() && *found.kept() == kept(3);
                        assert!(
                            is_sound || found.damaged().len() == files.len() || !found.is_lost(),
                            "{what:?}"
                        );
                        assert!(found.is_lost() || *found.kept() == kept(3), "{what:?}");
                        assert_eq!(found.is_lost(), files.len() == 2 && !is_sound, "{what:?}");
                        assert_eq!(found.lowest(), if found.is_lost() { Some(0) } else { Some(3) });
                    }
                }
                for file in FILES {
                    std::fs::write(dir.path().join(file), &good).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_newer_of_two_copies_counts() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        let mut positions = Positions::read(Arc::clone(&disk)).unwrap();
        positions.keep(kept(3)).unwrap();
        let old = std::fs::read(dir.path().join(FILE)).unwrap();
        positions.keep(kept(4)).unwrap();
        for file in FILES {
            let new = std::fs::read(dir.path().join(file)).unwrap();
            std::fs::write(dir.path().join(file), &old).unwrap();
            assert_eq!(*Positions::read(Arc::clone(&disk)).unwrap().kept(), kept(4));
            std::fs::write(dir.path().join(file), &new).unwrap();
        }
    }
}
