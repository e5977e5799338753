//! Reads the values of one section and collects their problems.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::sources::SourceId;

use super::problem::ConfigProblem;
use super::raw::{Entry, SECRET_KEYS, Table, Typed};
use super::units::{ByteSize, Period, within};
use super::values::Words;

/// One section being read. A wrong value is replaced by its default, so that later problems are found too.
pub(super) struct Reader<'a> {
    table: &'a Table,
    problems: &'a mut Vec<ConfigProblem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a Table, problems: &'a mut Vec<ConfigProblem>) -> Self {
        Self { table, problems }
    }

    /// The key's value as `read` parses it, or `default` if it is not set. A wrong value is reported and also
    /// replaced.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Typed) -> Result<T, String>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.get(key, default, boolean)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, default: T, words: Words<T>) -> T {
        self.get(key, default, one_of(words))
    }

    /// A size within bounds, in bytes.
    pub(super) fn size(&mut self, key: &'static str, default: u64, bounds: RangeInclusive<u64>) -> u64 {
        self.get(key, default, size(bounds))
    }

    /// A duration within bounds, in seconds.
    pub(super) fn seconds(
        &mut self,
        key: &'static str,
        default: Duration,
        bounds: RangeInclusive<u64>,
    ) -> Duration {
        self.get(key, default, period(Period::from_secs(*bounds.start())..=Period::from_secs(*bounds.end())))
    }

    /// The key's value, or `None` if it is not set or wrong.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Typed) -> Result<T, String>,
    ) -> Option<T> {
        let entry = self.table.entries.get(key)?;
        match read(&entry.value) {
            Ok(value) => Some(value),
            Err(what) => {
                self.wrong(key, entry, what);
                None
            }
        }
    }

    /// Whether the key is set, to any value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.entries.contains_key(key)
    }

    /// Reports that a value does not fit with another.
    pub(super) fn refuse(&mut self, key: &str, what: impl Into<String>) {
        match self.table.entries.get(key) {
            Some(entry) => self.wrong(key, entry, what.into()),
            None => {
                let name = format!("{}.{key}", self.table.name);
                self.problems.push(ConfigProblem::new(self.table.place.clone(), name, what));
            }
        }
    }

    fn wrong(&mut self, key: &str, entry: &Entry, what: String) {
        self.problems.push(ConfigProblem {
            place: entry.place.clone(),
            name: format!("{}.{key}", self.table.name),
            value: (!is_secret(key, &entry.value)).then(|| entry.value.show()),
            what,
        });
    }
}

/// Whether a value must not be shown. A token is one even if it is given as a number or list by mistake. The
/// path or query of a webhook or function often holds a token, even when it is given as a list by mistake;
/// the query of another URL may be a signature. (Passwords in URLs are hidden by [`Typed::show`].)
fn is_secret(key: &str, value: &Typed) -> bool {
    let is_address = key.ends_with("_url") || key == "forward";
    match value {
        _ if SECRET_KEYS.contains(&key) => true,
        Typed::Text(text) | Typed::Variable(text) if is_address => {
            text.contains(['?', '#']) || (text.contains('@') && !text.contains("://"))
        }
        Typed::List(_) if is_address => true,
        Typed::Text(_) | Typed::Variable(_) | Typed::List(_) => ["webhook", "url"].contains(&key),
        _ => false,
    }
}

/// A text.
pub(super) fn text(value: &Typed) -> Result<&str, String> {
    match value {
        Typed::Text(text) | Typed::Variable(text) => Ok(text),
        other => Err(format!("expected text in quotes, found {}", kind(other))),
    }
}

/// Text that `read` understands.
pub(super) fn from_text<T>(read: impl Fn(&str) -> Result<T, String>) -> impl Fn(&Typed) -> Result<T, String> {
    move |value| text(value).and_then(&read)
}

/// Text that `read` understands; `form` describes the expected form.
pub(super) fn formed<T>(
    form: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> impl Fn(&Typed) -> Result<T, String> {
    move |value| {
        let read = text(value).ok().and_then(|text| read(text.trim()));
        read.ok_or_else(|| format!("expected {form}"))
    }
}

/// An address to listen at.
pub(super) fn address(value: &Typed) -> Result<SocketAddr, String> {
    let form = "an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";
    formed(form, |text| text.parse().ok())(value)
}

/// A path.
pub(super) fn path(value: &Typed) -> Result<PathBuf, String> {
    match text(value)? {
        "" => Err("expected a path".to_owned()),
        path if path.contains('\0') => Err("expected a path without NUL characters".to_owned()),
        path => Ok(path.into()),
    }
}

/// The id of a source, or the name of a destination.
pub(super) fn id(value: &Typed) -> Result<SourceId, String> {
    SourceId::new(text(value)?)
        .map_err(|_| "expected 1 to 64 of A-Z a-z 0-9 - _, beginning with a letter, digit or -".to_owned())
}

/// `true` or `false`.
pub(super) fn boolean(value: &Typed) -> Result<bool, String> {
    match value {
        Typed::Bool(yes) => Ok(*yes),
        Typed::Variable(text) if text == "true" => Ok(true),
        Typed::Variable(text) if text == "false" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// A whole number within bounds.
pub(super) fn count(least: usize, most: usize) -> impl Fn(&Typed) -> Result<usize, String> {
    move |value| {
        let digits = match value {
            Typed::Integer(digits) | Typed::Variable(digits) => digits.as_str(),
            _ => "",
        };
        digits
            .parse()
            .ok()
            .filter(|count| (least..=most).contains(count))
            .ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    }
}

/// A size within bounds, in bytes.
pub(super) fn size(bounds: RangeInclusive<u64>) -> impl Fn(&Typed) -> Result<u64, String> {
    let bounds = ByteSize(*bounds.start())..=ByteSize(*bounds.end());
    move |value| within("a size", with_unit(value)?, &bounds).map(|size| size.0)
}

/// A duration within bounds.
pub(super) fn period(bounds: RangeInclusive<Period>) -> impl Fn(&Typed) -> Result<Duration, String> {
    move |value| within("a duration", with_unit(value)?, &bounds).map(Period::get)
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(words: Words<T>) -> impl Fn(&Typed) -> Result<T, String> {
    move |value| {
        let typed = text(value).ok();
        words.iter().find(|(word, _)| Some(*word) == typed).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            format!("expected {}", words.join(" or "))
        })
    }
}

/// A list of texts, each read by `item`. In an environment variable they are separated by commas.
pub(super) fn list<T>(
    form: &'static str,
    item: impl Fn(&str) -> Result<T, String>,
) -> impl Fn(&Typed) -> Result<Vec<T>, String> {
    move |value| match value {
        Typed::List(items) => items.iter().map(|entry| item(text(&entry.value)?)).collect(),
        Typed::Variable(text) => {
            text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(&item).collect()
        }
        _ => Err(format!("expected {form}")),
    }
}

fn with_unit<T: FromStr<Err = super::units::UnitError>>(value: &Typed) -> Result<T, String> {
    // A number without a unit is the most likely mistake: show the expected unit instead of asking for
    // quotes.
    let shown = match value {
        Typed::Text(text) | Typed::Variable(text) => text.clone(),
        other => other.show(),
    };
    let parsed = shown.parse::<T>().map_err(|error| error.to_string())?;
    text(value).map(|_| parsed)
}

fn kind(value: &Typed) -> &'static str {
    match value {
        Typed::Text(_) | Typed::Variable(_) => "text",
        Typed::Integer(_) => "a number",
        Typed::Bool(_) => "true or false",
        Typed::List(_) => "a list",
        Typed::Table(_) => "a table",
        Typed::Other(kind, _) => kind,
    }
}
