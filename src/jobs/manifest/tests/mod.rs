//! Tests of whole manifests.

mod csv;
mod inventory;
mod json_rows;
mod report;
mod round_trip;
mod stored;

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write as _};

use md5::{Digest as _, Md5};

use super::files::{ManifestFiles, OpenFile};
use super::*;
use crate::import::reading::ReadingError;
use crate::jobs::task::Task;
use crate::words::Told;

/// A manifest in memory, with the objects and the files beside it.
#[derive(Clone, Debug, Default)]
struct Files {
    manifest: Vec<u8>,
    etag: Option<String>,
    beside: BTreeMap<String, Vec<u8>>,
    objects: BTreeMap<(String, String), Vec<u8>>,
    /// Denies what is not there, as a store does without the right to list.
    denies: bool,
}

impl Files {
    fn of(manifest: impl Into<Vec<u8>>) -> Self {
        Self { manifest: manifest.into(), ..Self::default() }
    }

    fn with_object(mut self, bucket: &str, key: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.objects.insert((bucket.to_owned(), key.to_owned()), bytes.into());
        self
    }

    fn with_beside(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.beside.insert(name.to_owned(), bytes.into());
        self
    }

    fn open(&self, bytes: Option<&Vec<u8>>) -> Result<OpenFile, ReadingError> {
        let missing = || match self.denies {
            true => ReadingError::Denied(Told::plain("403 AccessDenied")),
            false => ReadingError::Missing,
        };
        let bytes = bytes.ok_or_else(missing)?.clone();
        let len = Some(bytes.len() as u64);
        Ok(OpenFile { bytes: Box::new(Cursor::new(bytes)), len, etag: None, content_encoding: None })
    }
}

impl ManifestFiles for Files {
    fn name(&self) -> String {
        "m".to_owned()
    }

    fn manifest(&self) -> Result<OpenFile, ReadingError> {
        Ok(OpenFile { etag: self.etag.clone(), ..self.open(Some(&self.manifest))? })
    }

    fn beside(&self, name: &str) -> Result<OpenFile, ReadingError> {
        self.open(self.beside.get(name))
    }

    fn object(&self, bucket: &str, key: &str) -> Result<OpenFile, ReadingError> {
        self.open(self.objects.get(&(bucket.to_owned(), key.to_owned())))
    }
}

/// The tasks of a manifest, and what is said of it.
fn read_as(files: &Files, wanted: &Wanted) -> Result<(Vec<Task>, ManifestRead), ManifestError> {
    let (mut tasks, progress) = (Vec::new(), Progress::default());
    let read = read_manifest(files, wanted, &progress, &mut |task| {
        tasks.push(task.clone());
        Ok(())
    })?;
    assert_eq!((read.tasks, progress.rows()), (tasks.len() as u64, tasks.len() as u64));
    Ok((tasks, read))
}

fn read(files: &Files) -> Result<(Vec<Task>, ManifestRead), ManifestError> {
    read_as(files, &Wanted::default())
}

/// Tasks as `bucket|key|version`.
fn short(tasks: &[Task]) -> Vec<String> {
    let short = |task: &Task| match &task.version {
        None => format!("{}|{}", task.bucket, task.key),
        Some(version) => format!("{}|{}|{version}", task.bucket, task.key),
    };
    tasks.iter().map(short).collect()
}

/// Checks the text of the error, and that the content is at fault.
fn check_refused(files: &Files, wanted: &Wanted, says: &str) {
    let error = read_as(files, wanted).unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains(says), "{shown:?} says not {says:?}");
    assert!(shown.starts_with("InvalidManifestContent: "), "{shown}");
    assert_eq!(error.code(), "InvalidManifestContent");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn md5_of(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

#[test]
fn the_first_bytes_say_what_a_manifest_is() {
    let check = |bytes: &[u8], form| assert_eq!(read(&Files::of(bytes)).unwrap().1.form, form);
    let csv = b"my-bucket,a\nmy-bucket,b\n".as_slice();
    let json = b"\n{\"bucket\":\"my-bucket\",\"key\":\"a\"}\n".as_slice();
    for (plain, form) in [(csv, ManifestForm::Csv), (json, ManifestForm::JsonRows)] {
        check(plain, form);
        check(&gzip(plain), form);
        check(&[gzip(plain), gzip(plain)].concat(), form);
        check(&zstd::encode_all(plain, 3).unwrap(), form);
        check(&[b"\xEF\xBB\xBF", plain].concat(), form);
    }
    let refused = |bytes: &[u8], says: &str| check_refused(&Files::of(bytes), &Wanted::default(), says);
    refused(b"", "it is empty");
    refused(b"\n\n", "it has no rows");
    refused(b"\xEF\xBB\xBF", "it has no rows");
    refused(&gzip(b""), "it is empty");
    refused(b"PAR1\x15\x04", "it is Parquet");
    refused(b"ORC\x08\x03", "it is ORC");
    refused(b"PK\x03\x04..", "it is a zip archive");
    refused(b"\xFF\xFEm\0y\0", "it is UTF-16");
    refused(b"{\"a\": 1}", "a JSON object of no known kind");
    refused(b"{\n  \"fileFormat\": \"CSV\",\n", "the JSON is wrong: EOF");
    let gzipped = gzip(csv);
    refused(&gzipped[..gzipped.len() - 1], "the gzip file is cut off");
}

#[test]
fn the_etag_has_to_match() {
    let files = Files { etag: Some("\"abc-2\"".to_owned()), ..Files::of("my-bucket,a\n") };
    let wanted = |etag: &str| Wanted { etag: Some(etag.to_owned()), ..Wanted::default() };
    for etag in ["abc-2", "\"abc-2\""] {
        assert_eq!(read_as(&files, &wanted(etag)).unwrap().1.etag.as_deref(), Some("\"abc-2\""));
    }
    let error = read_as(&files, &wanted("abc")).unwrap_err();
    assert!(error.to_string().starts_with("manifest ETag does not match"), "{error}");
    assert_eq!(error.code(), "ManifestETagMismatch");
    let error = read_as(&Files::of("my-bucket,a\n"), &wanted("abc")).unwrap_err();
    assert!(error.to_string().contains("m has no ETag"), "{error}");
}

#[test]
fn a_manifest_has_the_form_that_was_said() {
    let csv = Files::of("my-bucket,a\n");
    let said = |form| Wanted { form: Some(form), ..Wanted::default() };
    read_as(&csv, &said(ManifestForm::Csv)).unwrap();
    check_refused(&csv, &said(ManifestForm::Inventory), "the job's format is S3InventoryReport_CSV_20161130");
    let json = Files::of("{\"bucket\":\"my-bucket\",\"key\":\"a\"}\n");
    let fields = Wanted { fields: Fields::by_width(2), ..Wanted::default() };
    check_refused(&json, &fields, "fields are for CSV manifests");
}

#[test]
fn the_taker_ends_the_reading() {
    let (files, mut taken) = (Files::of("my-bucket,a\n".repeat(100)), 0);
    let error = read_manifest(&files, &Wanted::default(), &Progress::default(), &mut |_| {
        taken += 1;
        if taken == 3 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    });
    assert!(matches!(error, Err(ManifestError::Taker(_))), "{error:?}");
    assert_eq!(taken, 3);
}

#[test]
fn progress_counts_stored_bytes() {
    let (text, progress) = (gzip("my-bucket,a\n".repeat(50_000).as_bytes()), Progress::default());
    let files = Files::of(text.clone());
    read_manifest(&files, &Wanted::default(), &progress, &mut |_| Ok(())).unwrap();
    let len = text.len() as u64;
    assert_eq!((progress.bytes(), progress.bytes_expected(), progress.rows()), (len, len, 50_000));
}
