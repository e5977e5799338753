//! The name that a person probably meant.

/// The longest name, in characters, that others are compared with. The comparison takes memory with the
/// square of the length.
const NAME_MAX: usize = 256;

/// The known name with the fewest typos in `typed`, or `None` if no known name is similar enough.
pub fn nearest<'k>(typed: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let len = typed.chars().count();
    if len > NAME_MAX {
        return None;
    }
    let slips_max = (len / 3).max(2);
    // Another case is no slip: names with capitals are often typed from other systems.
    let typed = typed.to_lowercase();
    known
        // There are never fewer slips than the lengths differ, and counting them takes memory.
        .filter(|name| name.chars().count().abs_diff(len) <= slips_max)
        .map(|name| (strsim::damerau_levenshtein(&typed, &name.to_lowercase()), name))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_is_near() {
        let check = |typed: &str, near: Option<&str>| {
            assert_eq!(nearest(typed, ["lower", "concat", "split"].into_iter()), near, "{typed}");
        };
        check("lowr", Some("lower"));
        check("split", Some("split"));
        check("LOWER", Some("lower"));
        check("Concat", Some("concat"));
        check("cnocat", Some("concat"));
        check("equals", None);
        check("", None);
    }
}
