//! What a crash left behind.

use std::io;

use crate::spool::disk::Disk;
use crate::spool::note::State;
use crate::spool::segment::{index_name, number_in};

/// Removes what a crash left behind and nothing needs.
pub(super) fn tidy(disk: &dyn Disk, state: &State, manifest_damaged: bool) -> io::Result<()> {
    for (name, _) in disk.list("staging")? {
        disk.remove(&format!("staging/{name}"))?;
    }
    for (name, _) in disk.list("parked")? {
        let known = name.strip_suffix(".gz").and_then(|number| number.parse::<u64>().ok());
        let parked = format!("parked/{name}");
        let pending = known.and_then(|number| state.seals.get(&number));
        match pending.is_some_and(|pending| pending.parked.is_some() || manifest_damaged) {
            true => {}
            // The note of it may be among those that cannot be read.
            false if manifest_damaged => disk.rename(&parked, &format!("quarantine/parked-{name}"))?,
            false => disk.remove(&parked)?,
        }
    }
    for (name, _) in disk.list("")? {
        if name.ends_with(".tmp") {
            disk.remove(&name)?;
        }
        // A segment that the manifest does not name was released, replaced, or never used.
        if let Some(number) =
            number_in(&name, "wal-", ".seg").filter(|number| !state.segments.contains(number))
        {
            disk.remove(&name)?;
            disk.remove(&index_name(number))?;
        }
        if number_in(&name, "wal-", ".idx").is_some_and(|number| !state.segments.contains(&number)) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}
