//! Who a spool is: written once, when its directory is made.

use std::io;

use super::disk::{self, Disk, read_all};
use crate::random::Random;

const IDENT: &str = "IDENT";
/// Layout of the directory. A newer one is refused.
const FORMAT: u32 = 1;

/// The identity of a spool.
#[derive(Clone, PartialEq, Eq)]
pub struct Ident {
    /// Random, so that a wiped disk's numbering can never meet old names.
    pub spool_id: [u8; 16],
    /// Key of the dedupe fingerprints.
    pub fingerprint_key: [u8; 16],
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    format: u32,
    spool_id: String,
    fingerprint_key: String,
}

/// Why an identity cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentError {
    /// The disk says no.
    #[error("read or write the spool's IDENT file")]
    Disk(#[source] io::Error),
    /// It is not what was written.
    #[error(
        "the spool's IDENT file is damaged; the spool id is part of every segment's name in the manifest and in the bucket, so put back a copy of the file"
    )]
    Damaged,
    /// A newer release made the directory.
    #[error(
        "the spool was made by a newer release (format {0}); start that release, or drain the spool with it first"
    )]
    Newer(u32),
}

impl Ident {
    /// Reads the identity, or makes one where the directory is new.
    ///
    /// # Errors
    /// [`IdentError`].
    pub fn open(disk: &dyn Disk, random: &dyn Random) -> Result<Self, IdentError> {
        if let Some(ident) = Self::read(disk)? {
            return Ok(ident);
        }
        let new = Self {
            spool_id: random.next_u128().to_be_bytes(),
            fingerprint_key: random.next_u128().to_be_bytes(),
        };
        let written = Written {
            format: FORMAT,
            spool_id: hex(&new.spool_id),
            fingerprint_key: hex(&new.fingerprint_key),
        };
        let text = serde_json::to_vec_pretty(&written).map_err(|error| IdentError::Disk(error.into()))?;
        disk::write_durably(disk, IDENT, &text).map_err(IdentError::Disk)?;
        Ok(new)
    }

    /// Reads the identity; `None` where there is none yet.
    ///
    /// # Errors
    /// [`IdentError`].
    pub fn read(disk: &dyn Disk) -> Result<Option<Self>, IdentError> {
        let bytes = match disk.open(IDENT).and_then(|file| read_all(&*file)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(IdentError::Disk(error)),
        };
        let written: Written = serde_json::from_slice(&bytes).map_err(|_| IdentError::Damaged)?;
        if written.format > FORMAT {
            return Err(IdentError::Newer(written.format));
        }
        let (Some(spool_id), Some(fingerprint_key)) =
            (unhex(&written.spool_id), unhex(&written.fingerprint_key))
        else {
            return Err(IdentError::Damaged);
        };
        Ok(Some(Self { spool_id, fingerprint_key }))
    }

    /// The spool id as 32 hexadecimal digits, as it stands in object names.
    pub fn spool_id_hex(&self) -> String {
        hex(&self.spool_id)
    }
}

impl std::fmt::Debug for Ident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ident({})", hex(&self.spool_id))
    }
}

fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten().map(u128::to_be_bytes)
}
