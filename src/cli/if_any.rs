//! Parts of texts that are left out if they count nothing.

/// The text of a count; none if the count is zero.
pub(super) fn if_any(count: u64, text: impl FnOnce(u64) -> String) -> String {
    if count > 0 { text(count) } else { String::new() }
}
