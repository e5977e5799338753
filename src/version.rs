//! Which version this program is, and which commit it was built from.

/// The version number, such as `0.1.0`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// The first digits of the commit; `-modified` follows if the sources had changes that were not committed.
/// `None` if unknown: in debug builds, and in builds from sources without git.
pub fn commit() -> Option<&'static str> {
    option_env!("BUILD_OF_COMMIT")
}

/// The day of the commit, such as `2026-11-23`, in UTC. `None` exactly if [`commit`] is.
pub fn date() -> Option<&'static str> {
    option_env!("BUILD_OF_DATE")
}

/// All three, such as `0.1.0 (abc1234567 2026-11-23)`; the number alone if the commit is unknown.
pub fn with_commit() -> &'static str {
    env!("BUILD_OF_VERSION")
}
