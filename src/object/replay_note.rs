//! What of an object with dead letters was sent again: a note beside the objects, so that the next replay
//! sends the rest. Pure.
//!
//! `{prefix/}segment-logs/_replayed/{destination}/{source}/{received-day}/{name of the object}.json`. A note
//! is written again whenever something of its object was sent again.

use serde::{Deserialize, Serialize};

use super::stream::DEAD_FOLDER;
use super::{BucketString, OBJECTS, ObjectKey};
use crate::time::UnixMillis;

/// The folder of all notes, in `segment-logs/`.
pub const REPLAYED_FOLDER: &str = "_replayed/";
/// The longest note that is read, in bytes.
pub const NOTE_BYTES_MAX: u64 = 16 << 20;
/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;

/// What of an object was sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayNote {
    version: u32,
    /// The key of the object.
    pub object: String,
    /// When something of it was last sent again.
    pub replayed_at: UnixMillis,
    /// The lines that still have to be sent.
    pub remaining: Lines,
    /// How many of the object's lines were sent. `None` in notes of earlier versions, which did not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
}

impl ReplayNote {
    /// A note about an object with so many lines.
    pub fn new(object: &ObjectKey, replayed_at: UnixMillis, lines: u64, remaining: Lines) -> Self {
        let sent = Some(lines.saturating_sub(remaining.count()));
        Self { version: VERSION, object: object.as_str().to_owned(), replayed_at, remaining, sent }
    }

    /// The key of the note about an object with dead letters. `None` if the key is none of such an object.
    pub fn key(bucket: &BucketString, object: &ObjectKey) -> Option<ObjectKey> {
        let dead = bucket.below(&format!("{OBJECTS}{DEAD_FOLDER}"));
        let inside = object.as_str().strip_prefix(&dead)?.strip_suffix(".gz")?;
        Some(ObjectKey::listed(format!("{}{inside}.json", Self::folder(bucket))))
    }

    /// The key of the object that a note with this key is about. `None`: no note has such a key.
    pub fn object_of(bucket: &BucketString, note: &ObjectKey) -> Option<ObjectKey> {
        let inside = note.as_str().strip_prefix(&Self::folder(bucket))?.strip_suffix(".json")?;
        Some(ObjectKey::listed(bucket.below(&format!("{OBJECTS}{DEAD_FOLDER}{inside}.gz"))))
    }

    /// The folder of all notes in a bucket.
    pub fn folder(bucket: &BucketString) -> String {
        bucket.below(&format!("{OBJECTS}{REPLAYED_FOLDER}"))
    }

    /// Reads a note. Errors: why it cannot be read.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let note: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if note.version > VERSION {
            return Err(format!("its version {} is newer than this program", note.version));
        }
        Ok(note)
    }

    /// As text. Errors: it cannot be written as JSON.
    pub fn text(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// Numbers of lines, from 1, as ranges with both ends, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines(Vec<(u64, u64)>);

impl Lines {
    /// Adds a line with a higher number than those before it. A line that is there already is not added
    /// again.
    pub fn push(&mut self, line: u64) {
        match self.0.last_mut() {
            Some((_, last)) if line <= *last => {}
            Some((_, last)) if line == *last + 1 => *last = line,
            _ => self.0.push((line, line)),
        }
    }

    /// Whether a line is one of them.
    pub fn has(&self, line: u64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= line);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| line <= *last)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last.saturating_sub(*first).saturating_add(1)).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_as_ranges() {
        let mut lines = Lines::default();
        assert!(lines.is_empty() && !lines.has(1));
        for line in [2, 3, 3, 4, 7, 9, 10] {
            lines.push(line);
        }
        assert_eq!(serde_json::to_string(&lines).unwrap(), "[[2,4],[7,7],[9,10]]");
        let has: Vec<u64> = (0..12).filter(|line| lines.has(*line)).collect();
        assert_eq!(has, [2, 3, 4, 7, 9, 10]);
        assert_eq!((lines.count(), Lines::default().count()), (6, 0));
    }

    #[test]
    fn a_note_is_beside_its_object_and_is_read_as_written() {
        let bucket = BucketString::parse("lake/raw").unwrap();
        let object = ObjectKey::listed("lake-not");
        assert_eq!(ReplayNote::key(&bucket, &object), None);
        let object = ObjectKey::listed("raw/segment-logs/_dlq/crm/web/1432684800000/1-n1.gz");
        let key = ReplayNote::key(&bucket, &object).unwrap();
        assert_eq!(key.as_str(), "raw/segment-logs/_replayed/crm/web/1432684800000/1-n1.json");
        assert_eq!(ReplayNote::object_of(&bucket, &key), Some(object.clone()));
        assert_eq!(ReplayNote::object_of(&bucket, &object), None);
        let mut remaining = Lines::default();
        remaining.push(5);
        let note = ReplayNote::new(&object, UnixMillis(7), 9, remaining);
        assert_eq!(note.sent, Some(8));
        assert_eq!(ReplayNote::read(&note.text().unwrap()).unwrap(), note);
        let older = String::from_utf8(note.text().unwrap()).unwrap().replace(",\"sent\":8", "");
        assert_eq!(ReplayNote::read(older.as_bytes()).unwrap().sent, None);
        let newer =
            String::from_utf8(note.text().unwrap()).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(ReplayNote::read(newer.as_bytes()).unwrap_err().contains("newer"));
        assert!(ReplayNote::read(b"{").is_err());
    }
}
