//! The configuration as typed: sections, keys and values with their places. Only the names are checked here.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigProblem, SettingPlace};

use crate::words::nearest;
use crate::words::url::without_userinfo;

/// Every section and its keys. The reader uses all of these and no others, and the example file mentions
/// each.
pub const SECTIONS: [(&str, &[&str]); 7] = [
    (
        "collector",
        &[
            "listen", "tls_listen", "tls_cert", "tls_key", "max_body", "max_event", "max_connections",
            "calls_per_second", "drain_delay", "validation", "unknown_key", "accept_bearer",
            "client_libraries", "trusted_proxies", "allowed_origins", "private_network", "public_host",
            "path_prefix", "receipts",
        ],
    ),
    ("admin", &["listen", "allowed_hosts", "token", "read_token", "metrics_without_token", "live_view"]),
    (
        "spool",
        &["dir", "max_bytes", "segment_bytes", "node", "unsafe_filesystem", "on_corruption", "dedupe_window"],
    ),
    (
        "s3",
        &[
            "bucket", "region", "endpoint_url", "path_style", "fips", "dual_stack", "sts_endpoint_url",
            "kms_endpoint_url", "role_arn", "external_id", "expected_bucket_owner", "request_payer", "acl",
            "encryption", "storage_class", "object_tags", "content_encoding", "checksums", "put",
        ],
    ),
    ("flush", &["max_bytes", "max_age", "align", "on_shutdown", "shutdown_grace"]),
    ("closed_days", &["webhook", "command", "timeout"]),
    ("alarm", &["webhook", "form", "routing_key"]),
];

/// The keys of a `[[source]]`.
pub const SOURCE_KEYS: &[&str] = &[
    "id", "write_keys", "bucket", "region", "encryption", "role_arn", "external_id", "expected_bucket_owner",
    "storage_class",
];

/// The section of a log in Kafka. It is apart from the others, because a process with a spool has none of it.
#[cfg(feature = "kafka")]
pub const KAFKA: &[(&str, &[&str])] = &[(
    "kafka",
    &[
        "brokers", "role", "name", "topic", "notes_topic", "group", "answer_within", "cache_dir",
        "cache_bytes", "day_grace", "instance", "security", "extra",
    ],
)];
/// The section of a log in Kafka, which this build does not know.
#[cfg(not(feature = "kafka"))]
pub const KAFKA: &[(&str, &[&str])] = &[];

/// What a `[[source]]` may have besides, with such a log.
pub const OF_KAFKA: &[&str] = if cfg!(feature = "kafka") { &["spread"] } else { &[] };

/// The keys of a `[[destination]]`.
pub const DESTINATION_KEYS: &[&str] = &[
    "name", "type", "enabled", "sources", "function", "functions", "region", "role_arn", "external_id",
    "log_type", "invocation", "url", "forward", "write_key", "timeout", "concurrency", "max_age",
    "max_queue", "max_payload", "retry_execution_errors", "respect_integrations", "order_by", "mode",
    "batch_max_calls", "batch_max_bytes", "endpoint_url",
];

/// The keys of an `[[import]]`.
pub const IMPORT_KEYS: &[&str] = &[
    "name", "description", "enabled", "source", "bucket", "prefix", "region", "endpoint_url", "role_arn",
    "external_id", "modified_after", "discovery", "scan_interval", "full_scan_every", "queue_url", "serial",
    "parallel", "journal", "converter", "data_type", "strategy", "insert_id_window", "on_change", "min_size",
    "max_size", "on_row_error", "on_missing", "allow_expansion", "rejects", "rejects_max", "after",
];

/// Keys whose values are secrets, in any section.
pub const SECRET_KEYS: [&str; 5] = ["token", "read_token", "write_keys", "write_key", "routing_key"];

/// The lists: the name of each, the key that names an entry, and the keys.
const LISTS: [(&str, &str, &[&str]); 3] = [
    ("source", "id", SOURCE_KEYS),
    ("destination", "name", DESTINATION_KEYS),
    ("import", "name", IMPORT_KEYS),
];

/// The prefix of Forebay's environment variables.
pub const VARIABLE_PREFIX: &str = "FOREBAY_";
/// Variables that the command line reads.
pub const COMMAND_LINE_VARIABLES: [&str; 7] = [
    "FOREBAY_CONFIG",
    "FOREBAY_LOG",
    "FOREBAY_ADMIN_URL",
    "FOREBAY_WRITE_KEY",
    "FOREBAY_STATE",
    "FOREBAY_BATCH_ACCESS_KEY_ID",
    "FOREBAY_BATCH_SECRET_ACCESS_KEY",
];

/// A value as typed.
pub(super) enum Typed {
    Text(String),
    Integer(String),
    Bool(bool),
    List(Vec<Entry>),
    Table(Vec<(String, Entry)>),
    Other(&'static str, String),
    /// From the environment, where every value is text: read as the type that the key expects.
    Variable(String),
}

/// A value and its place.
pub(super) struct Entry {
    pub(super) value: Typed,
    pub(super) place: SettingPlace,
}

/// The keys of one section, source, destination or import. Unknown keys are left out.
#[derive(Default)]
pub(super) struct Table {
    /// The part of a dotted name before the key.
    pub(super) name: String,
    pub(super) place: SettingPlace,
    pub(super) entries: BTreeMap<&'static str, Entry>,
}

/// The whole configuration as typed.
#[derive(Default)]
pub(super) struct Raw {
    sections: BTreeMap<&'static str, Table>,
    pub(super) sources: Vec<Table>,
    pub(super) destinations: Vec<Table>,
    pub(super) imports: Vec<Table>,
    /// Problems found so far: unknown names, values that should be tables.
    pub(super) problems: Vec<ConfigProblem>,
    /// Unknown variables with Forebay's prefix.
    pub(super) warnings: Vec<String>,
}

impl Typed {
    /// The value as it would be typed, without the password of a URL. Never called for secrets.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Text(text) | Self::Variable(text) => format!("{:?}", without_userinfo(text)),
            Self::Integer(text) | Self::Other(_, text) => text.clone(),
            Self::Bool(yes) => yes.to_string(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.value.show()).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Table(entries) => {
                let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
                format!("{{ {} = … }}", keys.join(" = …, "))
            }
        }
    }

    /// The value as TOML, secrets included.
    pub(super) fn toml(&self) -> String {
        // A text of JSON is one of TOML, but for one character.
        let quoted = |text: &str| serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f");
        match self {
            Self::Text(text) | Self::Variable(text) => quoted(text),
            Self::Integer(text) | Self::Other(_, text) => text.clone(),
            Self::Bool(yes) => yes.to_string(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.value.toml()).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Table(entries) => {
                let pair =
                    |(key, entry): &(String, Entry)| format!("{} = {}", quoted(key), entry.value.toml());
                let pairs: Vec<String> = entries.iter().map(pair).collect();
                format!("{{ {} }}", pairs.join(", "))
            }
        }
    }
}

impl Table {
    fn empty(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }
}

impl Raw {
    /// Parses a file's text. Unknown names become problems. If the text is not TOML, the parser's errors are
    /// returned alone.
    pub(super) fn parse(text: &str) -> Result<Self, Vec<ConfigProblem>> {
        let lines = Lines::of(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| not_toml(error, &lines)).collect());
        }
        let mut raw = Self::default();
        for (key, value) in root.get_ref() {
            raw.section(key, value, &lines);
        }
        Ok(raw)
    }

    /// Overrides the file's values by environment variables. An empty variable counts as not set.
    pub(super) fn override_by<'v>(&mut self, variables: impl Iterator<Item = (&'v str, &'v str)>) {
        for (variable, value) in variables {
            if !variable.starts_with(VARIABLE_PREFIX) || COMMAND_LINE_VARIABLES.contains(&variable) {
                continue;
            }
            let found = SECTIONS.iter().chain(KAFKA).find_map(|(section, keys)| {
                Some((*section, *keys.iter().find(|key| variable_of(section, key) == variable)?))
            });
            let Some((section, key)) = found else {
                self.warnings.push(unknown_variable(variable));
                continue;
            };
            if !value.is_empty() {
                let place = SettingPlace::Variable(variable.to_owned());
                let entry = Entry { value: Typed::Variable(value.to_owned()), place };
                let table = self.sections.entry(section).or_insert_with(|| Table::empty(section));
                table.entries.insert(key, entry);
            }
        }
    }

    /// The sections, in any order.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.sections.values()
    }

    /// Whether there is a section, in the file or by a variable.
    pub(super) fn has_section(&self, section: &str) -> bool {
        self.sections.contains_key(section)
    }

    /// Whether a key of a section is set.
    pub(super) fn has(&self, section: &str, key: &str) -> bool {
        self.sections.get(section).is_some_and(|table| table.entries.contains_key(key))
    }

    /// The sections and lists with values, but destinations.
    pub(super) fn unused(&self) -> Vec<&'static str> {
        let sections = self.sections.iter().filter(|(_, table)| !table.entries.is_empty());
        let lists = [("source", &self.sources), ("import", &self.imports)];
        let lists = lists.into_iter().filter(|(_, tables)| !tables.is_empty()).map(|(name, _)| name);
        sections.map(|(name, _)| *name).chain(lists).collect()
    }

    /// Takes the section of that name; it is empty if the file has none.
    pub(super) fn take_section(&mut self, name: &'static str) -> Table {
        self.sections.remove(name).unwrap_or_else(|| Table::empty(name))
    }

    fn section(
        &mut self,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        lines: &Lines,
    ) {
        let name = key.get_ref().as_ref();
        let place = lines.place(key.span().start);
        if let Some(list) = LISTS.iter().find(|(list, ..)| *list == name) {
            let tables = self.list(list, value, place, lines);
            match name {
                "source" => self.sources = tables,
                "destination" => self.destinations = tables,
                _ => self.imports = tables,
            }
            return;
        }
        let Some((known, keys)) = SECTIONS.iter().chain(KAFKA).find(|(known, _)| *known == name) else {
            self.problems.push(unknown_section(name, place));
            return;
        };
        let DeValue::Table(table) = value.get_ref() else {
            let what = format!("is a section: write [{name}] and its keys below it");
            self.problems.push(ConfigProblem::new(place, name, what));
            return;
        };
        let entries = entries(known, table, keys, lines, &mut self.problems);
        self.sections.insert(known, Table { name: name.to_owned(), place, entries });
    }

    fn list(
        &mut self,
        (list, named_by, keys): &(&str, &str, &[&'static str]),
        value: &Spanned<DeValue<'_>>,
        place: SettingPlace,
        lines: &Lines,
    ) -> Vec<Table> {
        let tables: Option<Vec<_>> = match value.get_ref() {
            DeValue::Array(items) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::Table(table) => Some((table, lines.place(item.span().start))),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        let Some(tables) = tables else {
            let what = format!("is a list: write [[{list}]], with two brackets, before each {list}");
            self.problems.push(ConfigProblem::new(place, *list, what));
            return Vec::new();
        };
        let mut read = Vec::with_capacity(tables.len());
        for (index, (table, place)) in tables.into_iter().enumerate() {
            // By its own name if it has one: an entry is hard to find by number.
            let own = table.get(*named_by).and_then(|own| own.get_ref().as_str()).filter(|own| plain(own));
            let name = own.map_or_else(|| format!("{list}[{}]", index + 1), |own| format!("{list}.{own}"));
            let mut keys = keys.to_vec();
            keys.extend(OF_KAFKA.iter().filter(|_| *list == "source"));
            let entries = entries(&name, table, &keys, lines, &mut self.problems);
            read.push(Table { name, place, entries });
        }
        read
    }
}

/// The environment variable that overrides a key.
pub fn variable_of(section: &str, key: &str) -> String {
    format!("{VARIABLE_PREFIX}{section}_{key}").to_ascii_uppercase()
}

fn plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn entries(
    name: &str,
    table: &DeTable<'_>,
    known: &[&'static str],
    lines: &Lines,
    problems: &mut Vec<ConfigProblem>,
) -> BTreeMap<&'static str, Entry> {
    let mut entries = BTreeMap::new();
    for (key, value) in table {
        match known.iter().find(|known| **known == key.get_ref().as_ref()) {
            Some(known) => drop(entries.insert(*known, entry(value.get_ref(), key.span(), lines))),
            None => problems.push(unknown_key(name, key.get_ref(), known, lines.place(key.span().start))),
        }
    }
    entries
}

/// A value, and its place: where `span` begins.
fn entry(value: &DeValue<'_>, span: Range<usize>, lines: &Lines) -> Entry {
    Entry { value: typed(value, lines), place: lines.place(span.start) }
}

fn typed(value: &DeValue<'_>, lines: &Lines) -> Typed {
    match value {
        DeValue::String(text) => Typed::Text(text.clone().into_owned()),
        DeValue::Integer(number) => Typed::Integer(number.to_string()),
        DeValue::Float(number) => Typed::Other("a number with a fraction", number.to_string()),
        DeValue::Boolean(yes) => Typed::Bool(*yes),
        DeValue::Datetime(when) => Typed::Other("a date", when.to_string()),
        DeValue::Array(items) => {
            Typed::List(items.iter().map(|item| entry(item.get_ref(), item.span(), lines)).collect())
        }
        DeValue::Table(table) => {
            let named = table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), entry(value.get_ref(), key.span(), lines)));
            Typed::Table(named.collect())
        }
    }
}

/// Uses only the parser's message: the line itself may hold a write key.
fn not_toml(error: &toml::de::Error, lines: &Lines) -> ConfigProblem {
    let place = error.span().map_or(SettingPlace::Nowhere, |span| lines.place(span.start));
    let what = error.message().lines().collect::<Vec<_>>().join(", ");
    ConfigProblem::new(place, "", format!("not TOML: {what}"))
}

fn unknown_section(name: &str, place: SettingPlace) -> ConfigProblem {
    let sections = || {
        let sections = SECTIONS.iter().chain(KAFKA).map(|(section, _)| *section);
        sections.chain(LISTS.iter().map(|(list, ..)| *list))
    };
    if name == "kafka" {
        let what = "is not known to this build: build Forebay with the feature kafka";
        return ConfigProblem::new(place, name, what);
    }
    let holder = SECTIONS.iter().find(|(_, keys)| keys.contains(&name));
    let what = match (nearest(name, sections()), holder) {
        (Some(list @ ("source" | "destination" | "import")), _) => {
            format!("is unknown: did you mean [[{list}]]?")
        }
        (Some(section), _) => format!("is unknown: did you mean [{section}]?"),
        (None, Some((section, _))) => format!("is unknown: did you mean {section}.{name}?"),
        (None, None) => {
            format!("is unknown: the sections are {}", sections().collect::<Vec<_>>().join(", "))
        }
    };
    ConfigProblem::new(place, name, what)
}

fn unknown_key(section: &str, key: &str, known: &[&'static str], place: SettingPlace) -> ConfigProblem {
    let elsewhere = SECTIONS.iter().find(|(_, keys)| keys.contains(&key));
    let what = match (nearest(key, known.iter().copied()), elsewhere) {
        (_, Some((other, _))) => format!("is unknown: did you mean {other}.{key}?"),
        (Some(near), None) => format!("is unknown: did you mean {section}.{near}?"),
        (None, None) => format!("is unknown: the keys of this section are {}", known.join(", ")),
    };
    ConfigProblem::new(place, format!("{section}.{key}"), what)
}

fn unknown_variable(variable: &str) -> String {
    let known: Vec<String> = SECTIONS
        .iter()
        .chain(KAFKA)
        .flat_map(|(section, keys)| keys.iter().map(|key| variable_of(section, key)))
        .chain(COMMAND_LINE_VARIABLES.map(str::to_owned))
        .collect();
    match nearest(variable, known.iter().map(String::as_str)) {
        Some(near) => {
            format!("the environment variable {variable} is unknown and ignored: did you mean {near}?")
        }
        None => format!("the environment variable {variable} is unknown and ignored"),
    }
}

/// The start of each line of a text.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect())
    }

    fn place(&self, at: usize) -> SettingPlace {
        SettingPlace::Line(self.0.partition_point(|start| *start <= at))
    }
}
