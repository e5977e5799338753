//! A store of one bucket with any number of keys, in a process of its own: only listings are answered.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::TcpListener;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// The argument with which this program is the store.
pub(crate) const SERVE: &str = "--serve-keys";
const PAGE: u64 = 1_000;

/// The key with this number.
pub(crate) fn key(number: u64) -> String {
    format!("in/2026/11/{number:09}.json.gz")
}

/// The entity tag of the object with this number.
pub(crate) fn etag(number: u64) -> String {
    format!("{number:032x}")
}

pub(crate) const SIZE: u64 = 1_234_567;

fn page(keys: u64, uri: &hyper::Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let token = query.split('&').find_map(|pair| pair.strip_prefix("continuation-token="));
    let from: u64 = token.map_or(0, |token| token.parse().expect("a token of this store"));
    let to = keys.min(from + PAGE);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Name>lake</Name><Prefix>in%2F</Prefix><EncodingType>url</EncodingType><KeyCount>{}</KeyCount>\
         <MaxKeys>{PAGE}</MaxKeys><IsTruncated>{}</IsTruncated>",
        to - from,
        to < keys
    );
    if to < keys {
        write!(xml, "<NextContinuationToken>{to}</NextContinuationToken>").expect("memory");
    }
    for number in from..to {
        write!(
            xml,
            "<Contents><Key>{}</Key><LastModified>2026-11-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;{}&quot;</ETag><Size>{SIZE}</Size><StorageClass>STANDARD</StorageClass></Contents>",
            key(number).replace('/', "%2F"),
            etag(number)
        )
        .expect("memory");
    }
    xml.push_str("</ListBucketResult>");
    xml
}

/// Is the store, until the process is killed.
pub(crate) fn serve() -> ! {
    let keys = crate::number(SERVE, 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        println!("http://{}", listener.local_addr().expect("its address"));
        listener.set_nonblocking(true).expect("a listener");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let service = service_fn(move |request: Request<Incoming>| async move {
                let xml = page(keys, request.uri());
                let response = Response::builder().header("content-type", "application/xml");
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from(xml))).expect("a response"))
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(connection.await) });
        }
    })
}
