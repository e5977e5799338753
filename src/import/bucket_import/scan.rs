//! Which keys a pass lists.

/// The most keys that a pass names so that the next one looks at them although it does not list them.
const KEYS_MAX: usize = 100;

/// Requests of a full listing up to which all keys are listed each time.
pub const FULL_REQUESTS_MAX: u64 = 100;

/// Which keys a pass lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scan {
    /// All of them.
    #[default]
    Full,
    /// None, but for those that this instance has claimed and not finished. What is left to do with files that are
    /// imported is done.
    Nothing,
    /// Those after a key, and these ones before it.
    After {
        /// The key.
        key: String,
        /// Keys of files that are not done.
        also: Vec<String>,
    },
}

/// What a later pass must know so that it need not list all keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// The greatest key that was listed.
    pub greatest: Option<String>,
    /// Keys of files that are not done.
    pub left: Vec<String>,
    /// Whether `left` has not all of them.
    pub more_left: bool,
}

impl Scanned {
    /// Notes a key that was listed.
    pub(super) fn listed(&mut self, key: &str) {
        if self.greatest.as_deref().is_none_or(|greatest| greatest < key) {
            self.greatest = Some(key.to_owned());
        }
    }

    /// Notes the key of a file that is not done.
    pub(super) fn left(&mut self, key: String) {
        if self.left.len() < KEYS_MAX {
            self.left.push(key);
        } else {
            self.more_left = true;
        }
    }
}
