//! A small file of one JSON value, with its kind, version and checksum.
//!
//! ```text
//! {"kind":"job","version":1,"crc32c":"0123abcd","value":{…}}
//! ```
//!
//! `crc32c` covers kind, version and the bytes of the value. Later versions keep these four members, so that
//! a file of another version is known as such, and not as damage.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::crc32c;
use crate::disk::{Disk, read_all};

/// The longest sealed file, in bytes.
pub const SEALED_MAX: u64 = 256 * 1_024;

#[derive(Serialize, Deserialize)]
struct Written<'a> {
    kind: &'a str,
    version: u32,
    crc32c: String,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// What a file holds, and the version of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The name of the kind: letters only.
    pub name: &'static str,
    /// The version that this program writes, and the only one that it reads.
    pub version: u32,
}

/// Why a sealed file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It cannot be read.
    #[error("cannot be read")]
    Disk(#[source] io::Error),
    /// It is missing.
    #[error("is missing")]
    Missing,
    /// Another version of the program wrote it.
    #[error("is of version {0}, which this program does not know; use the release that wrote it")]
    OtherVersion(u32),
    /// Its bytes are not those that were written.
    #[error("is damaged: {0}")]
    Damaged(String),
}

fn checksum(name: &str, version: u32, value: &str) -> String {
    let before = crc32c::crc32c(format!("{name} {version} ").as_bytes());
    format!("{:08x}", crc32c::append(before, value.as_bytes()))
}

/// The bytes of a file. Errors: a value that has no JSON, or one that is longer than [`SEALED_MAX`].
pub fn seal<T: Serialize>(kind: Kind, value: &T) -> io::Result<Vec<u8>> {
    let value = serde_json::value::to_raw_value(value)?;
    let crc32c = checksum(kind.name, kind.version, value.get());
    let written = Written { kind: kind.name, version: kind.version, crc32c, value: &value };
    let bytes = serde_json::to_vec(&written)?;
    match bytes.len() as u64 > SEALED_MAX {
        true => Err(io::Error::other(format!("a {} of more than {SEALED_MAX} bytes", kind.name))),
        false => Ok(bytes),
    }
}

/// The value in the bytes of a file. Errors: [`SealError`].
pub fn unseal<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, SealError> {
    let damaged = |what: &str| SealError::Damaged(what.to_owned());
    let written: Written<'_> =
        serde_json::from_slice(bytes).map_err(|error| SealError::Damaged(error.to_string()))?;
    if written.crc32c != checksum(written.kind, written.version, written.value.get()) {
        return Err(damaged("its checksum is wrong"));
    }
    if written.kind != kind.name {
        return Err(damaged("it is a file of another kind"));
    }
    if written.version != kind.version {
        return Err(SealError::OtherVersion(written.version));
    }
    serde_json::from_str(written.value.get()).map_err(|error| SealError::Damaged(error.to_string()))
}

/// Reads a file. Errors: [`SealError`].
pub fn read_sealed<T: DeserializeOwned>(disk: &dyn Disk, name: &str, kind: Kind) -> Result<T, SealError> {
    let found = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SealError::Missing,
        _ => SealError::Disk(error),
    };
    let file = disk.open(name).map_err(found)?;
    let len = file.len().map_err(SealError::Disk)?;
    if len > SEALED_MAX {
        return Err(SealError::Damaged(format!("it has {len} bytes, more than any that was written")));
    }
    unseal(kind, &read_all(&*file).map_err(SealError::Disk)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { name: "wish", version: 1 };

    #[test]
    fn a_value_reads_back_and_every_flipped_bit_is_noticed() {
        let bytes = seal(KIND, &"text").unwrap();
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"kind":"wish","version":1,"crc32c":"0c57833e","value":"text"}"#
        );
        assert_eq!(unseal::<String>(KIND, &bytes).unwrap(), "text");
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            // Hexadecimal digits in upper case are refused too.
            assert!(matches!(unseal::<String>(KIND, &flipped), Err(SealError::Damaged(_))), "bit {at}");
        }
        for len in 0..bytes.len() {
            assert!(matches!(unseal::<String>(KIND, &bytes[..len]), Err(SealError::Damaged(_))), "{len}");
        }
    }

    #[test]
    fn other_versions_kinds_and_lengths_are_refused_by_name() {
        let later = seal(Kind { version: 2, ..KIND }, &"text").unwrap();
        assert!(matches!(unseal::<String>(KIND, &later), Err(SealError::OtherVersion(2))));
        let job = seal(Kind { name: "job", version: 1 }, &"text").unwrap();
        assert!(unseal::<String>(KIND, &job).unwrap_err().to_string().contains("another kind"));
        assert!(seal(KIND, &"x".repeat(300_000)).is_err());
    }
}
