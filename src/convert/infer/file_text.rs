//! Writes a converter file as a person would.

use super::key_pattern::pattern_of;
use super::sample_of::SampleOf;
use crate::convert::file::FileFormat;
use crate::convert::node::Node;

/// Spaces for each level.
const INDENT: usize = 2;
/// The most columns of an object that stands on one line.
const LINE_MAX: usize = 80;

/// The text of the converter file with these fields, with a line break at its end.
pub(super) fn file_text(sample: &SampleOf<'_>, fields: Vec<(String, Node)>) -> String {
    let named = |name: &str, node: Node| (name.to_owned(), node);
    let mut config = vec![
        named("fileType", Node::text(sample.format.name())),
        named("compressionType", Node::text(sample.compression.name())),
    ];
    if let Some(delimiter) = sample.delimiter.filter(|_| sample.format == FileFormat::Csv) {
        let csv = vec![
            named("header", Node::Bool(true)),
            named("delimiter", Node::text(&char::from(delimiter).to_string())),
        ];
        config.push(named("csv", Node::Object(csv)));
    }
    config.push(named("convertToAmplitudeFunc", Node::Object(fields)));
    let mut file = vec![named("converterConfig", Node::Object(config))];
    if let Some(name) = sample.name {
        let pattern = vec![named("filterPattern", Node::text(&pattern_of(name)))];
        file.push(named("keyValidatorConfig", Node::Object(pattern)));
    }
    let mut out = String::new();
    // The two parts of the file and its fields are always spread over lines.
    write(&Node::Object(file), 0, 3, &mut out);
    out.push('\n');
    out
}

/// Writes a node; objects of the first `spread` levels over several lines.
fn write(node: &Node, level: usize, spread: usize, out: &mut String) {
    let Node::Object(members) = node else {
        *out += &node.json();
        return;
    };
    let json = node.json();
    if members.is_empty() || (spread == 0 && level * INDENT + json.len() <= LINE_MAX) {
        *out += &json;
        return;
    }
    out.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        *out += if index > 0 { ",\n" } else { "\n" };
        *out += &" ".repeat((level + 1) * INDENT);
        *out += &Node::text(name).json();
        *out += ": ";
        write(value, level + 1, spread.saturating_sub(1), out);
    }
    out.push('\n');
    *out += &" ".repeat(level * INDENT);
    out.push('}');
}
