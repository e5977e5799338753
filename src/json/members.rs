//! The members of one object. Names are compared unescaped; the last of equal names wins.

use std::borrow::Cow;

use super::scan::{Cursor, ScanError, Span, Text, Value};
use super::text::unescape;

/// A name and its value, with the reader's label `L` for the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<L = ()> {
    /// The name.
    pub name: Text,
    /// The value.
    pub value: Value,
    /// Whether a later member has the same name, so that this one does not count.
    pub shadowed: bool,
    /// The reader's label for the name.
    pub label: L,
}

impl<L> Member<L> {
    /// A member that is not shadowed.
    pub fn new(name: Text, value: Value, label: L) -> Self {
        Self { name, value, shadowed: false, label }
    }

    /// The whole member, from the quote before its name to the end of its value.
    pub fn span(&self) -> Span {
        Span::new(self.name.span.start().saturating_sub(1), self.value.span.end())
    }
}

impl Member {
    /// The members of the object in `text`. Errors: [`ScanError`] if `text` is not an object.
    pub fn all_of(text: &[u8], depth_max: usize) -> Result<Vec<Self>, ScanError> {
        let mut members = Vec::new();
        let mut cursor = Cursor::new(text, depth_max);
        cursor.enter()?;
        while let Some(name) = cursor.next_name()? {
            members.push(Self::new(name, cursor.value()?, ()));
        }
        mark_shadowed(&mut members, text);
        Ok(members)
    }
}

/// Objects with more members than this are checked by sorting, so that the time for a hostile object with
/// very many members does not grow with the square of their number.
const PAIRWISE_MAX: usize = 64;

/// Marks each member whose name occurs again later.
pub fn mark_shadowed<L>(members: &mut [Member<L>], text: &[u8]) {
    if members.len() > PAIRWISE_MAX || members.iter().any(|member| member.name.escaped) {
        mark_shadowed_sorted(members, text);
    } else {
        mark_shadowed_pairwise(members, text);
    }
}

fn mark_shadowed_pairwise<L>(members: &mut [Member<L>], text: &[u8]) {
    let mut seen = [0_u64; 4];
    for index in 0..members.len() {
        let (earlier, rest) = members.split_at_mut(index);
        let Some(member) = rest.first() else { return };
        let name = member.name.span.of(text);
        // Names of different length, first or last byte mostly have different marks and need no comparison.
        let mark = mark(name);
        let bit = 1_u64 << (mark % 64);
        let Some(word) = seen.get_mut(mark / 64) else { return };
        if *word & bit != 0 {
            for other in earlier.iter_mut().filter(|other| other.name.span.of(text) == name) {
                other.shadowed = true;
            }
        }
        *word |= bit;
    }
}

fn mark(name: &[u8]) -> usize {
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    let mixed = name.len().wrapping_mul(31) ^ (usize::from(first) << 2) ^ usize::from(last).wrapping_mul(11);
    mixed % 256
}

fn mark_shadowed_sorted<L>(members: &mut [Member<L>], text: &[u8]) {
    let mut names: Vec<(Cow<'_, [u8]>, usize)> =
        members.iter().enumerate().map(|(index, member)| (unescape(member.name, text), index)).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if let [(name, index), (next, _)] = pair
            && name == next
            && let Some(member) = members.get_mut(*index)
        {
            member.shadowed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that count, as text, in order.
    fn values(text: &str) -> Vec<&str> {
        let members = Member::all_of(text.as_bytes(), 8).unwrap();
        members
            .iter()
            .filter(|member| !member.shadowed)
            .map(|member| std::str::from_utf8(member.value.span.of(text.as_bytes())).unwrap())
            .collect()
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        let check = |text: &str, expected: &[&str]| assert_eq!(values(text), expected, "{text}");
        check("{}", &[]);
        check(r#"{"a":1,"b":2}"#, &["1", "2"]);
        check(r#"{"a":1,"b":2,"a":3,"a":4}"#, &["2", "4"]);
        check(r#"{"a":1,"\u0061":2}"#, &["2"]);
        check(r#"{"\ud800":1,"\udc00":2,"\ufffd":3}"#, &["3"]);
        check(r#"{"":1,"":2}"#, &["2"]);
    }

    #[test]
    fn sorting_and_comparing_pairwise_agree() {
        // 4, 64 and 2,000 members over few and many names.
        for (count, names) in [(4, 2), (64, 7), (64, 63), (65, 7), (2_000, 1_500)] {
            let body: Vec<String> = (0..count).map(|i| format!(r#""k{}":{i}"#, i * 7 % names)).collect();
            let text = format!("{{{}}}", body.join(","));
            let mut members = Member::all_of(text.as_bytes(), 8).unwrap();
            let shadowed: Vec<bool> = members.iter().map(|member| member.shadowed).collect();
            let expected: Vec<bool> =
                (0..count).map(|i| (i + 1..count).any(|j| j * 7 % names == i * 7 % names)).collect();
            assert_eq!(shadowed, expected, "{count} members, {names} names");
            members.iter_mut().for_each(|member| member.shadowed = false);
            mark_shadowed_pairwise(&mut members, text.as_bytes());
            let pairwise: Vec<bool> = members.iter().map(|member| member.shadowed).collect();
            assert_eq!(pairwise, expected, "{count} members, {names} names, pairwise");
        }
    }
}
