//! Makes what invokes the functions of destinations: clients of AWS Lambda with the sessions of delivery, and
//! clients of web addresses.

use std::io;
use std::sync::Arc;

use crate::config::Environment;
use crate::destinations::forward::Forward;
use crate::destinations::invoke::{Equipment, Invoke};
use crate::destinations::settings::{DestinationSettings, FunctionsAt};
use crate::destinations::web_function::WebFunction;
use crate::store::s3::S3Store;
use crate::time::Clock;

/// The equipment of a node.
#[derive(Clone, Debug)]
pub struct NodeEquipment {
    /// The store whose credentials and sessions are used.
    pub store: Arc<S3Store>,
    /// The environment, which has the secrets of removed destinations.
    pub environment: Environment,
    /// Monotonic and wall time.
    pub clock: Arc<dyn Clock>,
}

impl Equipment for NodeEquipment {
    fn invoker(&self, settings: &DestinationSettings) -> io::Result<Arc<dyn Invoke>> {
        Ok(match &settings.functions_at {
            #[cfg(feature = "lambda")]
            FunctionsAt::Lambda(target) => Arc::new(lambda::function(&self.store, target, settings.timeout)),
            #[cfg(not(feature = "lambda"))]
            FunctionsAt::Lambda(_) => {
                return Err(io::Error::other("this program was built without its feature `lambda`"));
            }
            FunctionsAt::Url(to) => Arc::new(WebFunction::new(to.0.clone(), settings.timeout)?),
            FunctionsAt::Forward { to, write_key } => {
                Arc::new(Forward::new(to, write_key, settings.timeout, Arc::clone(&self.clock))?)
            }
        })
    }

    fn settings(&self, typed: &str) -> Result<DestinationSettings, String> {
        self.environment.destination(typed)
    }
}

/// Clients of AWS Lambda.
#[cfg(feature = "lambda")]
pub mod lambda {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use aws_sdk_lambda::Client;
    use aws_sdk_lambda::config::Builder;
    use aws_sdk_lambda::config::timeout::TimeoutConfig;

    use crate::destinations::invoke::connect_timeout;
    use crate::destinations::lambda_function::{Clients, Lambda, LambdaSettings};
    use crate::destinations::settings::AtLambda;
    use crate::lock::lock;
    use crate::object::Role;
    use crate::sources::SourceId;
    use crate::store::s3::S3Store;

    /// The most clients that are kept. At the limit all are dropped, and made again when needed.
    const CLIENTS_MAX: usize = 1_024;

    /// The clients of a destination, one for each role, external id and region.
    #[derive(Debug)]
    struct LambdaClients {
        store: Arc<S3Store>,
        target: AtLambda,
        /// The time limit for a connection.
        connect: Duration,
        made: Mutex<BTreeMap<(Option<Role>, String), Client>>,
    }

    /// The functions of a destination.
    pub fn function(store: &Arc<S3Store>, target: &AtLambda, timeout: Duration) -> Lambda {
        let AtLambda { invocation, log_tail, payload_max, .. } = *target;
        let settings = LambdaSettings { invocation, log_tail, timeout, payload_max };
        Lambda::new(clients(store, target, timeout), settings)
    }

    /// The clients of a destination.
    pub fn clients(store: &Arc<S3Store>, target: &AtLambda, timeout: Duration) -> Arc<dyn Clients> {
        let (store, target, connect) = (Arc::clone(store), target.clone(), connect_timeout(timeout));
        Arc::new(LambdaClients { store, target, connect, made: Mutex::default() })
    }

    /// A client for functions in a region, whose answers are waited for as long as `timeout`.
    pub fn client_in(
        store: &S3Store,
        role: Option<&Role>,
        region: &str,
        endpoint_url: Option<String>,
        timeout: Duration,
    ) -> Client {
        client(store, role, region, endpoint_url, connect_timeout(timeout))
    }

    fn client(
        store: &S3Store,
        role: Option<&Role>,
        region: &str,
        endpoint_url: Option<String>,
        connect: Duration,
    ) -> Client {
        // It tries once. The class of a failure decides what follows.
        let mut builder = Builder::from(&store.sdk_in(role, region));
        builder.set_endpoint_url(endpoint_url);
        let times = TimeoutConfig::builder().connect_timeout(connect).build();
        Client::from_conf(builder.timeout_config(times).build())
    }

    impl Clients for LambdaClients {
        fn client(&self, source: &SourceId, function: &str) -> Result<Client, String> {
            let role = self.target.role_for(source)?;
            let region = self.target.region_of(function);
            let region = region.ok_or_else(|| format!("{function} names no region: set region"))?;
            let key = (role, region.to_owned());
            let mut made = lock(&self.made);
            if let Some(client) = made.get(&key) {
                return Ok(client.clone());
            }
            if made.len() >= CLIENTS_MAX {
                made.clear();
            }
            let (role, endpoint) = (key.0.as_ref(), self.target.endpoint_url.clone());
            let new = client(&self.store, role, &key.1, endpoint, self.connect);
            made.insert(key, new.clone());
            Ok(new)
        }

        fn refused(&self, source: &SourceId) {
            if let Ok(role) = self.target.role_for(source) {
                self.store.renew_credentials(role.as_ref());
            }
            // A client keeps the credentials that the process had when the client was made.
            lock(&self.made).clear();
        }
    }
}
