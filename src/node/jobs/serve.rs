//! `batch serve`: the jobs API on an address of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::jobs_api::JobsApi;
use super::served_tools::ServedTools;
use super::server::{JobsServer, ServerSettings};
use crate::admin::metrics_server::{METRICS_CONNECTIONS_MAX, MetricsServer};
use crate::config::Environment;
use crate::config::admin::is_loopback;
use crate::dev_s3::{CONNECTIONS_MAX, DevS3, KeyPair};
use crate::jobs::job::folder::JobsFolder;
use crate::jobs::named_functions::NamedFunctions;
use crate::metrics::Metrics;
use crate::node::error::NodeError;
use crate::node::listeners::fit_connections;
use crate::runtime::handles::Wanted;
use crate::runtime::{Shutdown, SystemClock, SystemRandom};
use crate::tasks::{Supervised, keep};
use crate::words::with_causes;

/// The variable with the access key id of the one client.
pub const ACCESS_KEY_ID: &str = "FOREBAY_BATCH_ACCESS_KEY_ID";
/// The variable with its secret access key.
pub const SECRET_ACCESS_KEY: &str = "FOREBAY_BATCH_SECRET_ACCESS_KEY";

/// How the names of the metrics of jobs begin.
const OF_JOBS: &str = "forebay_batch_";
/// The longest access key id and secret access key, in bytes (the bound of IAM for ids).
const KEY_MAX: usize = 128;

/// The settings of `batch serve`.
#[derive(Debug)]
pub struct ServeSettings {
    /// Where the API is served.
    pub listen: SocketAddr,
    /// Where metrics of jobs are served; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The keys with which requests are signed.
    pub keys: KeyPair,
    /// The folder of all jobs.
    pub folder: JobsFolder,
    /// Jobs whose tasks run at once.
    pub active_jobs: usize,
    /// What is invoked in place of functions.
    pub functions: NamedFunctions,
    /// The store and the functions, if they are not those of AWS.
    pub endpoint: Option<String>,
    /// The region of the jobs' ARNs.
    pub region: String,
}

/// The listener for metrics of jobs. Dropping this ends it.
struct ShownMetrics {
    addr: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl ShownMetrics {
    /// Errors: [`NodeError`]: the address cannot be listened on.
    async fn start(listen: SocketAddr, metrics: Metrics, connections: usize) -> Result<Self, NodeError> {
        let failed = |cause| NodeError::Listen(listen, "serve metrics", cause);
        let listener = Arc::new(TcpListener::bind(listen).await.map_err(failed)?);
        let addr = listener.local_addr().map_err(failed)?;
        let server = Arc::new(MetricsServer::new(metrics, OF_JOBS, addr));
        let start = move || {
            let (server, listener) = (Arc::clone(&server), Arc::clone(&listener));
            server.serve(listener, connections, CancellationToken::new())
        };
        let _serving = AbortOnDropHandle::new(tokio::spawn(keep(Supervised::unalarmed(), start)));
        Ok(Self { addr, _serving })
    }
}

/// The keys that the environment names. Without them those of `dev`, which everybody knows: only for clients on
/// this machine, since a job runs programs.
/// Errors: what is wrong, and what to set. No secret is in it.
pub fn keys(listen: SocketAddr, environment: &Environment) -> Result<KeyPair, String> {
    match (environment.text(ACCESS_KEY_ID)?, environment.text(SECRET_ACCESS_KEY)?) {
        (Some(id), Some(secret)) => {
            // An id stands between slashes in the header of a request.
            let is_key = |key: &str| key.len() <= KEY_MAX && key.bytes().all(|b| b.is_ascii_graphic());
            if !is_key(id) || id.contains(['/', ',', '=']) {
                return Err(format!("{ACCESS_KEY_ID}: expected at most {KEY_MAX} letters and digits"));
            }
            if !is_key(secret) {
                return Err(format!(
                    "{SECRET_ACCESS_KEY}: expected at most {KEY_MAX} characters without spaces; make one with \
                     `openssl rand -hex 24`"
                ));
            }
            Ok(KeyPair { id: id.to_owned(), secret: secret.to_owned() })
        }
        (Some(_), None) => {
            Err(format!("{ACCESS_KEY_ID} is set, and {SECRET_ACCESS_KEY} is not: set both or none"))
        }
        (None, Some(_)) => {
            Err(format!("{SECRET_ACCESS_KEY} is set, and {ACCESS_KEY_ID} is not: set both or none"))
        }
        (None, None) if is_loopback(listen) => Ok(KeyPair::of_dev()),
        (None, None) => Err(format!(
            "--listen {listen}: other machines can reach this address, and a job runs programs, so it needs keys: make a \
             secret with `openssl rand -hex 24`, and set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY} in the environment"
        )),
    }
}

/// Serves the jobs API until a signal ends it. `started` is called once, when requests are answered, with the address of
/// the API, and that of the metrics if they have one. The first signal lets the invocations in flight end. A second one
/// abandons them, which is as safe as a kill.
/// Errors: [`NodeError`]: an address cannot be listened on, or the folder of the jobs cannot be used.
pub async fn run(
    settings: ServeSettings,
    shutdown: &Shutdown,
    started: impl FnOnce(SocketAddr, Option<SocketAddr>),
) -> Result<(), NodeError> {
    let ServeSettings { listen, metrics_listen, keys, folder, active_jobs, functions, endpoint, region } =
        settings;
    let for_metrics = metrics_listen.map_or(0, |_| METRICS_CONNECTIONS_MAX);
    let wanted = Wanted { connections: 0, admin: for_metrics, dev_s3: CONNECTIONS_MAX, put_locations: 1 };
    let (fitted, _) = fit_connections(wanted)?;
    let listener = std::net::TcpListener::bind(listen)
        .map_err(|cause| NodeError::Listen(listen, "serve the jobs API", cause))?;
    let (random, metrics) = (Arc::new(SystemRandom), Metrics::new());
    let shown = match metrics_listen {
        Some(listen) => Some(ShownMetrics::start(listen, metrics.clone(), fitted.admin).await?),
        None => None,
    };
    let jobs = JobsServer::start(ServerSettings {
        folder,
        active_jobs,
        region,
        tools: Arc::new(ServedTools::of_serve(functions, endpoint).await),
        clock: Arc::new(SystemClock::new()),
        random: Arc::clone(&random) as _,
        metrics,
    });
    let jobs = jobs.await.map_err(|error| NodeError::Other(with_causes(&error)))?;
    let api = Arc::new(JobsApi::new(random));
    api.serve(jobs).await;
    let server = DevS3::start_without_objects(listener, keys, Arc::clone(&api) as _, fitted.dev_s3)?;
    started(server.addr(), shown.as_ref().map(|shown| shown.addr));
    shutdown.orderly.cancelled().await;
    tokio::select! {
        () = api.stop() => {}
        () = shutdown.immediate.cancelled() => {}
    }
    Ok(server.stop().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(listen: &str, variables: &[(&str, &str)]) -> Result<(String, String), String> {
        let environment = Environment::of(variables.iter().copied());
        keys(listen.parse().unwrap(), &environment).map(|keys| (keys.id, keys.secret))
    }

    #[test]
    fn keys_come_from_the_environment_and_those_of_dev_are_for_this_machine_only() {
        let ours = [(ACCESS_KEY_ID, "id"), (SECRET_ACCESS_KEY, "a/secret=")];
        let pair = |id: &str, secret: &str| Ok((id.to_owned(), secret.to_owned()));
        for listen in ["127.0.0.1:0", "0.0.0.0:9100", "[::]:9100"] {
            assert_eq!(of(listen, &ours), pair("id", "a/secret="), "{listen}");
        }
        for listen in ["127.0.0.1:0", "127.1.2.3:9100", "[::1]:9100", "[::ffff:127.0.0.1]:9100"] {
            assert_eq!(of(listen, &[]), pair("forebay", "forebay-secret"), "{listen}");
            assert_eq!(of(listen, &[(ACCESS_KEY_ID, "")]), pair("forebay", "forebay-secret"), "{listen}");
        }
        for listen in ["0.0.0.0:9100", "[::]:9100", "192.0.2.1:9100"] {
            let refused = of(listen, &[]).unwrap_err();
            assert!(refused.contains("a job runs programs") && refused.contains(ACCESS_KEY_ID), "{refused}");
        }
        for (variables, says) in [
            (vec![(ACCESS_KEY_ID, "id")], "set both or none"),
            (vec![(SECRET_ACCESS_KEY, "s3cret")], "set both or none"),
            (vec![(ACCESS_KEY_ID, "a/b"), (SECRET_ACCESS_KEY, "s3cret")], "letters and digits"),
            (vec![(ACCESS_KEY_ID, "id"), (SECRET_ACCESS_KEY, "s3cret x")], "without spaces"),
        ] {
            let refused = of("127.0.0.1:0", &variables).unwrap_err();
            assert!(refused.contains(says) && !refused.contains("s3cret"), "{refused}");
        }
    }
}
