//! The size of lines after the program `gzip`.

use std::fs::File;
use std::io;
use std::process::{Command, Stdio};

/// The size of a whole file after `gzip -6`.
///
/// # Errors
/// If the program is missing or fails.
pub(crate) fn gzip_6(mut lines: File) -> io::Result<u64> {
    io::Seek::rewind(&mut lines)?;
    let mut gzip = Command::new("gzip").arg("-6").stdin(lines).stdout(Stdio::piped()).spawn()?;
    let mut out = gzip.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let bytes = io::copy(&mut out, &mut io::sink())?;
    if gzip.wait()?.success() { Ok(bytes) } else { Err(io::Error::other("gzip failed")) }
}
