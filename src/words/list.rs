//! Lists that may be long.

use std::fmt;

/// The first `max` names, and the number of the others: `a, b, c and 7 more`.
pub fn first_few<T: fmt::Display>(names: impl IntoIterator<Item = T>, max: usize) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(max).map(|name| name.to_string()).collect();
    let shown = shown.join(", ");
    match names.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_names_are_shown_and_the_rest_counted() {
        let check = |names: &[&str], shown: &str| assert_eq!(first_few(names, 2), shown);
        check(&[], "");
        check(&["a"], "a");
        check(&["a", "b"], "a, b");
        check(&["a", "b", "c", "d"], "a, b and 2 more");
    }
}
