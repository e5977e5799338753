//! Merges two objects by splicing their members' text.

use std::borrow::Cow;

use super::members::Member;
use super::scan::ValueKind;
use super::text::unescape;

/// A base object. Other objects are merged over it, and their values win.
#[derive(Debug)]
pub struct Merger<'t> {
    base: &'t [u8],
    members: Vec<Member>,
    /// The members that count, by name.
    by_name: Vec<(Cow<'t, [u8]>, usize)>,
    levels: usize,
}

impl<'t> Merger<'t> {
    /// The most levels of objects that are merged. Below them, the overlaid value replaces the base's value.
    /// This bounds the recursion, regardless of the depth that a configuration allows.
    pub const LEVELS_MAX: usize = 128;

    /// Prepares `base`, the scanned text of a value. `levels` is the number of nested levels to merge; 1
    /// merges only the members of `base` itself. `None` if `base` is not an object.
    pub fn new(base: &'t [u8], levels: usize) -> Option<Self> {
        let members = Member::all_of(base, usize::MAX).ok()?;
        let mut by_name: Vec<_> = members
            .iter()
            .enumerate()
            .filter(|(_, member)| !member.shadowed)
            .map(|(index, member)| (unescape(member.name, base), index))
            .collect();
        by_name.sort_unstable();
        Some(Self { base, members, by_name, levels: levels.min(Self::LEVELS_MAX) })
    }

    /// Appends `over`, the scanned text of a value, merged over the base. Objects are merged; any other value
    /// of `over` replaces the base's value. The members of `over` come first, in order, then those that only
    /// the base has.
    pub fn write(&self, out: &mut Vec<u8>, over: &[u8]) {
        let Ok(members) = Member::all_of(over, usize::MAX) else {
            out.extend_from_slice(over);
            return;
        };
        let mut taken = vec![false; self.members.len()];
        let start = out.len();
        for member in members.iter().filter(|member| !member.shadowed) {
            separate(out, start);
            let below = self.find(&unescape(member.name, over));
            if let Some(flag) = below.and_then(|index| taken.get_mut(index)) {
                *flag = true;
            }
            let nested = below
                .and_then(|index| self.members.get(index))
                .filter(|below| self.levels > 1 && below.value.kind == ValueKind::Object)
                .filter(|_| member.value.kind == ValueKind::Object)
                .and_then(|below| Merger::new(below.value.span.of(self.base), self.levels - 1));
            match nested {
                Some(merger) => {
                    let name = member.span().start()..member.value.span.start();
                    out.extend_from_slice(over.get(name).unwrap_or_default());
                    merger.write(out, member.value.span.of(over));
                }
                None => out.extend_from_slice(member.span().of(over)),
            }
        }
        for (member, _) in self.members.iter().zip(taken).filter(|(member, taken)| !member.shadowed && !taken)
        {
            separate(out, start);
            out.extend_from_slice(member.span().of(self.base));
        }
        if out.len() == start {
            out.push(b'{');
        }
        out.push(b'}');
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        let found = self.by_name.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.by_name.get(found).map(|(_, index)| *index)
    }
}

/// Appends what precedes a member: a comma, or the bracket before the first.
fn separate(out: &mut Vec<u8>, start: usize) {
    out.push(if out.len() == start { b'{' } else { b',' });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, over: &str, levels: usize) -> String {
        let mut out = Vec::new();
        Merger::new(base.as_bytes(), levels).unwrap().write(&mut out, over.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn overlaid_values_win() {
        let check = |base: &str, over: &str, expected: &str| {
            assert_eq!(merged(base, over, Merger::LEVELS_MAX), expected, "{base} under {over}");
        };
        check("{}", "{}", "{}");
        check(r#"{"a":1}"#, "{}", r#"{"a":1}"#);
        check("{}", r#"{"a":1.0}"#, r#"{"a":1.0}"#);
        check(r#"{"a":1,"b":2}"#, r#"{"c":3,"a":4}"#, r#"{"c":3,"a":4,"b":2}"#);
        check(r#"{"a":{"x":1,"y":{"z":1}}}"#, r#"{"a":{"y":{"w":2}}}"#, r#"{"a":{"y":{"w":2,"z":1},"x":1}}"#);
        check(r#"{"a":{"x":1}}"#, r#"{"a":[2]}"#, r#"{"a":[2]}"#);
        check(r#"{"a":[1]}"#, r#"{"a":{"x":2}}"#, r#"{"a":{"x":2}}"#);
        check(r#"{"a":{"x":1}}"#, r#"{"a":null}"#, r#"{"a":null}"#);
        check(r#"{"a":1}"#, "null", "null");
    }

    #[test]
    fn names_are_merged_unescaped_and_the_last_of_equal_ones_wins() {
        let check = |base: &str, over: &str, expected: &str| {
            assert_eq!(merged(base, over, Merger::LEVELS_MAX), expected, "{base} under {over}");
        };
        check(r#"{"a":1,"a":2}"#, "{}", r#"{"a":2}"#);
        check(r#"{"a":1,"b":0}"#, r#"{"\u0061":2}"#, r#"{"\u0061":2,"b":0}"#);
        check(r#"{"o":{"x":1,"x":2}}"#, r#"{"o":{"y":1,"y":2}}"#, r#"{"o":{"y":2,"x":2}}"#);
    }

    #[test]
    fn a_shallow_merger_takes_objects_whole() {
        assert_eq!(merged(r#"{"a":{"x":1},"b":1}"#, r#"{"a":{"y":2}}"#, 1), r#"{"a":{"y":2},"b":1}"#);
    }

    #[test]
    fn only_objects_can_be_a_base() {
        for base in ["null", "[]", "1", "\"x\""] {
            assert!(Merger::new(base.as_bytes(), 1).is_none(), "{base}");
        }
    }
}
