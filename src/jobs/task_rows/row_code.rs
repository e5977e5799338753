//! How the rows of a block are written.

use crate::jobs::task::Task;

/// The most bytes of a row. Keys, versions and arguments of manifests are bounded below it.
pub const ROW_BYTES_MAX: usize = 64 * 1_024;

const HAS_BUCKET: u8 = 1;
const HAS_VERSION: u8 = 2;
const HAS_ARGS: u8 = 4;

/// A row is longer than a row can be. Manifests refuse such rows, so no user meets this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task of a manifest is longer than {ROW_BYTES_MAX} bytes")]
pub(super) struct RowTooLong;

/// Adds a row. `bucket_before` is the bucket of the row before it in its block.
/// Errors: [`RowTooLong`]; nothing was added.
pub(super) fn encode(body: &mut Vec<u8>, task: &Task, bucket_before: Option<&str>) -> Result<(), RowTooLong> {
    let begin = body.len();
    let added = push_row(body, task, bucket_before);
    if added.is_none() || body.len() - begin > ROW_BYTES_MAX {
        body.truncate(begin);
        return Err(RowTooLong);
    }
    Ok(())
}

fn push_row(body: &mut Vec<u8>, task: &Task, bucket_before: Option<&str>) -> Option<()> {
    let bucket = Some(task.bucket.as_str()).filter(|bucket| bucket_before != Some(*bucket));
    let flag = |has: bool, flag: u8| if has { flag } else { 0 };
    body.push(
        flag(bucket.is_some(), HAS_BUCKET)
            | flag(task.version.is_some(), HAS_VERSION)
            | flag(!task.args.is_empty(), HAS_ARGS),
    );
    if let Some(bucket) = bucket {
        push_text(body, bucket)?;
    }
    push_text(body, &task.key)?;
    if let Some(version) = &task.version {
        push_text(body, version)?;
    }
    if !task.args.is_empty() {
        body.push(u8::try_from(task.args.len()).ok()?);
        for (name, value) in &task.args {
            push_text(body, name)?;
            push_text(body, value)?;
        }
    }
    Some(())
}

fn push_text(body: &mut Vec<u8>, text: &str) -> Option<()> {
    body.extend_from_slice(&u16::try_from(text.len()).ok()?.to_le_bytes());
    body.extend_from_slice(text.as_bytes());
    Some(())
}

/// Where a row and its bucket are in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowPlace {
    row: u32,
    bucket: u32,
}

/// Where the rows of a whole body are. `None` if these bytes are not so many rows.
pub(super) fn places(body: &[u8], rows: u32) -> Option<Vec<RowPlace>> {
    let mut places = Vec::with_capacity(usize::try_from(rows).ok()?.min(body.len()));
    let (mut left, mut bucket) = (body, None);
    for _ in 0..rows {
        let row = u32::try_from(body.len() - left.len()).ok()?;
        let (flags, rest) = left.split_first()?;
        left = rest;
        if flags & !(HAS_BUCKET | HAS_VERSION | HAS_ARGS) != 0 {
            return None;
        }
        if flags & HAS_BUCKET != 0 {
            bucket = Some(row + 1);
            take_bytes(&mut left)?;
        }
        take_bytes(&mut left)?;
        if flags & HAS_VERSION != 0 {
            take_bytes(&mut left)?;
        }
        if flags & HAS_ARGS != 0 {
            let (count, rest) = left.split_first()?;
            left = rest;
            for _ in 0..2 * u16::from(*count) {
                take_bytes(&mut left)?;
            }
        }
        places.push(RowPlace { row, bucket: bucket? });
    }
    left.is_empty().then_some(places)
}

/// The row at this place. `None`: a part of it is no text.
pub(super) fn decode(body: &[u8], place: RowPlace) -> Option<Task> {
    let at = |place: u32| body.get(usize::try_from(place).ok()?..);
    let bucket = take_text(&mut at(place.bucket)?)?;
    let (flags, mut left) = at(place.row)?.split_first()?;
    if flags & HAS_BUCKET != 0 {
        take_bytes(&mut left)?;
    }
    let key = take_text(&mut left)?;
    let version = match flags & HAS_VERSION {
        0 => None,
        _ => Some(take_text(&mut left)?),
    };
    let mut args = Vec::new();
    if flags & HAS_ARGS != 0 {
        let (count, rest) = left.split_first()?;
        left = rest;
        for _ in 0..*count {
            args.push((take_text(&mut left)?, take_text(&mut left)?));
        }
    }
    Some(Task { bucket, key, version, args })
}

fn take_bytes<'a>(left: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = left.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    *left = rest;
    Some(bytes)
}

fn take_text(left: &mut &[u8]) -> Option<String> {
    std::str::from_utf8(take_bytes(left)?).ok().map(str::to_owned)
}
