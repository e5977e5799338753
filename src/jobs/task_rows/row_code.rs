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

/// The rows of a whole body. `None` if these bytes are not so many rows.
pub(super) fn decode(mut body: &[u8], rows: u32) -> Option<Vec<Task>> {
    let mut tasks: Vec<Task> = Vec::new();
    for _ in 0..rows {
        let (flags, rest) = body.split_first()?;
        body = rest;
        if flags & !(HAS_BUCKET | HAS_VERSION | HAS_ARGS) != 0 {
            return None;
        }
        let bucket = match flags & HAS_BUCKET {
            0 => tasks.last()?.bucket.clone(),
            _ => take_text(&mut body)?,
        };
        let key = take_text(&mut body)?;
        let version = match flags & HAS_VERSION {
            0 => None,
            _ => Some(take_text(&mut body)?),
        };
        let mut args = Vec::new();
        if flags & HAS_ARGS != 0 {
            let (count, rest) = body.split_first()?;
            body = rest;
            for _ in 0..*count {
                args.push((take_text(&mut body)?, take_text(&mut body)?));
            }
        }
        tasks.push(Task { bucket, key, version, args });
    }
    body.is_empty().then_some(tasks)
}

fn take_text(body: &mut &[u8]) -> Option<String> {
    let (len, rest) = body.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    *body = rest;
    String::from_utf8(text.to_vec()).ok()
}
