//! Errors with their causes.

use std::error::Error;
use std::io;

/// Maximum number of causes in an error's text.
const CAUSES_MAX: usize = 8;

/// An error and all its causes, in order.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // The `source` of an I/O error that wraps another skips the wrapped one.
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// The errors of the operating system among an error and its causes, in order.
pub fn io_causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a io::Error> {
    chain(error).filter_map(|error| error.downcast_ref())
}

/// An error and its causes in one line, because the outermost often shows no more than "dispatch failure". A
/// cause that the text already ends with is not repeated.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in chain(error).skip(1).take(CAUSES_MAX) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] io::Error);

    #[test]
    fn no_cause_is_repeated() {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(with_causes(&Outer("connect", refused())), "connect: connection refused");
        assert_eq!(
            with_causes(&Outer("connect: connection refused", refused())),
            "connect: connection refused"
        );
        let wrapped = io::Error::other(Outer("inner", refused()));
        assert_eq!(with_causes(&Outer("outer", wrapped)), "outer: inner: connection refused");
    }
}
