//! Reads the texts of `[[import]]` that no other section has.

use crate::call::export_time::{self, Numbers};
use crate::object::BucketString;
use crate::time::UnixMillis;

use super::import_settings::After;
use super::raw::Typed;
use super::reader;

/// The longest prefix, as long as a key.
const PREFIX_BYTES_MAX: usize = 1_024;
/// The longest description.
const DESCRIPTION_CHARS_MAX: usize = 1_000;

pub(super) fn description(value: &Typed) -> Result<String, String> {
    let text = reader::text(value)?;
    if text.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(format!("expected at most {DESCRIPTION_CHARS_MAX} characters"));
    }
    Ok(text.to_owned())
}

pub(super) fn prefix(value: &Typed) -> Result<String, String> {
    let prefix = reader::text(value)?;
    if prefix.len() > PREFIX_BYTES_MAX || prefix.chars().any(char::is_control) {
        return Err(format!(
            "expected what keys begin with: at most {PREFIX_BYTES_MAX} bytes, without control characters"
        ));
    }
    if let Some(place) = prefix.strip_prefix("s3://") {
        let rest = place.split_once('/').map_or("", |(_, rest)| rest);
        return Err(format!("expected what keys begin with, without s3:// and the bucket: write {rest:?}"));
    }
    Ok(prefix.to_owned())
}

/// An empty text is no time.
pub(super) fn modified_after(value: &Typed) -> Result<Option<UnixMillis>, String> {
    let form = || "expected an ISO 8601 time in quotes, such as \"2024-03-01T00:00:00Z\"".to_owned();
    let text = reader::text(value).map_err(|_| form())?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if export_time::is_number(text.as_bytes()) {
        return Err(form());
    }
    export_time::parse(text.as_bytes(), Numbers::ByMagnitude).map(Some).ok_or_else(form)
}

/// A folder, or a place in S3.
pub(super) fn rejects(value: &Typed) -> Result<String, String> {
    let form = "expected a folder, or \"s3://bucket/prefix/\"";
    match reader::text(value)? {
        "" => Err(form.to_owned()),
        text if text.contains('\0') => Err("expected a path without NUL characters".to_owned()),
        text if text.starts_with("s3://") => in_s3(text),
        text => Ok(text.to_owned()),
    }
}

/// `None`: on this machine.
pub(super) fn journal(value: &Typed) -> Result<Option<String>, String> {
    match reader::text(value)?.trim() {
        "local" => Ok(None),
        text if text.starts_with("s3://") => in_s3(text).map(Some),
        _ => Err("expected \"local\" or \"s3://bucket/prefix/\"".to_owned()),
    }
}

fn in_s3(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("s3://").unwrap_or(text);
    BucketString::parse(rest).map(|_| text.to_owned()).map_err(|error| error.what().to_owned())
}

pub(super) fn after(value: &Typed) -> Result<After, String> {
    match reader::text(value)?.trim() {
        "none" => Ok(After::Nothing),
        "tag" => Ok(After::Tag),
        "delete" => Ok(After::Delete),
        text => match text.strip_prefix("move:") {
            Some(to)
                if to.len() <= PREFIX_BYTES_MAX && !to.chars().any(char::is_control) && to.ends_with('/') =>
            {
                Ok(After::Move(to.to_owned()))
            }
            Some(_) => Err(format!(
                "expected a prefix that ends with /, such as \"move:imported/\": at most {PREFIX_BYTES_MAX} bytes, without \
                 control characters"
            )),
            None => Err("expected \"none\", \"tag\", \"move:<prefix>\" or \"delete\"".to_owned()),
        },
    }
}
