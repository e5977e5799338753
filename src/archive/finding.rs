//! What is wrong with an archive: what, where, and what to do. Pure.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::lines::LineFault;
use crate::object::tags::date;
use crate::object::{ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// A range of positions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Positions {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// Where something is wrong: as much of it as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The source.
    pub source: Option<SourceId>,
    /// The received-day.
    pub day: Option<ReceivedDay>,
    /// Calls or rejected.
    pub stream: Option<Stream>,
    /// The node id.
    pub node: Option<String>,
    /// The spool id.
    pub spool: Option<String>,
    /// The object, or marker.
    pub key: Option<ObjectKey>,
    /// Which positions.
    pub positions: Option<Positions>,
    /// The line of the object, from 1.
    pub line: Option<u64>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No object holds these positions, and an object or a marker says that one did.
    Missing,
    /// The object says that none was before it, and one is.
    BeginsAgain {
        /// Where the one before it ends.
        after: u64,
    },
    /// The object says that the one before it ends where none does.
    Forks {
        /// Where it says so.
        says: u64,
        /// Where the one before it ends.
        stands: u64,
    },
    /// Two objects hold the same positions.
    Overlaps {
        /// The other.
        with: ObjectKey,
    },
    /// The day has long been over, and nothing says where the chain ends.
    NoMarker,
    /// A later marker of the spool says that it had objects of this day, and neither they nor its marker are there.
    DayMissing {
        /// The day of the later marker.
        said_on: ReceivedDay,
    },
    /// The marker says nothing.
    Marker {
        /// Why.
        why: String,
    },
    /// The marker says another thing than the objects.
    MarkerDiffers {
        /// Of what.
        what: &'static str,
        /// What it says.
        marker: String,
        /// What the objects say together.
        bucket: String,
    },
    /// The metadata are not those of an object of this key.
    Metadata {
        /// Why.
        why: String,
    },
    /// The object itself says that calls of it were lost before it was put.
    Lost {
        /// How many; releases before this was said put an empty object where everything was lost.
        calls: Option<u64>,
    },
    /// The object was listed and is gone.
    Vanished,
    /// The store does not give the object out.
    Unreadable {
        /// Why.
        why: String,
    },
    /// The object is not one whole gzip member.
    Damaged {
        /// How.
        why: String,
    },
    /// The lines are not those that the metadata tell of.
    Content {
        /// In what.
        what: &'static str,
        /// What the metadata say.
        metadata: String,
        /// What was read.
        content: String,
    },
    /// Lines that cannot stand where they do; the place names the first.
    Lines {
        /// What is wrong with them.
        fault: LineFault,
        /// How many.
        count: u64,
    },
    /// Calls that stand in the archive already; the place names the first.
    Repeats {
        /// Whether `messageId`, `type` and the client's time are all seen to be the same. Where a client sent no time,
        /// the first two are all that is left of them.
        certain: bool,
        /// The first position of the object that holds the first copy of the first of them.
        of: u64,
        /// How many.
        count: u64,
    },
    /// Nothing that was written by this program.
    Foreign,
}

impl Problem {
    /// The kind, as one word of lower case.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::BeginsAgain { .. } => "begins_again",
            Self::Forks { .. } => "fork",
            Self::Overlaps { .. } => "overlap",
            Self::NoMarker => "no_marker",
            Self::DayMissing { .. } => "day_missing",
            Self::Marker { .. } => "marker",
            Self::MarkerDiffers { .. } => "marker_differs",
            Self::Metadata { .. } => "metadata",
            Self::Lost { .. } => "lost",
            Self::Vanished => "vanished",
            Self::Unreadable { .. } => "unreadable",
            Self::Damaged { .. } => "damaged",
            Self::Content { .. } => "content",
            Self::Lines { .. } => "line",
            Self::Repeats { certain: true, .. } => "repeat",
            Self::Repeats { certain: false, .. } => "possible_repeat",
            Self::Foreign => "foreign",
        }
    }

    /// What a person does about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Missing => {
                "ask the node (`forebay status`, `forebay spool inspect`): a parked object comes later; else look for deleted \
                 versions (`aws s3api list-object-versions`) and put the object back under its old key with its metadata"
            }
            Self::BeginsAgain { .. } => {
                "a source that went to another bucket and back on one day looks like this; what came between can only be proved \
                 by the day's marker, or from the other bucket"
            }
            Self::Forks { .. } => {
                "two processes wrote with one spool id: find out whether a spool's directory was copied, and never run the copy"
            }
            Self::Overlaps { .. } => {
                "keep both; compare them line by line, and report it: Forebay never seals a position twice"
            }
            Self::NoMarker => {
                "ask the node whether something of the day is not delivered yet (`forebay status`); if the node is gone, drain its \
                 spool (`forebay spool drain`)"
            }
            Self::DayMissing { .. } => {
                "all of what this spool put on the day is gone, with its marker: look for deleted versions (`aws s3api \
                 list-object-versions`), for a rule of the bucket's lifecycle, and for who may delete"
            }
            Self::Marker { .. } => {
                "look who wrote it; a marker is put once and never changed, so an older version of it may be there"
            }
            Self::MarkerDiffers { .. } => {
                "look for objects that were deleted, replaced or added after the day was closed; older versions of the bucket tell"
            }
            Self::Metadata { .. } => {
                "if it was copied without its metadata, copy it again with them from where it came; else look for an older version"
            }
            Self::Lost { .. } => {
                "the node's log names the positions, and its `quarantine` folder keeps the bytes (`forebay spool verify`)"
            }
            Self::Vanished => "nobody may delete objects while this runs; run it again",
            Self::Unreadable { .. } => "restore the object or grant the right, and run it again",
            Self::Damaged { .. } | Self::Content { .. } => {
                "the object is not what was put: look for an older version of it, and for who may write below the prefix"
            }
            Self::Lines { .. } => {
                "if the object is otherwise as it was put, this is a bug in Forebay: report it with the line"
            }
            Self::Repeats { certain: true, .. } => {
                "readers drop one of the two by messageId; a spool without dedupe (`spool.dedupe_window`), or one that had lost its \
                 index, stores repeats"
            }
            Self::Repeats { certain: false, .. } => {
                "compare the lines: the client sent no time with them, so it may have used one messageId for two calls"
            }
            Self::Foreign => {
                "nothing can be said of its calls; move it elsewhere, or let it pass with --allow-foreign if you know it"
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("one object or more of these is not there"),
            Self::BeginsAgain { after } => {
                write!(f, "says that it is the first, yet one before it ends at position {after}")
            }
            Self::Forks { says, stands } => {
                write!(f, "says that the object before it ends at position {says}, yet one ends at {stands}")
            }
            Self::Overlaps { with } => write!(f, "holds positions that {} holds, too", shown(with)),
            Self::NoMarker => f.write_str("the day is over, and no marker says that all of it was delivered"),
            Self::DayMissing { said_on } => write!(
                f,
                "the marker of {} says that this spool had put objects on this day; neither they nor its marker are there",
                date(*said_on)
            ),
            Self::Marker { why } => write!(f, "the marker says nothing: {why}"),
            Self::MarkerDiffers { what, marker, bucket } => {
                write!(f, "the marker says {what} {marker}, the objects together {bucket}")
            }
            Self::Metadata { why } => write!(f, "its metadata are wrong: {why}"),
            Self::Lost { calls: Some(calls) } => {
                write!(
                    f,
                    "says itself that {calls} of its calls were lost on the spool's disk before it was put"
                )
            }
            Self::Lost { calls: None } => {
                f.write_str("is empty: all of its calls were lost on the spool's disk before it was put")
            }
            Self::Vanished => f.write_str("was listed and is gone"),
            Self::Unreadable { why } => write!(f, "cannot be read: {why}"),
            Self::Damaged { why } => write!(f, "is damaged: {why}"),
            Self::Content { what, metadata, content } => {
                write!(f, "its metadata say {what} {metadata}, its content {content}")
            }
            Self::Lines { fault, count } => {
                write!(f, "{fault}")?;
                others(f, *count)
            }
            Self::Repeats { certain, of, count } => {
                let what =
                    if *certain { "the call stands" } else { "a call with this messageId and type stands" };
                write!(f, "{what} already in the object that begins at position {of}")?;
                others(f, *count)
            }
            Self::Foreign => f.write_str("is no object of Forebay"),
        }
    }
}

fn others(f: &mut fmt::Formatter<'_>, count: u64) -> fmt::Result {
    match count.saturating_sub(1) {
        0 => Ok(()),
        1 => f.write_str(", and 1 other line so"),
        others => write!(f, ", and {others} other lines so"),
    }
}

/// A key as it can be printed anywhere: anybody may have put an object.
pub fn shown(key: &ObjectKey) -> impl fmt::Display {
    key.as_str().escape_debug()
}

/// The stream's name, as markers have it.
pub fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Calls => "calls",
        Stream::Rejected => "rejected",
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        match (&self.key, &self.source) {
            // A key says everything else.
            (Some(key), _) => parts.push(shown(key).to_string()),
            (None, Some(source)) => {
                let day = self.day.map_or_else(String::new, |day| format!(" {}", date(day)));
                let stream =
                    self.stream.map_or_else(String::new, |stream| format!(" {}", stream_name(stream)));
                parts.push(format!("{source}{day}{stream}"));
                parts.extend(self.node.iter().map(|node| format!("node {node}")));
                parts.extend(self.spool.iter().map(|spool| format!("spool {spool}")));
            }
            (None, None) => {}
        }
        parts.extend(self.positions.iter().map(|range| match range.first {
            first if first == range.last => format!("position {first}"),
            // Where the first is not known, what is known is the end.
            0 => format!("positions up to {}", range.last),
            first => format!("positions {first} to {}", range.last),
        }));
        parts.extend(self.line.iter().map(|line| format!("line {line}")));
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.problem.kind(), self.place, self.problem)
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Place { source, day, stream, node, spool, key, positions, line } = &self.place;
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
    fn a_finding_says_where_and_what_in_one_line() {
        let chain = Place {
            source: SourceId::new("web").ok(),
            day: Some(UnixMillis(1_432_684_800_000).day()),
            stream: Some(Stream::Calls),
            node: Some("n1".into()),
            spool: Some("00ff".into()),
            ..Place::default()
        };
        let check = |place: Place, problem: Problem, said: &str| {
            assert_eq!(Finding { place, problem }.to_string(), said);
        };
        let at = |first, last| Place { positions: Some(Positions { first, last }), ..chain.clone() };
        check(
            at(5, 9),
            Problem::Missing,
            "missing: web 2015-05-27 calls, node n1, spool 00ff, positions 5 to 9: one object or more of these is not there",
        );
        check(
            at(0, 9),
            Problem::Missing,
            "missing: web 2015-05-27 calls, node n1, spool 00ff, positions up to 9: one object or more of these is not there",
        );
        let key = Place { key: Some(ObjectKey::listed("a/\u{1b}[31m")), line: Some(3), ..chain.clone() };
        check(
            key.clone(),
            Problem::Lines { fault: LineFault::NotJson, count: 2 },
            "line: a/\\u{1b}[31m, line 3: the line is no JSON object with `receivedAt` and `projectId`, and 1 other line so",
        );
        let json = serde_json::to_value(Finding { place: key, problem: Problem::Foreign }).unwrap();
        assert_eq!((json["kind"].as_str(), json["day"].as_i64()), (Some("foreign"), Some(1_432_684_800_000)));
        assert_eq!(json["key"], "a/\u{1b}[31m", "JSON has it as it is");
    }
}
