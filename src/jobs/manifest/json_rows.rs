//! The rows of a manifest of JSON lines: `{"bucket","key","versionId"?,"args"?}`.
//!
//! Here the key is plain, as a listing shows it; it is handed on encoded. `args` are arguments of this task
//! alone, within the bounds of a job's user arguments.

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::csv_reader::Lines;
use super::error::ManifestError;
use super::listing::encoded_key;
use super::outlet::Outlet;
use super::row_checks::{ENCODED_KEY_CHARS_MAX, PLAIN_KEY_BYTES_MAX, shown};
use crate::jobs::answer::kind_of;
use crate::jobs::task::{ARGUMENT_NAME_MAX, ARGUMENT_VALUE_MAX, ARGUMENTS_MAX};
use crate::words::{grouped, outside_text, outside_text_within};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow<'a> {
    #[serde(borrow)]
    bucket: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(rename = "versionId")]
    version: Option<String>,
    args: Option<Args>,
}

/// Names and values, in their order.
struct Args(Vec<(String, String)>);

/// Reads all rows. Errors: [`ManifestError`].
pub(super) fn read(name: &str, input: impl BufRead, outlet: &mut Outlet<'_>) -> Result<(), ManifestError> {
    let mut lines = Lines::new(name, input);
    while let Some(line) = lines.next()? {
        let row: JsonRow<'_> = serde_json::from_slice(lines.line()).map_err(|error| {
            let form = r#"a row is {"bucket":"…","key":"…"}, with "versionId" and "args" if needed"#;
            let error = wrong_member(lines.line()).unwrap_or_else(|| error.to_string());
            // Each row is a line of its own, so the position within it would mislead.
            let what = error.split_once(" at line 1 column").map_or(error.as_str(), |(what, _)| what);
            ManifestError::line(line, format!("{}; {form}", outside_text(what)))
        })?;
        if row.key.len() > PLAIN_KEY_BYTES_MAX {
            let most = grouped(PLAIN_KEY_BYTES_MAX as u64);
            let what = format!("the key has more than {most} bytes: {}", shown(&row.key));
            return Err(ManifestError::line(line, what));
        }
        let args = row.args.map_or_else(Vec::new, |args| args.0);
        check_args(&args).map_err(|what| ManifestError::line(line, what))?;
        let key = encoded_key(&row.key);
        outlet.give_with(line, &row.bucket, &key, ENCODED_KEY_CHARS_MAX, row.version.as_deref(), args)?;
    }
    Ok(())
}

/// Which member of a row has another kind of value than it must have. The parser knows only where it is.
fn wrong_member(line: &[u8]) -> Option<String> {
    let row: Value = serde_json::from_slice(line).ok()?;
    ["bucket", "key", "versionId"].iter().find_map(|member| {
        let value = row.get(member)?;
        let is_right = value.is_string() || (*member == "versionId" && value.is_null());
        (!is_right).then(|| format!("{member} is {}, and must be a text", kind_of(value)))
    })
}

/// Errors: which bound the arguments pass.
fn check_args(args: &[(String, String)]) -> Result<(), String> {
    if args.len() > ARGUMENTS_MAX {
        return Err(format!("the row has {} args; at most {ARGUMENTS_MAX} are passed", args.len()));
    }
    for (name, value) in args {
        if name.is_empty() || name.chars().count() > ARGUMENT_NAME_MAX {
            return Err(format!(
                "the name {} of an argument must have 1 to {ARGUMENT_NAME_MAX} characters",
                shown(name)
            ));
        }
        if value.chars().count() > ARGUMENT_VALUE_MAX {
            let most = grouped(ARGUMENT_VALUE_MAX as u64);
            return Err(format!("the argument {} has more than {most} characters", shown(name)));
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ArgsVisitor)
    }
}

struct ArgsVisitor;

impl<'de> Visitor<'de> for ArgsVisitor {
    type Value = Args;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("args as an object whose values are texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Args, A::Error> {
        let mut args: Vec<(String, String)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value::<String>();
            let value = value.map_err(|error| {
                A::Error::custom(format!("args.{}: {error}", outside_text_within(&name, ARGUMENT_NAME_MAX)))
            })?;
            if args.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format!("the argument {} is there twice", shown(&name))));
            }
            args.push((name, value));
        }
        Ok(Args(args))
    }
}
