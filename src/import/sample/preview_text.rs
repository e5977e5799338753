//! A preview as text, for people.

use super::preview::{Preview, PreviewedFile, SampleRow};
use crate::words::table::table;
use crate::words::{columns, counted, first_few, grouped, if_any, outside_text};

/// The most columns and fields that a line names.
const NAMES_SHOWN: usize = 30;
/// The least columns of each half.
const HALF_MIN: usize = 30;
/// Between a row and its calls.
const BETWEEN: &str = " │ ";
/// Spaces for each level of JSON.
const INDENT: usize = 2;

/// The whole text, in lines of at most `width` columns where rows stand beside calls.
pub fn text_of(preview: &Preview, width: usize) -> String {
    let mut lines = Vec::new();
    let half = (width.saturating_sub(columns(BETWEEN)) / 2).max(HALF_MIN);
    for sample in &preview.samples {
        add_sample(sample, half, &mut lines);
    }
    for file in &preview.files {
        lines.push(line_of(file));
    }
    if preview.files_left > 0 {
        lines
            .push(format!("{} not looked at", counted(preview.files_left as u64, "more file", "more files")));
    }
    let skipped = if_any(preview.skipped, |rows| format!(", {} skipped", grouped(rows)));
    lines.push(format!(
        "{} would become {}; {} rejected{skipped}",
        counted(preview.rows, "row", "rows"),
        counted(preview.calls, "call", "calls"),
        grouped(preview.rejected)
    ));
    for rejects in &preview.rejected_by_code {
        let (rows, file) = (grouped(rejects.rows), outside_text(&rejects.file));
        lines.push(format!(
            "  rejected: {rows} {}: {} (first in {file}, line {})",
            rejects.code, rejects.message, rejects.line
        ));
    }
    if preview.fields.iter().any(|field| field.mix().next().is_some()) {
        lines.push("fields:".to_owned());
        let rows: Vec<[String; 3]> = preview
            .fields
            .iter()
            .map(|field| {
                let mix: Vec<String> =
                    field.mix().map(|(kind, rows)| format!("{kind} {}", grouped(rows))).collect();
                [String::new(), field.name.to_owned(), mix.join(", ")]
            })
            .collect();
        lines.extend(table(&rows, &[]));
    }
    let lists = [
        ("columns that the converter does not use", &preview.unused_columns),
        ("columns that the converter reads and no row has", &preview.missing_columns),
        ("fields without a place in a call", &preview.unused_fields),
    ];
    for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        let names = names.iter().map(|name| outside_text(name).to_string());
        lines.push(format!("{what}: {}", first_few(names, NAMES_SHOWN)));
    }
    if let Some(ids) = &preview.insert_ids {
        let rows = counted(ids.rows, "row", "rows");
        let differ = match ids.repeated {
            0 => "all different".to_owned(),
            repeated => format!("{} repeat an earlier one and would be dropped", grouped(repeated)),
        };
        let without = if_any(ids.without, |rows| format!("; {} without", grouped(rows)));
        lines.push(format!("insert_id: {rows}, {differ}{without}"));
    }
    if let Some(largest) = &preview.largest_call {
        let (bytes, file) = (counted(largest.bytes as u64, "byte", "bytes"), outside_text(&largest.file));
        lines.push(format!("largest call: {bytes} (row {} of {file})", largest.row));
    }
    lines.extend(preview.warnings.iter().map(|warning| format!("warning: {warning}")));
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn line_of(file: &PreviewedFile) -> String {
    let name = outside_text(&file.name);
    if let Some(error) = &file.error {
        return format!("{name}: {error}");
    }
    let (first, rows) = (if file.has_more { "first " } else { "" }, counted(file.rows, "row", "rows"));
    let times =
        file.times.as_ref().map_or_else(String::new, |(first, last)| format!(", times {first} to {last}"));
    format!("{name}: {first}{rows}, compression {}{times}", file.compression)
}

fn add_sample(sample: &SampleRow, half: usize, lines: &mut Vec<String>) {
    lines.push(format!("{}, row {}, line {}", outside_text(&sample.file), sample.row, sample.line));
    let left = match (&sample.source, &sample.text) {
        (Some(source), _) => spread(source.get()),
        (None, text) => vec![text.clone().unwrap_or_default()],
    };
    let mut right: Vec<String> = sample.calls.iter().flat_map(|call| spread(call.get())).collect();
    if sample.skipped {
        right.push("skipped".to_owned());
    }
    if let Some(rejected) = &sample.rejected {
        right.push(format!("rejected: {}", rejected.code));
        right.push(rejected.message.clone());
    }
    let folded = |lines: Vec<String>| -> Vec<String> {
        lines.iter().flat_map(|line| folded(&outside_text_whole(line), half)).collect()
    };
    let (left, right) = (folded(left), folded(right));
    for index in 0..left.len().max(right.len()) {
        let side = |side: &[String]| side.get(index).cloned().unwrap_or_default();
        let (left, right) = (side(&left), side(&right));
        let pad = " ".repeat(half.saturating_sub(columns(&left)));
        lines.push(format!("{left}{pad}{BETWEEN}{right}"));
    }
    lines.push(String::new());
}

/// A line of a sample, safe for a terminal and not cut.
fn outside_text_whole(line: &str) -> String {
    crate::words::outside_key(line).to_string()
}

/// JSON over several lines. Nothing of it changes but the white space between its parts.
fn spread(json: &str) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let (mut level, mut in_text, mut escaped) = (0_usize, false, false);
    let mut chars = json.chars().filter(|c| !matches!(c, '\n' | '\r')).peekable();
    while let Some(c) = chars.next() {
        if in_text {
            line.push(c);
            in_text = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            ' ' | '\t' => {}
            '{' | '[' => {
                line.push(c);
                while chars.next_if(|next| matches!(next, ' ' | '\t')).is_some() {}
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    line.push(end);
                } else {
                    level += 1;
                    lines.push(std::mem::replace(&mut line, " ".repeat(level * INDENT)));
                }
            }
            '}' | ']' => {
                level = level.saturating_sub(1);
                lines.push(std::mem::replace(&mut line, " ".repeat(level * INDENT)));
                line.push(c);
            }
            ',' => {
                line.push(c);
                lines.push(std::mem::replace(&mut line, " ".repeat(level * INDENT)));
            }
            ':' => line.push_str(": "),
            _ => {
                in_text = c == '"';
                line.push(c);
            }
        }
    }
    lines.push(line);
    lines
}

/// A line in pieces of at most `width` columns.
fn folded(line: &str, width: usize) -> Vec<String> {
    let (mut pieces, mut piece, mut used) = (Vec::new(), String::new(), 0);
    for c in line.chars() {
        let wide = columns(c.encode_utf8(&mut [0; 4]));
        if used + wide > width && used > 0 {
            pieces.push(std::mem::take(&mut piece));
            used = 0;
        }
        piece.push(c);
        used += wide;
    }
    pieces.push(piece);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_spread_over_lines_and_keeps_its_digits() {
        let check = |json: &str, expected: &[&str]| assert_eq!(spread(json), expected, "{json}");
        check(r#"{}"#, &["{}"]);
        check(
            r#"{"a":1.10,"b":[ ],"c":[true,{"d":null}]}"#,
            &[
                "{", r#"  "a": 1.10,"#, r#"  "b": [],"#, r#"  "c": ["#, "    true,", "    {",
                r#"      "d": null"#, "    }", "  ]", "}",
            ],
        );
        check(r#"{ "a,b{" : "x\"}\\" }"#, &["{", r#"  "a,b{": "x\"}\\""#, "}"]);
    }

    #[test]
    fn a_line_is_folded_and_loses_nothing() {
        for line in ["", "abc", "abcdefghij", "日本語テキスト", "a…b…c…d"] {
            for width in [2, 3, 5] {
                let pieces = folded(line, width);
                assert_eq!(pieces.concat(), line, "{width}");
                assert!(pieces.iter().all(|piece| columns(piece) <= width), "{pieces:?}");
            }
        }
    }
}
