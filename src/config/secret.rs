//! Secrets of the configuration: typed, or `env:NAME`, or `file:PATH`. What is wrong with one never shows it.

use std::path::Path;

use super::raw::Typed;
use super::reader;

/// Resolves what secrets refer to.
pub(super) trait Outside {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// The text of a small file, or the reason why it cannot be read.
    fn file(&self, path: &Path) -> Result<String, String>;
    /// Whether secrets must be there. If not, a placeholder stands for each.
    fn secrets_needed(&self) -> bool {
        true
    }
}

/// A secret.
pub(super) struct Resolved {
    /// The secret itself.
    pub(super) text: String,
    /// Where it is from, to be put before what is wrong with it: `(from "env:NAME") `, or nothing if it is
    /// typed.
    pub(super) from: String,
}

/// The secret that a value holds or refers to.
/// Errors: what is wrong, in words that follow the setting's name; `form` if the value is no text.
pub(super) fn resolve(value: &Typed, form: &str, outside: &dyn Outside) -> Result<Resolved, String> {
    let typed = reader::text(value).map_err(|_| form.to_owned())?;
    let text = if let Some(name) = typed.strip_prefix("env:") {
        outside.variable(name).ok_or_else(|| format!("is {typed:?}, and that variable is not set"))?
    } else if let Some(path) = typed.strip_prefix("file:") {
        outside.file(Path::new(path)).map_err(|what| format!("is {typed:?}: {what}"))?
    } else {
        return Ok(Resolved { text: typed.to_owned(), from: String::new() });
    };
    Ok(Resolved { text, from: format!("(from {typed:?}) ") })
}
