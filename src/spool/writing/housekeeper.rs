//! The spool's work besides appends: makes the next segment before it is needed, indexes closed segments,
//! reuses released ones and keeps the manifest short. One thread runs [`Housekeeper::pass`] whenever it is
//! woken; a simulation calls it directly.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::batch::BatchKey;
use crate::disk::{self, Disk, DiskFile};
use crate::log::notes::{CallNote, ROWS_MAX};
use crate::log::{FULL_PERCENT, Hour, Range, Stopped};
use crate::planted_bugs::{PlantedBug, PlantedPanic, panic_if_planted, planted};
use crate::spool::format::key_run::run_name;
use crate::spool::format::runs::{Run, Runs, Stretch};
use crate::spool::format::seen_file::{self, Fingerprints, SeenHalf};
use crate::spool::format::segment::{encode_header, index_name, seen_name, segment_name, spare_name};
use crate::spool::format::segment_index;
use crate::spool::manifest::FileNote;
use crate::spool::options::Holds;
use crate::spool::shared::{PanicGuard, Prepared, Shared, lock};
use crate::time::UnixMillis;

/// Maximum number of released segments kept as spares, if the cap leaves space for them; others are removed.
/// They hold a gigabyte, which is a few seconds of traffic: a busy collector then makes no new segments,
/// whose zeros would be extra writes.
pub const SPARES_MAX: usize = 16;
/// Spares are kept up to this usage, in per cent of the cap.
const SPARES_KEPT_PERCENT: u64 = 50;
/// Spares are removed from this usage on, in per cent of the cap, so that calls get the space.
const SPARES_GO_PERCENT: u64 = 60;
/// How often a full spool begins a new manifest, which may be shorter.
const COMPACT_FULL_EVERY: Duration = Duration::from_secs(30);
/// Pause before a failed segment is retried if there seemed to be enough space.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long the housekeeper sleeps if nothing wakes it. Freed space is noticed after at most this time.
pub(in crate::spool) const PASS_EVERY: Duration = Duration::from_millis(500);
/// Cursors of days that ended longer ago than this are forgotten once their segments are released.
const KEEP_CURSORS: Duration = Duration::from_secs(2 * 86_400);

/// Keeps a spool in order.
#[derive(Debug)]
pub(in crate::spool) struct Housekeeper {
    shared: Arc<Shared>,
    /// Spares, with number and length.
    spares: Vec<(u64, u64)>,
    /// Fingerprint files by segment number, with what they have: of calls that were sent, and of imported
    /// rows.
    seen_files: Vec<(u64, [SeenHalf; 2])>,
    /// When the last new manifest was begun, on the monotonic clock.
    compacted_at: Option<Duration>,
    /// A segment that is made, but whose note found no space.
    unnoted: Option<Prepared>,
    /// When a segment last could not be made although there seemed to be space, on the monotonic clock.
    no_segment_at: Option<Duration>,
    /// The ledger's rows before this hour are folded.
    folded_before: Option<Hour>,
    /// When the spool's files were last looked for, on the monotonic clock.
    found_at: Option<Duration>,
    /// Rows are also folded if there are more than this.
    fold_above: usize,
}

impl Housekeeper {
    pub(in crate::spool) fn new(
        shared: Arc<Shared>,
        spares: Vec<(u64, u64)>,
        seen_files: Vec<(u64, [SeenHalf; 2])>,
    ) -> Self {
        Self {
            shared,
            spares,
            seen_files,
            compacted_at: None,
            unnoted: None,
            no_segment_at: None,
            folded_before: None,
            found_at: None,
            fold_above: ROWS_MAX,
        }
    }

    /// Does all the work that is due. Errors: [`Stopped`] if the spool has stopped.
    pub(in crate::spool) fn pass(&mut self) -> Result<(), Stopped> {
        if self.shared.is_poisoned() {
            return Err(Stopped);
        }
        panic_if_planted(PlantedPanic::Housekeeper);
        self.find_files()?;
        self.update_cap()?;
        self.tally()?;
        self.drop_accounts_of_cache();
        self.close_segments()?;
        self.release_segments()?;
        self.prepare()?;
        self.expire_seen()?;
        self.expire_row_keys()?;
        self.keep_manifest()?;
        self.fold_ledger();
        self.update_full();
        Ok(())
    }

    /// Stops the spool if its directory or one of its segments was removed or replaced by someone else.
    fn find_files(&mut self) -> Result<(), Stopped> {
        let now = self.shared.clock.monotonic();
        if self.found_at.is_some_and(|at| now.saturating_sub(at) < PASS_EVERY) {
            return Ok(());
        }
        self.found_at = Some(now);
        let removed = |what: &str| Err(self.shared.stop_for_removed(what));
        if !self.shared.disk.is_in_place() {
            return removed("the spool's directory");
        }
        let segments: Vec<u64> = lock(&self.shared.index).segments.keys().copied().collect();
        // An error of the file system says nothing about a file.
        let Ok(files) = self.shared.disk.list("") else { return Ok(()) };
        let is_there = |name: &str| files.binary_search_by(|(known, _)| known.as_str().cmp(name)).is_ok();
        match segments.iter().map(|number| segment_name(*number)).find(|name| !is_there(name)) {
            Some(name) => removed(&name),
            None => Ok(()),
        }
    }

    /// Updates the cap by the space left on the disk, and removes spares before calls need their space.
    fn update_cap(&mut self) -> Result<(), Stopped> {
        let has_space = self.has_space_for_segment();
        if self.disk_full() && has_space && !self.is_pausing() {
            self.set_disk_full(false);
        }
        let tight = self.disk_full() || self.shared.usage().reaches(SPARES_GO_PERCENT);
        // For segments that are not made yet, spares are kept.
        let kept = lock(&self.shared.next).missing();
        while tight && self.spares.len() > kept {
            let Some((number, _)) = self.spares.pop() else { break };
            self.shared.remove(&spare_name(number), "remove a spare segment")?;
        }
        Ok(())
    }

    /// Whether a new segment leaves enough space to stage and park the contents of a segment, and to park the
    /// objects that are staged. Without that space a full spool could not be emptied.
    fn has_space_for_segment(&self) -> bool {
        let Shared { capped, staged_in_memory, .. } = &*self.shared;
        let staged = capped.staged() + staged_in_memory.load(Ordering::Acquire) as u64;
        capped.measure() >= self.shared.wanted_for_segment() + staged
    }

    /// Whether a segment could not be made a moment ago although there seemed to be space: a quota, or no
    /// free inode.
    fn is_pausing(&self) -> bool {
        let now = self.shared.clock.monotonic();
        self.no_segment_at.is_some_and(|at| now.saturating_sub(at) < RETRY_AFTER)
    }

    fn disk_full(&self) -> bool {
        self.shared.disk_full.load(Ordering::Acquire)
    }

    fn set_disk_full(&self, full: bool) {
        let before = self.shared.disk_full.swap(full, Ordering::AcqRel);
        if before
            && !full
            && let Some(line) = self.shared.happened("space again")
        {
            tracing::info!(times = line.times, "there is space for a spool segment again");
        }
    }

    /// Notes the ledger's counts of full segments. These segments may be released only after that.
    fn tally(&self) -> Result<(), Stopped> {
        let mut index = lock(&self.shared.index);
        // On a full disk only notes that free space are written.
        let waits =
            self.disk_full() && !index.segments.values().any(|state| state.closed && state.pending == 0);
        let Some(tally) = (!waits).then(|| index.ledger.take_gathered()).flatten() else { return Ok(()) };
        drop(index);
        let through = tally.through;
        self.shared.note_and(vec![CallNote::Tallied(tally)], |_, index| index.ledger.set_tallied(through))
    }

    /// Drops what a cache would keep of each source and day until its end.
    fn drop_accounts_of_cache(&self) {
        if self.shared.options.holds == Holds::Cache {
            let manifest = lock(&self.shared.manifest);
            manifest.state().calls.drop_accounts();
            lock(&self.shared.index).ledger.drop_accounts();
        }
    }

    /// Folds ledger rows of long past hours, once an hour or if there are too many rows.
    fn fold_ledger(&mut self) {
        let before = Hour::of(keep_cursors_from(self.shared.clock.wall()));
        let ledger = &mut lock(&self.shared.index).ledger;
        if self.folded_before != Some(before) || ledger.rows() > self.fold_above {
            ledger.fold(before, ROWS_MAX);
            self.folded_before = Some(before);
            // Rows with something pending cannot be folded, so the limit is raised rather than checking them
            // at each pass.
            self.fold_above = (ledger.rows() + ROWS_MAX / 10).max(ROWS_MAX);
        }
    }

    /// Runs until the spool stops or `stop` is set.
    pub(in crate::spool) fn run(mut self, stop: &std::sync::atomic::AtomicBool) {
        let _guard = PanicGuard(Arc::clone(&self.shared));
        while !stop.load(Ordering::Acquire) && (self.pass().is_ok() || !self.shared.is_poisoned()) {
            self.shared.wait_for_wake(PASS_EVERY);
        }
        if !self.shared.is_poisoned() && self.tally_all().is_err() {
            tracing::debug!("the ledger's last counts are not noted; the next start counts the frames");
        }
    }

    /// Notes the ledger's counts of all segments: once nothing is written any more. Otherwise the next start
    /// would not count a frame of the last segment that rots meanwhile.
    pub(in crate::spool) fn tally_all(&self) -> Result<(), Stopped> {
        {
            let mut index = lock(&self.shared.index);
            let through = index.durable_through;
            if through > index.ledger.tallied_through {
                index.gather(through);
            }
        }
        self.tally()
    }

    /// Makes the next segments that are missing.
    fn prepare(&mut self) -> Result<(), Stopped> {
        let mut missing = lock(&self.shared.next).missing();
        while missing > 0 {
            self.prepare_one()?;
            let still = lock(&self.shared.next).missing();
            if still >= missing {
                break;
            }
            missing = still;
        }
        Ok(())
    }

    /// Makes a segment. A full disk is noticed here first, where no call is at risk.
    fn prepare_one(&mut self) -> Result<(), Stopped> {
        if let Some(made) = self.unnoted.take() {
            return self.note_prepared(made);
        }
        let wanted = self.shared.segment_bytes;
        let has_spare = self.spares.iter().any(|(_, len)| *len >= wanted);
        if self.shared.usage().reaches(FULL_PERCENT) && !has_spare {
            self.shared.set_next(|next| next.no_space = true);
            return Ok(());
        }
        if self.is_pausing() {
            return Ok(());
        }
        let number = self.shared.state().files.next_segment;
        let made = if has_spare || self.has_space_for_segment() {
            let made = self.make_segment(number);
            let failed = made.as_ref().is_err_and(disk::is_no_space);
            self.no_segment_at = failed.then(|| self.shared.clock.monotonic());
            made
        } else {
            Err(io::Error::new(io::ErrorKind::StorageFull, "the space left is reserved for objects"))
        };
        match made {
            Ok((file, len)) => self.note_prepared(Prepared { number, file, len }),
            Err(error) if disk::is_no_space(&error) || disk::is_no_handle(&error) => {
                if disk::is_no_space(&error) {
                    self.shared.disk_full.store(true, Ordering::Release);
                    // A cache fills again and again, and nothing is refused for it.
                    let is_cache = self.shared.options.holds == Holds::Cache;
                    if let Some(line) = self.shared.happened("no segment").filter(|_| !is_cache) {
                        tracing::warn!(
                            %error,
                            times = line.times,
                            "the next spool segment cannot be made: calls are accepted until the current \
                             one is full"
                        );
                    }
                }
                self.shared.set_next(|next| next.no_space = true);
                self.shared.remove(&format!("{}.tmp", segment_name(number)), "remove a spool segment")
            }
            Err(error) => Err(self.shared.stop("make a spool segment", &error)),
        }
    }

    /// Notes a segment that is made, and passes it to the commit loop. If the note finds no space, the
    /// segment is kept for later.
    fn note_prepared(&mut self, made: Prepared) -> Result<(), Stopped> {
        if let Err(stopped) = self.shared.note(vec![FileNote::Segment { number: made.number }]) {
            self.unnoted = Some(made);
            self.shared.set_next(|next| next.no_space = true);
            return Err(stopped);
        }
        self.shared.set_next(|next| {
            next.prepared.push_back(made);
            next.no_space = false;
        });
        self.set_disk_full(false);
        Ok(())
    }

    /// Makes a segment file with header and zeros, synced under its final name. If there is a spare, it is
    /// used: its old bytes carry another salt, so they never look valid.
    fn make_segment(&mut self, number: u64) -> io::Result<(Arc<dyn DiskFile>, u64)> {
        let shared = Arc::clone(&self.shared);
        let (disk, id) = (&*shared.disk, &shared.ident.spool_id);
        let name = segment_name(number);
        let wanted = self.shared.segment_bytes;
        let spare = self.spares.iter().copied().enumerate().find(|(_, (_, len))| *len >= wanted);
        let (from, file, len) = match spare {
            Some((at, (old, len))) => {
                let from = spare_name(old);
                let file = disk.open(&from)?;
                self.spares.swap_remove(at);
                (from, file, len)
            }
            None => {
                let from = format!("{name}.tmp");
                let file = disk.create(&from)?;
                match shared.options.holds {
                    // It is never synced, and pages that nothing is written to need no memory.
                    Holds::Cache => file.allocate(wanted)?,
                    _ => write_synced_zeros(&*file, wanted)?,
                }
                (from, file, wanted)
            }
        };
        file.write_at(&[IoSlice::new(&encode_header(id, number))], 0)?;
        file.sync()?;
        disk.rename(&from, &name).inspect_err(|error| {
            if disk::is_no_space(error)
                && let Some((_, spare)) = spare
            {
                self.spares.push(spare);
            }
        })?;
        if !planted(PlantedBug::NoDirectorySync) {
            disk.sync_dir("")?;
        }
        Ok((file, len))
    }

    /// Writes the index and the fingerprints of full segments.
    fn close_segments(&mut self) -> Result<(), Stopped> {
        // On a full disk, segments that are pinned anyway can wait. Those that are not pinned must be closed,
        // because releasing them frees space.
        let closed: Vec<(u64, bool)> = lock(&self.shared.index)
            .segments
            .iter()
            .filter(|(_, state)| {
                state.closed && !state.seen_kept && (!self.disk_full() || state.pending == 0)
            })
            .map(|(number, state)| (*number, state.pending > 0))
            .collect();
        if !closed.is_empty() && !self.keep_row_keys()? {
            return Ok(());
        }
        for (number, pinned) in closed {
            write_index(&self.shared, number);
            match keep_fingerprints(&self.shared, number) {
                Ok(Some(halves)) => self.seen_files.push((number, halves)),
                Ok(None) => {}
                Err(error) => {
                    // Fingerprints are a cache, so a failure to keep them is no reason to stop.
                    self.shared.remove(&disk::temporary_name(&seen_name(number)), "remove fingerprints")?;
                    // A pinned segment frees no space yet, so it can wait. File handles become free before
                    // space runs short.
                    if pinned || disk::is_no_handle(&error) {
                        if disk::is_no_space(&error) {
                            self.shared.disk_full.store(true, Ordering::Release);
                        }
                        continue;
                    }
                    // They are still in memory. Only a restart forgets them, and repeats may then be stored.
                    if let Some(line) = self.shared.happened("fingerprints") {
                        tracing::warn!(
                            %error,
                            segment = number,
                            times = line.times,
                            "a segment's fingerprints could not be written: after a restart, repeats of its \
                             calls may be stored"
                        );
                    }
                }
            }
            if let Some(state) = lock(&self.shared.index).segments.get_mut(&number) {
                state.seen_kept = true;
            }
        }
        Ok(())
    }

    /// Writes the keys of all rows in full segments to a run. Returns whether it is written. If not, the
    /// segments stay, because a row that repeats one of theirs would be stored: the keys take a small part of
    /// what a full segment leaves free, so only other programs can have filled the disk.
    fn keep_row_keys(&self) -> Result<bool, Stopped> {
        let through = lock(&self.shared.index).durable_through;
        match self.shared.row_keys.write_newest() {
            Ok(None) => Ok(true),
            Ok(Some(run)) => {
                let used = self.shared.use_key_run(run, through);
                if used.is_err() {
                    self.shared.row_keys.put_back();
                    return if self.shared.is_poisoned() { Err(Stopped) } else { Ok(false) };
                }
                self.shared.show_row_keys();
                Ok(true)
            }
            Err(error) => {
                if disk::is_no_space(&error) {
                    self.shared.disk_full.store(true, Ordering::Release);
                }
                if let Some(line) = self.shared.happened("row keys") {
                    tracing::error!(
                        %error,
                        times = line.times,
                        "the insert_ids of imported rows cannot be written, so full segments cannot be released: free \
                         some space on the disk"
                    );
                }
                Ok(false)
            }
        }
    }

    /// Removes runs of keys that no window covers any more.
    fn expire_row_keys(&self) -> Result<(), Stopped> {
        let removed = self.shared.row_keys.expired(self.shared.clock.wall());
        if removed.is_empty() || self.disk_full() {
            return Ok(());
        }
        self.shared.note(vec![FileNote::KeyRuns { added: None, removed: removed.clone(), through: 0 }])?;
        self.shared.row_keys.forget(&removed);
        for number in removed {
            self.shared.remove(&run_name(number), "remove old insert_ids")?;
        }
        self.shared.show_row_keys();
        Ok(())
    }

    /// Releases segments that nothing pins: first in the manifest, then the files.
    fn release_segments(&mut self) -> Result<(), Stopped> {
        let index = lock(&self.shared.index);
        let released: Vec<_> = index
            .releasable()
            .into_iter()
            .filter_map(|number| index.segments.get(&number).map(|state| (number, state.clone())))
            .filter(|(_, state)| state.last <= index.ledger.tallied_through)
            .collect();
        drop(index);
        if released.is_empty() {
            return Ok(());
        }
        let note = |number: u64, first: u64, last: u64| FileNote::Released {
            number,
            positions: (first > 0).then_some(Range { first, last }),
        };
        self.shared
            .note(released.iter().map(|(number, state)| note(*number, state.first, state.last)).collect())?;
        for (number, state) in released {
            let removed = self.remove_segment(number, state.len, state.damaged);
            removed.map_err(|error| self.shared.stop("remove a spool segment", &error))?;
            lock(&self.shared.index).segments.remove(&number);
        }
        self.shared.disk.sync_dir("").map_err(|error| self.shared.stop("sync the spool directory", &error))
    }

    /// Removes a released segment, or keeps it as a spare. A damaged one goes to quarantine.
    fn remove_segment(&mut self, number: u64, len: u64, damaged: bool) -> io::Result<()> {
        let disk = &*self.shared.disk;
        disk.remove(&index_name(number))?;
        let name = segment_name(number);
        if damaged {
            return disk.rename(&name, &format!("quarantine/{name}"));
        }
        let ample = !self.disk_full() && !self.shared.usage().reaches(SPARES_KEPT_PERCENT);
        let needed = self.spares.len() < lock(&self.shared.next).missing();
        let fits = if needed { len >= self.shared.segment_bytes } else { len == self.shared.segment_bytes };
        if self.spares.len() < SPARES_MAX && (ample || needed) && fits {
            if keep_as_spare(disk, number)? {
                self.spares.push((number, len));
            }
            return Ok(());
        }
        disk.remove(&name)
    }

    /// Removes fingerprint files that no window covers any more. Of those that only the window of calls
    /// covers, the imported rows are removed: an import may have any number of them.
    fn expire_seen(&mut self) -> Result<(), Stopped> {
        let now = u64::from(seen_file::seconds(self.shared.clock.wall()));
        let (window, max) =
            (self.shared.options.dedupe_window.as_secs(), self.shared.options.dedupe_max as u64);
        let mut newer = [0, 0];
        let mut expired = Vec::new();
        for (number, halves) in self.seen_files.iter().rev() {
            let is_over = |half: SeenHalf, newer: u64| u64::from(half.newest) + window < now || newer >= max;
            let [sent, imported] = [0, 1].map(|at: usize| match (halves.get(at), newer.get(at)) {
                (Some(half), Some(newer)) => half.count == 0 || is_over(*half, *newer),
                _ => true,
            });
            if imported && (sent || halves.last().is_some_and(|half| half.count > 0)) {
                expired.push((*number, sent));
            }
            newer.iter_mut().zip(halves).for_each(|(newer, half)| *newer += half.count);
        }
        for (number, is_whole) in expired.into_iter().rev() {
            if lock(&self.shared.index).segments.contains_key(&number) {
                continue;
            }
            if is_whole {
                self.shared.remove(&seen_name(number), "remove old fingerprints")?;
                self.seen_files.retain(|(other, _)| *other != number);
            } else if let Err(error) = self.forget_imported(number) {
                // Tried again at the next pass. It costs space alone.
                tracing::debug!(%error, segment = number, "fingerprints of imported rows are not removed");
            }
        }
        Ok(())
    }

    fn forget_imported(&mut self, number: u64) -> io::Result<()> {
        let salt = self.shared.salt(number);
        let Some(entries) = seen_file::read(&*self.shared.disk, salt, number)? else { return Ok(()) };
        Fingerprints::of_sent(&entries).write(&*self.shared.disk, salt, number)?;
        if let Some((_, [_, imported])) = self.seen_files.iter_mut().find(|(other, _)| *other == number) {
            *imported = SeenHalf::default();
        }
        Ok(())
    }

    fn keep_manifest(&mut self) -> Result<(), Stopped> {
        let full = self.shared.usage().reaches(FULL_PERCENT);
        let now = self.shared.clock.monotonic();
        let is_due = self.compacted_at.is_none_or(|at| now.saturating_sub(at) >= COMPACT_FULL_EVERY);
        let mut manifest = lock(&self.shared.manifest);
        if self.shared.is_poisoned() {
            return Err(Stopped);
        }
        if !self.disk_full()
            && let Some(why) = manifest.extend_reserve()
            && let Some(line) = self.shared.happened("reserve")
        {
            tracing::warn!(times = line.times, "{why}");
        }
        // A full spool may be filled by notes about objects that are already delivered.
        let again = is_due && (full || manifest.state_stored_once());
        if !(manifest.is_long(self.shared.options.compact_bytes) || again) {
            return Ok(());
        }
        self.compacted_at = Some(now);
        let (oldest, unread) = (oldest_position(&self.shared), unread_position(&self.shared));
        manifest.state().prune(keep_cursors_from(self.shared.clock.wall()), oldest, unread);
        let compacted = manifest.compact();
        compacted.map_err(|error| self.shared.stop("begin a new manifest", &error))
    }

    /// Updates whether the spool is full.
    fn update_full(&self) {
        let mut usage = self.shared.usage();
        // Staged objects free their space without further action, so no call is refused because of them.
        usage.used = usage.used.saturating_sub(self.shared.capped.staged());
        let was_full = self.shared.full.load(Ordering::Acquire);
        // The configured cap, not the disk's: if the disk is the limit, existing segments can still be
        // filled.
        usage.max = self.shared.capped.max();
        let full = usage.reaches(FULL_PERCENT) || lock(&self.shared.next).block();
        self.shared.full.store(full, Ordering::Release);
        if full != was_full {
            // Delivery raises the alarm on refused calls. It also knows why no space is freed.
            tracing::debug!(full, used = usage.used, max = usage.max, "the spool is full, or no longer full");
        }
    }
}

/// Keeps a released segment as a spare. Returns whether it is kept: xfs may have no space for the new name,
/// and then removing the segment frees space.
pub(in crate::spool) fn keep_as_spare(disk: &dyn Disk, number: u64) -> io::Result<bool> {
    let name = segment_name(number);
    match disk.rename(&name, &spare_name(number)) {
        Err(error) if disk::is_no_space(&error) => disk.remove(&name).map(|()| false),
        renamed => renamed.map(|()| true),
    }
}

/// The first position that some segment still holds; everything before it is released.
pub(in crate::spool) fn oldest_position(shared: &Shared) -> u64 {
    let index = lock(&shared.index);
    index
        .segments
        .values()
        .filter(|state| state.first > 0)
        .map(|state| state.first)
        .min()
        .unwrap_or_else(|| shared.next_position())
}

/// The first position that the second reader has not read, if there is such a reader.
pub(in crate::spool) fn unread_position(shared: &Shared) -> Option<u64> {
    lock(&shared.index).held_after.map(|after| after.saturating_add(1))
}

/// The earliest end of a day whose cursors are kept for the chain of objects.
pub(in crate::spool) fn keep_cursors_from(now: UnixMillis) -> UnixMillis {
    now.minus(KEEP_CURSORS)
}

/// Writes `len` zeros into an empty file and syncs after each piece. Allocating the space is not enough: it would
/// leave journal work to every later sync. A concurrent sync of calls then waits
/// for one piece at most, not for a whole segment. During a start no calls wait for a sync, so one sync at
/// the end is enough.
fn write_synced_zeros(file: &dyn DiskFile, len: u64) -> io::Result<()> {
    let mut at = 0;
    while at < len {
        let piece = (len - at).min(disk::FILL_PIECE);
        disk::write_zeros(file, at, piece)?;
        file.sync()?;
        at += piece;
    }
    Ok(())
}

/// Moves the runs of a closed segment from memory to its index file. If that fails, they stay in memory: the
/// file is only a cache.
pub(in crate::spool) fn write_index(shared: &Shared, number: u64) {
    let index = lock(&shared.index);
    let span = index
        .segments
        .get(&number)
        .map_or_else(Default::default, |state| (state.first, state.last, state.followed_through));
    let mut stretches: Vec<(BatchKey, Stretch, Vec<Run>)> = Vec::new();
    for (key, batch) in &index.batches {
        for stretch in batch.stretches.iter().filter(|stretch| stretch.segment == number) {
            match &stretch.runs {
                Runs::Open(runs) => {
                    stretches.push((
                        key.clone(),
                        Stretch { runs: Runs::Open(Vec::new()), ..stretch.clone() },
                        runs.clone(),
                    ));
                }
                // An earlier process wrote its index.
                Runs::File { .. } => return,
            }
        }
    }
    drop(index);
    let (bytes, places) = segment_index::encode(shared.salt(number), span, &stretches);
    let written =
        shared.disk.create(&index_name(number)).and_then(|file| file.write_at(&[IoSlice::new(&bytes)], 0));
    if let Err(error) = written {
        if let Some(line) = shared.happened("index") {
            tracing::warn!(
                %error,
                segment = number,
                times = line.times,
                "a segment's index cannot be written; it stays in memory"
            );
        }
        return;
    }
    let mut index = lock(&shared.index);
    for ((key, ..), place) in stretches.into_iter().zip(places) {
        let stretch = index
            .batches
            .get_mut(&key)
            .and_then(|batch| batch.stretches.iter_mut().find(|stretch| stretch.segment == number));
        if let Some(stretch) = stretch {
            stretch.runs = place;
        }
    }
}

/// Writes the fingerprints of a closed segment to their file. Returns what it has.
fn keep_fingerprints(shared: &Shared, number: u64) -> io::Result<Option<[SeenHalf; 2]>> {
    if shared.options.dedupe_max == 0 {
        return Ok(None);
    }
    let salt = shared.salt(number);
    let known = lock(&shared.index).segments.get_mut(&number).and_then(|state| state.fingerprints.take());
    let fingerprints = match known {
        Some(known) => known,
        None => Fingerprints::of_segment(&*shared.disk.open(&segment_name(number))?, salt)?,
    };
    let halves = fingerprints.halves();
    if halves == [SeenHalf::default(); 2] {
        return Ok(None);
    }
    fingerprints.write(&*shared.disk, salt, number)?;
    Ok(Some(halves))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Counts bytes that are written and not synced.
    #[derive(Debug, Default)]
    struct Counted {
        len: AtomicU64,
        unsynced: AtomicU64,
        most_unsynced: AtomicU64,
    }

    impl DiskFile for Counted {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
            Ok(0)
        }

        fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
            assert_eq!(at, self.len.load(Ordering::Relaxed), "one piece after the other");
            assert!(parts.iter().all(|part| part.iter().all(|byte| *byte == 0)));
            let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
            self.len.fetch_add(bytes, Ordering::Relaxed);
            let unsynced = self.unsynced.fetch_add(bytes, Ordering::Relaxed) + bytes;
            self.most_unsynced.fetch_max(unsynced, Ordering::Relaxed);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.unsynced.store(0, Ordering::Relaxed);
            Ok(())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(self.len.load(Ordering::Relaxed))
        }
    }

    #[test]
    fn a_new_segment_is_written_and_synced_piece_by_piece() {
        let file = Counted::default();
        let len = 64 * 1_024 * 1_024 + 4_096;
        write_synced_zeros(&file, len).unwrap();
        assert_eq!(file.len().unwrap(), len);
        assert_eq!(file.unsynced.load(Ordering::Relaxed), 0);
        assert_eq!(file.most_unsynced.load(Ordering::Relaxed), 1_024 * 1_024);
    }
}
