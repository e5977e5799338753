//! What a crash left behind.

use std::io;

use crate::spool::disk::{Disk, is_no_handle};
use crate::spool::note::Seal;
use crate::spool::reader::{self, Go, Read};
use crate::spool::segment::{index_name, number_in};
use crate::spool::shared::Shared;
use crate::spool::state::State;

/// Removes what was in the making. No note speaks of it.
pub(super) fn clear(disk: &dyn Disk) -> io::Result<()> {
    for (name, _) in disk.list("staging")? {
        disk.remove(&format!("staging/{name}"))?;
    }
    for (name, _) in disk.list("")? {
        if name.ends_with(".tmp") {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// Sets aside parked files that only notes that cannot be read may have spoken of: all that no note speaks of, where notes
/// are damaged, and always those of seals that nobody knows of. It is durable before the next manifest is, which tells
/// nothing of the damage.
pub(super) fn set_aside(disk: &dyn Disk, state: &State, manifest_damaged: bool) -> io::Result<()> {
    let mut moved = false;
    for (name, number) in parked_without_note(disk, state)? {
        if manifest_damaged || number.is_some_and(|number| number >= state.next_seal) {
            quarantine(disk, &name, "no note that can be read speaks of it")?;
            moved = true;
        }
    }
    if moved {
        disk.sync_dir("quarantine")?;
        disk.sync_dir("parked")?;
    }
    Ok(())
}

fn quarantine(disk: &dyn Disk, name: &str, why: &str) -> io::Result<()> {
    tracing::error!(file = name, why, "the file of a parked object is kept in quarantine");
    disk.rename(&format!("parked/{name}"), &format!("quarantine/parked-{name}"))
}

/// Removes files of parked objects that a crash left without their note: their frames are in the segments. A file whose
/// frames are not all there may be all that is left, and goes to quarantine.
pub(super) fn tidy_parked(shared: &Shared) -> io::Result<()> {
    let state = shared.state().clone();
    for (name, number) in parked_without_note(&*shared.disk, &state)? {
        let Some(pending) = number.and_then(|number| state.seals.get(&number)) else { continue };
        if has_all_frames(shared, &pending.seal)? {
            shared.disk.remove(&format!("parked/{name}"))?;
        } else {
            quarantine(&*shared.disk, &name, "the segments do not hold all that was sealed")?;
        }
    }
    Ok(())
}

fn has_all_frames(shared: &Shared, seal: &Seal) -> io::Result<bool> {
    let mut frames = 0;
    let read =
        reader::read(shared, &seal.batch, seal.first.saturating_sub(1), seal.last, &mut |read| match read {
            Read::Frame(_) => {
                frames += 1;
                Ok(Go::On)
            }
            Read::Lost(_) => Ok(Go::Stop),
        });
    match read {
        Ok(()) => Ok(frames == seal.frames),
        Err(error) if is_no_handle(&error) => Err(error),
        Err(error) => {
            tracing::error!(%error, seal = seal.number, "the frames of a sealed object cannot be read");
            Ok(false)
        }
    }
}

/// Removes what `state` no longer needs. It must be durable: what is read of a manifest whose last sync failed may be gone
/// after the next crash, and what it let go of is needed then.
pub(super) fn tidy(disk: &dyn Disk, state: &State) -> io::Result<()> {
    for (name, number) in parked_without_note(disk, state)? {
        // It was committed: its seal was known, and waits no more.
        if number.is_none_or(|number| !state.seals.contains_key(&number)) {
            disk.remove(&format!("parked/{name}"))?;
        }
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

/// Files of parked objects that no note speaks of, with the number of their seal.
fn parked_without_note(disk: &dyn Disk, state: &State) -> io::Result<Vec<(String, Option<u64>)>> {
    let noted = |number: u64| state.seals.get(&number).is_some_and(|pending| pending.parked.is_some());
    let number = |name: &str| name.strip_suffix(".gz").and_then(|number| number.parse::<u64>().ok());
    let files = disk.list("parked")?.into_iter().map(|(name, _)| (number(&name), name));
    let unnoted = files.filter(|(number, _)| !number.is_some_and(noted));
    Ok(unnoted.map(|(number, name)| (name, number)).collect())
}
