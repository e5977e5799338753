//! Who a spool is: written once, when its directory is made, and twice, since without it nothing else can be read.

use std::io;

use super::disk::{self, Disk, read_all};
use crate::random::Random;

/// Both say the same. One that is damaged or not there is made again from the other.
const FILES: [&str; 2] = ["IDENT", "IDENT.copy"];
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
    /// CRC-32 of the others. A release that wrote no copy wrote none.
    #[serde(default)]
    checksum: Option<String>,
}

impl Written {
    fn crc(&self) -> String {
        let others = format!("{} {} {}", self.format, self.spool_id, self.fingerprint_key);
        format!("{:08x}", crc32fast::hash(others.as_bytes()))
    }
}

/// What there is of an identity.
struct Look {
    /// What the first sound file says.
    ident: Option<Ident>,
    /// Files that are damaged.
    damaged: Vec<&'static str>,
    /// Files to be written: damaged ones, those that are not there, and those without a checksum.
    stale: Vec<&'static str>,
}

/// Why an identity cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentError {
    /// The disk says no.
    #[error("read or write the spool's IDENT file")]
    Disk(#[source] io::Error),
    /// It is not what was written.
    #[error(
        "the spool's IDENT file is damaged, and so is its copy, or there is none; without the spool id nothing else can be read, so put back one of the two"
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
        let Look { ident, damaged, stale } = Self::look(disk)?;
        for file in damaged {
            tracing::error!(
                file,
                "a file of the spool's identity is damaged; it is made again from its copy"
            );
        }
        let made = ident.is_none();
        let ident = ident.unwrap_or_else(|| Self {
            spool_id: random.next_u128().to_be_bytes(),
            fingerprint_key: random.next_u128().to_be_bytes(),
        });
        for (at, file) in stale.into_iter().enumerate() {
            match ident.write(disk, file) {
                Err(error) if made && at == 0 => return Err(IdentError::Disk(error)),
                // The other one is there, and the next start tries again.
                Err(error) => {
                    tracing::warn!(%error, file, "a copy of the spool's identity cannot be written")
                }
                Ok(()) => {}
            }
        }
        Ok(ident)
    }

    /// Reads the identity from whichever file is sound; `None` where there is none yet.
    ///
    /// # Errors
    /// [`IdentError`].
    pub fn read(disk: &dyn Disk) -> Result<Option<Self>, IdentError> {
        Self::look(disk).map(|look| look.ident)
    }

    /// The files of it that are damaged.
    ///
    /// # Errors
    /// [`IdentError`], where there is no sound one.
    pub fn damaged(disk: &dyn Disk) -> Result<Vec<&'static str>, IdentError> {
        Self::look(disk).map(|look| look.damaged)
    }

    fn look(disk: &dyn Disk) -> Result<Look, IdentError> {
        let mut look = Look { ident: None, damaged: Vec::new(), stale: Vec::new() };
        let mut failed = None;
        for file in FILES {
            match Self::read_one(disk, file) {
                Ok(Some((ident, checked))) => {
                    if !checked {
                        look.stale.push(file);
                    }
                    match &look.ident {
                        None => look.ident = Some(ident),
                        // A copy of something else is none.
                        Some(first) if *first != ident && checked => look.stale.push(file),
                        Some(_) => {}
                    }
                }
                Ok(None) => look.stale.push(file),
                Err(IdentError::Newer(format)) => return Err(IdentError::Newer(format)),
                Err(error) => {
                    if matches!(error, IdentError::Damaged) {
                        look.damaged.push(file);
                        look.stale.push(file);
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            Some(error) if look.ident.is_none() => Err(error),
            _ => Ok(look),
        }
    }

    /// Reads one file, and whether a checksum proves it.
    fn read_one(disk: &dyn Disk, file: &str) -> Result<Option<(Self, bool)>, IdentError> {
        let bytes = match disk.open(file).and_then(|file| read_all(&*file)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(IdentError::Disk(error)),
        };
        let written: Written = serde_json::from_slice(&bytes).map_err(|_| IdentError::Damaged)?;
        if written.checksum.as_ref().is_some_and(|checksum| *checksum != written.crc()) {
            return Err(IdentError::Damaged);
        }
        if written.format > FORMAT {
            return Err(IdentError::Newer(written.format));
        }
        let (Some(spool_id), Some(fingerprint_key)) =
            (unhex(&written.spool_id), unhex(&written.fingerprint_key))
        else {
            return Err(IdentError::Damaged);
        };
        Ok(Some((Self { spool_id, fingerprint_key }, written.checksum.is_some())))
    }

    fn write(&self, disk: &dyn Disk, file: &str) -> io::Result<()> {
        let mut written = Written {
            format: FORMAT,
            spool_id: hex(&self.spool_id),
            fingerprint_key: hex(&self.fingerprint_key),
            checksum: None,
        };
        written.checksum = Some(written.crc());
        disk::write_durably(disk, file, &serde_json::to_vec_pretty(&written)?)
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
