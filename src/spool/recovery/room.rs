//! Room on a full disk: what was kept for later goes for what is needed now.

use std::io;

use crate::spool::disk::{Disk, is_no_space};
use crate::spool::housekeeper::SPARES_MAX;
use crate::spool::segment::{number_in, spare_name};
use crate::spool::shared::Shared;

/// Does something that needs space; where there is none, once more without spare segments. The manifest's reserve stays: it
/// is what the manifest goes on with.
pub(super) fn with_room<T>(disk: &dyn Disk, mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match work() {
        Err(error) if is_no_space(&error) => {
            let spares = spares(disk)?;
            if spares.is_empty() {
                return Err(error);
            }
            tracing::warn!("the disk is full: released segments that were kept for later are removed");
            for (number, _) in spares {
                disk.remove(&spare_name(number))?;
            }
            work()
        }
        done => done,
    }
}

/// The released segments that can be used again. Others are removed: those of another length would lie there for ever.
pub(super) fn usable_spares(shared: &Shared) -> io::Result<Vec<(u64, u64)>> {
    let is_of_use = |(_, len): &(u64, u64)| *len == shared.segment_bytes;
    let (mut usable, mut other): (Vec<_>, Vec<_>) = spares(&*shared.disk)?.into_iter().partition(is_of_use);
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
