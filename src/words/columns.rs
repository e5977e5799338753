//! The columns of a terminal that a text takes.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many columns a text takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A text in at most `max` columns; `…` marks a cut. Characters are never torn apart.
pub fn within_columns(text: &str, max: usize) -> String {
    if columns(text) <= max {
        return text.to_owned();
    }
    let mut left = max.saturating_sub(1);
    let mut cut: String = text
        .chars()
        .take_while(|c| {
            let width = c.width().unwrap_or(0);
            let fits = width <= left;
            left -= if fits { width } else { 0 };
            fits
        })
        .collect();
    if max > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        let check = |text: &str, max, expected: &str| {
            assert_eq!(within_columns(text, max), expected, "{text:?} in {max}");
            assert!(columns(expected) <= max, "{expected:?}");
        };
        check("order", 5, "order");
        check("orders", 5, "orde…");
        check("", 0, "");
        check("x", 0, "");
        check("xy", 1, "…");
        // A character of two columns that would fill one.
        check("日本語", 4, "日…");
        check("日本語", 5, "日本…");
        check("日本語", 6, "日本語");
    }
}
