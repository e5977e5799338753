//! Notes on a disk without a free byte: whatever was sealed there can be committed.

use std::io::IoSlice;

use forebay::spool::manifest::manifest_name;
use forebay::spool::segment::number_in;
use forebay::spool::{Disk as _, SpoolOptions, disk};

use super::found::{append, options, try_open, try_seal};
use crate::support::sim_disk::{Dice, SimDisk};

/// More objects than the manifest has room for.
const OBJECTS: u64 = 400;

/// Seals objects on a full disk until none can be sealed, and commits them while nothing becomes free. Returns how many,
/// and whether a manifest was begun that had no space for its state twice.
fn seal_and_commit(manifest_bytes: u64) -> (usize, bool) {
    let disk = SimDisk::default();
    let options = || SpoolOptions { manifest_bytes, max_bytes: 16 * 1_024 * 1_024, ..options() };
    let (mut spool, _) = try_open(&disk, options()).unwrap();
    for n in 1..=OBJECTS {
        append(&mut spool, &format!("s{n}"), "x");
    }
    let full = || disk.set_capacity(Some(disk.used()));
    full();
    let mut sealed: Vec<_> =
        (1..=OBJECTS).map_while(|n| try_seal(&spool, &format!("s{n}"), n).ok()).collect();
    assert!(sealed.len() < usize::try_from(OBJECTS).unwrap(), "the manifest never was full");
    assert!(!spool.outlet().is_stopped());
    let count = sealed.len();
    sealed.reverse();
    let mut once = false;
    while let Some(seal) = sealed.pop() {
        full();
        spool
            .outlet()
            .commit(&seal, None)
            .unwrap_or_else(|_| panic!("{} of {count} are left", sealed.len() + 1));
        once |= state_stands_once(&disk);
        // A kill loses none of it.
        let killed = disk.copy();
        let left = |spool: &forebay::spool::Stepped| spool.outlet().pending_numbers();
        assert_eq!(left(&try_open(&killed, options()).unwrap().0), left(&spool));
    }
    (count, once)
}

fn state_stands_once(disk: &SimDisk) -> bool {
    let bytes = disk::read_all(&*disk.open(&manifest_name(newest(disk))).unwrap()).unwrap();
    let len = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize + 8;
    bytes.get(len..2 * len) != bytes.get(..len)
}

#[test]
fn every_object_sealed_on_a_full_disk_can_be_committed() {
    let mut any_once = false;
    for manifest_bytes in [50_000, 65_536, 100_000] {
        let (count, once) = seal_and_commit(manifest_bytes);
        assert!(count > 3, "only {count} objects in {manifest_bytes} bytes");
        any_once |= once;
    }
    assert!(any_once, "each manifest had space for its state twice");
}

/// The number of the manifest in use.
fn newest(disk: &SimDisk) -> u64 {
    let names = disk.list("").unwrap().into_iter().map(|(name, _)| name);
    names.filter_map(|name| number_in(&name, "MANIFEST-", "")).max().unwrap()
}

fn short_manifests() -> SpoolOptions {
    SpoolOptions { manifest_bytes: 32 * 1_024, ..options() }
}

/// A spool whose reserve has the name of an older manifest, and the number of the one in use.
fn with_a_nameless_reserve() -> (SimDisk, u64) {
    let disk = SimDisk::default();
    drop(try_open(&disk, short_manifests()).unwrap());
    drop(try_open(&disk, short_manifests()).unwrap());
    let number = newest(&disk);
    disk.rename("reserve", &manifest_name(number - 1)).unwrap();
    (disk, number)
}

/// Seed 53 of the simulation: the manifest that becomes the reserve is renamed without a sync.
#[test]
fn a_start_without_space_finds_the_reserve_whose_name_a_crash_forgot() {
    let (disk, number) = with_a_nameless_reserve();
    disk.set_capacity(Some(0));
    drop(try_open(&disk, short_manifests()).unwrap());
    assert!(disk.open("reserve").is_ok() && newest(&disk) > number, "{:?}", disk.list(""));
}

/// Seed 1018 of the simulation: without a file handle the older manifest stayed, and a full disk took a part of a new reserve.
#[test]
fn a_start_without_space_takes_the_longer_of_two_reserves() {
    let (disk, number) = with_a_nameless_reserve();
    disk.create("reserve").unwrap().write_at(&[IoSlice::new(&[0xFF; 100])], 0).unwrap();
    disk.set_capacity(Some(0));
    drop(try_open(&disk, short_manifests()).unwrap());
    assert!(disk.open("reserve").is_ok() && newest(&disk) > number, "{:?}", disk.list(""));
}

/// Seed 2849 of the simulation: a file that was made and filled had no durable name.
#[test]
fn a_crash_right_after_the_first_start_leaves_the_reserve() {
    for dice in 0..20 {
        let disk = SimDisk::default();
        let options = || SpoolOptions { manifest_bytes: 32 * 1_024, ..options() };
        drop(try_open(&disk, options()).unwrap());
        disk.crash(&mut Dice(dice));
        disk.set_capacity(Some(0));
        drop(try_open(&disk, options()).unwrap());
    }
}

/// Bytes of the manifest and its reserve, and the manifest's number.
fn manifests(disk: &SimDisk) -> (u64, u64) {
    let files = disk.list("").unwrap().into_iter();
    let ours = files.filter(|(name, _)| name.starts_with("MANIFEST-") || name == "reserve");
    (ours.map(|(_, len)| len).sum(), newest(disk))
}

/// Seed 8807 of the simulation: manifest and reserve passed their length on to each other, a new one was begun at each look, and on
/// a small spool they left no room for calls.
#[test]
fn a_manifest_that_grew_long_becomes_short_again() {
    let disk = SimDisk::default();
    let options = SpoolOptions { manifest_bytes: 32 * 1_024, max_bytes: 64 * 1_024 * 1_024, ..options() };
    let (mut spool, _) = try_open(&disk, options).unwrap();
    // Of few sources: what is remembered of each makes the state long as well.
    let name = |n: u64| format!("s{}", n % 4);
    for n in 1..=OBJECTS {
        append(&mut spool, &name(n), "x");
    }
    let seals: Vec<_> = (1..=OBJECTS).map(|n| try_seal(&spool, &name(n), n).unwrap()).collect();
    let (long, _) = manifests(&disk);
    seals.iter().for_each(|seal| spool.outlet().commit(seal, None).unwrap());
    for _ in 0..3 {
        spool.keep().unwrap();
    }
    let (short, number) = manifests(&disk);
    assert!(short < long / 2, "{short} of {long} bytes are left");
    spool.keep().unwrap();
    assert_eq!(manifests(&disk), (short, number), "nothing is begun anew where nothing changes");
}
