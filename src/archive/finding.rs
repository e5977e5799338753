//! What is wrong with an archive: the problem, its place and the advice. Pure.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::lines::LineFault;
use crate::object::{ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::ReceivedDay;
use crate::words::{date, outside_key};

/// A range of positions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Positions {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// The place of a problem, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketPlace {
    /// The source.
    pub source: Option<SourceId>,
    /// The received-day.
    pub day: Option<ReceivedDay>,
    /// The stream.
    pub stream: Option<Stream>,
    /// The node id.
    pub node: Option<String>,
    /// The spool id.
    pub spool: Option<String>,
    /// The key of the object or marker.
    pub key: Option<ObjectKey>,
    /// The positions.
    pub positions: Option<Positions>,
    /// The number of the line in the object, from 1.
    pub line: Option<u64>,
}

impl BucketPlace {
    /// Problems at this place.
    pub fn with(&self, problems: impl IntoIterator<Item = BucketProblem>) -> Vec<BucketFinding> {
        let finding = |problem| BucketFinding { place: self.clone(), problem };
        problems.into_iter().map(finding).collect()
    }
}

/// One problem with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketFinding {
    /// The place.
    pub place: BucketPlace,
    /// The problem.
    pub problem: BucketProblem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketProblem {
    /// No object contains these positions, although another object or a marker says that one did.
    #[error("at least one object with these positions is missing")]
    Missing,
    /// The object names no previous object, but there is one.
    #[error("its metadata names no previous object, but one ends at position {0}")]
    BeginsAgain(u64),
    /// The object names a position at which the previous object ends, but no object ends there.
    #[error(
        "its metadata says that the previous object ends at position {says}, but that one ends at {stands}"
    )]
    Forks {
        /// The last position that it names.
        says: u64,
        /// The last position of the previous object.
        stands: u64,
    },
    /// Another object contains the same positions.
    #[error("contains positions that {} also contains", shown(.0))]
    Overlaps(ObjectKey),
    /// The day is long over, but no marker proves where the chain ends.
    #[error("the day is over, but no marker confirms that all of its calls were delivered")]
    NoMarker,
    /// The marker of this later day says that the spool put objects on the day, but neither they nor its
    /// marker exist.
    #[error(
        "the marker of {} says that this spool put objects on this day, but neither they nor its marker exist",
        date(*.0)
    )]
    DayMissing(ReceivedDay),
    /// The marker is invalid.
    #[error("the marker is invalid: {0}")]
    Marker(String),
    /// The marker and the objects differ.
    #[error("{what}: {marker} in the marker, but {bucket} in the objects")]
    MarkerDiffers {
        /// The differing value.
        what: &'static str,
        /// The value in the marker.
        marker: String,
        /// The value computed from the objects.
        bucket: String,
    },
    /// The metadata does not fit an object with this key.
    #[error("its metadata is wrong: {0}")]
    Metadata(String),
    /// According to its metadata, so many calls of the object were lost before the put; older releases put an
    /// empty object without this number if everything was lost.
    #[error("{}", lost(*.0))]
    Lost(Option<u64>),
    /// The object was listed but no longer exists.
    #[error("was listed but no longer exists")]
    Vanished,
    /// The store does not return the object.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The object is not exactly one complete gzip member.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// The lines do not match the metadata.
    #[error("{what}: {metadata} in the metadata, but {content} in the content")]
    Content {
        /// The differing value.
        what: &'static str,
        /// The value in the metadata.
        metadata: String,
        /// The value of the content.
        content: String,
    },
    /// Lines with the same fault; the place names the first.
    #[error("{fault}{}", others(*count))]
    Lines {
        /// What is wrong.
        fault: LineFault,
        /// How many.
        count: u64,
    },
    /// Calls that are already in the archive; the place names the first.
    #[error("{} already in the object that begins at position {of}{}", repeated(*certain), others(*count))]
    Repeats {
        /// Whether `messageId`, `type` and the client's time are all known to be the same. If a client sent
        /// no time, only the first two can be compared.
        certain: bool,
        /// The first position of the object that contains the original of the first repeat.
        of: u64,
        /// How many.
        count: u64,
    },
    /// A part of an import holds rows that this other part holds.
    #[error("contains rows of its file that {} also contains", shown(.0))]
    SameRows(ObjectKey),
    /// An object that this program did not write.
    #[error("was not written by Forebay")]
    Foreign,
}

impl BucketProblem {
    /// The kind, as one word in lower case.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::BeginsAgain(_) => "begins_again",
            Self::Forks { .. } => "fork",
            Self::Overlaps(_) => "overlap",
            Self::NoMarker => "no_marker",
            Self::DayMissing(_) => "day_missing",
            Self::Marker(_) => "marker",
            Self::MarkerDiffers { .. } => "marker_differs",
            Self::Metadata(_) => "metadata",
            Self::Lost(_) => "lost",
            Self::Vanished => "vanished",
            Self::Unreadable(_) => "unreadable",
            Self::Damaged(_) => "damaged",
            Self::Content { .. } => "content",
            Self::Lines { .. } => "line",
            Self::Repeats { certain: true, .. } => "repeat",
            Self::Repeats { certain: false, .. } => "possible_repeat",
            Self::SameRows(_) => "same_rows",
            Self::Foreign => "foreign",
        }
    }

    /// What a person should do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Missing => {
                "check the node (`forebay status`; with it stopped, `forebay spool inspect SPOOL`): a parked object is delivered later; otherwise look \
                 for deleted versions (`aws s3api list-object-versions`) and restore the object under its key with its metadata"
            }
            Self::BeginsAgain(_) => {
                "this happens if a source moved to another bucket and back within a day; only the day's marker or the other bucket \
                 can prove what was delivered in between"
            }
            Self::Forks { .. } => {
                "two processes wrote with one spool id: find out whether a spool's directory was copied, and never run the copy"
            }
            Self::Overlaps(_) => {
                "keep both, compare them line by line, and report a bug: Forebay never seals a position twice"
            }
            Self::NoMarker => {
                "check with `forebay status` whether the node still has calls of the day to deliver; if the node is gone, drain its \
                 spool (`forebay spool drain SPOOL --config FILE`)"
            }
            Self::DayMissing(_) => {
                "all objects that this spool put for the day are gone, and so is its marker: check deleted versions (`aws \
                 s3api list-object-versions`), the bucket's lifecycle rules, and who may delete objects"
            }
            Self::Marker(_) => {
                "find out who wrote it; Forebay never changes a marker, so an older version may be the original"
            }
            Self::MarkerDiffers { .. } => {
                "look for objects that were deleted, replaced or added after the day was closed; older versions show the change"
            }
            Self::Metadata(_) => {
                "if the object was copied without its metadata, copy it again with the metadata; otherwise look for an older version"
            }
            Self::Lost(_) => {
                "the node's log names the positions, and its `quarantine` folder keeps the bytes (with the node stopped, \
                 `forebay spool verify SPOOL`)"
            }
            Self::Vanished => "run the command again while nobody deletes objects",
            Self::Unreadable(_) => "restore the object or grant the right, then run the command again",
            Self::Damaged(_) | Self::Content { .. } => {
                "the object differs from what was put: look for an older version, and check who may write below the prefix"
            }
            Self::Lines { .. } => {
                "if the object is otherwise unchanged since its put, this is a bug in Forebay: report it with the line"
            }
            Self::Repeats { certain: true, .. } => {
                "readers can drop one of the two by messageId; a spool without dedupe (`spool.dedupe_window`), or one that lost its \
                 index, stores repeats"
            }
            Self::Repeats { certain: false, .. } => {
                "compare the lines: the client sent no time with them, so it may have used one messageId for two calls"
            }
            Self::SameRows(_) => {
                "compare both line by line: one was copied or renamed, or the file was imported again with other settings \
                 (FOREBAY_OUTPUT_PART); remove the one that is too many"
            }
            Self::Foreign => {
                "its calls cannot be verified; move it elsewhere, or accept it with --allow-foreign if you know it"
            }
        }
    }
}

fn lost(calls: Option<u64>) -> String {
    let when = "on the spool's disk before the put";
    match calls {
        Some(calls) => format!("{calls} of its calls were lost {when}, according to its metadata"),
        None => format!("is empty: all of its calls were lost {when}"),
    }
}

fn repeated(certain: bool) -> &'static str {
    if certain { "the call is" } else { "a call with this messageId and type is" }
}

fn others(count: u64) -> String {
    match count.saturating_sub(1) {
        0 => String::new(),
        1 => " (and 1 other line)".to_owned(),
        others => format!(" (and {others} other lines)"),
    }
}

/// A key in printable form: anyone may have put an object with any name.
pub fn shown(key: &ObjectKey) -> impl fmt::Display {
    outside_key(key.as_str())
}

impl fmt::Display for BucketPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        match (&self.key, &self.source) {
            // A key already contains everything else.
            (Some(key), _) => parts.push(shown(key).to_string()),
            (None, Some(source)) => {
                let day = self.day.map_or_else(String::new, |day| format!(" {}", date(day)));
                let stream = self.stream.as_ref().map_or_else(String::new, |stream| format!(" {stream}"));
                parts.push(format!("{source}{day}{stream}"));
                parts.extend(self.node.iter().map(|node| format!("node {node}")));
                parts.extend(self.spool.iter().map(|spool| format!("spool {spool}")));
            }
            (None, None) => {}
        }
        parts.extend(self.positions.iter().map(|range| match range.first {
            first if first == range.last => format!("position {first}"),
            // If the first position is unknown, only the end is.
            0 => format!("positions up to {}", range.last),
            first => format!("positions {first} to {}", range.last),
        }));
        parts.extend(self.line.iter().map(|line| format!("line {line}")));
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for BucketFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.problem.kind(), self.place, self.problem)
    }
}

impl Serialize for BucketFinding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let BucketPlace { source, day, stream, node, spool, key, positions, line } = &self.place;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.problem.kind())?;
        map.serialize_entry("source", source)?;
        map.serialize_entry("day", day)?;
        map.serialize_entry("stream", stream)?;
        map.serialize_entry("node", node)?;
        map.serialize_entry("spool", spool)?;
        map.serialize_entry("key", key)?;
        map.serialize_entry("positions", positions)?;
        map.serialize_entry("line", line)?;
        map.serialize_entry("what", &self.problem.to_string())?;
        map.serialize_entry("advice", self.problem.advice())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    #[test]
    fn a_finding_shows_place_and_problem_in_one_line() {
        let chain = BucketPlace {
            source: SourceId::new("web").ok(),
            day: Some(UnixMillis(1_432_684_800_000).day()),
            stream: Some(Stream::Calls),
            node: Some("n1".into()),
            spool: Some("00ff".into()),
            ..BucketPlace::default()
        };
        let check = |place: BucketPlace, problem: BucketProblem, said: &str| {
            assert_eq!(BucketFinding { place, problem }.to_string(), said);
        };
        let at = |first, last| BucketPlace { positions: Some(Positions { first, last }), ..chain.clone() };
        check(
            at(5, 9),
            BucketProblem::Missing,
            "missing: web 2015-05-27 calls, node n1, spool 00ff, positions 5 to 9: at least one object with these positions is missing",
        );
        check(
            at(0, 9),
            BucketProblem::Missing,
            "missing: web 2015-05-27 calls, node n1, spool 00ff, positions up to 9: at least one object with these positions is missing",
        );
        let key =
            BucketPlace { key: Some(ObjectKey::listed("a/\u{1b}[31m")), line: Some(3), ..chain.clone() };
        check(
            key.clone(),
            BucketProblem::Lines { fault: LineFault::NotJson, count: 2 },
            "line: a/\\u{1b}[31m, line 3: the line is not a JSON object with `receivedAt` and `projectId` (and 1 other line)",
        );
        let json =
            serde_json::to_value(BucketFinding { place: key, problem: BucketProblem::Foreign }).unwrap();
        assert_eq!((json["kind"].as_str(), json["day"].as_i64()), (Some("foreign"), Some(1_432_684_800_000)));
        assert_eq!(json["key"], "a/\u{1b}[31m", "JSON contains the key unchanged");
    }
}
