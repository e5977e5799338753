//! How a converter file describes CSV.

use encoding_rs::Encoding;

use super::node::Node;
use super::problem::{Problems, shown};

const KEYS: [&str; 5] = ["header", "delimiter", "quote", "escape", "encoding"];

/// The most columns that a header names.
const COLUMNS_MAX: usize = 10_000;

/// The dialect of CSV files. The default is the one that `import csv` has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvSettings {
    /// The names of the columns; `None`: the first row of a file has them.
    pub header: Option<Vec<String>>,
    /// The byte between two fields; `None`: the text shows it.
    pub delimiter: Option<u8>,
    /// The byte around fields; `None`: quotes are plain text.
    pub quote: Option<u8>,
    /// The byte that takes the meaning from the next one, if any.
    pub escape: Option<u8>,
    /// The encoding; `None`: UTF-8, or what a byte order mark says.
    pub encoding: Option<&'static Encoding>,
}

impl Default for CsvSettings {
    fn default() -> Self {
        Self { header: None, delimiter: None, quote: Some(b'"'), escape: None, encoding: None }
    }
}

impl CsvSettings {
    /// Reads the value of `csv`.
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Self {
        let mut settings = Self::default();
        let Node::Object(members) = node else {
            problems.add(format!("{} is not an object", node.shown()));
            return settings;
        };
        for (name, value) in members {
            problems.enter(name);
            match name.as_str() {
                "header" => settings.header = header(value, problems),
                "delimiter" => settings.delimiter = byte(value, "auto", problems),
                "quote" => settings.quote = byte(value, "none", problems),
                "escape" => settings.escape = byte(value, "none", problems),
                "encoding" => settings.encoding = encoding(value, problems),
                _ => problems.unknown("key", name, KEYS.into_iter()),
            }
            problems.leave();
        }
        let bytes =
            [("delimiter", settings.delimiter), ("quote", settings.quote), ("escape", settings.escape)];
        for (index, (name, byte)) in bytes.iter().enumerate().filter(|(_, (_, byte))| byte.is_some()) {
            if let Some((other, _)) = bytes.iter().take(index).find(|(_, other)| other == byte) {
                problems.add(format!("{other} and {name} must differ"));
            }
        }
        settings
    }
}

fn header(node: &Node, problems: &mut Problems) -> Option<Vec<String>> {
    match node {
        Node::Bool(true) => None,
        Node::List(names) if !names.is_empty() && names.len() <= COLUMNS_MAX => {
            let mut columns = Vec::with_capacity(names.len());
            for (index, name) in names.iter().enumerate() {
                match name {
                    Node::Text(name) => columns.push(name.clone()),
                    other => {
                        problems.add_at(index, format!("{} is not a column's name in quotes", other.shown()));
                    }
                }
            }
            Some(columns)
        }
        other => {
            problems.add(format!("{} is neither true nor a list of column names", other.shown()));
            None
        }
    }
}

/// One ASCII character; `nothing` is the word for none.
fn byte(node: &Node, nothing: &str, problems: &mut Problems) -> Option<u8> {
    match node {
        Node::Text(text) if text == nothing => None,
        Node::Text(text) => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Some(*byte),
            _ => {
                let what = format!("{} must be one ASCII character, or \"{nothing}\"", shown(text));
                problems.add(what);
                None
            }
        },
        other => {
            problems.add(format!("{} is not a text in quotes", other.shown()));
            None
        }
    }
}

fn encoding(node: &Node, problems: &mut Problems) -> Option<&'static Encoding> {
    match node {
        Node::Text(name) if name == "auto" => None,
        Node::Text(name) => {
            let encoding = Encoding::for_label(name.as_bytes());
            if encoding.is_none() {
                problems.add(format!("unknown encoding {} (such as utf-8 or windows-1252)", shown(name)));
            }
            encoding
        }
        other => {
            problems.add(format!("{} is not a text in quotes", other.shown()));
            None
        }
    }
}
