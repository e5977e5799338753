//! Reads a converter file, and notices when it was saved.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::convert::{ConverterId, FILE_BYTES_MAX};
use crate::import::unusable::Unusable;

/// How often the file is checked for changes.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// How long a changed file must stay the same: an editor may still be writing it.
const SETTLED_AFTER: Duration = Duration::from_millis(250);

/// The text of a converter file: of a longer one only so much that its length is noticed. Blocks.
/// Errors: [`Unusable`]: the file cannot be read.
pub fn read_converter(path: &Path) -> Result<Vec<u8>, Unusable> {
    let wrong = |cause| Unusable::Wrong(format!("cannot read the converter {}: {cause}", path.display()));
    let mut text = Vec::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(wrong)?;
    Ok(text)
}

/// Waits until the file has another content than `seen`, and returns its text. While it cannot be read, it
/// may just be replaced, so that it counts as unchanged. Cancel-safe.
pub async fn saved(path: &Path, seen: ConverterId) -> Vec<u8> {
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        let Some(mut text) = read(path).await.filter(|text| ConverterId::of(text) != seen) else { continue };
        loop {
            tokio::time::sleep(SETTLED_AFTER).await;
            match read(path).await {
                Some(again) if again == text => return text,
                Some(again) => text = again,
                None => break,
            }
        }
    }
}

/// The file may be on a network file system: a worker thread of the runtime must not wait for it.
async fn read(path: &Path) -> Option<Vec<u8>> {
    let path: PathBuf = path.to_owned();
    tokio::task::spawn_blocking(move || read_converter(&path).ok()).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_save_is_noticed_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        std::fs::write(&path, "one").unwrap();
        let seen = ConverterId::of(&read_converter(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(read_converter(&path).is_err());
        let waiting = saved(&path, seen);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(CHECK_EVERY * 2, &mut waiting).await;
        assert!(early.is_err(), "a file that is gone is not a change");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(waiting.await, b"two");
    }
}
