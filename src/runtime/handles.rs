//! File handles: how many the process may open, and how many of them connections may take.
//!
//! Connections come from outside, so they get only what the process does not need itself. Otherwise a few
//! hundred idle sockets could keep the spool from opening a file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The process does not start with fewer handles.
pub const HANDLES_MIN: u64 = 256;
/// Handles that the process itself needs: standard streams, event queues, signals and listeners (20); the
/// spool's lock, directories, reserve, manifest, segments, indexes and fingerprints (40); files read and
/// staged by 16 blocking and a few background threads (50); configuration, certificates, name lookups,
/// credentials, hooks (18).
pub const OWN_HANDLES: u64 = 128;
/// Handles for each location of puts: 8 puts at once, each with a connection and the file that it sends.
pub const HANDLES_PER_LOCATION: u64 = 16;
/// Stores get at most this fraction (1/8) of the handles. Beyond it, a put that finds none is retried.
const STORES_SHARE: u64 = 8;
/// Functions of destinations get this fraction (1/16) of the handles, but no more than [`FUNCTIONS_MAX`]: an
/// invocation that hangs holds its connection. Always, because destinations can be added while the process
/// runs.
const FUNCTIONS_SHARE: u64 = 16;
/// Enough for 64 functions with the default concurrency.
const FUNCTIONS_MAX: u64 = 4_096;
/// The admin listener gets at most this fraction (1/8) of the handles, and so does the S3 server of `dev`.
const LISTENER_SHARE: u64 = 8;

/// What the process wants handles for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Connections to the public listeners.
    pub connections: usize,
    /// Connections to the admin listener.
    pub admin: usize,
    /// Connections to the S3 server of `dev`.
    pub dev_s3: usize,
    /// Distinct locations of puts: buckets, roles and keys.
    pub put_locations: usize,
}

/// How many connections each listener may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// To the public listeners.
    pub connections: usize,
    /// To the admin listener.
    pub admin: usize,
    /// To the S3 server of `dev`.
    pub dev_s3: usize,
    /// Handles for the functions of all destinations together.
    pub functions: usize,
}

/// The process may open too few files: so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the process may open only {0} files (RLIMIT_NOFILE) but needs at least {HANDLES_MIN}: \
     raise LimitNOFILE of the service, or `ulimit -n`"
)]
pub struct TooFew(u64);

/// Raises the soft limit of open files to the hard one. Returns the limit in force: `u64::MAX` if there is
/// none.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::debug!(%error, current = ?limit.current, "the limit of open files stays as it is");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

/// Fits the numbers of connections to the limit of open files.
pub fn fit(limit: u64, wanted: Wanted) -> Result<Fitted, TooFew> {
    if limit < HANDLES_MIN {
        return Err(TooFew(limit));
    }
    let number = |handles: u64| usize::try_from(handles).unwrap_or(usize::MAX);
    let admin = wanted.admin.min(number(limit / LISTENER_SHARE));
    let dev_s3 = wanted.dev_s3.min(number(limit / LISTENER_SHARE));
    let stores = HANDLES_PER_LOCATION.saturating_mul(wanted.put_locations as u64).min(limit / STORES_SHARE);
    let functions = (limit / FUNCTIONS_SHARE).min(FUNCTIONS_MAX);
    let left = limit - OWN_HANDLES - stores - functions - admin as u64 - dev_s3 as u64;
    let (connections, functions) = (wanted.connections.min(number(left)), number(functions));
    Ok(Fitted { connections, admin, dev_s3, functions })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { connections: 20_000, admin: 256, dev_s3: 0, put_locations: 1 };

    #[test]
    fn connections_get_what_the_process_does_not_need() {
        let check = |limit: u64, wanted: Wanted, expected: (usize, usize, usize)| {
            let fitted = fit(limit, wanted).map(|fitted| (fitted.connections, fitted.admin, fitted.dev_s3));
            assert_eq!(fitted, Ok(expected), "{limit} {wanted:?}");
        };
        check(u64::MAX, WANTED, (20_000, 256, 0));
        check(524_288, WANTED, (20_000, 256, 0));
        check(20_000, WANTED, (20_000 - 128 - 16 - 1_250 - 256, 256, 0));
        check(1_024, WANTED, (1_024 - 128 - 16 - 64 - 128, 128, 0));
        check(1_024, Wanted { connections: 10, ..WANTED }, (10, 128, 0));
        check(256, WANTED, (256 - 128 - 16 - 16 - 32, 32, 0));
        // However many locations there are, and in `dev`, some connections are left.
        check(256, Wanted { put_locations: 1_000, ..WANTED }, (48, 32, 0));
        check(256, Wanted { dev_s3: 512, ..WANTED }, (32, 32, 32));
        check(
            20_000,
            Wanted { put_locations: 10_000, ..WANTED },
            (20_000 - 128 - 2_500 - 1_250 - 256, 256, 0),
        );
    }

    #[test]
    fn handles_given_away_never_exceed_the_limit() {
        for limit in HANDLES_MIN..3_000 {
            for put_locations in [0, 1, 2, 7, 500] {
                for dev_s3 in [0, 512] {
                    let fitted = fit(limit, Wanted { put_locations, dev_s3, ..WANTED }).unwrap();
                    let given = (fitted.connections + fitted.admin + fitted.dev_s3 + fitted.functions) as u64;
                    assert!(
                        given + OWN_HANDLES <= limit && fitted.connections > 0 && fitted.functions > 0,
                        "{limit} {fitted:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn too_few_handles_are_refused_with_advice() {
        let refused = fit(HANDLES_MIN - 1, WANTED).unwrap_err();
        assert_eq!(refused, TooFew(255));
        assert!(refused.to_string().contains("may open only 255 files"), "{refused}");
    }
}
