//! Sends realistic calls from several sources over HTTP, as an SDK would, for `forebay dev --demo`.

use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use rand::RngExt;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::reach::client::{self, PlainClient};

/// The longest pause between two requests of one source, in milliseconds.
const PAUSE_MAX_MS: u64 = 600;
/// The most calls in one request.
const CALLS_MAX: usize = 12;

const PAGES: [(&str, &str); 5] = [
    ("Home", "/"),
    ("Shirts", "/c/shirts"),
    ("Blue shirt", "/p/1041"),
    ("Cart", "/cart"),
    ("Checkout", "/checkout"),
];
const EVENTS: [&str; 6] = [
    "Product Viewed", "Product Added", "Cart Viewed", "Checkout Started", "Coupon Applied", "Order Completed",
];
const CITIES: [&str; 5] = ["Lisbon", "Kraków", "東京", "São Paulo", "Oslo"];

/// A source of the demo: its write key, and the library and version in its calls.
const SOURCES: [(&str, &str, &str); 4] = [
    ("web-shop", "analytics.js", "1.84.3"),
    ("ios-app", "analytics-swift", "1.9.4"),
    ("checkout-api", "@segment/analytics-node", "3.1.0"),
    ("warehouse-jobs", "analytics-python", "2.4.0"),
];

/// Sends calls until `stop`.
pub(super) fn start(collector: SocketAddr, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let client = client::plain();
        let [a, b, c, d] = SOURCES.map(|source| send(client.clone(), collector, source));
        stop.run_until_cancelled(async { tokio::join!(a, b, c, d) }).await;
    })
}

async fn send(
    client: PlainClient,
    collector: SocketAddr,
    (write_key, library, version): (&'static str, &'static str, &'static str),
) {
    loop {
        let (pause, count) = {
            let mut rng = rand::rng();
            (rng.random_range(20..PAUSE_MAX_MS), rng.random_range(1..=CALLS_MAX))
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let batch: Vec<Value> = (0..count).map(|_| call(library, version)).collect();
        let body = json!({ "batch": batch, "writeKey": write_key }).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{collector}/v1/batch"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        let Ok(request) = request else { return };
        match client.request(request).await {
            Ok(answer) if answer.status() == StatusCode::OK => {}
            Ok(answer) => {
                tracing::warn!(status = %answer.status(), "the collector did not accept calls of the demo")
            }
            Err(error) => tracing::warn!(%error, "the collector did not accept calls of the demo"),
        }
    }
}

fn call(library: &str, version: &str) -> Value {
    let mut rng = rand::rng();
    let user = rng.random_range(1..5_000_u32);
    let (title, path) = PAGES.choose(&mut rng).copied().unwrap_or_default();
    let mut call = match rng.random_range(0..10) {
        0 => json!({ "type": "identify", "traits": {
            "plan": if user.is_multiple_of(3) { "pro" } else { "free" },
            "city": CITIES.choose(&mut rng),
        } }),
        1..4 => json!({ "type": "page", "name": title, "properties": {
            "path": path, "title": title, "url": format!("https://shop.example.com{path}"),
        } }),
        _ => json!({ "type": "track", "event": EVENTS.choose(&mut rng), "properties": {
            "product_id": rng.random_range(1_000..2_000_u32),
            "price": f64::from(rng.random_range(499..19_999_u32)) / 100.0,
            "currency": "EUR",
        } }),
    };
    if let Some(fields) = call.as_object_mut() {
        fields.insert("messageId".into(), json!(format!("demo-{:032x}", rng.random::<u128>())));
        fields.insert("userId".into(), json!(format!("user-{user}")));
        fields.insert("context".into(), json!({ "library": { "name": library, "version": version } }));
    }
    call
}
