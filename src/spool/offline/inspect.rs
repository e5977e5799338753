//! Lists the contents of a spool while no process uses it.

use std::collections::BTreeMap;

use crate::batch::BatchKey;
use crate::disk::if_there;
use crate::disk::real_disk::SUBDIRECTORIES;
use crate::log::{Lost, Range};
use crate::object::Stream;
use crate::spool::format::key_run::run_number;
use crate::spool::format::runs::{ScannedRuns, Stretch};
use crate::spool::format::scan;
use crate::spool::format::segment::{index_name, number_in, segment_name};
use crate::spool::format::segment_index::read_directory;
use crate::spool::offline::view::{SegmentFile, View, ViewError};
use crate::words::rfc3339;

/// The contents of a spool.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Inspection {
    /// Its id, as in object names.
    pub spool_id: String,
    /// The node id, as in object names.
    pub node: String,
    /// The format of the spool, as in its identity file.
    pub format: String,
    /// The manifest.
    pub manifest: ManifestAbout,
    /// Segments, oldest first.
    pub segments: Vec<SegmentAbout>,
    /// Lines in segments that are not yet in the store, by batch.
    pub batches: Vec<BatchAbout>,
    /// Sealed objects that are not yet in the store.
    pub seals: Vec<SealAbout>,
    /// The buckets of sources.
    #[serde(rename = "destinations")]
    pub locations: Vec<LocationAbout>,
    /// Positions that earlier starts noted as lost.
    pub lost: Vec<Range>,
    /// Bytes on disk, by kind of file.
    pub disk: BTreeMap<&'static str, DiskUse>,
}

/// The manifest.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct ManifestAbout {
    /// Its number.
    pub number: Option<u64>,
    /// Notes in it.
    pub notes: usize,
    /// Its length.
    pub bytes: u64,
    /// Whether all of it can be read.
    pub sound: bool,
}

/// A segment.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct SegmentAbout {
    /// Its number.
    pub number: u64,
    /// Its state.
    pub state: SegmentIs,
    /// Its positions, if it has any.
    pub positions: Option<Range>,
    /// Its length.
    pub bytes: u64,
}

/// The state of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SegmentIs {
    /// Full, with an index.
    Closed,
    /// The last process was writing to it.
    Open,
    /// Made in advance.
    Empty,
    /// The manifest names it, but its file is missing.
    Missing,
}

/// Lines of one batch that are not yet in the store.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct BatchAbout {
    /// The source.
    pub source: String,
    /// The received-day, as in keys.
    pub day: i64,
    /// Calls or rejected.
    pub stream: Stream,
    /// Lines.
    pub calls: u64,
    /// Number of sealed lines among them.
    pub sealed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// First and last position.
    pub positions: Range,
    /// When the first line was received.
    pub first_received_at: String,
}

/// A sealed object that is not yet in the store.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct SealAbout {
    /// Its number.
    pub number: u64,
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub object_key: String,
    /// First and last position.
    pub positions: Range,
    /// Lines.
    pub calls: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// Bytes of the parked file, if it is parked.
    pub parked_bytes: Option<u64>,
    /// The store has another object under its key: the seal waits for a decision.
    pub conflict: bool,
    /// It will overwrite the store's object.
    pub overwrite: bool,
    /// Frames were lost after it was sealed.
    pub amended: bool,
}

/// The bucket of a source.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct LocationAbout {
    /// The source.
    pub source: String,
    /// The first position that goes there.
    pub from: u64,
    /// Bucket and prefix.
    pub bucket: String,
    /// The bucket's region, if it is set.
    pub region: Option<String>,
}

/// Files of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct DiskUse {
    /// Their number.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Inspects a spool. Segments with an index are not read. Errors: [`ViewError`] if the disk reports an error.
pub(crate) fn inspect(view: &View) -> Result<Inspection, ViewError> {
    let mut batches = BTreeMap::new();
    let mut segments = Vec::new();
    for segment in &view.segments {
        segments.push(inspect_segment(view, segment, &mut batches)?);
    }
    let state = &view.manifest.state;
    let manifest = ManifestAbout {
        number: view.manifest_number,
        notes: view.manifest.notes,
        bytes: view.manifest.bytes,
        sound: view.manifest.damaged.is_empty() && view.manifest_number.is_some(),
    };
    let seals = state.calls.seals.values().map(|pending| SealAbout {
        number: pending.seal.number,
        bucket: pending.seal.location.bucket.bucket().to_owned(),
        object_key: pending.seal.object_key.to_string(),
        positions: pending.seal.range(),
        calls: pending.frames(),
        bytes: pending.bytes(),
        parked_bytes: pending.parked.map(|parked| parked.len),
        conflict: pending.conflict,
        overwrite: pending.overwrite,
        amended: pending.amended.is_some(),
    });
    let locations = state.calls.locations.iter().flat_map(|(source, known)| {
        known.iter().map(|(from, location)| LocationAbout {
            source: source.to_string(),
            from: *from,
            bucket: location.bucket.to_string(),
            region: location.region.clone(),
        })
    });
    Ok(Inspection {
        spool_id: view.ident.spool_id_hex(),
        node: view.node(),
        format: view.ident.format.to_string(),
        manifest,
        segments,
        batches: batches.into_values().collect(),
        seals: seals.collect(),
        locations: locations.collect(),
        lost: state.calls.lost.iter().map(Lost::range).collect(),
        disk: disk_use(view)?,
    })
}

/// Adds lines of a batch that are not yet in the store.
fn add_waiting(all: &mut BTreeMap<BatchKey, BatchAbout>, key: BatchKey, stretch: &Stretch, sealed: u64) {
    let new = |key: &BatchKey| BatchAbout {
        source: key.source.to_string(),
        day: key.day.start().0,
        stream: key.stream.clone(),
        calls: 0,
        sealed: 0,
        bytes: 0,
        positions: Range { first: stretch.first, last: stretch.last },
        first_received_at: rfc3339(stretch.first_received_at),
    };
    let batch = all.entry(key).or_insert_with_key(new);
    batch.calls += stretch.frames;
    batch.sealed += sealed;
    batch.bytes += stretch.bytes;
    batch.positions.last = stretch.last;
}

fn inspect_segment(
    view: &View,
    segment: &SegmentFile,
    batches: &mut BTreeMap<BatchKey, BatchAbout>,
) -> Result<SegmentAbout, ViewError> {
    let number = segment.number;
    let about = |state, positions, bytes| Ok(SegmentAbout { number, state, positions, bytes });
    let Some(len) = segment.len else { return about(SegmentIs::Missing, None, 0) };
    let name = index_name(number);
    let index = if_there(view.disk.open(&name)).and_then(|file| match file {
        Some(file) => read_directory(&*file, view.salt(number), number),
        None => Ok(None),
    });
    let index = index.map_err(ViewError::disk(&name))?;
    let closed = index.is_some();
    // If a seal or a release ends inside a stretch, its frames are counted one by one.
    let whole = |(key, stretch): &(BatchKey, Stretch)| {
        let (sealed, released) = view.cursor(key);
        [sealed, released].iter().all(|at| *at < stretch.first || *at >= stretch.last)
    };
    if let Some(index) = index.filter(|index| index.first > 0 && index.stretches.iter().all(whole)) {
        for (key, stretch) in index.stretches {
            let (sealed, released) = view.cursor(&key);
            if stretch.last > released {
                let sealed = if stretch.last <= sealed { stretch.frames } else { 0 };
                add_waiting(batches, key, &stretch, sealed);
            }
        }
        return about(SegmentIs::Closed, Some(Range { first: index.first, last: index.last }), len);
    }
    let positions = count_frames(view, number, batches)?;
    let state = match (closed, positions) {
        (true, _) => SegmentIs::Closed,
        (false, Some(_)) => SegmentIs::Open,
        (false, None) => SegmentIs::Empty,
    };
    about(state, positions, len)
}

/// Counts a segment's frames. Returns its positions.
fn count_frames(
    view: &View,
    number: u64,
    batches: &mut BTreeMap<BatchKey, BatchAbout>,
) -> Result<Option<Range>, ViewError> {
    let name = segment_name(number);
    let file = view.disk.open(&name).map_err(ViewError::disk(&name))?;
    let (mut sealed_ones, mut open_ones) = (ScannedRuns::default(), ScannedRuns::default());
    let blocks = scan::scan(&*file, view.salt(number), &mut |offset, frame| {
        let Some(key) = frame.batch() else { return };
        let (sealed, released) = view.cursor(&key);
        match frame.position {
            position if position <= released => {}
            position if position <= sealed => sealed_ones.take(offset, frame),
            _ => open_ones.take(offset, frame),
        }
    });
    let blocks = blocks.map_err(ViewError::disk(&name))?;
    for (key, (stretch, _)) in sealed_ones.runs {
        let frames = stretch.frames;
        add_waiting(batches, key, &stretch, frames);
    }
    for (key, (stretch, _)) in open_ones.runs {
        add_waiting(batches, key, &stretch, 0);
    }
    let ends = blocks.first().zip(blocks.last());
    Ok(ends.map(|(first, last)| Range { first: first.header.first_position, last: last.last_position() }))
}

fn disk_use(view: &View) -> Result<BTreeMap<&'static str, DiskUse>, ViewError> {
    let mut all: BTreeMap<&'static str, DiskUse> = BTreeMap::new();
    let mut add = |sort: &'static str, len: u64| {
        let of = all.entry(sort).or_default();
        of.files += 1;
        of.bytes += len;
    };
    for (name, len) in view.disk.list("").map_err(ViewError::disk("the directory"))? {
        let sort = match name.as_str() {
            name if number_in(name, "wal-", ".seg").is_some() => "segments",
            name if number_in(name, "wal-", ".idx").is_some() => "indexes",
            name if number_in(name, "seen-", "").is_some() => "fingerprints",
            name if run_number(name).is_some() => "insert_ids",
            name if number_in(name, "spare-", "").is_some() => "spare",
            name if number_in(name, "MANIFEST-", "").is_some() => "manifest",
            "reserve" => "reserve",
            _ => "other",
        };
        add(sort, len);
    }
    for dir in SUBDIRECTORIES {
        for (_, len) in view.disk.list(dir).map_err(ViewError::disk(dir))? {
            add(dir, len);
        }
    }
    Ok(all)
}
