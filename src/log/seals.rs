//! Seals: the contents of one object, and its progress.

use std::io;
use std::path::PathBuf;

use super::Stopped;
use super::hours::{Hour, Hours};
use super::range::Range;
use crate::batch::BatchKey;
use crate::object::{AppliedEncryption, ObjectKey, S3Location};
use crate::time::UnixMillis;

/// Sealed objects, from the seal to the commit.
///
/// Every log keeps two orders: a seal is durable before the first byte of its object is uploaded, and the
/// store's success is verified before the commit is recorded.
pub trait Seals {
    /// Fixes durably the contents of one object and its bucket.
    fn seal(
        &self,
        batch: &BatchKey,
        encoded: &Encoded,
        location: S3Location,
        object_key: ObjectKey,
    ) -> Result<Seal, Stopped>;

    /// A seal whose object is not known to be in the store.
    fn pending_seal(&self, number: u64) -> Option<PendingSeal>;

    /// Whether the object of a pending seal can be made, or opened if it has made room. `false` as long as a log
    /// whose frames are elsewhere has not read them, or has not built the object again. Whoever delivers the
    /// object begins once this is `true`. Returns at once.
    fn is_at_hand(&self, number: u64) -> bool;

    /// Records durably that the object is in the store, and which encryption the store reported. Then
    /// releases its frames.
    fn commit(&self, seal: &Seal, applied: Option<AppliedEncryption>) -> Result<(), Stopped>;

    /// Makes room for calls: releases the frames of a sealed object that must wait for its bucket. If these
    /// frames are the only copy of its calls, the log first keeps the object durably elsewhere: it reads
    /// `object`, whose length and checksum are `parked`. Returns `false` if there is no space for that.
    /// Nothing has changed then.
    fn make_room(&self, seal: &Seal, object: &mut dyn io::Read, parked: Parked) -> Result<bool, Stopped>;

    /// Opens for a put an object that has made room. Waits for the disk.
    /// Errors: the disk's error, with the name of what cannot be read. `NotFound` if it is gone or has not
    /// made room, `UnexpectedEof` if it was cut.
    fn open_for_put(&self, seal: &Seal) -> io::Result<KeptObject>;

    /// What was opened for a put may be damaged. Returns whether it is, and the log makes it again from its frames: it is not at
    /// hand until then. If not, it is sound, or the only copy. Waits for the disk.
    fn makes_again(&self, number: u64) -> bool;

    /// Records that the store has another object under the seal's key. A person must decide.
    fn conflict(&self, seal: &Seal) -> Result<(), Stopped>;

    /// How a person decides about a conflict of this seal: words that follow "until a person".
    fn how_to_decide(&self, number: u64) -> String;

    /// Records what is left of a sealed range after frames of it were lost.
    fn amend(&self, seal: &Seal, amend: Amend) -> Result<(), Stopped>;

    /// Records that the store turned out to have every line of an amended seal.
    fn restored(&self, seal: &Seal) -> Result<(), Stopped>;

    /// The lost positions of a seal whose frames are all lost: those recorded as lost, if they can account
    /// for every frame; otherwise the whole range.
    fn lost_of(&self, seal: &Seal) -> Vec<Range>;
}

/// The result of encoding a range: everything that a seal needs, except its number and its place in the
/// chain.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
    /// Lines.
    pub frames: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: String,
    /// `receivedAt` of the first line, which names the object.
    pub named_at: UnixMillis,
    /// The earliest `receivedAt`.
    pub first_received_at: UnixMillis,
    /// The latest `receivedAt`.
    pub last_received_at: UnixMillis,
    /// Encoder and level.
    pub encoder: String,
    /// `receivedAt` of the first line that did not fit, if there is one.
    pub next_received_at: Option<UnixMillis>,
    /// Lines by the hour in which they were received.
    pub hours: Hours,
}

/// The contents of one object and its bucket. It never changes once synced.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seal {
    /// Its number; seals of a spool are numbered in order.
    pub number: u64,
    /// Source, day and stream.
    pub batch: BatchKey,
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
    /// Lines.
    pub frames: u64,
    /// Bytes of lines, with their `\n`.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: String,
    /// The earliest `receivedAt`.
    pub first_received_at: UnixMillis,
    /// The latest `receivedAt`.
    pub last_received_at: UnixMillis,
    /// The encoder and its level. The object may be encoded again by another encoder; objects are compared by
    /// `sha256`.
    pub encoder: String,
    /// Bucket, region and encryption.
    #[serde(rename = "destination")]
    pub location: S3Location,
    /// The object's key.
    pub object_key: ObjectKey,
    /// The last position of the previous object of the same batch and bucket string; `None` for the first.
    pub previous_last: Option<u64>,
    /// Lines by the hour in which they were received. Empty if an older release wrote the seal.
    #[serde(default)]
    pub hours: Hours,
}

impl Seal {
    /// Its positions.
    pub fn range(&self) -> Range {
        Range { first: self.first, last: self.last }
    }

    /// Lines by the hour in which they were received. If that was not recorded, all are in the hour of the
    /// first line.
    pub fn hours(&self) -> Hours {
        if self.hours.is_empty() && self.frames > 0 {
            return vec![(Hour::of(self.first_received_at), self.frames)];
        }
        self.hours.clone()
    }
}

/// A seal whose object is not yet known to be in the store.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PendingSeal {
    /// The seal.
    pub seal: Seal,
    /// The parked file's length and CRC-32, if the object is parked.
    pub parked: Option<Parked>,
    /// The store has another object under this key; the seal waits for a person's decision.
    pub conflict: bool,
    /// A person decided that this object overwrites the store's: it is put unconditionally.
    #[serde(default)]
    pub overwrite: bool,
    /// A person decided that the store's object stays: this one is put beside it
    /// ([`ObjectKey::of_conflict`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aside: bool,
    /// What the object holds instead, if frames were lost after the seal.
    pub amended: Option<Amend>,
}

impl PendingSeal {
    /// A seal that is noted, and whose object has not been tried yet.
    pub fn of(seal: Seal) -> Self {
        Self { seal, parked: None, conflict: false, overwrite: false, aside: false, amended: None }
    }

    /// The key under which its object is put: that of the seal, unless a person decided otherwise.
    pub fn object_key(&self) -> ObjectKey {
        let key = &self.seal.object_key;
        if self.aside { key.of_conflict(&self.seal.location.bucket) } else { key.clone() }
    }

    /// Lines that its object has.
    pub fn frames(&self) -> u64 {
        self.amended.as_ref().map_or(self.seal.frames, |amend| amend.frames)
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.amended.as_ref().map_or(self.seal.bytes, |amend| amend.bytes)
    }

    /// Their SHA-256, in hexadecimal.
    pub fn sha256(&self) -> &str {
        self.amended.as_ref().map_or(&self.seal.sha256, |amend| &amend.sha256)
    }

    /// Lines by hour that its object delivers.
    pub fn hours(&self) -> Hours {
        match &self.amended {
            None => self.seal.hours(),
            Some(amend) if amend.hours.is_empty() && amend.frames > 0 => {
                vec![(Hour::of(self.seal.first_received_at), amend.frames)]
            }
            Some(amend) => amend.hours.clone(),
        }
    }
}

closed_list! {
    /// What a person decides about a sealed object whose key another object has.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Decision by slug and of_slug {
        /// Ours replaces the other one.
        Overwrite = "overwrite",
        /// The other one stays, and ours is kept elsewhere.
        KeepTheirs = "keep-theirs",
    }
}

/// A parked object: the staged gzip, synced, in its own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Parked {
    /// Its bytes.
    pub len: u64,
    /// Its CRC-32.
    pub crc32: u32,
}

/// An object that has made room, as the body of its next put.
#[derive(Clone, Debug)]
pub struct KeptObject {
    /// Its bytes.
    pub bytes: KeptBytes,
    /// Its CRC-32, as it was when it was kept.
    pub crc32: u32,
}

/// Where the bytes of a kept object are.
#[derive(Clone, Debug)]
pub enum KeptBytes {
    /// They are the whole of a file.
    File {
        /// Its path.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
    },
    /// They were read.
    Memory(Vec<u8>),
}

/// What is left of a sealed range after frames were lost.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Amend {
    /// Lines left.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: String,
    /// The lost positions.
    pub lost: Vec<Range>,
    /// Lines left, by the hour in which they were received. Empty if an older release wrote the amendment.
    #[serde(default)]
    pub hours: Hours,
}
