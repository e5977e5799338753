//! Data that is stored twice, because nothing can be read without it: the spool's identity and its manifest's
//! initial state.

use std::io;

use forebay::disk;
use forebay::disk::Disk as _;
use forebay::spool::OpenError;
use forebay::spool::format::{Ident, IdentError, number_in};

use super::found::{append, open, options, read, try_open};
use crate::support::sim_disk::SimDisk;

const FILES: [&str; 2] = ["IDENT", "IDENT.copy"];

/// A killed spool with one call.
fn killed() -> (SimDisk, Ident) {
    let disk = SimDisk::default();
    let (mut spool, _) = open(&disk);
    append(&mut spool, "web", "1");
    drop(spool);
    let ident = Ident::read(&disk).unwrap().unwrap();
    (disk, ident)
}

#[test]
fn an_identity_survives_any_flipped_byte_and_is_restored() {
    let (disk, ident) = killed();
    for file in FILES {
        let bytes = disk.durable(file).unwrap();
        for at in 0..bytes.len() {
            let disk = disk.copy();
            disk.flip(file, at, u32::try_from(at % 8).unwrap());
            let (spool, _) = open(&disk);
            assert_eq!(read(&spool, "web").0, ["1"], "byte {at} of {file}");
            assert_eq!(Ident::read(&disk).unwrap().as_ref(), Some(&ident));
            assert_eq!(Ident::damaged(&disk).unwrap(), [""; 0]);
            assert_eq!(disk.durable(FILES[0]), disk.durable(FILES[1]), "byte {at} of {file}");
        }
    }
}

#[test]
fn an_identity_with_two_damaged_files_is_refused_until_one_is_put_back() {
    let (disk, _) = killed();
    FILES.iter().for_each(|file| disk.flip(file, 40, 1));
    let refused = try_open(&disk, options()).unwrap_err();
    assert!(matches!(refused, OpenError::Ident(IdentError::Damaged)), "{refused:?}");
    disk.flip(FILES[1], 40, 1);
    assert_eq!(read(&open(&disk).0, "web").0, ["1"]);
}

/// As left by an older release: without a checksum and without a copy.
#[test]
fn an_identity_without_a_copy_gets_one() {
    let (disk, ident) = killed();
    disk.remove(FILES[1]).unwrap();
    disk.rewrite(FILES[0], |bytes| {
        let mut written: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        written.as_object_mut().unwrap().remove("checksum").unwrap();
        *bytes = serde_json::to_vec_pretty(&written).unwrap();
    });
    assert_eq!(read(&open(&disk).0, "web").0, ["1"]);
    for file in FILES {
        let text = disk.durable(file).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("checksum"), "{file}");
    }
    assert_eq!(Ident::read(&disk).unwrap(), Some(ident));
}

#[test]
fn a_manifest_survives_any_flipped_byte_of_its_initial_state() -> io::Result<()> {
    let (disk, _) = killed();
    let files = disk.list("")?.into_iter().map(|(name, _)| name);
    let name = files.filter(|name| number_in(name, "MANIFEST-", "").is_some()).max().unwrap();
    let bytes = disk::read_all(&*disk.open(&name)?)?;
    let state = 8 + u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    assert_eq!(bytes[..state], bytes[state..2 * state]);
    for at in 0..2 * state {
        let disk = disk.copy();
        disk.flip(&name, at, u32::try_from(at % 8).unwrap());
        let (spool, recovered) = open(&disk);
        assert!(!recovered.manifest_damaged && recovered.lost.is_empty(), "byte {at}: {recovered:?}");
        assert_eq!(read(&spool, "web").0, ["1"], "byte {at}");
    }
    let both = disk.copy();
    both.flip(&name, 9, 1);
    both.flip(&name, state + 9, 1);
    assert!(matches!(try_open(&both, options()), Err(OpenError::Manifest(_))));
    Ok(())
}
