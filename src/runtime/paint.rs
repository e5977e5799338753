//! Colours for texts that are complete without them: a colour only repeats what a word or a mark says.
//!
//! A text is rendered plain and then painted line by line, so that the text is the same with and without
//! colours.

use anstyle::{AnsiColor, Style};

/// Something is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something needs attention.
pub const WARNING: Style = AnsiColor::Yellow.on_default();
/// All is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Less important than the rest.
pub const FAINT: Style = Style::new().dimmed();

/// The beginning of a line, with its indentation, and the style of the word that ends it.
pub type Mark = (&'static str, Style);

/// The text with the beginnings of lines in their styles, if `colours`.
pub fn painted(text: &str, marks: &[Mark], colours: bool) -> String {
    if !colours {
        return text.to_owned();
    }
    text.split_inclusive('\n').map(|line| painted_line(line, marks)).collect()
}

fn painted_line(line: &str, marks: &[Mark]) -> String {
    let known = marks
        .iter()
        .find_map(|(beginning, style)| Some((beginning.trim_start(), line.strip_prefix(beginning)?, style)));
    match known {
        Some((word, rest, style)) => {
            let indent = " ".repeat(line.len() - rest.len() - word.len());
            format!("{indent}{style}{word}{style:#}{rest}")
        }
        None => line.to_owned(),
    }
}

/// One text in a style, if `colours`.
pub fn styled(text: &str, style: Style, colours: bool) -> String {
    if colours && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_beginning_of_a_line_is_painted() {
        let text = "ready\n  ✗ put  ready\nnot here: ✗\n";
        let marks = [("ready", GOOD), ("  ✗", BAD)];
        assert_eq!(painted(text, &marks, false), text);
        let painted = painted(text, &marks, true);
        assert_eq!(painted, format!("{GOOD}ready{GOOD:#}\n  {BAD}✗{BAD:#} put  ready\nnot here: ✗\n"));
        assert!(painted.contains("\u{1b}[32mready\u{1b}[0m"), "{painted:?}");
    }
}
