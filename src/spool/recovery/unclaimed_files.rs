//! Files that a crash left.

use std::io;

use crate::disk::{Disk, is_no_handle};
use crate::log::{Go, Read, Seal};
use crate::spool::format::segment::{index_name, number_in};
use crate::spool::manifest::state::State;
use crate::spool::reading::reader::{self};
use crate::spool::shared::Shared;

/// Removes unfinished files. No note refers to them.
pub(super) fn remove_unfinished(disk: &dyn Disk) -> io::Result<()> {
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

/// Moves parked files that no note claims to quarantine if a lost note may have claimed them: all of them if
/// notes are damaged, otherwise those of unknown seals. This must be durable before the next manifest, which
/// no longer shows the damage.
pub(super) fn quarantine_unclaimed(disk: &dyn Disk, state: &State, manifest_damaged: bool) -> io::Result<()> {
    let mut moved = false;
    for (name, number) in unclaimed_parked(disk, state)? {
        if manifest_damaged || number.is_some_and(|number| number >= state.calls.next_seal) {
            quarantine(disk, &name, "no readable note refers to it")?;
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
    tracing::error!(file = name, why, "a parked file is moved to quarantine");
    disk.rename(&format!("parked/{name}"), &format!("quarantine/parked-{name}"))
}

/// Removes parked files that a crash left without a note, if the segments hold all their frames. Otherwise
/// the file may be the only copy, and goes to quarantine.
pub(super) fn clean_up_parked(shared: &Shared) -> io::Result<()> {
    let state = shared.state().clone();
    for (name, number) in unclaimed_parked(&*shared.disk, &state)? {
        let Some(pending) = number.and_then(|number| state.calls.seals.get(&number)) else { continue };
        if has_all_frames(shared, &pending.seal)? {
            shared.disk.remove(&format!("parked/{name}"))?;
        } else {
            quarantine(&*shared.disk, &name, "the segments do not contain all sealed frames")?;
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

/// Removes files that `state` does not need. `state` must be durable: if the last sync of the previous
/// manifest failed, its last notes may be lost in the next crash, and the files that these notes released are
/// then needed again.
pub(super) fn remove_unneeded(disk: &dyn Disk, state: &State) -> io::Result<()> {
    for (name, number) in unclaimed_parked(disk, state)? {
        // Its seal is known and no longer pending, so it was committed.
        if number.is_none_or(|number| !state.calls.seals.contains_key(&number)) {
            disk.remove(&format!("parked/{name}"))?;
        }
    }
    for (name, _) in disk.list("")? {
        // The manifest does not name this segment: it was released, replaced, or never used.
        if let Some(number) =
            number_in(&name, "wal-", ".seg").filter(|number| !state.files.segments.contains(number))
        {
            disk.remove(&name)?;
            disk.remove(&index_name(number))?;
        }
        if number_in(&name, "wal-", ".idx").is_some_and(|number| !state.files.segments.contains(&number)) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// Parked files that no note claims, each with the number of its seal.
fn unclaimed_parked(disk: &dyn Disk, state: &State) -> io::Result<Vec<(String, Option<u64>)>> {
    let noted = |number: u64| state.calls.seals.get(&number).is_some_and(|pending| pending.parked.is_some());
    let number = |name: &str| name.strip_suffix(".gz").and_then(|number| number.parse::<u64>().ok());
    let files = disk.list("parked")?.into_iter().map(|(name, _)| (number(&name), name));
    let unnoted = files.filter(|(number, _)| !number.is_some_and(noted));
    Ok(unnoted.map(|(number, name)| (name, number)).collect())
}
