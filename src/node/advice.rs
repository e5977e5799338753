//! Says what a person can do about an error of a store, of a spool's directory or of an address, if the text
//! of the error does not say it.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::error::NodeError;
use crate::archive::ArchiveError;
use crate::disk::read_only::LookError;
use crate::disk::real_disk::DirectoryError;
use crate::import::Unusable;
use crate::spool::offline::ViewError;
use crate::store::StoreError;
use crate::words::with_causes;

/// The text of an error with all its causes, in one line, for the people who have the bucket.
pub fn text(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<StoreError>() {
        Some(error) => error.told().full().to_owned(),
        None => with_causes(error),
    }
}

/// The advice for this error, without its causes.
pub fn advice(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return error.reader_remedy().map(str::to_owned);
    }
    if let Some(Unusable::Store { cause, .. }) = error.downcast_ref() {
        return advice(cause);
    }
    if let Some(error) = error.downcast_ref::<ArchiveError>() {
        return error.remedy().map(str::to_owned);
    }
    if let Some(NodeError::Listen(addr, _, cause)) = error.downcast_ref() {
        return to_listen(*addr, cause);
    }
    if let Some(ViewError::Look(error)) = error.downcast_ref() {
        return advice(error);
    }
    if let Some(DirectoryError::Unusable(path, cause)) = error.downcast_ref() {
        return is_not_writable(cause).then(|| {
            let path = path.display();
            format!(
                "make it writable for this user (`sudo install -d -o \"$USER\" {path}`), or set spool.dir"
            )
        });
    }
    match error.downcast_ref() {
        Some(LookError::Unreadable(_, cause)) => match cause.kind() {
            ErrorKind::NotFound => Some("give the directory that is set as `spool.dir`".to_owned()),
            ErrorKind::PermissionDenied => Some("run the command as the collector's user".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// Whether this user may not write to what the error is about.
pub fn is_not_writable(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// The advice if an address cannot be listened on.
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
