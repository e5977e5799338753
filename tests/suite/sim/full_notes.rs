//! Notes on a disk without a free byte: every sealed object must be committable.

use std::io::IoSlice;

use forebay::disk;
use forebay::disk::Disk as _;
use forebay::spool::format::number_in;
use forebay::spool::manifest::manifest_name;
use forebay::spool::{SpoolOptions, Stepped};

use super::found::{append, options, try_open, try_seal};
use crate::support::sim_disk::{Dice, SimDisk};

/// More objects than the manifest has space for.
const OBJECTS: u64 = 400;

/// Seals objects on a full disk until no more can be sealed, and commits them while no space becomes free.
/// Returns their number, and whether a manifest had space for its state only once.
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
    assert!(sealed.len() < usize::try_from(OBJECTS).unwrap(), "the manifest was never full");
    assert!(!spool.log().is_stopped());
    let count = sealed.len();
    sealed.reverse();
    let mut once = false;
    while let Some(seal) = sealed.pop() {
        full();
        spool
            .log()
            .commit(&seal, None)
            .unwrap_or_else(|_| panic!("{} of {count} are left", sealed.len() + 1));
        once |= state_stands_once(&disk);
        // A kill loses nothing.
        let killed = disk.copy();
        let left = |spool: &forebay::spool::Stepped| spool.log().pending_numbers();
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
    assert!(any_once, "every manifest had space for its state twice");
}

/// The number of the manifest in use.
fn newest(disk: &SimDisk) -> u64 {
    let names = disk.list("").unwrap().into_iter().map(|(name, _)| name);
    names.filter_map(|name| number_in(&name, "MANIFEST-", "")).max().unwrap()
}

fn short_manifests() -> SpoolOptions {
    SpoolOptions { manifest_bytes: 32 * 1_024, ..options() }
}

/// A spool whose reserve has the name of an older manifest, with the number of the manifest in use.
fn with_a_nameless_reserve() -> (SimDisk, u64) {
    let disk = SimDisk::default();
    drop(try_open(&disk, short_manifests()).unwrap());
    drop(try_open(&disk, short_manifests()).unwrap());
    let number = newest(&disk);
    disk.rename("reserve", &manifest_name(number - 1)).unwrap();
    (disk, number)
}

/// Seed 53 of the simulation: the previous manifest was renamed to the reserve without a sync.
#[test]
fn a_start_without_space_finds_a_reserve_that_lost_its_name_in_a_crash() {
    let (disk, number) = with_a_nameless_reserve();
    disk.set_capacity(Some(0));
    drop(try_open(&disk, short_manifests()).unwrap());
    assert!(disk.open("reserve").is_ok() && newest(&disk) > number, "{:?}", disk.list(""));
}

/// Seed 1018 of the simulation: without a file handle the older manifest stayed, and a new reserve took the
/// last space of a full disk.
#[test]
fn a_start_without_space_takes_the_longer_of_two_reserves() {
    let (disk, number) = with_a_nameless_reserve();
    disk.create("reserve").unwrap().write_at(&[IoSlice::new(&[0xFF; 100])], 0).unwrap();
    disk.set_capacity(Some(0));
    drop(try_open(&disk, short_manifests()).unwrap());
    assert!(disk.open("reserve").is_ok() && newest(&disk) > number, "{:?}", disk.list(""));
}

/// Seed 2849 of the simulation: a new, filled file had no durable name.
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

/// A spool whose manifest grew long for many objects, all of them delivered; and the bytes of the manifest
/// and its reserve.
fn with_a_long_manifest() -> (SimDisk, Stepped, u64) {
    let disk = SimDisk::default();
    let options = SpoolOptions { manifest_bytes: 32 * 1_024, max_bytes: 64 * 1_024 * 1_024, ..options() };
    let (mut spool, _) = try_open(&disk, options).unwrap();
    // Few sources, because the data kept for each one also lengthens the state.
    let name = |n: u64| format!("s{}", n % 4);
    for n in 1..=OBJECTS {
        append(&mut spool, &name(n), "x");
    }
    let seals: Vec<_> = (1..=OBJECTS).map(|n| try_seal(&spool, &name(n), n).unwrap()).collect();
    let (long, _) = manifests(&disk);
    seals.iter().for_each(|seal| spool.log().commit(seal, None).unwrap());
    (disk, spool, long)
}

/// Seed 8807 of the simulation: manifest and reserve passed their length on to each other and a new manifest
/// was begun at every pass, so a small spool had no space left for calls.
#[test]
fn a_long_manifest_becomes_short_again() {
    let (disk, mut spool, long) = with_a_long_manifest();
    for _ in 0..3 {
        spool.keep().unwrap();
    }
    let (short, number) = manifests(&disk);
    assert!(short < long / 2, "{short} of {long} bytes are left");
    spool.keep().unwrap();
    assert_eq!(manifests(&disk), (short, number), "no new manifest is begun if nothing changes");
}

/// Seed 11764 of the simulation: manifest and reserve were both much too long on a full disk, and as no third
/// file had space, each took the length of the other for good.
#[test]
fn a_long_manifest_becomes_short_again_on_a_full_disk() {
    let (disk, mut spool, long) = with_a_long_manifest();
    for _ in 0..3 {
        // Others take each byte that becomes free.
        disk.set_capacity(Some(disk.used()));
        spool.keep().unwrap();
    }
    let (short, _) = manifests(&disk);
    assert!(short < long / 2, "{short} of {long} bytes are left");
}
