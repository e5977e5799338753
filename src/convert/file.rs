//! A converter file as a person typed it. Amplitude's files are accepted unchanged.
//!
//! ```json
//! {"config_name":["…"],
//!  "converterConfig":{"fileType":"json","compressionType":"gzip","convertToAmplitudeFunc":{…},
//!                     "ignoreEventFlag":"$ignore","csv":{…}},
//!  "keyValidatorConfig":{"filterPattern":"…"}}
//! ```

use std::fmt;

use data_encoding::BASE32_NOPAD;

use super::csv_settings::CsvSettings;
use super::node::Node;
use super::pattern::FilePattern;
use super::problem::Problems;
use crate::words::grouped;

/// The longest converter file, in bytes.
pub const FILE_BYTES_MAX: usize = 1_024 * 1_024;

/// Where the sources of the fields stand in the file.
pub(super) const FIELDS_AT: [&str; 2] = ["converterConfig", "convertToAmplitudeFunc"];
/// Where the file names the field that leaves a row out.
pub(super) const FLAG_AT: [&str; 2] = ["converterConfig", "ignoreEventFlag"];

closed_list! {
    /// The format of an import's files.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum FileFormat by name and of {
        /// One JSON object a line.
        Json = "json",
        /// CSV.
        Csv = "csv",
        /// Parquet.
        Parquet = "parquet",
    }
}

closed_list! {
    /// The compression that a converter file claims. What counts is a file's content.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Compression by name and of {
        /// Whatever the content shows.
        Auto = "auto",
        /// None.
        None = "none",
        /// Gzip.
        Gzip = "gzip",
        /// Zip.
        Zip = "zip",
        /// Zstandard.
        Zstd = "zstd",
    }
}

/// The identity of a converter file: a hash of its bytes. As text: base32, lower case, 26 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConverterId([u8; 16]);

impl ConverterId {
    /// The identity of a file with this text.
    pub fn of(text: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"forebay converter 1\0").update(text);
        let mut bits = [0; 16];
        hasher.finalize_xof().fill(&mut bits);
        Self(bits)
    }
}

impl fmt::Display for ConverterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for ConverterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConverterId({self})")
    }
}

/// What a converter file says of the files that it is for.
#[derive(Clone, Debug)]
pub struct ConverterFile {
    /// The file's identity.
    pub id: ConverterId,
    /// The names that the file gives itself.
    pub names: Vec<String>,
    /// The format of the files.
    pub format: FileFormat,
    /// The compression that the file claims.
    pub compression: Compression,
    /// The pattern of the files' keys; `None`: all keys.
    pub pattern: Option<FilePattern>,
    /// The dialect of CSV files.
    pub csv: CsvSettings,
    /// The field that says of a row that it is to be skipped.
    pub(super) ignore_flag: Option<String>,
}

/// The members of `convertToAmplitudeFunc`.
pub(super) type Fields = Vec<(String, Node)>;

impl ConverterFile {
    /// Reads a file. `None` with a problem if there is nothing to compile.
    pub(super) fn read(text: &[u8], problems: &mut Problems) -> Option<(Self, Fields)> {
        if text.len() > FILE_BYTES_MAX {
            problems.add(format!("the file is longer than {} bytes", grouped(FILE_BYTES_MAX as u64)));
            return None;
        }
        let without_mark = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        let Ok(json) = std::str::from_utf8(without_mark) else {
            problems.add("the file is not UTF-8");
            return None;
        };
        let root = match Node::read(json) {
            Ok(Node::Object(members)) => members,
            Ok(_) => {
                problems.add("the file is not a JSON object");
                return None;
            }
            Err(what) => {
                problems.add(what);
                return None;
            }
        };
        let mut file = Self {
            id: ConverterId::of(text),
            names: Vec::new(),
            format: FileFormat::Json,
            compression: Compression::Auto,
            pattern: None,
            csv: CsvSettings::default(),
            ignore_flag: None,
        };
        let mut fields = None;
        for (name, node) in &root {
            problems.enter(name);
            match name.as_str() {
                "config_name" => file.names = names(node, problems),
                "converterConfig" => fields = file.read_config(node, problems),
                "keyValidatorConfig" => file.read_key_validator(node, problems),
                _ => {
                    let known = ["config_name", "converterConfig", "keyValidatorConfig"];
                    problems.unknown("key", name, known.into_iter());
                }
            }
            problems.leave();
        }
        if !root.iter().any(|(name, _)| name == "converterConfig") {
            problems.add("converterConfig is missing");
        }
        Some((file, fields?))
    }

    fn read_config(&mut self, node: &Node, problems: &mut Problems) -> Option<Fields> {
        const KEYS: [&str; 5] =
            ["fileType", "compressionType", "convertToAmplitudeFunc", "ignoreEventFlag", "csv"];
        let Node::Object(members) = node else {
            problems.add(format!("{} is not an object", node.shown()));
            return None;
        };
        let mut fields = None;
        for (name, node) in members {
            problems.enter(name);
            match name.as_str() {
                "fileType" => {
                    let known = FileFormat::ALL.map(FileFormat::name);
                    self.format = one_of(node, FileFormat::of, &known, problems).unwrap_or(self.format);
                }
                "compressionType" => {
                    let known = Compression::ALL.map(Compression::name);
                    let read = one_of(node, Compression::of, &known, problems);
                    self.compression = read.unwrap_or(self.compression);
                }
                "ignoreEventFlag" => match node {
                    Node::Text(field) => self.ignore_flag = Some(field.clone()),
                    Node::Null => {}
                    other => problems.add(format!("{} is not the name of a field", other.shown())),
                },
                "csv" => self.csv = CsvSettings::read(node, problems),
                "convertToAmplitudeFunc" => fields = read_fields(node, problems),
                _ => problems.unknown("key", name, KEYS.into_iter()),
            }
            problems.leave();
        }
        let has = |key: &str| members.iter().any(|(name, _)| name == key);
        for key in ["fileType", "convertToAmplitudeFunc"].into_iter().filter(|key| !has(key)) {
            problems.add(format!("{key} is missing"));
        }
        if has("csv") && has("fileType") && self.format != FileFormat::Csv {
            problems.add_at("csv", "describes CSV, and fileType is not csv");
        }
        fields
    }

    fn read_key_validator(&mut self, node: &Node, problems: &mut Problems) {
        let Node::Object(members) = node else {
            problems.add(format!("{} is not an object", node.shown()));
            return;
        };
        for (name, node) in members {
            problems.enter(name);
            match (name.as_str(), node) {
                ("filterPattern", Node::Text(pattern)) => match FilePattern::new(pattern) {
                    Ok(pattern) => self.pattern = Some(pattern),
                    Err(what) => problems.add(what),
                },
                ("filterPattern", other) => {
                    problems.add(format!("{} is not a regular expression in quotes", other.shown()));
                }
                _ => problems.unknown("key", name, ["filterPattern"].into_iter()),
            }
            problems.leave();
        }
    }
}

/// One name in a list, or without a list.
fn names(node: &Node, problems: &mut Problems) -> Vec<String> {
    let one = std::slice::from_ref(node);
    let all = if let Node::List(all) = node { all.as_slice() } else { one };
    let mut names = Vec::new();
    for name in all {
        match name {
            Node::Text(name) => names.push(name.clone()),
            other => problems.add(format!("{} is not a name in quotes", other.shown())),
        }
    }
    names
}

fn one_of<T>(
    node: &Node,
    of: impl Fn(&str) -> Option<T>,
    known: &[&str],
    problems: &mut Problems,
) -> Option<T> {
    let read = match node {
        Node::Text(text) => of(text),
        _ => None,
    };
    if read.is_none() {
        problems.add(format!("{} is none of {}", node.shown(), known.join(", ")));
    }
    read
}

/// The fields: an object, or the operator `dict`.
fn read_fields(node: &Node, problems: &mut Problems) -> Option<Fields> {
    match node {
        Node::Object(members) => Some(members.clone()),
        // The same, written as an operator.
        Node::List(list) if list.first() == Some(&Node::Text("dict".to_owned())) => {
            let pairs = list.get(1..).unwrap_or_default().chunks(2);
            let pairs = pairs.map(|pair| match pair {
                [Node::Text(name), source] => Some((name.clone(), source.clone())),
                _ => None,
            });
            let fields = pairs.collect::<Option<Fields>>();
            if fields.is_none() {
                problems.add("\"dict\" takes pairs of a name and a source");
            }
            fields
        }
        other => {
            problems.add(format!("{} is not an object of fields", other.shown()));
            None
        }
    }
}
