//! Tables, and texts wrapped at spaces.

use super::columns::columns;

/// The width at which lines are wrapped.
const LINE_WIDTH: usize = 120;

/// Aligns rows in columns. The columns in `right` are right-aligned.
pub fn table<R: AsRef<[String]>>(rows: &[R], right: &[usize]) -> Vec<String> {
    let mut widths = Vec::new();
    for row in rows {
        let row = row.as_ref();
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    let line = |row: &R| {
        let mut line = String::new();
        for (column, (cell, width)) in row.as_ref().iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(columns(cell)));
            let (before, after) =
                if right.contains(&column) { (pad.as_str(), "") } else { ("", pad.as_str()) };
            line.extend([before, cell, after, "  "]);
        }
        line.truncate(line.trim_end().len());
        line
    };
    rows.iter().map(line).collect()
}

/// Wraps a text at spaces, after `beginning`; further lines are indented to the same column. Words are never
/// broken, because ARNs and keys are copied from here.
pub fn wrapped(beginning: &str, text: &str) -> Vec<String> {
    wrapped_within(LINE_WIDTH, beginning, text)
}

/// The same, at `width` columns.
pub fn wrapped_within(width: usize, beginning: &str, text: &str) -> Vec<String> {
    let indent = columns(beginning);
    let mut lines = Vec::new();
    let mut line = beginning.to_owned();
    let mut len = indent;
    for word in text.split(' ') {
        let more = columns(word);
        if len > indent && len + 1 + more > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            len = indent;
        }
        if len > indent {
            line.push(' ');
            len += 1;
        }
        line.push_str(word);
        len += more;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_aligned_left_and_numbers_right() {
        let rows = [["source", "calls", "state"], ["web", "1,000", "open"], ["ü", "7", ""]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows, &[1]), ["source  calls  state", "web     1,000  open", "ü           7"]);
        assert_eq!(
            table(&[["日本", "x"].map(str::to_owned), ["abcde", "y"].map(str::to_owned)], &[]),
            ["日本   x", "abcde  y"]
        );
        assert!(table::<[String; 2]>(&[], &[]).is_empty());
    }

    #[test]
    fn long_lines_are_wrapped_at_spaces() {
        let word = "x".repeat(70);
        let lines = wrapped("  - ", &format!("{word} {word} a b"));
        assert_eq!(lines, [format!("  - {word}"), format!("    {word} a b")]);
        assert_eq!(wrapped("", ""), [""]);
        assert_eq!(wrapped_within(8, "a  ", "bb cc dd e"), ["a  bb cc", "   dd e"]);
    }
}
