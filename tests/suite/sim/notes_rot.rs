//! Manifest notes that rot while sound ones follow: other notes repeat their contents, or the work is done
//! again.

use std::io::Write as _;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use forebay::disk::Disk as _;
use forebay::log::{Amend, Parked, Range, Seal};
use forebay::spool::format::{number_in, parked_name, segment_name};
use forebay::spool::{SpoolOptions, Stepped};
use forebay::time::{DAY_MS, UnixMillis};

use super::found::{
    NOON, append, append_at, damage, damage_first_block, fill_segment, fill_segment_at, lost, open, options,
    read, seal_at, seal_lines, seal_with, try_open, try_open_at,
};
use crate::support::sim_disk::{Dice, SimDisk, Trouble};

/// Damages the newest manifest after `needle`. A sound note follows.
fn rot_note(disk: &SimDisk, needle: &str) {
    damage(disk, &manifest(disk), needle);
}

fn manifest(disk: &SimDisk) -> String {
    let files = disk.list("").unwrap().into_iter().map(|(name, _)| name);
    files.filter(|name| number_in(name, "MANIFEST-", "").is_some()).max().unwrap()
}

/// Lines as an object, and their hash.
fn object(lines: &[u8]) -> (Vec<u8>, String) {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines).unwrap();
    let hash = Sha256::digest(lines).iter().map(|byte| format!("{byte:02x}")).collect();
    (gzip.finish().unwrap(), hash)
}

/// A killed spool whose first line is in a parked object, and no longer in any segment.
fn parked() -> (SimDisk, Seal) {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let (bytes, hash) = object(b"1\n");
    let sealed = seal_with(&spool, "web", 1, &hash);
    let parked = Parked { len: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
    assert!(spool.log().make_room(&sealed, &mut bytes.as_slice(), parked).unwrap());
    spool.log().note_clock(NOON, NOON).unwrap();
    (disk, sealed)
}

#[test]
fn a_parked_object_stays_pending_if_the_note_of_its_seal_rots() {
    let (disk, sealed) = parked();
    rot_note(&disk, "{\"sealed\"");
    let (spool, recovered) = open(&disk);
    assert!(recovered.manifest_damaged);
    let pending = spool.log().pending_seal(sealed.number).unwrap();
    assert!(pending.seal == sealed && pending.parked.is_some(), "{pending:?}");
    disk.open(&parked_name(sealed.number)).unwrap();
    assert!(spool.log().open_batches().is_empty());
}

#[test]
fn a_parked_file_without_a_note_is_identified_by_its_contents() {
    let (disk, sealed) = parked();
    let file = parked_name(sealed.number);
    rot_note(&disk, "{\"parked\"");
    let other = disk.copy();
    other.rewrite(&file, |bytes| bytes[12] ^= 1);
    let (spool, _) = open(&disk);
    let pending = spool.log().pending_seal(sealed.number).unwrap();
    assert_eq!(pending.parked.map(|parked| parked.len), Some(disk.open(&file).unwrap().len().unwrap()));
    spool.log().commit(&sealed, None).unwrap();
    assert_eq!(disk.list("parked").unwrap(), []);
    // A file with other contents goes to quarantine.
    let (spool, _) = open(&other);
    assert_eq!(spool.log().pending_seal(sealed.number).unwrap().parked, None);
    assert_eq!((other.list("parked").unwrap().len(), other.list("quarantine").unwrap().len()), (0, 1));
}

#[test]
fn an_object_whose_commit_rotted_becomes_pending_again_without_its_file() {
    let (disk, sealed) = parked();
    let (spool, _) = open(&disk);
    spool.log().commit(&sealed, None).unwrap();
    spool.log().note_clock(NOON, NOON).unwrap();
    drop(spool);
    rot_note(&disk, "{\"committed\"");
    let (spool, _) = open(&disk);
    // The spool does not wait for a file that will never come back.
    let pending = spool.log().pending_seal(sealed.number).unwrap();
    assert_eq!((pending.seal, pending.parked), (sealed, None));
}

#[test]
fn committed_frames_are_not_delivered_again_if_the_note_of_their_seal_rots() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    let sealed = seal_with(&spool, "web", 1, "sha");
    spool.log().commit(&sealed, None).unwrap();
    spool.log().note_clock(NOON, NOON).unwrap();
    drop(spool);
    rot_note(&disk, "{\"sealed\"");
    let (spool, recovered) = open(&disk);
    assert!(recovered.manifest_damaged && spool.log().pending_seals().is_empty());
    let open_batch = &spool.log().open_batches()[0];
    assert_eq!((open_batch.sealed_through, open_batch.frames), (1, 1));
    let next = seal_with(&spool, "web", 2, "sha");
    assert_eq!((next.number, next.previous_last), (sealed.number + 1, Some(1)));
}

#[test]
fn a_loss_at_the_first_position_is_named_even_if_notes_rotted() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    fill_segment(&mut spool);
    drop(spool);
    damage_first_block(&disk, 0);
    disk.remove("wal-00000000000000000000.idx").unwrap();
    rot_note(&disk, "{\"segment\"");
    let (spool, recovered) = open(&disk);
    assert!(recovered.manifest_damaged);
    assert_eq!((recovered.lost, read(&spool, "web").0), (lost(1, 1), vec!["2".to_owned()]));
    drop(spool);
    assert_eq!(open(&disk).1.lost, []);
}

/// Seals all lines of a source and parks the object.
fn park_all(spool: &Stepped, source: &str, range: Range) -> (Seal, Vec<u8>) {
    let lines = read(spool, source).0;
    let (bytes, hash) = object((lines.join("\n") + "\n").as_bytes());
    let sealed = seal_lines(spool, source, range, lines.len() as u64, &hash);
    let parked = Parked { len: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
    assert!(spool.log().make_room(&sealed, &mut bytes.as_slice(), parked).unwrap());
    (sealed, bytes)
}

/// A killed spool with two parked objects whose segments are released, and the parked files.
fn two_parked() -> (SimDisk, [(Seal, Vec<u8>); 2]) {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    fill_segment(&mut spool);
    append(&mut spool, "web", "2");
    let batches = spool.log().open_batches();
    let last = batches.iter().map(|batch| batch.last).max().unwrap();
    let web = park_all(&spool, "web", Range { first: 1, last });
    let other = park_all(&spool, "other", Range { first: 2, last: last - 1 });
    let before = disk.list("").unwrap();
    spool.keep().unwrap();
    assert_ne!(disk.list("").unwrap(), before, "a segment is released");
    (disk, [web, other])
}

/// Damages the end of the manifest, with zeros or by cutting it off: from its last seal on, or from just
/// after it.
fn rot_end(disk: &SimDisk, with_seal: bool, gone: bool) {
    disk.rewrite(&manifest(disk), |bytes| {
        let note = memchr::memmem::rfind(bytes, b"{\"sealed\":{").unwrap() - 8;
        let len = u32::from_le_bytes(bytes[note..note + 4].try_into().unwrap());
        let from = if with_seal { note } else { note + 8 + usize::try_from(len).unwrap() };
        assert!(bytes[from + 1..].windows(10).any(|at| at == b"\"released\""));
        if gone { bytes.truncate(from) } else { bytes[from..].fill(0) }
    });
}

fn content(disk: &SimDisk, name: &str) -> Vec<u8> {
    forebay::disk::read_all(&*disk.open(name).unwrap()).unwrap()
}

/// Found by an attack that zeroed a block: the parked file was removed, and its calls were lost.
#[test]
fn a_parked_object_survives_the_loss_of_all_notes_after_its_seal() {
    for gone in [false, true] {
        let (disk, objects) = two_parked();
        rot_end(&disk, false, gone);
        let stop = SpoolOptions { stop_on_corruption: true, ..options() };
        // If the notes are cut off, nothing shows damage, and nothing is lost.
        assert_eq!(try_open(&disk.copy(), stop).is_err(), !gone);
        let (spool, recovered) = open(&disk);
        assert_eq!((recovered.manifest_damaged, &recovered.lost), (!gone, &vec![]), "{recovered:?}");
        assert_eq!(disk.list("quarantine").unwrap(), []);
        spool.close().unwrap();
        let (spool, recovered) = open(&disk);
        assert_eq!((recovered.manifest_damaged, &recovered.lost), (false, &vec![]), "{recovered:?}");
        assert!(spool.log().open_batches().is_empty() && spool.log().ledger_differences().is_empty());
        for (sealed, bytes) in &objects {
            let pending = spool.log().pending_seal(sealed.number).unwrap();
            assert_eq!(
                (&pending.seal, pending.parked.map(|parked| parked.len)),
                (sealed, Some(bytes.len() as u64))
            );
            assert_eq!(content(&disk, &parked_name(sealed.number)), *bytes);
            spool.log().commit(sealed, None).unwrap();
        }
        assert_eq!((disk.list("parked").unwrap(), spool.log().ledger_differences()), (vec![], vec![]));
    }
}

#[test]
fn a_parked_file_of_an_unknown_seal_goes_to_quarantine_and_its_positions_are_named() {
    for gone in [false, true] {
        let (disk, [(web, _), (other, bytes)]) = two_parked();
        rot_end(&disk, true, gone);
        let (spool, recovered) = open(&disk);
        assert_eq!(recovered.manifest_damaged, !gone);
        assert!(recovered.lost[0].first <= 2 && recovered.lost[0].last > 2, "{recovered:?}");
        assert!(spool.log().pending_seal(web.number).unwrap().parked.is_some());
        assert_eq!(spool.log().ledger_differences(), []);
        spool.close().unwrap();
        assert_eq!(open(&disk).1.lost, []);
        let kept = format!("quarantine/{}", parked_name(other.number).replace('/', "-"));
        assert_eq!((content(&disk, &kept), disk.list("parked").unwrap().len()), (bytes, 1));
    }
}

#[test]
fn an_unclaimed_parked_file_goes_to_quarantine_unless_the_segments_have_all_its_frames() {
    let (disk, sealed) = parked();
    let file = parked_name(sealed.number);
    disk.rewrite(&manifest(&disk), |bytes| {
        let note = memchr::memmem::find(bytes, b"{\"parked\"").unwrap() - 8;
        bytes.truncate(note);
    });
    let readable = disk.copy();
    drop(open(&readable));
    assert_eq!((readable.list("parked").unwrap(), readable.list("quarantine").unwrap()), (vec![], vec![]));
    disk.rewrite(&file, |bytes| bytes[12] ^= 1);
    damage_first_block(&disk, 0);
    let (spool, _) = open(&disk);
    assert_eq!(spool.log().pending_seal(sealed.number).unwrap().parked, None);
    let kept = disk.list("quarantine").unwrap();
    assert!(disk.list("parked").unwrap().is_empty() && kept.iter().any(|(name, _)| name.contains("parked-")));
}

/// A tally's note rots, and the start that finds it is interrupted at each change of the disk. The next start
/// finds a readable manifest.
#[test]
fn an_interrupted_start_after_a_rotted_tally_leaves_the_next_what_it_needs() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    fill_segment(&mut spool);
    fill_segment(&mut spool);
    drop(spool);
    rot_note(&disk, "\"rows\":[[\"other\"");
    for after in 1.. {
        let disk = disk.copy();
        disk.trouble(after, Trouble::Crash);
        let whole = try_open(&disk, options()).is_ok();
        disk.crash(&mut Dice(after));
        let (spool, _) = open(&disk);
        assert_eq!(spool.log().ledger_differences(), [], "cut short at change {after}");
        if whole {
            assert!(after > 10, "{after}");
            return;
        }
    }
}

/// The note of a put rots, and the next object of its batch is put first: the frames of the first object must
/// stay.
#[test]
fn frames_to_put_again_are_kept_although_the_next_object_was_put() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let first = seal_with(&spool, "web", 1, "sha");
    spool.log().commit(&first, None).unwrap();
    append(&mut spool, "web", "2");
    let second = seal_with(&spool, "web", 2, "sha");
    drop(spool);
    rot_note(&disk, "{\"committed\"");
    let (mut spool, _) = open(&disk);
    assert_eq!(spool.log().pending_seals().len(), 2);
    spool.log().commit(&second, None).unwrap();
    fill_segment(&mut spool);
    spool.keep().unwrap();
    assert_eq!(read(&spool, "web").0.first().map(String::as_str), Some("1"));
    drop(spool);
    let (spool, _) = open(&disk);
    assert_eq!(read(&spool, "web").0.first().map(String::as_str), Some("1"));
    spool.log().commit(&first, None).unwrap();
    assert_eq!(spool.log().pending_seals(), []);
    assert_eq!(read(&spool, "web"), (vec![], vec![]));
}

#[test]
fn a_parked_note_restores_an_amendment_whose_note_rotted() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    let sealed = seal_lines(&spool, "web", Range { first: 1, last: 2 }, 2, "sha");
    let (bytes, sha256) = object(b"1\n");
    let amend = Amend { frames: 1, bytes: 2, sha256, lost: lost(2, 2), hours: Vec::new() };
    spool.log().amend(&sealed, amend.clone()).unwrap();
    let parked = Parked { len: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
    assert!(spool.log().make_room(&sealed, &mut bytes.as_slice(), parked).unwrap());
    drop(spool);
    rot_note(&disk, "{\"amended\":{\"number\"");
    let (spool, _) = open(&disk);
    let pending = spool.log().pending_seal(sealed.number).unwrap();
    assert_eq!((pending.amended, pending.parked), (Some(amend), Some(parked)));
}

/// If a tally's note rotted, only the frames show in which hour each call was received. This must hold for
/// later starts, too.
#[test]
fn the_ledger_balances_by_hour_two_starts_after_a_rotted_tally() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    let later = NOON.plus(Duration::from_secs(3_600));
    append(&mut spool, "web", "1");
    append_at(&mut spool, "web", "2", later);
    fill_segment(&mut spool);
    fill_segment(&mut spool);
    drop(spool);
    rot_note(&disk, "\"rows\":[[\"other\"");
    drop(open(&disk));
    let (spool, _) = open(&disk);
    for (position, at) in [(1, NOON), (2, later)] {
        let sealed = seal_at(&spool, "web", position, at);
        assert_eq!(spool.log().ledger_differences(), []);
        spool.log().commit(&sealed, None).unwrap();
        assert_eq!(spool.log().ledger_differences(), []);
    }
}

#[test]
fn a_segment_is_kept_although_its_header_and_its_note_rotted() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    spool.log().note_clock(NOON, NOON).unwrap();
    drop(spool);
    rot_note(&disk, "{\"segment\"");
    disk.flip(&segment_name(0), 35, 3);
    let (spool, recovered) = open(&disk);
    assert_eq!((read(&spool, "web"), recovered.lost), ((vec!["1".to_owned()], vec![]), vec![]));
}

/// A batch is lost completely, and sound frames of other batches lie between its frames.
#[test]
fn no_position_of_another_batch_is_named_if_a_whole_object_is_lost() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    for (source, line) in [("web", "first"), ("other", "2"), ("web", "third"), ("other", "4")] {
        append(&mut spool, source, line);
    }
    let sealed = seal_lines(&spool, "web", Range { first: 1, last: 3 }, 2, "sha");
    drop(spool);
    damage(&disk, &segment_name(0), "firs");
    damage(&disk, &segment_name(0), "thir");
    let (spool, recovered) = open(&disk);
    let holes = [lost(1, 1), lost(3, 3)].concat();
    assert_eq!((recovered.lost, spool.log().lost_of(&sealed)), (holes.clone(), holes.clone()));
    // Restoring the object removes the losses noted for it, but not those noted for the segment.
    let amend = Amend { frames: 0, bytes: 0, sha256: String::new(), lost: holes.clone(), hours: Vec::new() };
    spool.log().amend(&sealed, amend).unwrap();
    spool.log().restored(&sealed).unwrap();
    assert_eq!(spool.log().lost_of(&sealed), holes);
}

/// A start with `on_corruption = "stop"` names the same positions as one that goes on.
#[test]
fn a_start_does_not_stop_for_frames_that_a_parked_file_still_holds() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "other", "2");
    let (bytes, hash) = object(b"1\n");
    let sealed = seal_with(&spool, "web", 1, &hash);
    drop(spool);
    let file = disk.create(&parked_name(sealed.number)).unwrap();
    file.write_at(&[std::io::IoSlice::new(&bytes)], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir("parked").unwrap();
    damage_first_block(&disk, 0);
    let stop = SpoolOptions { stop_on_corruption: true, ..options() };
    let (spool, recovered) = try_open(&disk, stop).unwrap();
    assert_eq!(recovered.lost, []);
    assert!(spool.log().pending_seal(sealed.number).unwrap().parked.is_some());
}

/// The object was put without the lost line, and counted so, although the note of the loss rotted.
#[test]
fn the_ledger_counts_the_remaining_lines_although_the_note_of_the_loss_rotted() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    let sealed = seal_lines(&spool, "web", Range { first: 1, last: 2 }, 2, "sha");
    let amend = Amend { frames: 1, bytes: 2, sha256: "left".to_owned(), lost: lost(2, 2), hours: Vec::new() };
    spool.log().amend(&sealed, amend).unwrap();
    spool.log().commit(&sealed, None).unwrap();
    let (before, _) = spool.log().ledger_summary();
    drop(spool);
    rot_note(&disk, "{\"amended\":{\"number\"");
    let (spool, _) = open(&disk);
    assert_eq!((spool.log().ledger_summary().0, spool.log().ledger_differences()), (before, vec![]));
}

/// The clock went back to before days whose frames are all in the store: only the manifest knows these days.
#[test]
fn the_ledger_balances_after_a_rotted_tally_of_days_later_than_the_clock() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    fill_segment(&mut spool);
    let last = spool.log().open_batches().iter().map(|batch| batch.last).max().unwrap();
    let (web, _) = park_all(&spool, "web", Range { first: 1, last: 1 });
    let (other, _) = park_all(&spool, "other", Range { first: 2, last });
    for sealed in [web, other] {
        spool.log().commit(&sealed, None).unwrap();
    }
    let earlier = UnixMillis(NOON.0 - 3 * DAY_MS);
    append_at(&mut spool, "web", "2", earlier);
    fill_segment_at(&mut spool, earlier);
    spool.keep().unwrap();
    drop(spool);
    rot_note(&disk, "\"rows\":[[\"other\"");
    let (spool, recovered) = try_open_at(&disk, options(), earlier).unwrap();
    assert!(recovered.manifest_damaged);
    assert_eq!(spool.log().ledger_differences(), []);
}
