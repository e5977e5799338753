//! The folder of a person's imports: rejected rows, and the progress of imports to a collector elsewhere.

use std::path::PathBuf;

/// The folder that was named. If none was: `forebay` in `$XDG_STATE_HOME` or `~/.local/state`, or a folder in
/// the current one if there is no home.
pub fn state_folder(named: Option<&PathBuf>, variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    match named {
        Some(named) => named.clone(),
        None => absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map_or_else(|| PathBuf::from("forebay-state"), |state| state.join("forebay")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_is_in_the_home_unless_named() {
        let with = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        let named = PathBuf::from("x");
        assert_eq!(state_folder(Some(&named), with(&[("HOME", "/h")])), named);
        assert_eq!(state_folder(None, with(&[("HOME", "/h")])), PathBuf::from("/h/.local/state/forebay"));
        let both = with(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")]);
        assert_eq!(state_folder(None, both), PathBuf::from("/s/forebay"));
        assert_eq!(state_folder(None, with(&[("XDG_STATE_HOME", "s")])), PathBuf::from("forebay-state"));
    }
}
