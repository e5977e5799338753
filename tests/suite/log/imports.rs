//! What a log promises to imports.

use forebay::call::LineSink as _;
use forebay::log::frame::Origin;
use forebay::log::{AppendError, Appended, ImportKey, ImportProgress, ImportStep, RequestFrames, TextBefore};

use super::contract::{key, read, seal, source, to};
use super::{Held, NOW};

/// The contract of imports.
pub(super) async fn all<H: Held>(empty: impl Fn() -> H) {
    rows_of_a_file_are_stored_once_also_after_a_crash(empty()).await;
    progress_outlives_the_frames_that_record_it(empty()).await;
    an_import_that_has_ended_takes_no_more_rows(empty()).await;
}

async fn append(held: &impl Held, frames: RequestFrames) -> Result<Appended, AppendError> {
    held.appender().append(frames).await
}

fn progress(held: &impl Held, file: u64) -> Option<ImportProgress> {
    held.imports().open_imports().into_iter().find(|import| import.file == file).map(|import| import.progress)
}

/// The rows of one step: one call for each row that is not rejected.
fn rows(file: u64, rows: std::ops::Range<u64>, rejected: u64) -> RequestFrames {
    let mut frames = RequestFrames::new(source("csv"), NOW, 0);
    let origin = Origin { file, first_row: rows.start, last_row: rows.end - 1 };
    let text = Some(text_before(origin.last_row));
    frames.set_import(ImportStep { origin, rejected, known: 0, text });
    for row in rows.start..rows.end - rejected {
        frames.line().extend_from_slice(format!("{{\"row\":{row}}}").as_bytes());
        frames.call(0);
    }
    frames.end_import_step();
    frames
}

/// What a file begins with, up to the end of a row.
fn text_before(last_row: u64) -> TextBefore {
    TextBefore { bytes: last_row + 1, id: [u8::try_from(last_row).unwrap_or(u8::MAX); 16] }
}

fn at_row(next_row: u64) -> ImportProgress {
    ImportProgress { next_row, ..ImportProgress::default() }
}

async fn rows_of_a_file_are_stored_once_also_after_a_crash(held: impl Held) {
    let import = held.imports().begin_import(ImportKey(7), ImportProgress::default()).unwrap();
    let other = held.imports().begin_import(ImportKey(8), at_row(5)).unwrap();
    assert_ne!(import.file, other.file);
    assert_eq!(
        held.imports().begin_import(ImportKey(8), at_row(99)).unwrap(),
        other,
        "its own progress counts"
    );
    let appended = append(&held, rows(import.file, 0..10, 0)).await.unwrap();
    assert_eq!(
        (appended.stored, appended.import.as_deref().copied()),
        (10, Some(ImportProgress { stored: 10, text: Some(text_before(9)), ..at_row(10) }))
    );
    // Whatever fails between, the same rows are refused afterwards.
    let next = Err(AppendError::OtherRow { next: Some(10) });
    assert_eq!(append(&held, rows(import.file, 0..10, 0)).await, next);
    assert_eq!(append(&held, rows(import.file, 9..12, 0)).await, next);
    assert_eq!(append(&held, rows(import.file, 11..12, 0)).await, next);
    assert_eq!(append(&held, rows(999, 0..1, 0)).await, Err(AppendError::OtherRow { next: None }));
    // A step without any call is progress, too.
    append(&held, rows(import.file, 10..13, 3)).await.unwrap();
    let held = held.crashed();
    let expected = ImportProgress { stored: 10, rejected: 3, text: Some(text_before(12)), ..at_row(13) };
    assert_eq!(progress(&held, import.file), Some(expected));
    assert_eq!(
        append(&held, rows(import.file, 10..13, 3)).await,
        Err(AppendError::OtherRow { next: Some(13) })
    );
    append(&held, rows(import.file, 13..14, 0)).await.unwrap();
    let held = held.restarted().crashed().crashed();
    let expected = ImportProgress { next_row: 14, stored: 11, text: Some(text_before(13)), ..expected };
    assert_eq!(progress(&held, import.file), Some(expected));
    assert_eq!(progress(&held, other.file), Some(at_row(5)));
    let stored = read(&*held.log(), &key("csv"), 0, u64::MAX);
    assert_eq!(stored.len(), 11, "{stored:?}");
}

async fn progress_outlives_the_frames_that_record_it(held: impl Held) {
    held.locations().set_locations(vec![(source("csv"), to("bucket"))]).unwrap();
    let import = held.imports().begin_import(ImportKey(7), ImportProgress::default()).unwrap();
    let mut next = 0;
    // More than two segments, each delivered at once.
    for _ in 0..40 {
        append(&held, rows(import.file, next..next + 200, 1)).await.unwrap();
        next += 200;
        let log = held.log();
        let sealed = seal(&*log, &key("csv"), 199);
        log.commit(&sealed, None).unwrap();
    }
    let held = held.crashed();
    let text = Some(text_before(next - 1));
    let expected = ImportProgress { stored: next - 40, rejected: 40, text, ..at_row(next) };
    assert_eq!(progress(&held, import.file), Some(expected));
    let held = held.crashed();
    assert_eq!(progress(&held, import.file), Some(expected));
}

async fn an_import_that_has_ended_takes_no_more_rows(held: impl Held) {
    let import = held.imports().begin_import(ImportKey(7), ImportProgress::default()).unwrap();
    append(&held, rows(import.file, 0..2, 0)).await.unwrap();
    held.imports().end_imports(&[import.file]).unwrap();
    assert_eq!(append(&held, rows(import.file, 2..3, 0)).await, Err(AppendError::OtherRow { next: None }));
    let held = held.crashed();
    assert_eq!(held.imports().open_imports(), []);
    let again = held.imports().begin_import(ImportKey(7), at_row(2)).unwrap();
    assert!(again.file > import.file, "a number is never given twice");
    append(&held, rows(again.file, 2..3, 0)).await.unwrap();
}
