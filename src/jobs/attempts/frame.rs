//! Header and frames of a log as bytes, and the search for frames in a file.

use std::io;
use std::ops::Range;

use super::LogError;
use crate::crc32c;
use crate::disk::{DiskFile, read_noting};
use crate::jobs::job::id::JobId;

/// Bytes of the header.
pub const HEADER: usize = 32;
/// Bytes before the body of a frame.
pub const FRAME_HEADER: usize = 8;
/// The longest body, in bytes.
pub const BODY_MAX: usize = 8 * 1_024;
/// The version of the form that is written.
pub const VERSION: u32 = 3;
/// The first version, which is read.
pub const FIRST_VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"FBJOBLOG";
/// Bytes that are read at once.
const CHUNK: usize = 64 * 1_024;

/// The header of a job's log.
pub fn header(job: JobId) -> Vec<u8> {
    header_of(VERSION, job)
}

pub(super) fn header_of(version: u32, job: JobId) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&job.bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Checks a header, and gives its version: `None` if it is damaged, which the frames after it survive.
/// Errors: [`LogError`] if it is sound, and that of a later version or another job.
pub fn check_header(bytes: &[u8], job: JobId) -> Result<Option<u32>, LogError> {
    let Some((covered, crc)) = bytes.get(..HEADER).and_then(|header| header.split_at_checked(HEADER - 4))
    else {
        return Ok(None);
    };
    let sound = covered.starts_with(MAGIC) && crc == crc32c::crc32c(covered).to_le_bytes();
    if !sound {
        return Ok(None);
    }
    let version = covered.get(8..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
    if !(FIRST_VERSION..=VERSION).contains(&version) {
        return Err(LogError::OtherVersion(job, version));
    }
    let of = covered.get(12..).and_then(|bytes| bytes.try_into().ok()).map_or(job, JobId::from_bytes);
    if of == job { Ok(Some(version)) } else { Err(LogError::OtherJob(job, of)) }
}

/// Appends the frame of a body, which stands at `at` in the file.
pub fn push_frame(to: &mut Vec<u8>, job: JobId, at: u64, body: &[u8]) {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    to.extend_from_slice(&len);
    to.extend_from_slice(&checksum(job, at, len, body).to_le_bytes());
    to.extend_from_slice(body);
}

fn checksum(job: JobId, at: u64, len: [u8; 4], body: &[u8]) -> u32 {
    let mut before = [0; 28];
    let parts = job.bytes().into_iter().chain(at.to_le_bytes()).chain(len);
    before.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    crc32c::append(crc32c::crc32c(&before), body)
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// A frame with a body of so many bytes.
    Frame(usize),
    /// None that can be read.
    None,
}

fn look(bytes: &[u8], job: JobId, at: u64) -> Look {
    let word = |range: Range<usize>| bytes.get(range).and_then(|word| word.try_into().ok());
    let (Some(len), Some(crc)) = (word(0..4), word(4..8)) else { return Look::None };
    let body_len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
    if body_len == 0 || body_len > BODY_MAX {
        return Look::None;
    }
    match bytes.get(FRAME_HEADER..FRAME_HEADER + body_len) {
        Some(body) if checksum(job, at, len, body) == u32::from_le_bytes(crc) => Look::Frame(body_len),
        _ => Look::None,
    }
}

/// Finds the frames of a log, one after the other, and what lies between them.
#[derive(Debug)]
pub struct Scan<'a> {
    file: &'a dyn DiskFile,
    job: JobId,
    len: u64,
    /// Bytes of the file from `base` on.
    buffer: Vec<u8>,
    base: u64,
    /// The next place in `buffer`.
    next: usize,
    unreadable: bool,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A frame: its place in the file, and that of its body in [`Scan::body`].
    Frame {
        /// Its place.
        at: u64,
        /// Its body.
        body: Range<usize>,
    },
    /// Bytes that are no frames, with a frame after them.
    Damage(Range<u64>),
    /// The end of the frames: so many bytes follow.
    End {
        /// The place after the last frame.
        at: u64,
        /// The bytes that follow are not zeros: a torn write, or damage at the end.
        torn: bool,
    },
}

impl<'a> Scan<'a> {
    /// A scan from a place on. Errors: the disk's error.
    pub fn new(file: &'a dyn DiskFile, job: JobId, from: u64) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, job, len, buffer: Vec::new(), base: from, next: 0, unreadable: false })
    }

    /// The bytes of a body that was found last.
    pub fn body(&self, body: Range<usize>) -> &[u8] {
        self.buffer.get(body).unwrap_or_default()
    }

    /// Goes on. Errors: the disk's error.
    pub fn go_on(&mut self) -> io::Result<Found> {
        self.fill()?;
        let at = self.place();
        if let Look::Frame(body_len) = self.look() {
            let start = self.next + FRAME_HEADER;
            self.next = start + body_len;
            return Ok(Found::Frame { at, body: start..start + body_len });
        }
        let mut zeros = true;
        // The next frame may begin at any byte.
        while self.place() < self.len {
            zeros &= self.buffer.get(self.next) == Some(&0);
            self.next += 1;
            self.fill()?;
            if let Look::Frame(_) = self.look() {
                return Ok(Found::Damage(at..self.place()));
            }
        }
        Ok(Found::End { at, torn: !zeros || self.unreadable })
    }

    fn place(&self) -> u64 {
        self.base + self.next as u64
    }

    fn look(&self) -> Look {
        look(self.buffer.get(self.next..).unwrap_or_default(), self.job, self.place())
    }

    /// Reads on, so that a whole frame fits into what is buffered, unless the file ends before.
    fn fill(&mut self) -> io::Result<()> {
        let buffered_end = self.base + self.buffer.len() as u64;
        if self.buffer.len() - self.next.min(self.buffer.len()) >= FRAME_HEADER + BODY_MAX
            || buffered_end >= self.len
        {
            return Ok(());
        }
        let place = self.place();
        let next = self.next.min(self.buffer.len());
        let kept = self.buffer.len() - next;
        // What was read before stays beyond `kept` and is read over: a log of gigabytes is not filled with zeros first.
        self.buffer.copy_within(next.., 0);
        (self.base, self.next) = (place, 0);
        let left = usize::try_from(self.len.saturating_sub(place + kept as u64)).unwrap_or(usize::MAX);
        self.buffer.resize(kept + left.min(CHUNK), 0);
        let rest = self.buffer.get_mut(kept..).unwrap_or_default();
        // Bytes that the disk cannot return read as zeros: the checksums then say which frames are damaged.
        let read = read_noting(self.file, rest, place + kept as u64, &mut self.unreadable)?;
        self.buffer.truncate(kept + read);
        // The file became shorter meanwhile.
        if read == 0 {
            self.len = place + kept as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk as _;
    use crate::jobs::job::crash_disk::{CrashDisk, Dice};

    fn job() -> JobId {
        JobId::random(&Dice::new(1))
    }

    /// The frames and the rest of a file whose frames begin at 0.
    fn scan(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<Found>) {
        let disk = CrashDisk::new(1);
        disk.put("log", bytes);
        let file = disk.open("log").unwrap();
        let mut scan = Scan::new(&*file, job(), 0).unwrap();
        let (mut frames, mut rest) = (Vec::new(), Vec::new());
        loop {
            match scan.go_on().unwrap() {
                Found::Frame { body, .. } => frames.push(scan.body(body).to_vec()),
                end @ Found::End { .. } => {
                    rest.push(end);
                    return (frames, rest);
                }
                damage => rest.push(damage),
            }
        }
    }

    fn written(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for body in bodies {
            let at = bytes.len() as u64;
            push_frame(&mut bytes, job(), at, body);
        }
        bytes
    }

    #[test]
    fn frames_longer_than_what_is_read_at_once_are_found() {
        let bodies: Vec<Vec<u8>> =
            (0..400_u32).map(|n| vec![u8::try_from(n % 251).unwrap(); BODY_MAX - n as usize % 7]).collect();
        let bytes = written(&bodies);
        assert!(bytes.len() > 3 * CHUNK);
        assert_eq!(scan(&bytes), (bodies.clone(), vec![Found::End { at: bytes.len() as u64, torn: false }]));
        // Damage across the border of two reads.
        let mut damaged = bytes.clone();
        damaged[CHUNK - 100..CHUNK + 100].fill(7);
        let (frames, rest) = scan(&damaged);
        assert_eq!((frames.len(), rest.len()), (399, 2));
    }

    #[test]
    fn zeros_after_the_frames_are_no_damage_and_other_bytes_are_a_torn_end() {
        let bodies = vec![b"one".to_vec(), b"two".to_vec()];
        let bytes = written(&bodies);
        let end = bytes.len() as u64;
        for (tail, torn) in [(vec![0; 100], false), (vec![0, 0, 1], true), (vec![3], true), (vec![], false)] {
            let whole = [bytes.clone(), tail].concat();
            assert_eq!(scan(&whole), (bodies.clone(), vec![Found::End { at: end, torn }]));
        }
    }

    #[test]
    fn a_frame_elsewhere_or_of_another_job_is_none() {
        let bytes = written(&[b"one".to_vec()]);
        let moved = [vec![9; 3], bytes.clone()].concat();
        assert_eq!(scan(&moved), (vec![], vec![Found::End { at: 0, torn: true }]));
        let mut other = Vec::new();
        push_frame(&mut other, JobId::random(&Dice::new(2)), 0, b"one");
        assert_eq!(scan(&other).0, Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_header_names_version_and_job() {
        let (ours, other) = (job(), JobId::random(&Dice::new(2)));
        let bytes = header(ours);
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(check_header(&bytes, ours).unwrap(), Some(VERSION));
        assert_eq!(check_header(&header_of(FIRST_VERSION, ours), ours).unwrap(), Some(FIRST_VERSION));
        assert!(matches!(check_header(&bytes, other), Err(LogError::OtherJob(_, of)) if of == ours));
        for at in 0..HEADER {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(check_header(&flipped, ours).unwrap(), None, "{at}");
            assert_eq!(check_header(&bytes[..at], ours).unwrap(), None, "{at}");
        }
        let mut later = bytes[..28].to_vec();
        later[8] = 4;
        let crc = crc32c::crc32c(&later);
        later.extend_from_slice(&crc.to_le_bytes());
        assert!(matches!(check_header(&later, ours), Err(LogError::OtherVersion(_, 4))));
    }
}
