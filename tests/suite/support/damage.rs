//! What may befall a file on a disk.

use std::fs;
use std::path::Path;

/// How a file is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damage {
    #[default]
    Missing,
    Empty,
    /// Its second half is gone.
    Cut,
    /// One bit in the middle of what was written; behind that there may be space that is only reserved.
    Flipped,
}

impl Damage {
    pub(crate) const ALL: [Self; 4] = [Self::Missing, Self::Empty, Self::Cut, Self::Flipped];

    /// Damages a file. Returns whether that changed it.
    pub(crate) fn befalls(self, path: &Path) -> bool {
        let before = fs::read(path).unwrap();
        let mut bytes = before.clone();
        match self {
            Self::Missing => {
                fs::remove_file(path).unwrap();
                return true;
            }
            Self::Empty => bytes.clear(),
            Self::Cut => bytes.truncate(bytes.len() / 2),
            Self::Flipped => {
                let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                if let Some(byte) = bytes.get_mut(used / 2) {
                    *byte ^= 1;
                }
            }
        }
        fs::write(path, &bytes).unwrap();
        bytes != before
    }
}
