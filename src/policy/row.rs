//! The values of one text's placeholders.

use super::Template;
use super::placeholders::{begins_with_placeholder, is_prefix};

/// Values for the placeholders of one text.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<(&'static str, String)>);

impl Row {
    pub(super) fn set(&mut self, placeholder: &'static str, value: impl Into<String>) {
        self.0.push((placeholder, value.into()));
    }

    /// The text with every placeholder replaced, in one pass: values that contain a placeholder's word stay
    /// as they are. `None` if this row has no value for one of them.
    pub(super) fn fill(&self, template: Template, text: &str) -> Option<String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((placeholder, behind)) = begins_with_placeholder(rest) {
                let (_, value) = self.0.iter().find(|(known, _)| *known == placeholder)?;
                let literal = is_prefix(placeholder) && template != Template::Lifecycle;
                filled.push_str(&if literal { as_literal(value) } else { value.clone() });
                rest = behind;
            } else {
                filled.push(first);
                rest = rest.strip_prefix(first).unwrap_or_default();
            }
        }
        Some(filled)
    }
}

/// A prefix for a policy, in which `*`, `?` and `$` are literal only in this form ("IAM policy elements:
/// Variables and tags").
fn as_literal(prefix: &str) -> String {
    let mut literal = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '$') {
            literal.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]);
        } else {
            literal.push(c);
        }
    }
    literal
}
