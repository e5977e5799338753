//! Spare segments, and how they free space on a full disk.

use std::io;

use crate::disk::{Disk, is_no_space};
use crate::spool::format::segment::{number_in, spare_name};
use crate::spool::shared::Shared;
use crate::spool::writing::housekeeper::SPARES_MAX;

/// Runs `work`, which needs space. If the disk is full, removes the spare segments and retries once. The
/// manifest's reserve stays, because the next manifest needs it.
pub(super) fn retry_without_spares<T>(
    disk: &dyn Disk,
    mut work: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    match work() {
        Err(error) if is_no_space(&error) => {
            let spares = spares(disk)?;
            if spares.is_empty() {
                return Err(error);
            }
            tracing::warn!("the disk is full: spare segments are removed");
            for (number, _) in spares {
                disk.remove(&spare_name(number))?;
            }
            work()
        }
        done => done,
    }
}

/// Spare segments that can be used again. Removes the others: no later step would remove spares of another
/// length.
pub(super) fn usable_spares(shared: &Shared) -> io::Result<Vec<(u64, u64)>> {
    let is_usable = |(_, len): &(u64, u64)| *len == shared.segment_bytes;
    let (mut usable, mut other): (Vec<_>, Vec<_>) = spares(&*shared.disk)?.into_iter().partition(is_usable);
    other.extend(usable.split_off(usable.len().min(SPARES_MAX)));
    for (number, _) in other {
        shared.disk.remove(&spare_name(number))?;
    }
    Ok(usable)
}

fn spares(disk: &dyn Disk) -> io::Result<Vec<(u64, u64)>> {
    let files = disk.list("")?;
    Ok(files.into_iter().filter_map(|(name, len)| Some((number_in(&name, "spare-", "")?, len))).collect())
}
