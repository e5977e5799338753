//! Checks every byte of a spool that means something, and names what is damaged.

use std::collections::BTreeMap;
use std::io::Read;

use sha2::{Digest, Sha256};

use super::disk::{DiskFile, read_all};
use super::frame::{Frame, Salt};
use super::index::{Part, Run, Runs};
use super::manifest::manifest_name;
use super::note::{Parked, PendingSeal};
use super::outlet::parked_name;
use super::reader::ScannedRuns;
use super::scan::Range;
use super::seen_file;
use super::segment::{index_name, number_in, seen_name};
use super::segment_index::{read_directory, read_runs};
use super::survey::{Answered, Finding, Kind, Surveyed, Visitor, survey};
use super::view::{View, ViewError, batch_of};
use crate::batch::BatchKey;

/// What a verification came to.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Verified {
    /// Nothing is damaged.
    pub sound: bool,
    /// What is.
    pub findings: Vec<Finding>,
    /// What is normal, and worth a word.
    pub notes: Vec<String>,
    /// Positions that an earlier start noted as lost.
    pub known_lost: Vec<Range>,
    /// What was read.
    pub checked: Checked,
}

/// What a verification read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Checked {
    /// Notes of the manifest.
    pub manifest_notes: usize,
    /// Segments.
    pub segments: usize,
    /// Their bytes.
    pub segment_bytes: u64,
    /// Sound frames.
    pub frames: u64,
    /// Index files.
    pub indexes: usize,
    /// Files of fingerprints.
    pub fingerprint_files: usize,
    /// Seals whose lines were hashed again.
    pub seals: usize,
    /// Parked objects.
    pub parked: usize,
}

/// Checks a spool. `progress` hears how many of how many bytes of segments are read.
///
/// # Errors
/// [`ViewError`] where the disk says no, or a newer release wrote a segment.
pub fn verify(view: &View, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, ViewError> {
    let mut findings = copy_findings(view);
    findings.extend(manifest_findings(view));
    let mut reading = Reading { runs: BTreeMap::new(), seals: Hashed::of(view), progress };
    let surveyed = survey(view, &mut reading)?;
    let Reading { runs, seals, .. } = reading;
    let mut checked = Checked {
        manifest_notes: view.manifest.notes,
        segments: surveyed.segments,
        segment_bytes: surveyed.bytes,
        frames: surveyed.frames,
        ..Checked::default()
    };
    let mut notes = surveyed.notes.clone();
    findings.extend(surveyed.findings.iter().cloned());
    for segment in &view.segments {
        let scanned = runs.get(&segment.number);
        findings.extend(check_index(view, segment.number, scanned, &surveyed, &mut checked)?);
    }
    findings.extend(check_fingerprints(view, &mut checked)?);
    for pending in view.manifest.state.seals.values() {
        match pending.parked {
            Some(parked) => {
                checked.parked += 1;
                findings.extend(check_parked(view, pending, parked));
            }
            None => {
                checked.seals += 1;
                findings.extend(seals.finding(pending));
            }
        }
    }
    notes.extend(leftover_notes(view));
    let known_lost = view.manifest.state.lost.clone();
    Ok(Verified { sound: findings.is_empty(), findings, notes, known_lost, checked })
}

struct Reading<'a> {
    runs: BTreeMap<u64, ScannedRuns>,
    seals: Hashed,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Visitor for Reading<'_> {
    fn frame(&mut self, segment: u64, offset: u64, frame: &Frame<'_>) {
        self.runs.entry(segment).or_default().take(offset, frame);
        self.seals.take(frame);
    }

    fn progress(&mut self, done: u64, total: u64) {
        (self.progress)(done, total);
    }
}

/// The lines of each sealed range that waits for its object, hashed again.
#[derive(Default)]
struct Hashed {
    by_batch: BTreeMap<BatchKey, Vec<OneSeal>>,
}

struct OneSeal {
    number: u64,
    first: u64,
    last: u64,
    sha256: Sha256,
    frames: u64,
}

impl Hashed {
    fn of(view: &View) -> Self {
        let mut hashed = Self::default();
        for pending in view.manifest.state.seals.values().filter(|pending| pending.parked.is_none()) {
            let seal = &pending.seal;
            hashed.by_batch.entry(seal.batch.clone()).or_default().push(OneSeal {
                number: seal.number,
                first: seal.first,
                last: seal.last,
                sha256: Sha256::new(),
                frames: 0,
            });
        }
        hashed
    }

    fn take(&mut self, frame: &Frame<'_>) {
        if self.by_batch.is_empty() {
            return;
        }
        let seals = batch_of(frame).and_then(|key| self.by_batch.get_mut(&key));
        for seal in seals.into_iter().flatten() {
            if (seal.first..=seal.last).contains(&frame.position) {
                seal.sha256.update(frame.payload);
                seal.sha256.update(b"\n");
                seal.frames += 1;
            }
        }
    }

    fn finding(&self, pending: &PendingSeal) -> Option<Finding> {
        let seal = &pending.seal;
        let hashed = self.by_batch.get(&seal.batch)?.iter().find(|hashed| hashed.number == seal.number)?;
        let found = hex(&hashed.sha256.clone().finalize());
        let (frames, expected) = expected(pending);
        if found == expected {
            return None;
        }
        let what = format!(
            "seal {} ({}): {} of its {frames} lines can be read, and together they are not what was sealed; the next start \
             delivers what is left and says so",
            seal.number, seal.object_key, hashed.frames
        );
        let mut finding =
            Finding::new(Kind::Seal, "(the segments)", what).of(Range { first: seal.first, last: seal.last });
        // A seal is made of what is durable.
        finding.answered = Some(Answered::Yes);
        Some(finding)
    }
}

/// Lines and hash of what the object of a seal holds.
fn expected(pending: &PendingSeal) -> (u64, &str) {
    match &pending.amended {
        Some(amend) => (amend.frames, &amend.sha256),
        None => (pending.seal.frames, &pending.seal.sha256),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is damaged of what is there twice.
fn copy_findings(view: &View) -> Vec<Finding> {
    let what = "it is damaged; its copy says the same, and the next start makes it again";
    let ident = view.ident_damaged.iter().map(|file| Finding::new(Kind::Copy, *file, what));
    let what = "one of the two notes that it begins with is damaged; the other says the same, and the next start writes both \
                anew";
    let state = view.manifest.one_of_two.map(|range| {
        Finding::new(Kind::Copy, manifest_name(view.manifest.number.unwrap_or(0)), what)
            .at(range.from, range.to)
    });
    ident.chain(state).collect()
}

/// What of the manifest cannot be read.
pub fn manifest_findings(view: &View) -> Vec<Finding> {
    let manifest = &view.manifest;
    let Some(number) = manifest.number else {
        if view.segments.is_empty() && view.leftovers.is_empty() {
            return Vec::new();
        }
        let what =
            "there is no manifest though there are segments; what was sealed or delivered is not known";
        return vec![Finding::new(Kind::Manifest, manifest_name(0), what)];
    };
    let finding = |range: &super::view::ByteRange| {
        let what = if range.from == 0 {
            "neither of the two notes that it begins with can be read: the spool does not open. `forebay spool export` saves \
             the calls"
        } else {
            "a note that was synced can no longer be read; what the notes before and behind it say is used here, and by the \
             next start, unless `spool.on_corruption` is \"stop\". `forebay spool export` saves the calls"
        };
        Finding::new(Kind::Manifest, manifest_name(number), what).at(range.from, range.to)
    };
    manifest.damaged.iter().map(finding).collect()
}

/// Compares a segment's index with its frames.
fn check_index(
    view: &View,
    number: u64,
    scanned: Option<&ScannedRuns>,
    surveyed: &Surveyed,
    checked: &mut Checked,
) -> Result<Option<Finding>, ViewError> {
    let name = index_name(number);
    let file = match view.disk.open(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ViewError::disk(&name)(error)),
    };
    checked.indexes += 1;
    let len = file.len().map_err(ViewError::disk(&name))?;
    let found = |what: &str| Some(Finding::new(Kind::Index, name.clone(), what).at(0, len));
    let directory = read_directory(&*file, view.salt(number), number).map_err(ViewError::disk(&name))?;
    let Some(directory) = directory else {
        return Ok(found("its checksum differs; nothing is lost, the next start reads the segment instead"));
    };
    if surveyed.damaged.contains(&number) {
        return Ok(None);
    }
    let none = BTreeMap::new();
    let scanned = scanned.map_or(&none, |scanned| &scanned.runs);
    let parts: BTreeMap<&BatchKey, &Part> = directory.parts.iter().map(|(key, part)| (key, part)).collect();
    for (key, (part, runs)) in scanned {
        let Some(known) = parts.get(key) else {
            if part.last > view.cursor(key).1 {
                return Ok(found(&format!(
                    "it does not name the batch {key}, which has frames in the segment"
                )));
            }
            continue;
        };
        if let Some(finding) = compare(&*file, view.salt(number), &name, known, part, runs)? {
            return Ok(Some(finding));
        }
        if known.first > part.first && view.cursor(key).1 + 1 < known.first {
            return Ok(found(&format!("it lacks frames of the batch {key} that are not delivered")));
        }
    }
    let strange = parts.keys().find(|key| !scanned.contains_key(**key));
    Ok(strange.and_then(|key| found(&format!("it names the batch {key}, which has no frame in the segment"))))
}

fn compare(
    file: &dyn DiskFile,
    salt: Salt,
    name: &str,
    known: &Part,
    part: &Part,
    runs: &[Run],
) -> Result<Option<Finding>, ViewError> {
    let what = "it does not say where the frames stand; nothing is lost, the segment is read instead";
    let Runs::File { offset, count } = known.runs else { return Ok(None) };
    let read = read_runs(file, salt, offset, count, known).map_err(ViewError::disk(name))?;
    // What was released while the segment was written to is not in its index.
    let listed: Vec<Run> = runs.iter().filter(|run| run.first >= known.first).copied().collect();
    let frames: u64 = listed.iter().map(|run| u64::from(run.frames)).sum();
    let same_bytes = known.first != part.first || known.bytes == part.bytes;
    let same = (known.last, known.frames) == (part.last, frames) && same_bytes && read == Some(listed);
    let to = offset + u64::from(count) * super::segment_index::RUN as u64 + 4;
    Ok((!same).then(|| Finding::new(Kind::Index, name, what).at(offset, to)))
}

fn check_fingerprints(view: &View, checked: &mut Checked) -> Result<Vec<Finding>, ViewError> {
    let mut findings = Vec::new();
    for (name, len) in view.disk.list("").map_err(ViewError::disk("the directory"))? {
        let Some(number) = seen_file::number(&name) else { continue };
        checked.fingerprint_files += 1;
        let read = seen_file::read(&*view.disk, view.salt(number), number).map_err(ViewError::disk(&name))?;
        if read.is_none() {
            let what = "its checksum differs; no call is lost, but repeats of its calls may be stored again";
            findings.push(Finding::new(Kind::Fingerprints, seen_name(number), what).at(0, len));
        }
    }
    Ok(findings)
}

/// Checks a parked object: its length, its checksum, and that it holds the lines that were sealed.
pub fn check_parked(view: &View, pending: &PendingSeal, parked: Parked) -> Option<Finding> {
    let name = parked_name(pending.seal.number);
    let positions = Range { first: pending.seal.first, last: pending.seal.last };
    let found = |what: String, len: u64| {
        let mut finding = Finding::new(Kind::Parked, name.clone(), what).at(0, len).of(positions);
        finding.answered = Some(Answered::Yes);
        finding
    };
    let bytes = match view.disk.open(&name).and_then(|file| read_all(&*file)) {
        Ok(bytes) => bytes,
        Err(error) => return Some(found(format!("the parked object cannot be read: {error}"), 0)),
    };
    let len = bytes.len() as u64;
    let crc32 = crc32fast::hash(&bytes);
    if (len, crc32) != (parked.len, parked.crc32) {
        let what = format!(
            "the parked object of seal {} is damaged: {len} bytes with CRC-32 {crc32:08x}, noted were {} with {:08x}",
            pending.seal.number, parked.len, parked.crc32
        );
        return Some(found(what, len));
    }
    let mut sha256 = Sha256::new();
    let mut lines = flate2::read::GzDecoder::new(bytes.as_slice());
    let mut piece = vec![0; 64 * 1_024];
    loop {
        match lines.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => sha256.update(piece.get(..read).unwrap_or(&[])),
            Err(error) => return Some(found(format!("the parked object cannot be unpacked: {error}"), len)),
        }
    }
    (hex(&sha256.finalize()) != expected(pending).1)
        .then(|| found("the parked object holds other lines than were sealed".to_owned(), len))
}

/// Files that the next opening removes or uses again, and a last note that cannot be read.
fn leftover_notes(view: &View) -> Vec<String> {
    let name = |segment: &super::view::SegmentFile| super::segment::segment_name(segment.number);
    let mut notes = Vec::new();
    if let (Some(torn), Some(number)) = (view.manifest.torn, view.manifest.number) {
        let gone: Vec<String> =
            view.segments.iter().filter(|segment| segment.len.is_none()).map(name).collect();
        let judged = if gone.is_empty() {
            "no segment that the manifest names is missing".to_owned()
        } else {
            format!("it rotted, for {} is missing, which the manifest names", gone.join(", "))
        };
        notes.push(format!(
            "{}: bytes {} to {} are a last note that cannot be read: either it was torn and was never acted upon, or it \
             rotted; {judged}",
            manifest_name(number),
            torn.from,
            torn.to
        ));
    }
    notes.extend(view.leftovers.iter().map(|segment| {
        format!("{}: the manifest does not name it; the next start removes it", name(segment))
    }));
    let older =
        |file: &str| number_in(file, "MANIFEST-", "").filter(|number| Some(*number) < view.manifest.number);
    if let Ok(files) = view.disk.list("") {
        let old = files.iter().filter(|(file, _)| older(file).is_some());
        notes.extend(old.map(|(file, _)| format!("{file}: an older manifest; the next start removes it")));
    }
    notes
}
