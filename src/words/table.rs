//! Tables, and texts wrapped at spaces.

/// The width at which lines are wrapped.
const LINE_WIDTH: usize = 120;

/// Aligns rows in columns. The columns in `right` are right-aligned.
pub fn table<const N: usize>(rows: &[[String; N]], right: &[usize]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
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
    let indent = beginning.chars().count();
    let mut lines = Vec::new();
    let mut line = beginning.to_owned();
    let mut len = indent;
    for word in text.split(' ') {
        let more = word.chars().count();
        if len > indent && len + 1 + more > LINE_WIDTH {
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
        assert!(table::<2>(&[], &[]).is_empty());
    }

    #[test]
    fn long_lines_are_wrapped_at_spaces() {
        let word = "x".repeat(70);
        let lines = wrapped("  - ", &format!("{word} {word} a b"));
        assert_eq!(lines, [format!("  - {word}"), format!("    {word} a b")]);
        assert_eq!(wrapped("", ""), [""]);
    }
}
