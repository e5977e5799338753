//! Serves a file as the storage of a database that must not change it: what the database writes stays in
//! memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

use redb::StorageBackend;

use crate::lock::lock;

/// Bytes of a block that is kept in memory once it was written to.
const BLOCK: usize = 4_096;
/// `BLOCK` as a number of bytes in a file.
const BLOCK_LEN: u64 = BLOCK as u64;

/// A file, and what was written since it was opened.
#[derive(Debug)]
pub(super) struct Untouched {
    file: File,
    changed: Mutex<Changed>,
}

#[derive(Debug)]
struct Changed {
    len: u64,
    /// The length up to which the file's bytes count.
    file_len: u64,
    /// The blocks that were written to, by their numbers.
    blocks: HashMap<u64, Box<[u8]>>,
}

impl Untouched {
    /// Opens a file for reading. Errors: those of the file system.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let file_len = file.metadata()?.len();
        let changed = Changed { len: file_len, file_len, blocks: HashMap::new() };
        Ok(Self { file, changed: Mutex::new(changed) })
    }

    /// A block as the file has it, with zeros after `file_len`.
    fn block(&self, number: u64, file_len: u64) -> io::Result<Box<[u8]>> {
        let mut block = vec![0; BLOCK].into_boxed_slice();
        let at = number * BLOCK_LEN;
        let there = file_len.saturating_sub(at).min(BLOCK_LEN) as usize;
        if let Some(there) = block.get_mut(..there) {
            self.file.read_exact_at(there, at)?;
        }
        Ok(block)
    }

    /// Passes each part of `len` bytes at `offset` that is within one block: its number, where it begins in
    /// the block and in the whole, and its length.
    fn parts(
        offset: u64,
        len: usize,
        mut each: impl FnMut(u64, usize, usize, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = (at % BLOCK_LEN) as usize;
            let now = (len - done).min(BLOCK - within);
            each(at / BLOCK_LEN, within, done, now)?;
            done += now;
        }
        Ok(())
    }
}

impl StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.changed).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changed = lock(&self.changed);
        if offset.saturating_add(out.len() as u64) > changed.len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Self::parts(offset, out.len(), |number, within, done, now| {
            let read;
            let block = match changed.blocks.get(&number) {
                Some(block) => block,
                None => {
                    read = self.block(number, changed.file_len)?;
                    &read
                }
            };
            if let (Some(out), Some(block)) = (out.get_mut(done..done + now), block.get(within..within + now))
            {
                out.copy_from_slice(block);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changed = lock(&self.changed);
        if len < changed.len {
            changed.file_len = changed.file_len.min(len);
            changed.blocks.retain(|number, _| number * BLOCK_LEN < len);
            if let Some(last) = changed.blocks.get_mut(&(len / BLOCK_LEN))
                && let Some(behind) = last.get_mut((len % BLOCK_LEN) as usize..)
            {
                behind.fill(0);
            }
        }
        changed.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let Changed { file_len, blocks, .. } = &mut *lock(&self.changed);
        Self::parts(offset, data.len(), |number, within, done, now| {
            let block = match blocks.entry(number) {
                Entry::Occupied(block) => block.into_mut(),
                Entry::Vacant(free) => free.insert(self.block(number, *file_len)?),
            };
            if let (Some(data), Some(block)) =
                (data.get(done..done + now), block.get_mut(within..within + now))
            {
                block.copy_from_slice(data);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let bytes: Vec<u8> = (0..10_000).map(|at| u8::try_from(at % 251).unwrap()).collect();
        std::fs::write(&path, &bytes).unwrap();
        let storage = Untouched::open(&path).unwrap();
        let read = |at: u64, len: usize| {
            let mut out = vec![1; len];
            storage.read(at, &mut out).map(|()| out)
        };
        assert_eq!(read(0, 10_000).unwrap(), bytes);
        assert!(read(1, 10_000).is_err());
        storage.write(4_000, &[7; 5_000]).unwrap();
        let mut now = bytes.clone();
        now[4_000..9_000].fill(7);
        assert_eq!(read(3_999, 6_000).unwrap(), now[3_999..9_999]);
        storage.set_len(4_100).unwrap();
        storage.set_len(20_000).unwrap();
        now.truncate(4_100);
        now.resize(20_000, 0);
        assert_eq!(read(0, 20_000).unwrap(), now);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
