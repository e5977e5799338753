//! Reads the inside of an object as it arrives: one gzip member, and each of its lines. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};

use flate2::write::GzDecoder;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::object::Stream;
use crate::receipt;
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};
use crate::words::date::parse_rfc3339;

/// The longest line that is parsed, in bytes: several times the longest frame of the spool.
pub const LINE_BYTES_MAX: usize = 8 * 1_024 * 1_024;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum LineFault {
    /// It is not a JSON object, or has no `receivedAt` or `projectId`; of a dead letter, its `call`.
    #[error("the line is not a JSON object with `receivedAt` and `projectId`")]
    NotJson,
    /// It is longer than [`LINE_BYTES_MAX`].
    #[error("the line is longer than any that Forebay writes")]
    TooLong,
    /// It is the last one and has no `\n`.
    #[error("the line has no line break at its end")]
    NotEnded,
    /// It was received on another day.
    #[error("the line was received on another day")]
    OtherDay,
    /// It was received before the first or after the last call according to the metadata.
    #[error("the line was received outside the times in the metadata")]
    OtherTime,
    /// It belongs to another source.
    #[error("the line belongs to another source")]
    OtherSource,
    /// Its position is outside of its object, or not greater than that of an earlier line.
    #[error("the line's position is out of order, or outside of its object's positions")]
    Position,
}

/// What the lines of an object must look like.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The stream: rejected items are never repeats.
    pub stream: Stream,
    /// Their `projectId`.
    pub source: SourceId,
    /// The day of each `receivedAt`.
    pub day: ReceivedDay,
    /// The earliest and the latest `receivedAt`, if the metadata is credible.
    pub times: Option<(UnixMillis, UnixMillis)>,
    /// The first and the last position, if the metadata is credible. Only lines with a position are checked
    /// against it.
    pub positions: Option<(u64, u64)>,
    /// The first and last position of the lines to return in [`Content::found`].
    pub wanted: Option<(u64, u64)>,
}

/// A line at one of the wanted positions.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Sighting {
    /// The position.
    pub position: u64,
    /// The line's number, from 1.
    pub line: u64,
    /// `receivedAt`, as in the line.
    pub received_at: String,
    /// `type`, at most [`TEXT_CHARS_MAX`] characters, like the texts below.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `messageId`.
    pub message_id: Option<String>,
    /// Why it was rejected; `None` for a call.
    pub reason: Option<String>,
}

/// The most characters of a text that a [`Sighting`] keeps.
pub const TEXT_CHARS_MAX: usize = 256;

/// The hashes by which calls are compared, as far as the line still contains the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// Of `messageId`, `type` and `originalTimestamp`.
    pub timed: u64,
    /// Of the first two only, if `originalTimestamp` is just a copy of `sentAt` or `receivedAt`: then the
    /// client may have sent no time, and a repeat has a different one.
    pub untimed: Option<u64>,
    /// `receivedAt` in seconds since 1970, up to the year 2106.
    pub seconds: u32,
}

/// The most lines of an object whose prints are kept, at about 12 bytes each. Later lines are not compared:
/// only an object many times the usual 100 MB has more.
pub const PRINTS_MAX: usize = 8 * 1_024 * 1_024;

/// The prints of an object's lines, in order.
#[derive(Clone, Debug, Default)]
pub struct Prints {
    /// 0 for a line without a print.
    timed: Vec<u64>,
    seconds: Vec<u32>,
    /// By the line's number, from 0. Few lines have one.
    untimed: Vec<(u32, u64)>,
}

impl Prints {
    /// Adds the print of the next line.
    pub(super) fn push(&mut self, print: Option<Print>) {
        if self.timed.len() >= PRINTS_MAX {
            return;
        }
        let at = u32::try_from(self.timed.len()).ok();
        self.untimed.extend(at.zip(print.and_then(|print| print.untimed)));
        self.timed.push(print.map_or(0, |print| print.timed.max(1)));
        self.seconds.push(print.map_or(0, |print| print.seconds));
    }

    /// The number of lines covered, including those without a print.
    pub(super) fn len(&self) -> usize {
        self.timed.len()
    }

    /// The print of each line, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<Print>> + '_ {
        let mut untimed = self.untimed.iter().copied().peekable();
        let lines = self.timed.iter().zip(&self.seconds).enumerate();
        lines.map(move |(at, (timed, seconds))| {
            let untimed = untimed.next_if(|(of, _)| *of as usize == at).map(|(_, print)| print);
            (*timed != 0).then_some(Print { timed: *timed, untimed, seconds: *seconds })
        })
    }
}

/// An object that was read to its end.
#[derive(Debug, Default)]
pub struct Content {
    /// Lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: String,
    /// What is wrong with lines: the number of the first, from 1, and how many.
    pub faults: BTreeMap<LineFault, (u64, u64)>,
    /// The prints of the lines, for calls and dead letters only: rejected items are never repeats.
    pub prints: Prints,
    /// The lines at wanted positions.
    pub found: Vec<Sighting>,
    /// Why it is not exactly one complete gzip member.
    pub damage: Option<String>,
}

/// Reads the bytes of an object piece by piece. Keeps one line and the prints in memory.
#[derive(Debug)]
pub struct ObjectReader {
    gzip: GzDecoder<Lines>,
    damage: Option<String>,
}

impl ObjectReader {
    /// Starts an object whose lines must match `expected`. Prints are comparable only with the same `hasher`.
    pub fn new(expected: Expected, hasher: RandomState) -> Self {
        Self { gzip: GzDecoder::new(Lines::new(expected, hasher)), damage: None }
    }

    /// Adds the next piece.
    pub fn push(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && self.damage.is_none() {
            match self.gzip.write(piece) {
                Ok(0) => self.damage = Some("there is data after its gzip member".to_owned()),
                Ok(taken) => piece = piece.get(taken..).unwrap_or_default(),
                Err(error) => self.damage = Some(error.to_string()),
            }
        }
    }

    /// Ends the object.
    pub fn finish(mut self) -> Content {
        if self.damage.is_none()
            && let Err(error) = self.gzip.try_finish()
        {
            self.damage = Some(match error.kind() {
                io::ErrorKind::UnexpectedEof => "its gzip member is incomplete".to_owned(),
                _ => error.to_string(),
            });
        }
        self.gzip.get_mut().finish(self.damage)
    }
}

/// Receives the decompressed lines.
struct Lines {
    expected: Expected,
    hasher: RandomState,
    /// `projectId` as it must appear in a line.
    project_id: String,
    sha256: Sha256,
    /// What was read so far.
    content: Content,
    /// The beginning of a line that is not complete yet.
    open: Vec<u8>,
    too_long: bool,
    /// The position of the last line that had one; 0 before the first.
    position: u64,
    /// Caches the last parsed time: many lines were received at the same time.
    last_time: (String, Option<UnixMillis>),
}

debug_fields!(Lines { expected });

/// The members of a line that are used, in their raw form.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow)]
    received_at: &'a RawValue,
    #[serde(borrow)]
    project_id: &'a RawValue,
    #[serde(borrow)]
    message_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    original_timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    sent_at: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

/// A dead letter: the call as it was stored, beside why it was not taken.
#[derive(serde::Deserialize)]
struct Letter<'a> {
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    call: Members<'a>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sha256.update(bytes);
        self.content.bytes += bytes.len() as u64;
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.open.is_empty() && !self.too_long {
                self.line(line);
            } else {
                self.keep(line);
                self.close();
            }
        }
        self.keep(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn new(expected: Expected, hasher: RandomState) -> Self {
        Self {
            project_id: format!("\"{}\"", expected.source),
            expected,
            hasher,
            sha256: Sha256::new(),
            content: Content::default(),
            open: Vec::new(),
            too_long: false,
            position: 0,
            last_time: (String::new(), None),
        }
    }

    fn keep(&mut self, part: &[u8]) {
        if self.open.len() + part.len() > LINE_BYTES_MAX {
            self.too_long = true;
            self.open = Vec::new();
        } else if !self.too_long {
            self.open.extend_from_slice(part);
        }
    }

    /// Ends the line in `open`.
    fn close(&mut self) {
        if std::mem::take(&mut self.too_long) {
            self.content.lines += 1;
            self.fault(LineFault::TooLong);
            self.note(None);
            return;
        }
        let mut line = std::mem::take(&mut self.open);
        self.line(&line);
        line.clear();
        self.open = line;
    }

    fn line(&mut self, line: &[u8]) {
        self.content.lines += 1;
        let text = std::str::from_utf8(line).ok();
        if let Stream::Dead(_) = self.expected.stream {
            return self.letter(text);
        }
        let members = text.and_then(|text| serde_json::from_str::<Members<'_>>(text).ok());
        let at = members.as_ref().and_then(|members| self.received_at(members.received_at.get()));
        let Some((members, at)) = members.zip(at) else {
            self.fault(LineFault::NotJson);
            return self.note(None);
        };
        let times = self.expected.times;
        let position = receipt::position_of(line);
        if at.day() != self.expected.day {
            self.fault(LineFault::OtherDay);
        } else if times.is_some_and(|(first, last)| !(first..=last).contains(&at)) {
            self.fault(LineFault::OtherTime);
        } else if members.project_id.get() != self.project_id {
            self.fault(LineFault::OtherSource);
        } else if position.is_some_and(|position| !self.can_stand(position)) {
            self.fault(LineFault::Position);
        }
        if let Some(position) = position {
            self.sight(position, &members);
        }
        let print = self.print(&members, at);
        self.note(print);
    }

    /// The call's time and position are those of the archive, so they say nothing about where the letter
    /// belongs.
    fn letter(&mut self, text: Option<&str>) {
        let letter = text.and_then(|text| serde_json::from_str::<Letter<'_>>(text).ok());
        let mut print = None;
        match letter {
            Some(Letter { function, call }) if self.received_at(call.received_at.get()).is_some() => {
                if call.project_id.get() != self.project_id {
                    self.fault(LineFault::OtherSource);
                }
                print = self.letter_print(function, &call);
            }
            _ => self.fault(LineFault::NotJson),
        }
        self.content.prints.push(print);
    }

    /// One letter of a function is that of one call.
    fn letter_print(&self, function: Option<&RawValue>, call: &Members<'_>) -> Option<Print> {
        let (function, id) = (text_of(function?)?, text_of(call.message_id?)?);
        let timed = self.hasher.hash_one((&*function, &*id, call.received_at.get()));
        // A letter may be written again long after its call was received.
        Some(Print { timed, untimed: None, seconds: 0 })
    }

    fn can_stand(&self, position: u64) -> bool {
        let spans = |(first, last): (u64, u64)| (first..=last).contains(&position);
        position > self.position && self.expected.positions.is_none_or(spans)
    }

    /// Records the position of the current line.
    fn sight(&mut self, position: u64, members: &Members<'_>) {
        self.position = position;
        let wanted = self.expected.wanted.is_some_and(|(first, last)| (first..=last).contains(&position));
        // A sound object has each position once; a damaged one must not fill the memory.
        if !wanted || self.content.found.len() as u64 >= receipt::POSITIONS_MAX {
            return;
        }
        let text = |raw: Option<&RawValue>| Some(text_of(raw?)?.chars().take(TEXT_CHARS_MAX).collect());
        self.content.found.push(Sighting {
            position,
            line: self.content.lines,
            received_at: text(Some(members.received_at)).unwrap_or_default(),
            kind: text(members.kind),
            message_id: text(members.message_id),
            reason: text(members.reason).filter(|_| self.expected.stream == Stream::Rejected),
        });
    }

    fn received_at(&mut self, raw: &str) -> Option<UnixMillis> {
        if self.last_time.0 != raw {
            let at = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).and_then(parse_rfc3339);
            self.last_time = (raw.to_owned(), at);
        }
        self.last_time.1
    }

    fn print(&self, members: &Members<'_>, at: UnixMillis) -> Option<Print> {
        let (id, kind) = (text_of(members.message_id?)?, text_of(members.kind?)?);
        let time = members.original_timestamp?.get();
        let hash = |time: Option<&str>| self.hasher.hash_one((&*id, &*kind, time));
        let copied =
            time == members.received_at.get() || members.sent_at.is_some_and(|sent| sent.get() == time);
        Some(Print {
            timed: hash(Some(time)),
            untimed: copied.then(|| hash(None)),
            seconds: u32::try_from(at.0.div_euclid(1_000)).unwrap_or(if at.0 < 0 { 0 } else { u32::MAX }),
        })
    }

    fn note(&mut self, print: Option<Print>) {
        if self.expected.stream == Stream::Calls {
            self.content.prints.push(print);
        }
    }

    /// Records a fault of the current line.
    fn fault(&mut self, fault: LineFault) {
        self.content.faults.entry(fault).or_insert((self.content.lines, 0)).1 += 1;
    }

    fn finish(&mut self, damage: Option<String>) -> Content {
        if !self.open.is_empty() || self.too_long {
            self.close();
            // An object that ends within a line is already reported as damaged.
            if damage.is_none() {
                self.fault(LineFault::NotEnded);
            }
        }
        let sha256 = hex::encode(std::mem::take(&mut self.sha256).finalize());
        Content { sha256, damage, ..std::mem::take(&mut self.content) }
    }
}

/// The value of a JSON string.
fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::gzip::GzipLines;

    const AT: &str = "2015-05-27T00:00:12.345Z";

    fn expected() -> Expected {
        let at = parse_rfc3339(AT).unwrap();
        Expected {
            stream: Stream::Calls,
            source: SourceId::new("web").unwrap(),
            day: at.day(),
            times: Some((at, UnixMillis(at.0 + 1_000))),
            positions: Some((7, 20)),
            wanted: Some((8, 9)),
        }
    }

    fn read(gzip: &[u8], piece: usize) -> Content {
        let mut reader = ObjectReader::new(expected(), RandomState::new());
        gzip.chunks(piece).for_each(|piece| reader.push(piece));
        reader.finish()
    }

    fn zip(lines: &[&str]) -> (Vec<u8>, u64, String) {
        let mut gzip = GzipLines::new(Vec::new(), 6, u64::MAX);
        lines.iter().for_each(|line| {
            assert_eq!(gzip.push(line.as_bytes()).unwrap(), crate::object::gzip::Fit::Taken)
        });
        let done = gzip.finish().unwrap();
        (done.out, done.bytes, done.sha256)
    }

    fn line(rest: &str) -> String {
        format!(r#"{{"receivedAt":"{AT}","projectId":"web"{rest}}}"#)
    }

    #[test]
    fn an_object_reads_back_in_pieces_of_any_size() {
        let long = line(&format!(r#","pad":"{}""#, "x".repeat(70_000)));
        let lines = [line(""), long, line(r#","n":1e999"#)];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (gzip, bytes, sha256) = zip(&lines);
        for piece in [1, 7, 100, gzip.len()] {
            let content = read(&gzip, piece);
            assert_eq!((content.lines, content.bytes, &content.sha256), (3, bytes, &sha256), "{piece}");
            assert!(content.faults.is_empty() && content.damage.is_none(), "{content:?}");
        }
    }

    #[test]
    fn misplaced_lines_are_reported() {
        let check = |text: &str, fault: Option<LineFault>| {
            let sound = line("");
            let content = read(&zip(&[&sound, text, text]).0, 50);
            let expected = fault.map(|fault| (fault, (2, 2))).into_iter().collect();
            assert_eq!(content.faults, expected, "{text}");
        };
        check(&line(""), None);
        check(&line(r#","deep":[[[]]],"text":"\u0000""#), None);
        check("", Some(LineFault::NotJson));
        check("{}", Some(LineFault::NotJson));
        check("[1]", Some(LineFault::NotJson));
        check(&line(",}"), Some(LineFault::NotJson));
        check(&line(r#","projectId":"web""#), Some(LineFault::NotJson));
        check(&line("").replace(AT, "today"), Some(LineFault::NotJson));
        check(&line("").replace("05-27", "05-28"), Some(LineFault::OtherDay));
        check(&line("").replace("12.345", "12.344"), Some(LineFault::OtherTime));
        check(&line("").replace("12.345", "13.346"), Some(LineFault::OtherTime));
        check(&line("").replace("web", "ios"), Some(LineFault::OtherSource));
    }

    #[test]
    fn a_dead_letter_is_checked_by_its_call() {
        let check = |text: &str, fault: Option<LineFault>| {
            let stream = Stream::Dead(SourceId::new("crm").unwrap());
            let mut reader = ObjectReader::new(Expected { stream, ..expected() }, RandomState::new());
            reader.push(&zip(&[text]).0);
            let faults = reader.finish().faults;
            assert_eq!(faults, fault.map(|fault| (fault, (1, 1))).into_iter().collect(), "{text}");
        };
        let letter = |call: &str| format!(r#"{{"destination":"crm","attempts":1,"call":{call}}}"#);
        check(&letter(&line("")), None);
        check(&letter(&line("").replace("05-27", "05-26")), None);
        check(&letter(&line("").replace("web", "ios")), Some(LineFault::OtherSource));
        check(&line(""), Some(LineFault::NotJson));
        check(&letter("{}"), Some(LineFault::NotJson));
        check(&letter(&line("").replace(AT, "today")), Some(LineFault::NotJson));
    }

    #[test]
    fn an_object_that_is_not_one_complete_member_is_damaged() {
        let (gzip, ..) = zip(&[&line("")]);
        let check = |bytes: &[u8], said: &str| {
            for piece in [1, bytes.len().max(1)] {
                let damage = read(bytes, piece).damage.unwrap_or_default();
                assert!(damage.contains(said), "{said}: {damage}");
            }
        };
        for len in 0..gzip.len() {
            assert!(read(&gzip[..len], 9).damage.is_some(), "cut at {len}");
        }
        check(&[&gzip[..], &gzip[..]].concat(), "data after");
        check(&[&gzip[..], b"x"].concat(), "data after");
        check(b"this is no gzip at all", "gzip");
        let mut flipped = gzip.clone();
        let at = flipped.len() - 6;
        flipped[at] ^= 1;
        check(&flipped, "corrupt");
    }

    #[test]
    fn the_last_line_must_end_and_no_line_may_be_too_long() {
        use flate2::write::GzEncoder;
        let zip = |text: &[u8]| {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(text).unwrap();
            gzip.finish().unwrap()
        };
        let content = read(&zip(line("").as_bytes()), 1_000);
        assert_eq!(
            (content.lines, content.faults),
            (1, [(LineFault::NotEnded, (1, 1))].into_iter().collect())
        );
        let endless =
            [vec![b'x'; LINE_BYTES_MAX * 2], b"\n".to_vec(), line("").into_bytes(), b"\n".to_vec()].concat();
        let content = read(&zip(&endless), 4_096);
        assert_eq!(
            (content.lines, content.faults),
            (2, [(LineFault::TooLong, (1, 1))].into_iter().collect())
        );
    }

    #[test]
    fn prints_cover_the_values_that_a_line_still_contains() {
        let call = |id: &str, time: &str, sent: &str| {
            line(&format!(r#","type":"track","messageId":"{id}","originalTimestamp":{time},"sentAt":{sent}"#))
        };
        let lines = [
            call("m", "\"t1\"", "\"s1\""),
            call("\\u006d", "\"t1\"", "\"s2\""),
            call("m", "\"t1\"", "\"t1\""),
            call("m", "\"t2\"", "\"t2\""),
            call("m", &format!("\"{AT}\""), "\"s1\""),
            call("m", "17", "\"s1\"").replace("track", "page"),
            line(""),
        ];
        let content = read(&zip(&lines.iter().map(String::as_str).collect::<Vec<_>>()).0, 1_000);
        let prints: Vec<Option<Print>> = content.prints.iter().collect();
        let [a, escaped, copied, other, received, page] =
            [0, 1, 2, 3, 4, 5].map(|at: usize| prints[at].unwrap());
        assert_eq!((a, a.untimed), (escaped, None));
        assert_eq!(a.timed, copied.timed);
        assert!(
            copied.untimed.is_some() && copied.untimed == other.untimed && copied.untimed == received.untimed
        );
        assert!(copied.timed != other.timed && page.timed != a.timed);
        assert_eq!(prints[6], None);
    }

    #[test]
    fn lines_with_positions_are_found_and_checked() {
        let at = |position: u64, id: &str| {
            line(&format!(r#","type":"track","messageId":"{id}","forebayPosition":"{position:020}""#))
        };
        let check = |positions: &[u64], wrong: Option<(u64, u64)>, seen: &[(u64, u64)]| {
            let lines: Vec<String> = positions.iter().map(|position| at(*position, "m")).collect();
            let content = read(&zip(&lines.iter().map(String::as_str).collect::<Vec<_>>()).0, 100);
            let faults = wrong.map(|wrong| (LineFault::Position, wrong)).into_iter().collect();
            assert_eq!(content.faults, faults, "{positions:?}");
            let found: Vec<_> = content.found.iter().map(|found| (found.position, found.line)).collect();
            assert_eq!(found, seen, "{positions:?}");
        };
        check(&[7, 8, 12, 20], None, &[(8, 2)]);
        check(&[8, 9], None, &[(8, 1), (9, 2)]);
        check(&[6, 7], Some((1, 1)), &[]);
        check(&[19, 20, 21], Some((3, 1)), &[]);
        check(&[7, 8, 8, 9], Some((3, 1)), &[(8, 2), (8, 3), (9, 4)]);
        check(&[9, 8], Some((2, 1)), &[(9, 1), (8, 2)]);
        let content = read(&zip(&[&line(""), &at(8, &"x".repeat(1_000))]).0, 100);
        let found = Sighting {
            position: 8,
            line: 2,
            received_at: AT.to_owned(),
            kind: Some("track".to_owned()),
            message_id: Some("x".repeat(TEXT_CHARS_MAX)),
            reason: None,
        };
        assert_eq!((content.found, content.faults.len()), (vec![found], 0));
    }
}
