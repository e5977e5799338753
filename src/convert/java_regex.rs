//! Regular expressions as Java reads them, on an engine that takes time in proportion to the text.
//!
//! Classes such as `\w` mean ASCII, an escaped sign means itself, and `\Q…\E` is plain text. Look-around,
//! back-references and possessive quantifiers are errors. `$` is the end of the text.

use regex::{Regex, RegexBuilder};

/// The most memory of one compiled expression, in bytes.
const REGEX_BYTES_MAX: usize = 1_024 * 1_024;

/// Compiles an expression; with `whole` it must match a whole text.
/// Errors: a message for the person who wrote the expression.
pub(super) fn compile(java: &str, whole: bool) -> Result<Regex, String> {
    let translated = translated(java)?;
    let pattern = if whole { format!(r"\A(?:{translated})\z") } else { translated };
    let built = RegexBuilder::new(&pattern).size_limit(REGEX_BYTES_MAX).crlf(true).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
        // The last line says what is wrong; the others draw the expression.
        other => {
            let text = other.to_string();
            let what = text.lines().last().unwrap_or_default();
            format!("not a regular expression: {}", what.strip_prefix("error: ").unwrap_or(what))
        }
    })
}

/// What an escaped letter stands for, outside of a class; inside of one, and as a class of its own.
const CLASSES: [(char, &str, &str); 6] = [
    ('d', "[0-9]", "0-9"),
    ('w', "[0-9A-Za-z_]", "0-9A-Za-z_"),
    ('s', r"[ \t\n\x0B\x0C\r]", r" \t\n\x0B\x0C\r"),
    ('D', "[^0-9]", "[^0-9]"),
    ('W', "[^0-9A-Za-z_]", "[^0-9A-Za-z_]"),
    ('S', r"[^ \t\n\x0B\x0C\r]", r"[^ \t\n\x0B\x0C\r]"),
];

fn translated(java: &str) -> Result<String, String> {
    let mut out = String::with_capacity(java.len());
    let mut rest = java.chars().peekable();
    let mut depth = 0_usize;
    let mut after_quantifier = false;
    while let Some(c) = rest.next() {
        let was_quantified = std::mem::take(&mut after_quantifier);
        match c {
            '\\' => {
                let escaped = rest.next().ok_or("a backslash ends the regular expression")?;
                if escaped == 'Q' {
                    let quoted: String = rest.clone().collect();
                    let quoted = quoted.split("\\E").next().unwrap_or_default();
                    out.push_str(&regex::escape(quoted));
                    rest.nth(quoted.chars().count() + 1);
                } else {
                    escape(escaped, depth > 0, &mut out);
                    if matches!(escaped, 'p' | 'P' | 'x' | 'u') && rest.peek() == Some(&'{') {
                        // The braces of `\p{L}` are no quantifier.
                        out.extend(rest.by_ref().take_while(|c| *c != '}'));
                        out.push('}');
                    }
                }
            }
            '[' => {
                depth += 1;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' if depth > 0 => {
                depth -= 1;
                out.push(']');
            }
            '+' if depth == 0 && was_quantified => {
                return Err("possessive quantifiers such as *+ are not supported".to_owned());
            }
            '?' if depth == 0 && was_quantified => out.push('?'),
            '*' | '+' | '?' | '}' if depth == 0 => {
                // The `?` of `(?:` is none.
                after_quantifier = !out.ends_with('(') || c != '?';
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

fn escape(escaped: char, in_class: bool, out: &mut String) {
    let class = CLASSES.iter().find(|(letter, ..)| *letter == escaped);
    match (class, escaped) {
        (Some((_, _, inside)), _) if in_class => out.push_str(inside),
        (Some((_, outside, _)), _) => out.push_str(outside),
        (None, 'b' | 'B') if !in_class => {
            out.push_str(r"(?-u:\");
            out.push(escaped);
            out.push(')');
        }
        (None, 'Z') if !in_class => out.push_str(r"\n?\z"),
        (None, 'e') => out.push_str(r"\x1B"),
        (None, letter) if letter.is_ascii_alphanumeric() => {
            out.push('\\');
            out.push(letter);
        }
        // In Java any other escaped sign means itself; `\<` would mean something else here.
        (None, '<' | '>') => out.push(escaped),
        (None, sign) if sign.is_ascii() => {
            out.push('\\');
            out.push(sign);
        }
        (None, sign) => out.push(sign),
    }
}

/// What takes the place of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Plain text.
    Text(String),
    /// The text of a group; nothing if the group is no part of the match.
    Group(usize),
}

/// Reads a replacement: `$1` is a group, also before a letter; `${name}` one with a name; a backslash takes
/// the meaning from the next sign. Errors: a message for the person who wrote it.
pub(super) fn replacement(java: &str, regex: &Regex) -> Result<Vec<Piece>, String> {
    let groups = regex.captures_len();
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = java.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.push(rest.next().ok_or("a backslash ends the replacement")?),
            '$' => {
                let group = if rest.next_if_eq(&'{').is_some() {
                    let name: String = rest.by_ref().take_while(|c| *c != '}').collect();
                    regex
                        .capture_names()
                        .position(|known| known == Some(&name))
                        .ok_or_else(|| format!("the regular expression has no group {name:?}"))?
                } else {
                    numbered(&mut rest, groups)?
                };
                if !text.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                }
                pieces.push(Piece::Group(group));
            }
            other => text.push(other),
        }
    }
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// The number of a group: as many digits as there are groups for, at least one.
fn numbered(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, groups: usize) -> Result<usize, String> {
    let next = |c: Option<char>| c.and_then(|c| c.to_digit(10)).and_then(|digit| usize::try_from(digit).ok());
    let mut group = next(rest.next()).ok_or("a $ must be followed by a group's number (\\$ is a plain $)")?;
    if group >= groups {
        return Err(format!("the regular expression has no group {group}"));
    }
    while let Some(longer) = next(rest.peek().copied()).map(|digit| group * 10 + digit)
        && longer < groups
    {
        group = longer;
        rest.next();
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_java() {
        let check = |java: &str, text: &str, matches: bool| {
            assert_eq!(compile(java, true).unwrap().is_match(text), matches, "{java} {text}");
        };
        check(r"\w+\_\d{4}-\d{2}-\d{2}.json.gz", "events_2024-03-01.json.gz", true);
        check(r"\w+\_\d{4}-\d{2}-\d{2}.json.gz", "events_2024-3-01.json.gz", false);
        check(
            r"folder1/folder2/ds=202011[1-2][0-9]/.*\.parquet",
            "folder1/folder2/ds=20201115/a.parquet",
            true,
        );
        check(r"\w", "é", false);
        check(r"\d", "٣", false);
        check(r"[\w-]+", "a-b", true);
        check(r"[\W]+", "é-", true);
        check(r"\<a\>", "<a>", true);
        check(r"\Qa.b\E.", "a.bc", true);
        check(r"\Qa.b", "axb", false);
        check(r"\bé\b", "é", false);
        check(r"\p{L}{2}", "éa", true);
        check(r"a{1,2}?b+?(?:c)?", "aab", true);
        check("a|b", "ab", false);
        check(r"[^\s,]+", "a b", false);
        check(r"\-\/\#\ ", "-/# ", true);
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        let check = |java: &str, says: &str| {
            let error = compile(java, false).unwrap_err();
            assert!(error.contains(says), "{java}: {error}");
        };
        check("(?=a)", "look-around");
        check("(?<!a)b", "look-around");
        check(r"(a)\1", "backreferences");
        check("a*+b", "possessive");
        check("a{2}+", "possessive");
        check("(", "unclosed group");
        check("\\", "backslash ends");
        check(r"(\p{L}{1000}){1000}", "too large");
    }

    #[test]
    fn replacements_are_read() {
        let check = |regex: &str, java: &str, expected: &[Piece]| {
            assert_eq!(replacement(java, &Regex::new(regex).unwrap()).as_deref(), Ok(expected), "{java}");
        };
        let text = |text: &str| Piece::Text(text.to_owned());
        check("(a)", "x$1y", &[text("x"), Piece::Group(1), text("y")]);
        check("(a)", "$12", &[Piece::Group(1), text("2")]);
        check("(a)", r"\$1\\", &[text(r"$1\")]);
        check("(?P<n>a)", "${n}0", &[Piece::Group(1), text("0")]);
        check("a", "$0", &[Piece::Group(0)]);
        check("a", "", &[]);
        let regex = Regex::new("(a)").unwrap();
        for (java, says) in [("$2", "no group 2"), ("$x", "number"), ("${x}", "no group"), ("\\", "ends")] {
            let error = replacement(java, &regex).unwrap_err();
            assert!(error.contains(says), "{java}: {error}");
        }
    }
}
