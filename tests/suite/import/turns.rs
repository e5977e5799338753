//! Under a name one task works at a time, whatever becomes of a rename: an import that comes back waits for the
//! end of the pass that it had begun before.

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::admin::BucketImportError;
use forebay::alarms::Alarms;
use forebay::config::Config;
use forebay::metrics::Metrics;
use forebay::node::bucket_imports::{BucketImports, ImportStores, ImportsDeps, plans};
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use tokio::time::timeout;

use super::importer::{Node, node};
use crate::config::{SMALLEST, load_with};
use crate::support::wait;

const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"]}}}"#;
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than a task needs to begin, and than a rename waits between two looks.
const LONG: Duration = Duration::from_secs(2);

fn id(name: &str) -> SourceId {
    SourceId::new(name).unwrap()
}

/// A configuration with these imports, all of them enabled.
fn config(names: &[&str]) -> Config {
    let import = |name: &&str| {
        format!(
            "[[import]]\nname = \"{name}\"\nbucket = \"files\"\nconverter = \"c.json\"\ninsert_id_window = \"0 s\"\n"
        )
    };
    let imports: String = names.iter().map(import).collect();
    load_with(&format!("{SMALLEST}{imports}"), &[("c.json", CONVERTER)]).unwrap().config
}

/// Imports whose store takes requests and never answers, so that a pass stays in its listing.
struct Stand {
    imports: Arc<BucketImports>,
    _node: Node,
    silent: TcpListener,
    /// Requests of listings, which are never answered.
    asked: Mutex<Vec<TcpStream>>,
}

impl Stand {
    async fn start() -> Self {
        let (node, silent) = (node(), TcpListener::bind("127.0.0.1:0").unwrap());
        silent.set_nonblocking(true).unwrap();
        let settings = S3Settings {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!("http://{}", silent.local_addr().unwrap())),
            path_style: true,
            credentials: CredentialsFrom::Static {
                access_key_id: "id".to_owned(),
                secret_access_key: "secret".to_owned(),
            },
            ..S3Settings::default()
        };
        let own = Arc::new(S3Store::new(settings.clone()).await);
        let (clock, metrics) = (Arc::new(SystemClock::new()), Metrics::new());
        let deps = ImportsDeps {
            stores: ImportStores { own, settings },
            importer: Arc::clone(&node.importer),
            log: node.spool.reports(),
            alarms: Arc::new(Alarms::new(Arc::clone(&clock) as _, Arc::new(metrics.clone()))),
            metrics,
            clock,
            random: Arc::new(SystemRandom),
            live: None,
        };
        Self { imports: Arc::new(BucketImports::new(deps)), _node: node, silent, asked: Mutex::default() }
    }

    fn set(&self, names: &[&str]) {
        self.imports.set(plans(&config(names)));
    }

    /// Whether a pass of this import is under way.
    fn works(&self, name: &str) -> bool {
        self.imports.shown().iter().any(|shown| shown.name == name && shown.pass_since_ms.is_some())
    }

    /// Begins an import, and waits until its pass has asked for the listing.
    async fn begun(&self, name: &str) {
        self.set(&[name]);
        let asked = wait::until("the listing", PATIENCE, async || self.silent.accept().ok()).await;
        self.asked.lock().unwrap().push(asked.0);
        assert!(self.works(name), "no pass is under way");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_that_is_given_up_leaves_the_turn_with_the_pass_under_way() {
    let stand = Stand::start().await;
    stand.begun("orders").await;
    stand.set(&[]);
    let given_up = timeout(LONG, stand.imports.rename(id("orders"), id("sales"))).await;
    assert!(given_up.is_err(), "the pass has not ended: {given_up:?}");
    stand.set(&["orders"]);
    tokio::time::sleep(LONG).await;
    assert!(!stand.works("orders"), "two passes at once");
    stand.imports.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_is_refused_once_the_new_name_is_enabled() {
    for (old, new) in [("orders", "sales"), ("sales", "orders")] {
        let stand = Stand::start().await;
        stand.begun(old).await;
        stand.set(&[]);
        let imports = Arc::clone(&stand.imports);
        let renaming = tokio::spawn(async move { imports.rename(id(old), id(new)).await });
        tokio::time::sleep(LONG / 2).await;
        stand.set(&[new]);
        let refused = timeout(PATIENCE, renaming).await.expect("no answer").unwrap().unwrap_err();
        let BucketImportError::Refused(what) = refused else { panic!("{refused:?}") };
        assert!(what.contains(new) && what.contains("set enabled = false"), "{what}");
        stand.imports.stop(Duration::ZERO).await;
    }
    let stand = Stand::start().await;
    let refused = stand.imports.rename(id("sales"), id("sales")).await.unwrap_err();
    assert!(refused.to_string().contains("has this name already"), "{refused}");
}
