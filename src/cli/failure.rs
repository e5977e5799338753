//! How a command fails: its message and exit code.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use http::StatusCode;

use crate::admin_client::AskError;
use crate::archive::ArchiveError;
use crate::dev_s3::DevS3Error;
use crate::disk::read_only::LookError;
use crate::disk::real_disk::DirectoryError;
use crate::import::Unusable;
use crate::node::error::NodeError;
use crate::spool::offline::ViewError;
use crate::store::{Fault, StoreError};
use crate::words::causes::chain;
use crate::words::with_causes;

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
        Self { code: FAILED, text: text.into() }
    }

    /// Exit code 2.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { code: WRONG_USAGE, text: text.into() }
    }

    /// Exit code 4.
    pub fn unreachable(text: impl Into<String>) -> Self {
        Self { code: UNREACHABLE, text: text.into() }
    }

    /// A given exit code.
    pub fn with_code(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A failed request to a store.
    pub fn of_store(what: &str, error: &StoreError) -> Self {
        let code = match error.fault {
            Fault::Refused if error.status == Some(404) => FAILED,
            Fault::Refused | Fault::NoAccess | Fault::Expired => DENIED,
            Fault::Transient => UNREACHABLE,
            _ => FAILED,
        };
        Self { code, text: advised(format!("{what}: {}", error.told().full()), of_store(error)) }
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

/// An error with all its causes, in one line, and what to do about it: exit code 1.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let first = beneath(&error);
        // Who runs a command has the bucket.
        let text = match first.downcast_ref::<StoreError>() {
            Some(error) => error.told().full().to_owned(),
            None => with_causes(first),
        };
        if let Some(Unusable::Store { what, cause }) = first.downcast_ref() {
            return Self::of_store(what, cause);
        }
        Self { code: exit_code(first), text: advised(text, chain(first).find_map(advice)) }
    }
}

/// What a node failed with, if it has an error of its own.
fn beneath<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    match error.downcast_ref() {
        Some(NodeError::Import(error)) => error,
        Some(NodeError::Directory(error)) => error,
        Some(NodeError::View(error)) => error,
        Some(NodeError::DevS3(error)) => error,
        _ => error,
    }
}

fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    match (error.downcast_ref(), error.downcast_ref()) {
        (Some(NodeError::UnsafeFilesystem { .. }), _) | (_, Some(Unusable::Wrong(_))) => WRONG_USAGE,
        (_, Some(Unusable::Denied(_))) => DENIED,
        (_, Some(Unusable::Unreachable(_))) => UNREACHABLE,
        _ => FAILED,
    }
}

fn advised(text: String, advice: Option<String>) -> String {
    match advice {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

/// What a new user can do about an error that does not say it itself.
fn advice(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return of_store(error);
    }
    if let Some(error) = error.downcast_ref::<ArchiveError>() {
        // Its text names the right that is missing.
        return of_store(error.cause()).filter(|_| error.cause().code.as_deref() != Some("AccessDenied"));
    }
    match error.downcast_ref() {
        Some(NodeError::Listen { addr, cause, .. }) => return to_listen(*addr, cause),
        Some(NodeError::DataDir { cause, .. }) => {
            let advice = "name a directory that this user may write to with --data-dir";
            return is_not_writable(cause).then(|| advice.to_owned());
        }
        _ => {}
    }
    if let Some(ViewError::Look(error)) = error.downcast_ref() {
        return advice(error);
    }
    if let Some(DevS3Error::InUse(_)) = error.downcast_ref() {
        return Some("stop that `forebay dev`, or name another directory with --data-dir".to_owned());
    }
    match error.downcast_ref() {
        Some(AskError::Unreachable { .. }) => {
            let advice =
                "start one with `forebay dev` or `forebay serve`, or give its admin address with --admin";
            return Some(advice.to_owned());
        }
        // The collector's own port answers with JSON, too.
        Some(error) if is_wrong_port(error) => {
            let advice = "give the address of `admin.listen`, which `dev` prints as console, with --admin";
            return Some(advice.to_owned());
        }
        _ => {}
    }
    if let Some(DirectoryError::Unusable { path, cause }) = error.downcast_ref() {
        return is_not_writable(cause).then(|| {
            let path = path.display();
            format!(
                "make it writable for this user (`sudo install -d -o \"$USER\" {path}`), or set spool.dir"
            )
        });
    }
    match error.downcast_ref() {
        Some(LookError::Unreadable { cause, .. }) => match cause.kind() {
            ErrorKind::NotFound => Some("give the directory that is set as `spool.dir`".to_owned()),
            ErrorKind::PermissionDenied => Some("run the command as the collector's user".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

fn is_not_writable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// What to do if an address cannot be listened on.
fn to_listen(addr: SocketAddr, error: &io::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::AddrInUse => Some(format!(
            "stop the program that uses it (`ss -ltnp 'sport = :{}'` shows it), or set another port",
            addr.port()
        )),
        ErrorKind::PermissionDenied => Some(
            "ports below 1024 need a right: set a higher port, or give the program CAP_NET_BIND_SERVICE"
                .to_owned(),
        ),
        ErrorKind::AddrNotAvailable => {
            Some("this machine does not have that address: set one of its own, or 0.0.0.0".to_owned())
        }
        _ => None,
    }
}

/// Whether something answers that is no admin listener.
fn is_wrong_port(error: &AskError) -> bool {
    match error {
        AskError::Broken { .. } => true,
        AskError::Refused { status, code, .. } => *status == StatusCode::NOT_FOUND && code == "not_found",
        _ => false,
    }
}

fn of_store(error: &StoreError) -> Option<String> {
    let advice = match (error.fault, error.code.as_deref()) {
        (Fault::NoAccess, _) => {
            "give credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of the machine"
        }
        (_, Some("NoSuchBucket")) => "check the bucket's name, its region and the endpoint",
        (_, Some("InvalidAccessKeyId" | "SignatureDoesNotMatch")) => {
            "check the access key, its secret key and the endpoint"
        }
        (_, Some("AccessDenied")) => "`forebay policy reader` prints the policy of those who read a bucket",
        _ => return None,
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_to_do() {
        let check = |failure: Failure, said: &str| assert_eq!(failure.to_string(), said);
        let addr: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let of = |kind: ErrorKind| {
            Failure::from(NodeError::Listen {
                addr,
                purpose: "accept calls",
                cause: io::Error::new(kind, "no"),
            })
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
            DirectoryError::Unusable { path: path(), cause: denied() }.into(),
            "cannot use the spool directory /var/lib/forebay: denied; make it writable for this user (`sudo install -d \
             -o \"$USER\" /var/lib/forebay`), or set spool.dir",
        );
        check(
            LookError::Unreadable { path: path(), cause: denied() }.into(),
            "cannot read /var/lib/forebay: denied; run the command as the collector's user",
        );
        let denied = StoreError::answered(Fault::Refused, 403, Some("AccessDenied"), "no");
        check(
            Failure::of_store("list", &denied),
            "list: 403 AccessDenied: no; `forebay policy reader` prints the policy of those who read a bucket",
        );
        let missing = StoreError::answered(Fault::Refused, 404, Some("NoSuchBucket"), "none");
        check(missing.into(), "404 NoSuchBucket: none; check the bucket's name, its region and the endpoint");
        let look = LookError::Unreadable { path: path(), cause: io::Error::new(ErrorKind::NotFound, "none") };
        check(
            ViewError::Look(look).into(),
            "cannot read /var/lib/forebay: none; give the directory that is set as `spool.dir`",
        );
        check(
            DevS3Error::InUse("d/s3".into()).into(),
            "the S3 data directory d/s3 is in use by another process; stop that `forebay dev`, or name another \
             directory with --data-dir",
        );
        let later = StoreError::answered(Fault::Transient, 503, Some("SlowDown"), "later");
        check(later.into(), "503 SlowDown: later");
    }
}
