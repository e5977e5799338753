//! Notes of the manifest that rot while sound ones stand behind them: what they said is told by others, or done again.

use std::io::Write as _;

use sha2::{Digest as _, Sha256};

use forebay::spool::Disk as _;
use forebay::spool::note::{Parked, Seal};
use forebay::spool::outlet::parked_name;
use forebay::spool::segment::number_in;

use super::found::{NOON, append, damage, damage_first_block, fill_segment, lost, open, read, seal_with};
use crate::support::sim_disk::SimDisk;

/// Damages the newest manifest behind `needle`. A sound note stands behind it.
fn rot_note(disk: &SimDisk, needle: &str) {
    let files = disk.list("").unwrap().into_iter().map(|(name, _)| name);
    damage(disk, &files.filter(|name| number_in(name, "MANIFEST-", "").is_some()).max().unwrap(), needle);
}

/// Lines as an object, and their hash.
fn object(lines: &[u8]) -> (Vec<u8>, String) {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines).unwrap();
    let hash = Sha256::digest(lines).iter().map(|byte| format!("{byte:02x}")).collect();
    (gzip.finish().unwrap(), hash)
}

/// A spool whose first line is in a parked object and in no segment any more, and which was killed.
fn parked() -> (SimDisk, Seal) {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    let (bytes, hash) = object(b"1\n");
    let sealed = seal_with(&spool, "web", 1, &hash);
    let parked = Parked { len: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
    assert!(spool.outlet().park(&sealed, &mut bytes.as_slice(), parked).unwrap());
    spool.outlet().note_clock(NOON, NOON).unwrap();
    (disk, sealed)
}

#[test]
fn a_parked_object_is_delivered_though_the_note_of_its_seal_rotted() {
    let (disk, sealed) = parked();
    rot_note(&disk, "{\"sealed\"");
    let (spool, recovered) = open(&disk);
    assert!(recovered.manifest_damaged);
    let pending = spool.outlet().pending_seal(sealed.number).unwrap();
    assert!(pending.seal == sealed && pending.parked.is_some(), "{pending:?}");
    disk.open(&parked_name(sealed.number)).unwrap();
    assert!(spool.outlet().open_batches().is_empty());
}

#[test]
fn a_parked_object_whose_note_rotted_is_known_by_what_it_holds() {
    let (disk, sealed) = parked();
    let file = parked_name(sealed.number);
    rot_note(&disk, "{\"parked\"");
    let other = disk.copy();
    other.rewrite(&file, |bytes| bytes[12] ^= 1);
    let (spool, _) = open(&disk);
    let pending = spool.outlet().pending_seal(sealed.number).unwrap();
    assert_eq!(pending.parked.map(|parked| parked.len), Some(disk.open(&file).unwrap().len().unwrap()));
    spool.outlet().commit(&sealed, None).unwrap();
    assert_eq!(disk.list("parked").unwrap(), []);
    // What holds something else is set aside.
    let (spool, _) = open(&other);
    assert_eq!(spool.outlet().pending_seal(sealed.number).unwrap().parked, None);
    assert_eq!((other.list("parked").unwrap().len(), other.list("quarantine").unwrap().len()), (0, 1));
}

#[test]
fn a_parked_object_whose_commit_rotted_is_looked_for_in_the_store() {
    let (disk, sealed) = parked();
    let (spool, _) = open(&disk);
    spool.outlet().commit(&sealed, None).unwrap();
    spool.outlet().note_clock(NOON, NOON).unwrap();
    drop(spool);
    rot_note(&disk, "{\"committed\"");
    let (spool, _) = open(&disk);
    // No file is waited for that will never come back.
    let pending = spool.outlet().pending_seal(sealed.number).unwrap();
    assert_eq!((pending.seal, pending.parked), (sealed, None));
}

#[test]
fn what_was_committed_is_not_delivered_again_though_the_note_of_its_seal_rotted() {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    append(&mut spool, "web", "2");
    let sealed = seal_with(&spool, "web", 1, "sha");
    spool.outlet().commit(&sealed, None).unwrap();
    spool.outlet().note_clock(NOON, NOON).unwrap();
    drop(spool);
    rot_note(&disk, "{\"sealed\"");
    let (spool, recovered) = open(&disk);
    assert!(recovered.manifest_damaged && spool.outlet().pending_seals().is_empty());
    let open_batch = &spool.outlet().open_batches()[0];
    assert_eq!((open_batch.sealed_through, open_batch.frames), (1, 1));
    let next = seal_with(&spool, "web", 2, "sha");
    assert_eq!((next.number, next.previous_last), (sealed.number + 1, Some(1)));
}

#[test]
fn a_hole_at_the_edge_is_named_at_once_where_notes_rotted_too() {
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
