//! How a command fails: its message and exit code.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::admin_client::AskError;
use crate::config::ConfigError;
#[cfg(feature = "dev")]
use crate::dev_s3::DevS3Error;
use crate::import::{Unusable, UnusableKind};
use crate::node::advice::{self, is_not_writable, text};
use crate::node::error::NodeError;
use crate::policy::PolicyError;
use crate::words::causes::chain;

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

/// The exit code of a failure.
pub const FAILED: u8 = 1;
/// The exit code of wrong usage or configuration.
pub const WRONG_USAGE: u8 = 2;
/// The exit code of an import some of whose rows were rejected.
pub const SOME_REJECTED: u8 = 3;
/// The exit code of an import whose target or files cannot be reached.
pub const UNREACHABLE: u8 = 4;
/// The exit code of an import that is denied access.
pub const DENIED: u8 = 5;
/// The exit code after an interrupt.
pub const INTERRUPTED: u8 = 130;

impl Failure {
    /// Exit code 1.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::with_code(FAILED, text)
    }

    /// Exit code 2.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::with_code(WRONG_USAGE, text)
    }

    /// A given exit code.
    pub fn with_code(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An error with all its causes, in one line, and what to do about it. Its kind says the exit code.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let first = beneath(&error);
        let text = match chain(first).find_map(advice) {
            Some(what_to_do) => format!("{}; {what_to_do}", text(first)),
            None => text(first),
        };
        Self { code: exit_code(first), text }
    }
}

/// The error that a node failed with, if the given one only wraps it.
fn beneath<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    match error.downcast_ref() {
        Some(NodeError::Import(error)) => error,
        Some(NodeError::Directory(error)) => error,
        Some(NodeError::View(error)) => error,
        #[cfg(feature = "dev")]
        Some(NodeError::DevS3(error)) => error,
        _ => error,
    }
}

fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    let is_unsafe = matches!(error.downcast_ref(), Some(NodeError::UnsafeFilesystem(..)));
    if is_unsafe || error.is::<ConfigError>() || error.is::<PolicyError>() {
        return WRONG_USAGE;
    }
    match error.downcast_ref().map(Unusable::kind) {
        Some(UnusableKind::Wrong) => WRONG_USAGE,
        Some(UnusableKind::Denied) => DENIED,
        Some(UnusableKind::Unreachable) => UNREACHABLE,
        Some(UnusableKind::Failed) | None => FAILED,
    }
}

/// What a new user can do about an error that gives no advice itself.
fn advice(error: &(dyn Error + 'static)) -> Option<String> {
    #[cfg(feature = "dev")]
    if let Some(DevS3Error::InUse(_)) = error.downcast_ref() {
        return Some("stop that `forebay dev`, or name another directory with --data-dir".to_owned());
    }
    let of_command = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(NodeError::DataDir(.., cause)), _) if is_not_writable(cause) => {
            "name a directory that this user may write to with --data-dir"
        }
        (_, Some(AskError::Unreachable(..))) => {
            "start one with `forebay dev` or `forebay serve`, or give its admin address with --admin"
        }
        (_, Some(AskError::Tls(..))) => {
            "use http:// if it speaks no TLS; add the CA of its certificate to the system's, or name the CA's file in SSL_CERT_FILE"
        }
        // The collector's own port answers with JSON, too, and is easily mistaken for the admin listener.
        (_, Some(error)) if is_wrong_port(error) => {
            "give the address of `admin.listen`, which `dev` prints as console, with --admin"
        }
        _ => return advice::advice(error),
    };
    Some(of_command.to_owned())
}

/// Whether something answers that is not an admin listener.
fn is_wrong_port(error: &AskError) -> bool {
    match error {
        AskError::Broken(..) => true,
        AskError::Refused { status, code, .. } => *status == StatusCode::NOT_FOUND && code == "not_found",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};
    use std::net::SocketAddr;

    use super::*;
    use crate::disk::read_only::LookError;
    use crate::disk::real_disk::DirectoryError;
    use crate::spool::offline::ViewError;
    use crate::store::{Fault, StoreError};

    #[test]
    fn a_failure_says_what_to_do() {
        let check = |failure: Failure, said: &str| assert_eq!(failure.to_string(), said);
        let addr: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let of = |kind: ErrorKind| {
            Failure::from(NodeError::Listen(addr, "accept calls", io::Error::new(kind, "no")))
        };
        check(
            of(ErrorKind::AddrInUse),
            "cannot listen on 127.0.0.1:80 to accept calls: no; stop the program that uses it (`ss -ltnp 'sport = :80'` \
             shows it), or set another port",
        );
        assert!(of(ErrorKind::PermissionDenied).to_string().contains("CAP_NET_BIND_SERVICE"));
        assert!(of(ErrorKind::AddrNotAvailable).to_string().ends_with("or 0.0.0.0"));
        check(of(ErrorKind::OutOfMemory), "cannot listen on 127.0.0.1:80 to accept calls: no");
        let path = || "/var/lib/forebay".into();
        let denied = || io::Error::new(ErrorKind::PermissionDenied, "denied");
        check(
            DirectoryError::Unusable(path(), denied()).into(),
            "cannot use the spool directory /var/lib/forebay: denied; make it writable for this user (`sudo install -d \
             -o \"$USER\" /var/lib/forebay`), or set spool.dir",
        );
        check(
            LookError::Unreadable(path(), denied()).into(),
            "cannot read /var/lib/forebay: denied; run the command as the collector's user",
        );
        let denied = StoreError::answered(Fault::Refused, 403, Some("AccessDenied"), "no");
        check(
            Unusable::Store { what: "list".to_owned(), cause: denied }.into(),
            "list: 403 AccessDenied: no; `forebay policy reader` prints the policy of those who read a bucket",
        );
        let missing = StoreError::answered(Fault::Refused, 404, Some("NoSuchBucket"), "none");
        check(missing.into(), "404 NoSuchBucket: none; check the bucket's name, its region and the endpoint");
        let look = LookError::Unreadable(path(), io::Error::new(ErrorKind::NotFound, "none"));
        check(
            ViewError::Look(look).into(),
            "cannot read /var/lib/forebay: none; give the directory that is set as `spool.dir`",
        );
        #[cfg(feature = "dev")]
        check(
            DevS3Error::InUse("d/s3".into()).into(),
            "the S3 data directory d/s3 is in use by another process; stop that `forebay dev`, or name another \
             directory with --data-dir",
        );
        let later = StoreError::answered(Fault::Transient, 503, Some("SlowDown"), "later");
        check(later.into(), "503 SlowDown: later");
    }
}
