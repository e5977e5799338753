//! Checks every meaningful byte of a spool, and names the damage.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::batch::BatchKey;
use crate::disk::{DiskFile, if_there, read_all};
use crate::log::frame::{Frame, Salt};
use crate::log::{Lost, Parked, PendingSeal, Range};
use crate::spool::format::key_run::{run_len, run_name};
use crate::spool::format::runs::{Run, Runs, ScannedRuns, Stretch};
use crate::spool::format::seen_file;
use crate::spool::format::segment::{index_name, number_in, seen_name, segment_name};
use crate::spool::format::segment_index::{read_directory, read_runs};
use crate::spool::format::{ByteRange, hash_lines, parked_name};
use crate::spool::manifest::manifest_name;
use crate::spool::offline::survey::{Answered, Finding, Kind, Surveyed, Visitor, survey};
use crate::spool::offline::view::{SegmentFile, View, ViewError};
use crate::spool::row_keys::damage_of;

/// The result of a verification.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Verified {
    /// Whether there is no damage.
    pub sound: bool,
    /// The damage.
    pub findings: Vec<Finding>,
    /// Normal conditions worth mentioning.
    pub notes: Vec<String>,
    /// Positions that an earlier start noted as lost.
    pub known_lost: Vec<Range>,
    /// What was read.
    pub(crate) checked: Checked,
}

/// The amount of data that a verification read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Checked {
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
    /// Fingerprint files.
    pub fingerprint_files: usize,
    /// Seals whose lines were hashed again.
    pub seals: usize,
    /// Parked objects.
    pub parked: usize,
}

/// Checks a spool. `progress` is called with the bytes of segments read so far and their total.
/// Errors: [`ViewError`] if the disk reports an error, or a newer release wrote a segment.
pub fn verify(view: &View, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, ViewError> {
    let mut findings = copy_findings(view);
    findings.extend(manifest_findings(view));
    let mut reading = Reading { runs: BTreeMap::new(), seals: Hashed::of(view) };
    let surveyed = survey(view, &mut reading, progress)?;
    let Reading { runs, seals } = reading;
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
    findings.extend(check_key_runs(view)?);
    for pending in view.manifest.state.calls.seals.values() {
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
    let known_lost = view.manifest.state.calls.lost.iter().map(Lost::range).collect();
    Ok(Verified { sound: findings.is_empty(), findings, notes, known_lost, checked })
}

struct Reading {
    runs: BTreeMap<u64, ScannedRuns>,
    seals: Hashed,
}

impl Visitor for Reading {
    fn frame(&mut self, segment: u64, offset: u64, frame: &Frame<'_>) {
        self.runs.entry(segment).or_default().take(offset, frame);
        self.seals.take(frame);
    }
}

/// Hashes the lines of each sealed range whose object is pending.
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
        for pending in view.manifest.state.calls.seals.values().filter(|pending| pending.parked.is_none()) {
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
        let seals = frame.batch().and_then(|key| self.by_batch.get_mut(&key));
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
        let found = hex::encode(hashed.sha256.clone().finalize());
        if found == pending.sha256() {
            return None;
        }
        let what = format!(
            "seal {} ({}): {} of its {} lines can be read, and their hash differs from the sealed one; the \
             next start delivers the readable lines and logs the loss",
            seal.number,
            seal.object_key,
            hashed.frames,
            pending.frames()
        );
        let mut finding = Finding::new(Kind::Seal, "(the segments)", what).of(seal.range());
        // Only durable frames are sealed.
        finding.answered = Some(Answered::Yes);
        Some(finding)
    }
}

/// Damage to data that is stored twice, if the other copy is sound.
fn copy_findings(view: &View) -> Vec<Finding> {
    let what = "it is damaged; its copy is sound, and the next start restores it";
    let ident = view.ident_damaged.iter().map(|file| Finding::new(Kind::Copy, *file, what));
    let what = "one of the two copies of its first note is damaged; the other copy is sound, and the next \
                start writes both again";
    let state = view.manifest.one_of_two.map(|range| {
        Finding::new(Kind::Copy, manifest_name(view.manifest_number.unwrap_or(0)), what)
            .at(range.from, range.to)
    });
    ident.chain(state).collect()
}

/// Parts of the manifest that cannot be read, and parked objects that nothing is known of because of that.
pub(crate) fn manifest_findings(view: &View) -> Vec<Finding> {
    let unclaimed = view.unclaimed.iter().map(|name| {
        let what = format!(
            "without the manifest, the source and stream of its lines are unknown, and so is whether they were delivered; \
             `zcat {name}` prints them"
        );
        Finding::new(Kind::Parked, name.clone(), what)
    });
    of_manifest(view).into_iter().chain(unclaimed).collect()
}

fn of_manifest(view: &View) -> Vec<Finding> {
    let Some(number) = view.manifest_number else {
        let finding = |found: &String| {
            let what = format!(
                "it is missing beside data of an earlier start (such as {found}), so the spool cannot be opened. \
                 `forebay spool export SPOOL` saves the calls"
            );
            Finding::new(Kind::Manifest, "MANIFEST", what)
        };
        return view.missing_beside.iter().map(finding).collect();
    };
    let finding = |range: &ByteRange| {
        let what = if range.from == 0 {
            "neither copy of its first note can be read, so the spool cannot be opened. `forebay spool \
             export SPOOL` saves the calls"
        } else {
            "a synced note can no longer be read; the notes before and after it are used here, and by the \
             next start unless `spool.on_corruption` is \"stop\". `forebay spool export SPOOL` saves the calls"
        };
        Finding::new(Kind::Manifest, manifest_name(number), what).at(range.from, range.to)
    };
    view.manifest.damaged.iter().map(finding).collect()
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
    let file = if_there(view.disk.open(&name)).map_err(ViewError::disk(&name))?;
    let Some(file) = file else { return Ok(None) };
    checked.indexes += 1;
    let len = file.len().map_err(ViewError::disk(&name))?;
    let found = |what: &str| Some(Finding::new(Kind::Index, name.clone(), what).at(0, len));
    let directory = read_directory(&*file, view.salt(number), number).map_err(ViewError::disk(&name))?;
    let Some(directory) = directory else {
        return Ok(found(
            "its checksum differs; nothing is lost, because the next start reads the segment instead",
        ));
    };
    if surveyed.damaged.contains(&number) {
        return Ok(None);
    }
    let none = BTreeMap::new();
    let scanned = scanned.map_or(&none, |scanned| &scanned.runs);
    let stretches: BTreeMap<&BatchKey, &Stretch> =
        directory.stretches.iter().map(|(key, stretch)| (key, stretch)).collect();
    for (key, (stretch, runs)) in scanned {
        let Some(known) = stretches.get(key) else {
            if stretch.last > view.cursor(key).1 {
                return Ok(found(&format!(
                    "it does not name the batch {key}, which has frames in the segment"
                )));
            }
            continue;
        };
        if let Some(finding) = compare(&*file, view.salt(number), &name, known, stretch, runs)? {
            return Ok(Some(finding));
        }
        // Frames that were released before the index was written need not be in it.
        let released = view.cursor(key).1;
        let lacks = |run: &Run| run.first < known.first && run.last().min(known.first - 1) > released;
        if runs.iter().any(lacks) {
            return Ok(found(&format!("it lacks frames of the batch {key} that are not delivered")));
        }
    }
    let strange = stretches.keys().find(|key| !scanned.contains_key(**key));
    Ok(strange.and_then(|key| found(&format!("it names the batch {key}, which has no frame in the segment"))))
}

fn compare(
    file: &dyn DiskFile,
    salt: Salt,
    name: &str,
    known: &Stretch,
    stretch: &Stretch,
    runs: &[Run],
) -> Result<Option<Finding>, ViewError> {
    let what = "it does not match the frames; nothing is lost, because the segment is read instead";
    let Runs::File { offset, count } = known.runs else { return Ok(None) };
    let read = read_runs(file, salt, offset, count, known).map_err(ViewError::disk(name))?;
    // Frames released before the segment was full are not in its index.
    let listed: Vec<Run> = runs.iter().filter(|run| run.first >= known.first).copied().collect();
    let frames: u64 = listed.iter().map(|run| u64::from(run.frames)).sum();
    let same_bytes = known.first != stretch.first || known.bytes == stretch.bytes;
    let same = (known.last, known.frames) == (stretch.last, frames) && same_bytes && read == Some(listed);
    let to = offset + u64::from(count) * crate::spool::format::segment_index::RUN as u64 + 4;
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

/// Checks the files with keys of imported rows that the manifest names.
fn check_key_runs(view: &View) -> Result<Vec<Finding>, ViewError> {
    let mut findings = Vec::new();
    for run in view.manifest.state.files.key_runs.values() {
        let name = run_name(run.number);
        let damage = damage_of(&*view.disk, &view.ident.spool_id, *run).map_err(ViewError::disk(&name))?;
        if let Some(damage) = damage {
            let what = format!("{damage}; nothing is lost, but rows with an insert_id wait in its place");
            findings.push(Finding::new(Kind::Fingerprints, name, what).at(0, run_len(run.keys)));
        }
    }
    Ok(findings)
}

/// Checks a parked object: its length, its checksum, and that it holds the sealed lines.
pub(crate) fn check_parked(view: &View, pending: &PendingSeal, parked: Parked) -> Option<Finding> {
    let name = parked_name(pending.seal.number);
    let found = |what: String, len: u64| {
        let mut finding = Finding::new(Kind::Parked, name.clone(), what).at(0, len).of(pending.seal.range());
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
            "the parked object of seal {} is damaged: it has {len} bytes with CRC-32 {crc32:08x} instead of \
             {} with {:08x}",
            pending.seal.number, parked.len, parked.crc32
        );
        return Some(found(what, len));
    }
    match hash_lines(bytes.as_slice()) {
        Ok(sha256) if sha256 == pending.sha256() => None,
        Ok(_) => Some(found("the parked object does not hold the sealed lines".to_owned(), len)),
        Err(error) => Some(found(format!("the parked object cannot be unpacked: {error}"), len)),
    }
}

/// Notes on files that the next start removes or reuses, and on an unreadable last note.
fn leftover_notes(view: &View) -> Vec<String> {
    let name = |segment: &SegmentFile| segment_name(segment.number);
    let mut notes = Vec::new();
    if let (Some(torn), Some(number)) = (view.manifest.torn, view.manifest_number) {
        let missing: Vec<String> =
            view.segments.iter().filter(|segment| segment.len.is_none()).map(name).collect();
        let verdict = if missing.is_empty() {
            "no segment that the manifest names is missing".to_owned()
        } else {
            format!(
                "it was damaged later, because the manifest names segments that are missing: {}",
                missing.join(", ")
            )
        };
        notes.push(format!(
            "{}: the last note, bytes {} to {}, cannot be read: either its write was torn and it never had an \
             effect, or it was damaged later; {verdict}",
            manifest_name(number),
            torn.from,
            torn.to
        ));
    }
    notes.extend(view.leftovers.iter().map(|segment| {
        format!("{}: the manifest does not name it; the next start removes it", name(segment))
    }));
    let older =
        |file: &str| number_in(file, "MANIFEST-", "").filter(|number| Some(*number) < view.manifest_number);
    if let Ok(files) = view.disk.list("") {
        let old = files.iter().filter(|(file, _)| older(file).is_some());
        notes.extend(old.map(|(file, _)| format!("{file}: an older manifest; the next start removes it")));
    }
    notes
}
