//! Work that waits for a store, or for whoever takes its results, on a thread of its own.
//!
//! The threads of the process for blocking work are few (decision 0075), and the steps of imports, the notes
//! of deliveries and the lookups of names need them, too. Work that kept one of these while it waited for
//! such a thing could wait without an end.

use std::thread::Builder;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::file_error::{FileError, FileFault};

/// Begins work about a file on a thread of its own, within this runtime. The work goes on if the future is
/// dropped. Errors: those of the work; [`FileError`] too if it panicked, or if there is no thread for it.
pub(super) fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, FileError>> {
    let (done, result) = oneshot::channel();
    let runtime = Handle::current();
    let begun = Builder::new().name("import".to_owned()).spawn(move || {
        let _within = runtime.enter();
        // Nobody may wait for the result any more.
        drop(done.send(work()));
    });
    async move {
        begun.map_err(|error| {
            FileError::new(FileFault::Local, "E-READ", format!("there is no thread to read it: {error}"))
        })?;
        result.await.map_err(|_| bug(&"it panicked"))
    }
}

/// The failure of a file because of a panic.
pub(super) fn bug(panicked: &dyn std::fmt::Display) -> FileError {
    FileError::content("E-BUG", format!("reading the file failed: {panicked}; this is a bug in Forebay"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_has_its_runtime_its_result_and_its_panic() {
        let here = Handle::current().id();
        assert_eq!(on_own_thread(|| Handle::current().id()).await.unwrap(), here);
        let panicked = on_own_thread(|| -> u8 { panic!("no") }).await.unwrap_err();
        assert!(
            panicked.to_string().starts_with("E-BUG: reading the file failed: it panicked"),
            "{panicked}"
        );
    }
}
