//! The process that holds the spool's directory or an address.

use std::fmt;

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// The name of its program, for Forebay with its command: `forebay serve`. No other arguments, which may
    /// be secret.
    pub program: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.program)
    }
}

/// Who holds something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nobody.
    No,
    /// A process; `None`: one that this user cannot see.
    By(Option<Holder>),
}

impl Held {
    /// The process, if it is seen.
    pub fn by(&self) -> Option<&Holder> {
        match self {
            Self::By(holder) => holder.as_ref(),
            Self::No => None,
        }
    }

    /// Whether one process holds both. `None`: this cannot be seen.
    pub fn with(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Some(false),
            (Self::By(Some(one)), Self::By(Some(other))) => Some(one.pid == other.pid),
            (Self::By(_), Self::By(_)) => None,
        }
    }
}

/// The holder in words, or that it cannot be seen.
pub(super) fn told(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "a process of another user".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_that_is_seen_twice_is_the_same() {
        let by = |pid| Held::By(Some(Holder { pid, program: "forebay serve".to_owned() }));
        for (one, other, same) in [
            (by(1), by(1), Some(true)),
            (by(1), by(2), Some(false)),
            (by(1), Held::No, Some(false)),
            (by(1), Held::By(None), None),
            (Held::By(None), Held::By(None), None),
        ] {
            assert_eq!(one.with(&other), same, "{one:?} {other:?}");
            assert_eq!(other.with(&one), same, "{other:?} {one:?}");
        }
        assert_eq!(told(by(7).by()), "process 7 (forebay serve)");
    }
}
