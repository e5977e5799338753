//! The identity of a spool. It is written once, when the directory is made, and stored twice, because nothing
//! else can be read without it.

use std::io;

use crate::disk::{self, Disk, read_all};
use crate::random::Random;

/// Both hold the same identity. A damaged or missing file is made again from the other.
const FILE_NAMES: [&str; 2] = ["IDENT", "IDENT.copy"];
/// Version of the directory's format. A newer one is refused, and an older one becomes this one when it is
/// opened: formats 1 and 2, which both name themselves 1, are the same without object and dead-letter
/// streams, so nothing else has to be rewritten.
const FORMAT: u32 = 3;
/// The format of a spool with keys of imported rows. A spool gets it before the first such row is stored,
/// because releases that know no keys would take them for fingerprints, and forget them with the segments.
const FORMAT_WITH_ROW_KEYS: u32 = 4;

/// What the names of a spool's files with data begin with, by directory. Where one of them is, an identity
/// was once written.
const DATA: [(&str, &[&str]); 4] = [
    ("", &["MANIFEST-", "wal-", "seen-", "keys-", "destinations.", "imports."]),
    ("parked", &[""]),
    ("quarantine", &[""]),
    ("queued", &[""]),
];

/// The identity of a spool.
#[derive(Clone, PartialEq, Eq)]
pub struct Ident {
    /// Random, so that a spool on a wiped disk never reuses old object names.
    pub spool_id: [u8; 16],
    /// Key of the dedupe fingerprints.
    pub fingerprint_key: [u8; 16],
    /// The format of the whole spool.
    pub(crate) format: u32,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Written {
    format: u32,
    spool_id: String,
    fingerprint_key: String,
    /// CRC-32 of the other members. Releases that wrote no copy wrote no checksum.
    #[serde(default)]
    checksum: Option<String>,
}

impl Written {
    fn crc(&self) -> String {
        let others = format!("{} {} {}", self.format, self.spool_id, self.fingerprint_key);
        format!("{:08x}", crc32fast::hash(others.as_bytes()))
    }
}

/// What the identity files hold.
struct Files {
    /// The identity in the first sound file.
    ident: Option<Ident>,
    /// Damaged files.
    damaged: Vec<&'static str>,
    /// Files to write: damaged ones, missing ones, those without a checksum, and those of an older format.
    stale: Vec<&'static str>,
}

/// Why an identity cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IdentError {
    /// The disk reported an error.
    #[error("read or write the spool's IDENT file")]
    Disk(#[source] io::Error),
    /// Its identity is damaged.
    #[error(
        "the spool's IDENT file is damaged, and its copy is damaged or missing; nothing else in the spool \
         can be read without the spool id, so restore one of the two files"
    )]
    Damaged,
    /// There is none, although the directory has data, such as this file.
    #[error(
        "the spool's files IDENT and IDENT.copy are missing, but its directory has data of an earlier start \
         (such as {0}), which cannot be read without the spool id in them; restore one of the two files, or, \
         to give that data up, move it out of the directory"
    )]
    Missing(String),
    /// A newer release made the directory.
    #[error(
        "the spool was made by a newer release (format {0}); start that release, or drain the spool with it \
         first"
    )]
    Newer(u32),
}

impl Ident {
    /// Reads the identity, or makes one if the directory is new.
    pub(crate) fn open(disk: &dyn Disk, random: &dyn Random) -> Result<Self, IdentError> {
        let Files { ident, damaged, stale } = Self::examine(disk)?;
        for file in damaged {
            tracing::error!(file, "a file of the spool's identity is damaged; it is restored from its copy");
        }
        let made = ident.is_none();
        // A new identity would make all of it unreadable for good.
        if let Some(found) = if made { Self::data_in(disk).map_err(IdentError::Disk)? } else { None } {
            return Err(IdentError::Missing(found));
        }
        let ident = ident.unwrap_or_else(|| Self {
            spool_id: random.next_u128().to_be_bytes(),
            fingerprint_key: random.next_u128().to_be_bytes(),
            format: FORMAT,
        });
        for (at, file) in stale.into_iter().enumerate() {
            match ident.write(disk, file) {
                Err(error) if made && at == 0 => return Err(IdentError::Disk(error)),
                // The other file is there, and the next start retries.
                Err(error) => {
                    tracing::warn!(%error, file, "a copy of the spool's identity cannot be written")
                }
                Ok(()) => {}
            }
        }
        Ok(ident)
    }

    /// Reads the identity from a sound file; `None` if there is none yet.
    pub fn read(disk: &dyn Disk) -> Result<Option<Self>, IdentError> {
        Self::examine(disk).map(|files| files.ident)
    }

    /// The damaged files, and the first one if only its copy is there. A missing copy is none: releases that
    /// wrote no copy had none. Errors: [`IdentError`] if neither file is sound.
    pub fn damaged(disk: &dyn Disk) -> Result<Vec<&'static str>, IdentError> {
        let Files { ident, mut damaged, .. } = Self::examine(disk)?;
        if ident.is_some() && matches!(disk::if_there(disk.open(FILE_NAMES[0])), Ok(None)) {
            damaged.insert(0, FILE_NAMES[0]);
        }
        Ok(damaged)
    }

    /// A file that has data, or had some.
    pub(crate) fn data_in(disk: &dyn Disk) -> io::Result<Option<String>> {
        for (directory, beginnings) in DATA {
            let Some(files) = disk::if_there(disk.list(directory))? else { continue };
            let is_data = |name: &&str| beginnings.iter().any(|beginning| name.starts_with(beginning));
            let mut names = files.iter().map(|(name, _)| name.as_str());
            match names.find(|name| is_data(name) && !name.ends_with(".tmp")) {
                Some(found) if directory.is_empty() => return Ok(Some(found.to_owned())),
                Some(found) => return Ok(Some(format!("{directory}/{found}"))),
                None => {}
            }
        }
        Ok(None)
    }

    fn examine(disk: &dyn Disk) -> Result<Files, IdentError> {
        let mut files = Files { ident: None, damaged: Vec::new(), stale: Vec::new() };
        let mut failed = None;
        for file in FILE_NAMES {
            match Self::read_one(disk, file) {
                Ok(Some((ident, checked))) => {
                    if !checked {
                        files.stale.push(file);
                    }
                    match &files.ident {
                        None => files.ident = Some(ident),
                        // A copy with another identity or format is rewritten.
                        Some(first) if *first != ident && checked => files.stale.push(file),
                        Some(_) => {}
                    }
                }
                Ok(None) => files.stale.push(file),
                Err(IdentError::Newer(format)) => return Err(IdentError::Newer(format)),
                Err(error) => {
                    if matches!(error, IdentError::Damaged) {
                        files.damaged.push(file);
                        files.stale.push(file);
                    }
                    failed.get_or_insert(error);
                }
            }
        }
        match failed {
            Some(error) if files.ident.is_none() => Err(error),
            _ => Ok(files),
        }
    }

    /// Reads one file. Also returns whether a checksum confirms it, and it is of the newest format.
    fn read_one(disk: &dyn Disk, file: &str) -> Result<Option<(Self, bool)>, IdentError> {
        let read = disk::if_there(disk.open(file).and_then(|file| read_all(&*file)));
        let Some(bytes) = read.map_err(IdentError::Disk)? else { return Ok(None) };
        let written: Written = serde_json::from_slice(&bytes).map_err(|_| IdentError::Damaged)?;
        if written.checksum.as_ref().is_some_and(|checksum| *checksum != written.crc()) {
            return Err(IdentError::Damaged);
        }
        if written.format > FORMAT_WITH_ROW_KEYS {
            return Err(IdentError::Newer(written.format));
        }
        let (Ok(spool_id), Ok(fingerprint_key)) =
            (hex::FromHex::from_hex(&written.spool_id), hex::FromHex::from_hex(&written.fingerprint_key))
        else {
            return Err(IdentError::Damaged);
        };
        let is_current = written.checksum.is_some() && written.format >= FORMAT;
        Ok(Some((Self { spool_id, fingerprint_key, format: written.format.max(FORMAT) }, is_current)))
    }

    fn write(&self, disk: &dyn Disk, file: &str) -> io::Result<()> {
        let mut written = Written {
            format: self.format,
            spool_id: hex::encode(self.spool_id),
            fingerprint_key: hex::encode(self.fingerprint_key),
            checksum: None,
        };
        written.checksum = Some(written.crc());
        disk::write_durably(disk, file, &serde_json::to_vec_pretty(&written)?)
    }

    /// Whether the spool may have keys of imported rows.
    pub(crate) fn has_row_keys(&self) -> bool {
        self.format >= FORMAT_WITH_ROW_KEYS
    }

    /// Makes the format durable of a spool that may have keys of imported rows. Errors: the file system's
    /// error; one of the two files may say so already, which does no harm.
    pub(crate) fn add_row_keys(&self, disk: &dyn Disk) -> io::Result<()> {
        let with = Self { format: FORMAT_WITH_ROW_KEYS, ..self.clone() };
        FILE_NAMES.into_iter().try_for_each(|file| with.write(disk, file))
    }

    /// The node id of a spool that is given none: the first 8 digits of the spool id.
    pub(crate) fn default_node(&self) -> String {
        self.spool_id_hex().chars().take(8).collect()
    }

    /// The spool id as 32 hexadecimal digits, as in object names.
    pub(crate) fn spool_id_hex(&self) -> String {
        hex::encode(self.spool_id)
    }
}

impl std::fmt::Debug for Ident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ident({})", hex::encode(self.spool_id))
    }
}
