//! `[[source]]`: its id, its write keys (only their hashes are kept) and where its objects go.

use std::collections::{HashMap, HashSet};

use crate::object::S3Location;
use crate::sources::{SourceId, WriteKeyHash};

use super::problem::{ConfigProblem, SettingPlace};
use super::raw::{Entry, Table, Typed};
use super::reader::{self, Reader};
use super::s3::S3;
use super::s3_location;
use super::secret::{self, Outside};

/// The most sources of a configuration: each has its own metric series and status entry.
const SOURCES_MAX: usize = 10_000;
/// The most write keys of a source. Two are enough for a rotation.
const WRITE_KEYS_MAX: usize = 100;

/// The most partitions over which a source is spread.
const SPREAD_MAX: usize = 1_024;

/// A source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// The hashes of its write keys; none belongs to another source. At least one, except in a writer, which
    /// takes no calls.
    pub write_keys: Vec<WriteKeyHash>,
    /// What stands for its first write key where the key is not shown: `<CHECKOUT_WRITE_KEY>`, if it is in
    /// that variable.
    pub key_placeholder: String,
    /// Where its objects go. `None` only in a collector that puts none.
    pub location: Option<S3Location>,
    /// Over how many partitions of a log in Kafka its calls go: 1 unless set. Only with the feature `kafka`.
    pub spread: u32,
}

/// What a process does with its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uses {
    /// It takes their calls and puts their objects.
    Both,
    /// It takes their calls, and needs no buckets.
    Takes,
    /// It puts their objects, and needs no write keys.
    Puts,
}

/// Reads every source. `bucket_wrong`: `s3.bucket` is set but invalid, which is already reported.
pub(super) fn check(
    tables: &[Table],
    (s3, bucket_wrong): (&S3, bool),
    uses: Uses,
    outside: &Outside<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> Vec<Source> {
    let mut refuse = |name: &str, what: &str| {
        problems.push(ConfigProblem::new(SettingPlace::Nowhere, name, what));
    };
    if tables.is_empty() {
        refuse("source", "is missing: add at least one [[source]] with an id and write_keys");
    }
    if tables.len() > SOURCES_MAX {
        refuse("source", &format!("is given {} times: at most {SOURCES_MAX} are allowed", tables.len()));
        return Vec::new();
    }
    let every_source_has_one =
        !tables.is_empty() && tables.iter().all(|table| table.entries.contains_key("bucket"));
    if s3.bucket.is_none() && !bucket_wrong && !every_source_has_one && uses != Uses::Takes {
        let form = "a bucket such as \"my-bucket\" or \"my-bucket/path/prefix\"";
        refuse("s3.bucket", &format!("is not set: expected {form}"));
    }
    let mut taken = Taken::default();
    let mut sources: Vec<_> =
        tables.iter().filter_map(|table| source(table, (s3, uses), outside, &mut taken, problems)).collect();
    sources.shrink_to_fit();
    sources
}

/// Ids and write keys of the sources read so far.
#[derive(Default)]
struct Taken {
    ids: HashSet<SourceId>,
    keys: HashMap<WriteKeyHash, SourceId>,
}

fn source(
    table: &Table,
    (s3, uses): (&S3, Uses),
    outside: &Outside<'_>,
    taken: &mut Taken,
    problems: &mut Vec<ConfigProblem>,
) -> Option<Source> {
    let mut reader = Reader::new(table, problems);
    let id = reader.optional("id", reader::id);
    if !reader.has("id") {
        reader.refuse("id", "is not set: each source needs an id, such as \"checkout-web\"");
    }
    if id.as_ref().is_some_and(|id| !taken.ids.insert(id.clone())) {
        reader.refuse("id", "is also the id of another source");
    }
    let spread = reader.optional("spread", reader::count(1, SPREAD_MAX));
    let location = s3_location::of_source(&mut reader, id.as_ref(), s3);
    let write_keys = match uses {
        // They are secrets, which a process that takes no calls need not be given.
        Uses::Puts => Vec::new(),
        Uses::Both | Uses::Takes => write_keys(table, id.as_ref(), outside, taken, problems),
    };
    let id = id?;
    if location.is_none() && uses != Uses::Takes {
        return None;
    }
    let key_placeholder = key_placeholder(table, &id);
    Some(Source {
        id,
        write_keys,
        key_placeholder,
        location,
        spread: spread.and_then(|spread| u32::try_from(spread).ok()).unwrap_or(1),
    })
}

fn key_placeholder(table: &Table, id: &SourceId) -> String {
    let first = match table.entries.get("write_keys").map(|entry| &entry.value) {
        Some(Typed::List(items)) => items.first(),
        _ => None,
    };
    let typed = first.and_then(|item| reader::text(&item.value).ok()).unwrap_or_default();
    match (typed.strip_prefix("env:"), typed.strip_prefix("file:")) {
        (Some(variable), _) => format!("<{variable}>"),
        (None, Some(path)) => format!("<write key in {path}>"),
        (None, None) => format!("<write key of {id}>"),
    }
}

/// Problems found here never show a value, because it may be a write key.
fn write_keys(
    table: &Table,
    id: Option<&SourceId>,
    outside: &Outside<'_>,
    taken: &mut Taken,
    problems: &mut Vec<ConfigProblem>,
) -> Vec<WriteKeyHash> {
    let mut refuse = |place: &SettingPlace, what: String| {
        let name = format!("{}.write_keys", table.name);
        problems.push(ConfigProblem::new(place.clone(), name, what));
    };
    let form = "expected a list such as [\"env:CHECKOUT_WRITE_KEY\"]";
    let entry = table.entries.get("write_keys");
    let items: &[Entry] = match entry.map(|entry| &entry.value) {
        Some(Typed::List(items)) => items,
        _ => &[],
    };
    let place = entry.map_or(&table.place, |entry| &entry.place);
    match (entry.is_some(), items.len()) {
        (false, _) => refuse(place, format!("is not set: {form}")),
        (true, 0) => refuse(place, format!("is not a list with at least one write key: {form}")),
        (true, count) if count > WRITE_KEYS_MAX => {
            refuse(place, format!("has {count} write keys: at most {WRITE_KEYS_MAX} are allowed"));
            return Vec::new();
        }
        (true, _) => {}
    }
    let mut hashes = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let number = index + 1;
        let hash = match write_key(&item.value, outside) {
            Ok(hash) => hash,
            Err(what) => {
                refuse(&item.place, format!("number {number} {what}"));
                continue;
            }
        };
        match (taken.keys.get(&hash), id) {
            (Some(other), Some(id)) if other != id => refuse(
                &item.place,
                format!("number {number} is also a write key of source.{other}: a key belongs to one source"),
            ),
            _ => {
                if let Some(id) = id {
                    taken.keys.insert(hash, id.clone());
                }
                if !hashes.contains(&hash) {
                    hashes.push(hash);
                }
            }
        }
    }
    hashes
}

fn write_key(value: &Typed, outside: &Outside<'_>) -> Result<WriteKeyHash, String> {
    let form = "is not 1 to 1,024 bytes of text without control characters";
    let (key, from) = secret::resolve(value, form, outside)?;
    if key.contains(':') {
        // Basic is `key:password`, so the write key that arrives ends at the first colon.
        return Err(format!(
            "{from}contains a colon: SDKs that use Basic auth cannot send it, because there the key ends at the first colon"
        ));
    }
    // Trimmed like the keys that clients send; a file usually ends with a line break.
    WriteKeyHash::of(key.trim()).ok_or_else(|| format!("{from}{form}"))
}
