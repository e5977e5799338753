//! The program starts on the machine of the runtime `provided.al2023`.

use std::collections::BTreeSet;
use std::fs;

use crate::support::forebay::binary;

/// The glibc of `provided.al2023`.
const GLIBC: (u32, u32) = (2, 34);
/// The type of the section that names the versions of symbols that a program needs.
const SHT_GNU_VERNEED: u32 = 0x6fff_fffe;

/// Little-endian numbers of an ELF file of 64 bits.
struct Elf(Vec<u8>);

impl Elf {
    fn number(&self, at: usize, len: usize) -> usize {
        let bytes = self.0[at..at + len].iter().rev();
        bytes.fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn text(&self, at: usize) -> String {
        let text = self.0[at..].iter().take_while(|byte| **byte != 0).copied().collect();
        String::from_utf8(text).unwrap()
    }

    /// The offset in the file, the link and the number of entries of the section with the needed versions.
    fn versions_needed(&self) -> (usize, usize, usize) {
        let (table, entry, sections) = (self.number(0x28, 8), self.number(0x3a, 2), self.number(0x3c, 2));
        let section = (0..sections)
            .map(|index| table + index * entry)
            .find(|at| self.number(at + 4, 4) == SHT_GNU_VERNEED as usize);
        let at = section.expect("the section .gnu.version_r");
        let strings = table + self.number(at + 0x28, 4) * entry;
        (self.number(at + 0x18, 8), self.number(strings + 0x18, 8), self.number(at + 0x2c, 4))
    }

    /// The names of all needed versions, such as `GLIBC_2.34`.
    fn names(&self) -> BTreeSet<String> {
        let (mut file, strings, files) = self.versions_needed();
        let mut names = BTreeSet::new();
        for _ in 0..files {
            let mut version = file + self.number(file + 8, 4);
            for _ in 0..self.number(file + 2, 2) {
                names.insert(self.text(strings + self.number(version + 8, 4)));
                version += self.number(version + 12, 4);
            }
            file += self.number(file + 12, 4);
        }
        names
    }
}

#[test]
fn the_program_needs_no_newer_glibc_than_that_of_the_runtime() {
    let elf = Elf(fs::read(binary()).unwrap());
    assert_eq!(&elf.0[..6], b"\x7fELF\x02\x01", "64 bits, little-endian");
    let names = elf.names();
    let version = |name: &str| {
        let (major, minor) = name.strip_prefix("GLIBC_")?.split_once('.')?;
        Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
    };
    let glibc: BTreeSet<(u32, u32)> = names.iter().filter_map(|name| version(name)).collect();
    assert!(glibc.contains(&(2, 2)) || glibc.len() > 3, "the versions are read: {names:?}");
    let newest = glibc.last().unwrap();
    assert!(*newest <= GLIBC, "the program needs GLIBC_{}.{}: {names:?}", newest.0, newest.1);
}
