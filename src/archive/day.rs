//! One source's received-day: whether its chains are whole, and whether it is closed. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chain;
use super::finding::{Finding, Place, Positions, Problem};
use super::object::Stored;
use crate::object::closed_marker::{ClosedMarker, ClosedStream, Closing, MarkerPlace};
use crate::object::metadata::rfc3339;
use crate::object::{BucketString, ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// How long after the end of a day its markers may still come without a word: the last batch is due a minute after it.
pub const MARKER_GRACE: Duration = Duration::from_secs(3_600);
/// Findings of one day that are kept. What is above is counted.
pub const FINDINGS_MAX: usize = 1_000;

/// How a day stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DayState {
    /// Each spool that has objects there has a marker, and it holds.
    Closed,
    /// Nothing is wrong, and where the chains end is not proved.
    Open,
    /// Something was found.
    Broken,
    /// Nothing in it is Forebay's.
    Foreign,
}

/// What a day is held against.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Now.
    pub now: UnixMillis,
    /// The first day of the bucket that has a marker, where one has.
    pub markers_since: Option<ReceivedDay>,
    /// Whether objects that are not Forebay's are let pass.
    pub allow_foreign: bool,
}

/// A marker as it was found.
#[derive(Clone, Debug)]
pub struct FoundMarker {
    /// What its key tells.
    pub at: MarkerPlace,
    /// What it says, or why it says nothing.
    pub said: Result<ClosedMarker, String>,
}

/// Everything that was found of a day.
#[derive(Clone, Debug)]
pub struct Day {
    /// The source.
    pub source: SourceId,
    /// The received-day; `None` of what stands in no day's folder.
    pub day: Option<ReceivedDay>,
    /// Objects of both streams.
    pub objects: Vec<Stored>,
    /// Markers.
    pub markers: Vec<FoundMarker>,
    /// Keys that are not ours.
    pub foreign: Vec<ObjectKey>,
    /// How many more there are.
    pub foreign_more: u64,
    /// What was found while it was looked for.
    pub findings: Vec<Finding>,
}

/// Objects, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sum {
    /// Objects.
    pub objects: u64,
    /// Lines, as the metadata tell.
    pub calls: u64,
    /// Their bytes, as the metadata tell.
    pub bytes: u64,
    /// Bytes of gzip.
    pub stored_bytes: u64,
}

impl Sum {
    /// Adds another sum.
    pub fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.calls = self.calls.saturating_add(other.calls);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.stored_bytes = self.stored_bytes.saturating_add(other.stored_bytes);
    }

    fn push(&mut self, object: &Stored) {
        let facts = object.facts.as_ref();
        self.add(&Self {
            objects: 1,
            calls: facts.map_or(0, |facts| facts.calls),
            bytes: facts.map_or(0, |facts| facts.bytes),
            stored_bytes: object.len,
        });
    }
}

/// A spool that has objects of the day and no marker.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unclosed {
    /// The node id.
    pub node: String,
    /// The spool id.
    pub spool: String,
}

/// How a day stands, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DayReport {
    /// The source.
    pub source: SourceId,
    /// The received-day; `None` of what stands in no day's folder.
    pub day: Option<ReceivedDay>,
    /// The day as a date.
    pub date: Option<String>,
    /// How it stands.
    pub state: DayState,
    /// The streams that have objects.
    pub streams: BTreeMap<Stream, Sum>,
    /// The spools that have not closed it.
    pub unclosed: Vec<Unclosed>,
    /// Objects that are not ours.
    pub foreign: u64,
    /// What was found, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many more were found.
    pub findings_left_out: u64,
    /// Lines that were read and not looked at for repeats: those of an object behind its first 8,388,608.
    pub lines_not_compared: u64,
}

impl DayReport {
    /// Adds what was found since.
    pub fn found(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            self.state = DayState::Broken;
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(finding);
            } else {
                self.findings_left_out += 1;
            }
        }
    }

    /// All that was found.
    pub fn findings(&self) -> u64 {
        self.findings.len() as u64 + self.findings_left_out
    }
}

/// What one spool has of a day. Objects in the order of their first positions.
#[derive(Default)]
struct OfSpool<'a> {
    streams: BTreeMap<Stream, Vec<Stored>>,
    markers: Vec<&'a FoundMarker>,
}

/// Judges a day. Also answers its objects, chain by chain, in the order of their first positions.
pub fn judge(bucket: &BucketString, day: Day, rules: &Rules) -> (DayReport, Vec<Stored>) {
    let Day { source, day, mut objects, markers, foreign, foreign_more, mut findings } = day;
    objects.sort_by(|a, b| (a.at.first_position, &a.key).cmp(&(b.at.first_position, &b.key)));
    let mut report = DayReport {
        date: day.map(crate::object::tags::date),
        source: source.clone(),
        day,
        state: DayState::Closed,
        streams: BTreeMap::new(),
        unclosed: Vec::new(),
        foreign: foreign.len() as u64 + foreign_more,
        findings: Vec::new(),
        findings_left_out: 0,
        lines_not_compared: 0,
    };
    let mut spools: BTreeMap<String, OfSpool<'_>> = BTreeMap::new();
    for marker in &markers {
        spools.entry(marker.at.spool_id.clone()).or_default().markers.push(marker);
    }
    for object in objects {
        report.streams.entry(object.at.stream).or_default().push(&object);
        let of_spool = spools.entry(object.at.spool_id.clone()).or_default();
        of_spool.streams.entry(object.at.stream).or_default().push(object);
    }
    // They come as the store answered.
    findings.sort_by(|a, b| a.place.key.cmp(&b.place.key));
    report.found(findings);
    for (spool, of_spool) in &spools {
        let judged = of_spool.judge(bucket);
        report.found(judged.findings);
        if !judged.unclosed {
            continue;
        }
        let node = of_spool.streams.values().flatten().map(|object| object.at.node.clone()).next_back();
        let node = node.unwrap_or_default();
        if day.is_some_and(|day| must_be_closed(day, rules)) {
            let (source, node, spool) = (Some(source.clone()), Some(node.clone()), Some(spool.clone()));
            let place = Place { source, day, node, spool, ..Place::default() };
            report.found([Finding { place, problem: Problem::NoMarker }]);
        }
        report.unclosed.push(Unclosed { node, spool: spool.clone() });
    }
    if report.state != DayState::Broken && !report.unclosed.is_empty() {
        report.state = DayState::Open;
    }
    if report.state != DayState::Broken && spools.is_empty() {
        report.state = DayState::Foreign;
    }
    if !rules.allow_foreign {
        report.found(foreign.into_iter().map(|key| Finding {
            place: Place { source: Some(source.clone()), day, key: Some(key), ..Place::default() },
            problem: Problem::Foreign,
        }));
        report.findings_left_out += foreign_more;
    }
    let ordered = spools.into_values().flat_map(|of_spool| of_spool.streams.into_values().flatten());
    (report, ordered.collect())
}

/// Whether a spool without a marker is a finding: others have theirs, and it has had its time.
fn must_be_closed(day: ReceivedDay, rules: &Rules) -> bool {
    rules.markers_since.is_some_and(|since| since <= day) && rules.now >= day.end().plus(MARKER_GRACE)
}

/// What came of one spool's part of a day.
struct Judged {
    findings: Vec<Finding>,
    unclosed: bool,
}

impl OfSpool<'_> {
    fn judge(&self, bucket: &BucketString) -> Judged {
        let mut findings: Vec<Finding> =
            self.streams.values().flat_map(|objects| chain::check(objects)).collect();
        let sums = self.sums(bucket);
        let said = || self.markers.iter().filter_map(|marker| marker.said.as_ref().ok());
        let holds = said().any(|marker| sums.as_ref() == Some(&marker.streams));
        if holds {
            // The marker names each object, so nothing stood between the two.
            findings.retain(|finding| !matches!(finding.problem, Problem::BeginsAgain { .. }));
            return Judged { findings, unclosed: false };
        }
        for marker in &self.markers {
            match &marker.said {
                Err(why) => findings.push(at_marker(bucket, marker, Problem::Marker { why: why.clone() })),
                Ok(said) => findings.extend(self.differs(bucket, marker, said, sums.as_ref(), &findings)),
            }
        }
        Judged { unclosed: self.markers.is_empty(), findings }
    }

    /// What a marker of these objects would say; `None` where metadata of one cannot be believed.
    fn sums(&self, bucket: &BucketString) -> Option<BTreeMap<Stream, ClosedStream>> {
        let mut sums = BTreeMap::new();
        for (stream, objects) in &self.streams {
            let mut closing = Closing::default();
            for object in objects {
                closing.push(bucket, &object.key, &object.metadata()?);
            }
            sums.extend(closing.sum().map(|sum| (*stream, sum.clone())));
        }
        Some(sums)
    }

    /// In what a marker does not hold. `known` is what was found of the chains: most of it shows in the marker, too.
    fn differs(
        &self,
        bucket: &BucketString,
        marker: &FoundMarker,
        said: &ClosedMarker,
        sums: Option<&BTreeMap<Stream, ClosedStream>>,
        known: &[Finding],
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for stream in [Stream::Calls, Stream::Rejected] {
            let objects = self.streams.get(&stream).map(Vec::as_slice).unwrap_or_default();
            let Some(theirs) = said.streams.get(&stream) else {
                findings.extend(objects.first().map(|object| Finding {
                    place: object.place(),
                    problem: Problem::MarkerDiffers {
                        what: "objects",
                        marker: "0".to_owned(),
                        bucket: objects.len().to_string(),
                    },
                }));
                continue;
            };
            let ends = objects.iter().filter_map(|object| Some(object.facts.as_ref()?.last_position)).max();
            let first = ends.map_or(theirs.first_position, |last| last.saturating_add(1));
            let missing = theirs.last_position >= first;
            if missing {
                let positions = Some(Positions { first, last: theirs.last_position });
                let place =
                    Place { stream: Some(stream), key: None, positions, ..marker_place(bucket, marker) };
                findings.push(Finding { place, problem: Problem::Missing });
            }
            let told = known.iter().any(|finding| finding.place.stream == Some(stream));
            let Some(ours) = sums.and_then(|sums| sums.get(&stream)).filter(|_| !missing && !told) else {
                continue;
            };
            if let Some(problem) = difference(theirs, ours) {
                let mut finding = at_marker(bucket, marker, problem);
                finding.place.stream = Some(stream);
                findings.push(finding);
            }
        }
        findings
    }
}

/// The first thing in which two sums differ.
fn difference(marker: &ClosedStream, bucket: &ClosedStream) -> Option<Problem> {
    let number = |what, of: fn(&ClosedStream) -> u64| (what, of(marker).to_string(), of(bucket).to_string());
    let time = |what, of: fn(&ClosedStream) -> UnixMillis| (what, rfc3339(of(marker)), rfc3339(of(bucket)));
    let all = [
        number("last position", |sum| sum.last_position),
        number("objects", |sum| sum.objects),
        number("calls", |sum| sum.calls),
        number("bytes", |sum| sum.bytes),
        number("first position", |sum| sum.first_position),
        time("first receivedAt", |sum| sum.first_received_at),
        time("last receivedAt", |sum| sum.last_received_at),
        ("SHA-256", marker.sha256.clone(), bucket.sha256.clone()),
    ];
    let (what, marker, bucket) = all.into_iter().find(|(_, marker, bucket)| marker != bucket)?;
    Some(Problem::MarkerDiffers { what, marker, bucket })
}

fn marker_place(bucket: &BucketString, marker: &FoundMarker) -> Place {
    Place {
        source: Some(marker.at.source.clone()),
        day: Some(marker.at.day),
        node: Some(marker.at.node.clone()),
        spool: Some(marker.at.spool_id.clone()),
        key: Some(marker.at.key(bucket)),
        ..Place::default()
    }
}

fn at_marker(bucket: &BucketString, marker: &FoundMarker, problem: Problem) -> Finding {
    Finding { place: marker_place(bucket, marker), problem }
}

#[cfg(test)]
pub(super) mod tests;
