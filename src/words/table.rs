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
/// broken, because ARNs and keys are copied from here, and neither are commands in backquotes.
pub fn wrapped(beginning: &str, text: &str) -> Vec<String> {
    laid_out(LINE_WIDTH, beginning, pieces(text))
}

/// The words of a text; what stands in backquotes is one word.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let (mut rest, mut is_over) = (text, false);
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let (mut quotes, left) = (0, rest.matches('`').count());
        let end = rest.char_indices().find(|(_, letter)| {
            quotes += usize::from(*letter == '`');
            // One that is not closed is a letter.
            *letter == ' ' && (quotes % 2 == 0 || quotes == left)
        });
        let Some((piece, more)) = end.and_then(|(at, _)| rest.split_at_checked(at)) else {
            is_over = true;
            return Some(rest);
        };
        rest = more.strip_prefix(' ').unwrap_or(more);
        Some(piece)
    })
}

/// The same, at `width` columns of a terminal, where commands are broken, too: what does not fit is not shown there.
pub fn wrapped_within(width: usize, beginning: &str, text: &str) -> Vec<String> {
    laid_out(width, beginning, text.split(' '))
}

fn laid_out<'t>(width: usize, beginning: &str, words: impl Iterator<Item = &'t str>) -> Vec<String> {
    let indent = columns(beginning);
    let mut lines = Vec::new();
    let mut line = beginning.to_owned();
    let mut len = indent;
    for word in words {
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

    /// A command could not be copied from `import list`.
    #[test]
    fn commands_in_backquotes_stay_on_one_line() {
        let command = format!("`forebay import reset-file orders {}`", "k".repeat(50));
        let text = format!("what is stored of it stays, {command} imports it, and `x y");
        let lines = wrapped("  next: ", &text);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains(&command) && lines[1].ends_with("imports it, and `x y"), "{lines:?}");
        assert!(pieces("").eq([""]) && pieces("a  `b c`d e").eq(["a", "", "`b c`d", "e"]));
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
