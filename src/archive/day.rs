//! Judges one received-day of a source: whether its chains are complete, and whether it is closed. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::chain;
use super::finding::{BucketFinding, BucketPlace, BucketProblem, Positions};
use super::object::{ContentFacts, Stored};
use super::part::StoredPart;
use crate::object::closed_marker::{ClosedMarker, ClosedStream, Closing, ParsedMarkerKey};
use crate::object::{BucketString, ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};
use crate::words::rfc3339;

/// The grace period after the end of a day, in which a missing marker is not a finding. The last batch is due
/// one minute after the day.
pub const MARKER_GRACE: Duration = Duration::from_secs(3_600);
/// The most findings kept of one day. Further ones are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// The state of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DayState {
    /// Each spool with objects of the day has a matching marker.
    Closed,
    /// Nothing is wrong, but the ends of the chains are not proved.
    Open,
    /// There are findings.
    Broken,
    /// It contains only parts of imports, which are in no chain.
    Imported,
    /// It contains no object of Forebay.
    Foreign,
}

/// The circumstances and options for judging a day.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The current time.
    pub now: UnixMillis,
    /// The first day in the bucket with a marker, if any.
    pub markers_since: Option<ReceivedDay>,
    /// Whether foreign objects are accepted.
    pub allow_foreign: bool,
}

/// A marker in the bucket.
#[derive(Clone, Debug)]
pub struct FoundMarker {
    /// The facts in its key.
    pub at: ParsedMarkerKey,
    /// Its content, or the reason why it is invalid.
    pub said: Result<ClosedMarker, String>,
}

/// Everything found of a day.
#[derive(Clone, Debug)]
pub struct Day {
    /// The source.
    pub source: SourceId,
    /// The received-day; `None` for keys outside of any day's folder.
    pub day: Option<ReceivedDay>,
    /// Objects of all streams.
    pub objects: Vec<Stored>,
    /// Markers.
    pub markers: Vec<FoundMarker>,
    /// Parts of imports.
    pub imported: Sum,
    /// Keys that are not Forebay's.
    pub foreign: Vec<ObjectKey>,
    /// The number of further keys that are not Forebay's.
    pub foreign_more: u64,
    /// Findings made while reading it.
    pub findings: Vec<BucketFinding>,
}

/// Totals of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sum {
    /// Objects.
    pub objects: u64,
    /// Lines, according to the metadata.
    pub calls: u64,
    /// Bytes of the lines, according to the metadata.
    pub bytes: u64,
    /// Bytes as stored (gzip).
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

    /// The sum of parts of imports.
    pub fn of_parts(parts: &[StoredPart]) -> Self {
        let mut sum = Self::default();
        parts.iter().for_each(|part| sum.push(part.facts.as_ref(), part.len));
        sum
    }

    /// Adds an object of so many bytes of gzip.
    fn push(&mut self, facts: Option<&ContentFacts>, stored_bytes: u64) {
        let (calls, bytes) = facts.map_or((0, 0), |facts| (facts.calls, facts.bytes));
        self.add(&Self { objects: 1, calls, bytes, stored_bytes });
    }
}

/// A spool with objects of the day but without a marker.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unclosed {
    /// The node id.
    pub node: String,
    /// The spool id.
    pub spool: String,
}

/// The state of a day, and the reasons.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DayReport {
    /// The source.
    pub source: SourceId,
    /// The received-day; `None` for keys outside of any day's folder.
    pub day: Option<ReceivedDay>,
    /// The day as a date.
    pub date: Option<String>,
    /// Its state.
    pub state: DayState,
    /// Totals of each stream that has objects.
    pub streams: BTreeMap<Stream, Sum>,
    /// Spools that have not closed the day.
    pub unclosed: Vec<Unclosed>,
    /// Parts of imports. Nothing shows whether one is missing.
    pub imported: Sum,
    /// The number of objects that are not Forebay's.
    pub foreign: u64,
    /// The findings, at most [`FINDINGS_MAX`].
    pub findings: Vec<BucketFinding>,
    /// The number of further findings.
    pub findings_left_out: u64,
    /// Lines that were read but not compared to find repeats: those after the first 8,388,608 of an object.
    pub lines_not_compared: u64,
    /// Dead letters that were read and are there a second time: a reader takes one of each. They are no
    /// finding, because a call may die again after a crash.
    pub letters_twice: u64,
}

impl DayReport {
    /// Adds findings.
    pub fn found(&mut self, findings: impl IntoIterator<Item = BucketFinding>) {
        for finding in findings {
            self.state = DayState::Broken;
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(finding);
            } else {
                self.findings_left_out += 1;
            }
        }
    }

    /// The number of all findings.
    pub fn findings(&self) -> u64 {
        self.findings.len() as u64 + self.findings_left_out
    }
}

/// One spool's part of a day. Objects are in the order of their first positions.
#[derive(Default)]
struct OfSpool<'a> {
    streams: BTreeMap<Stream, Vec<Stored>>,
    markers: Vec<&'a FoundMarker>,
}

/// Judges a day. Also returns its objects, chain by chain, in the order of their first positions.
pub fn judge(bucket: &BucketString, day: Day, rules: &Rules) -> (DayReport, Vec<Stored>) {
    let Day { source, day, mut objects, markers, imported, foreign, foreign_more, mut findings } = day;
    objects.sort_by(|a, b| (a.at.first_position, &a.key).cmp(&(b.at.first_position, &b.key)));
    let mut report = DayReport {
        date: day.map(crate::words::date),
        source: source.clone(),
        day,
        state: DayState::Closed,
        streams: BTreeMap::new(),
        unclosed: Vec::new(),
        imported,
        foreign: foreign.len() as u64 + foreign_more,
        findings: Vec::new(),
        findings_left_out: 0,
        lines_not_compared: 0,
        letters_twice: 0,
    };
    let mut spools: BTreeMap<String, OfSpool<'_>> = BTreeMap::new();
    for marker in &markers {
        spools.entry(marker.at.spool_id.clone()).or_default().markers.push(marker);
    }
    for object in objects {
        report.streams.entry(object.at.stream.clone()).or_default().push(object.content_facts(), object.len);
        let of_spool = spools.entry(object.at.spool_id.clone()).or_default();
        of_spool.streams.entry(object.at.stream.clone()).or_default().push(object);
    }
    // They arrive in the order of the store's answers.
    findings.sort_by(|a, b| a.place.key.cmp(&b.place.key));
    report.found(findings);
    for (spool, of_spool) in &spools {
        let (findings, unclosed) = of_spool.judge(bucket);
        report.found(findings);
        if !unclosed {
            continue;
        }
        let node = of_spool.streams.values().flatten().map(|object| object.at.node.clone()).next_back();
        let node = node.unwrap_or_default();
        if day.is_some_and(|day| must_be_closed(day, rules)) {
            let (source, node, spool) = (Some(source.clone()), Some(node.clone()), Some(spool.clone()));
            let place = BucketPlace { source, day, node, spool, ..BucketPlace::default() };
            report.found([BucketFinding { place, problem: BucketProblem::NoMarker }]);
        }
        report.unclosed.push(Unclosed { node, spool: spool.clone() });
    }
    if report.state != DayState::Broken && !report.unclosed.is_empty() {
        report.state = DayState::Open;
    }
    if report.state != DayState::Broken && spools.is_empty() {
        report.state = if imported.objects > 0 { DayState::Imported } else { DayState::Foreign };
    }
    if !rules.allow_foreign {
        report.found(foreign.into_iter().map(|key| BucketFinding {
            place: BucketPlace {
                source: Some(source.clone()),
                day,
                key: Some(key),
                ..BucketPlace::default()
            },
            problem: BucketProblem::Foreign,
        }));
        report.findings_left_out += foreign_more;
    }
    let ordered = spools.into_values().flat_map(|of_spool| of_spool.streams.into_values().flatten());
    (report, ordered.collect())
}

/// Whether a missing marker is a finding: earlier days have markers, and the grace period is over.
fn must_be_closed(day: ReceivedDay, rules: &Rules) -> bool {
    rules.markers_since.is_some_and(|since| since <= day) && rules.now >= day.end().plus(MARKER_GRACE)
}

impl OfSpool<'_> {
    /// The findings about one spool's part of a day, and whether the spool has not closed it.
    fn judge(&self, bucket: &BucketString) -> (Vec<BucketFinding>, bool) {
        let mut findings: Vec<BucketFinding> =
            self.streams.values().flat_map(|objects| chain::check(objects)).collect();
        let sums = self.sums(bucket);
        let mut said = self.markers.iter().filter_map(|marker| marker.said.as_ref().ok());
        if said.any(|marker| sums.as_ref() == Some(&marker.streams)) {
            // The marker covers every object, so there was nothing in between.
            findings.retain(|finding| !matches!(finding.problem, BucketProblem::BeginsAgain(_)));
            return (findings, false);
        }
        for marker in &self.markers {
            match &marker.said {
                Err(why) => findings.push(at_marker(bucket, marker, BucketProblem::Marker(why.clone()))),
                Ok(said) => findings.extend(self.differs(bucket, marker, said, sums.as_ref(), &findings)),
            }
        }
        (findings, self.markers.is_empty())
    }

    /// The content that a marker of these objects would have; `None` if the metadata of one is not credible.
    fn sums(&self, bucket: &BucketString) -> Option<BTreeMap<Stream, ClosedStream>> {
        let mut sums = BTreeMap::new();
        for (stream, objects) in &self.streams {
            let mut closing = Closing::default();
            for object in objects {
                closing.push(bucket, &object.key, &object.metadata()?);
            }
            sums.extend(closing.sum().map(|sum| (stream.clone(), sum.clone())));
        }
        Some(sums)
    }

    /// How a marker differs. `known` are the findings in the chains, which usually also explain the
    /// difference.
    fn differs(
        &self,
        bucket: &BucketString,
        marker: &FoundMarker,
        said: &ClosedMarker,
        sums: Option<&BTreeMap<Stream, ClosedStream>>,
        known: &[BucketFinding],
    ) -> Vec<BucketFinding> {
        let mut findings = Vec::new();
        let streams: BTreeSet<&Stream> = self.streams.keys().chain(said.streams.keys()).collect();
        for stream in streams {
            let objects = self.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
            let Some(theirs) = said.streams.get(stream) else {
                let (marker, bucket) = ("0".to_owned(), objects.len().to_string());
                let problem = BucketProblem::MarkerDiffers { what: "objects", marker, bucket };
                let first = objects.first();
                findings.extend(first.map(|object| BucketFinding { place: object.place(), problem }));
                continue;
            };
            let ends = objects.iter().filter_map(|object| Some(object.facts.as_ref()?.last_position)).max();
            let first = ends.map_or(theirs.first_position, |last| last.saturating_add(1));
            let missing = theirs.last_position >= first;
            if missing {
                let positions = Some(Positions { first, last: theirs.last_position });
                let (stream, place) = (Some(stream.clone()), marker_place(bucket, marker));
                let place = BucketPlace { stream, key: None, positions, ..place };
                findings.push(BucketFinding { place, problem: BucketProblem::Missing });
            }
            let told = known.iter().any(|finding| finding.place.stream.as_ref() == Some(stream));
            let Some(ours) = sums.and_then(|sums| sums.get(stream)).filter(|_| !missing && !told) else {
                continue;
            };
            if let Some(problem) = difference(theirs, ours) {
                let mut finding = at_marker(bucket, marker, problem);
                finding.place.stream = Some(stream.clone());
                findings.push(finding);
            }
        }
        findings
    }
}

/// The first difference between two summaries.
fn difference(marker: &ClosedStream, bucket: &ClosedStream) -> Option<BucketProblem> {
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
    Some(BucketProblem::MarkerDiffers { what, marker, bucket })
}

fn marker_place(bucket: &BucketString, marker: &FoundMarker) -> BucketPlace {
    BucketPlace {
        source: Some(marker.at.source.clone()),
        day: Some(marker.at.day),
        node: Some(marker.at.node.clone()),
        spool: Some(marker.at.spool_id.clone()),
        key: Some(marker.at.key(bucket)),
        ..BucketPlace::default()
    }
}

fn at_marker(bucket: &BucketString, marker: &FoundMarker, problem: BucketProblem) -> BucketFinding {
    BucketFinding { place: marker_place(bucket, marker), problem }
}

#[cfg(test)]
pub(super) mod tests;
