//! What a crash left behind.

use std::io;

use crate::spool::disk::Disk;
use crate::spool::note::State;
use crate::spool::segment::{index_name, number_in};

/// Removes what was in the making, and sets aside what only a note that cannot be read may have spoken of.
pub(super) fn clear(disk: &dyn Disk, state: &State, manifest_damaged: bool) -> io::Result<()> {
    for (name, _) in disk.list("staging")? {
        disk.remove(&format!("staging/{name}"))?;
    }
    for (name, _) in disk.list("")? {
        if name.ends_with(".tmp") {
            disk.remove(&name)?;
        }
    }
    if manifest_damaged {
        for name in parked_without_note(disk, state)? {
            disk.rename(&format!("parked/{name}"), &format!("quarantine/parked-{name}"))?;
        }
    }
    Ok(())
}

/// Removes what `state` no longer needs. It must be durable: what is read of a manifest whose last sync failed may be gone
/// after the next crash, and what it let go of is needed then.
pub(super) fn tidy(disk: &dyn Disk, state: &State) -> io::Result<()> {
    for name in parked_without_note(disk, state)? {
        disk.remove(&format!("parked/{name}"))?;
    }
    for (name, _) in disk.list("")? {
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

/// Files of parked objects that no note speaks of: the objects are still in the segments, or in the store.
fn parked_without_note(disk: &dyn Disk, state: &State) -> io::Result<Vec<String>> {
    let noted = |name: &str| {
        let number = name.strip_suffix(".gz").and_then(|number| number.parse::<u64>().ok());
        let pending = number.and_then(|number| state.seals.get(&number));
        pending.is_some_and(|pending| pending.parked.is_some())
    };
    let files = disk.list("parked")?.into_iter().map(|(name, _)| name);
    Ok(files.filter(|name| !noted(name)).collect())
}
