//! What the program `gzip` makes of some lines.

use std::fs::File;
use std::io;
use std::process::{Command, Stdio};

/// Bytes of `gzip -6` of a whole file.
///
/// # Errors
/// Where there is no such program, or it fails.
pub(crate) fn gzip_6(mut lines: File) -> io::Result<u64> {
    io::Seek::rewind(&mut lines)?;
    let mut gzip = Command::new("gzip").arg("-6").stdin(lines).stdout(Stdio::piped()).spawn()?;
    let mut out = gzip.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let bytes = io::copy(&mut out, &mut io::sink())?;
    if gzip.wait()?.success() { Ok(bytes) } else { Err(io::Error::other("gzip failed")) }
}
