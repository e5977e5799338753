//! How much memory stays with the process.

/// Keeps the kernel from giving the process huge pages. Each thread's heap holds a little free memory; in pages of 2 MiB
/// instead of 4 KiB that little is most of what is resident after an outage (decision 0075).
pub fn without_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as they are: more memory will be resident");
    }
}
