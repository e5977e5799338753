//! Reads a bucket as its owner does.

use std::collections::BTreeMap;
use std::io::Read;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use bytes::Bytes;
use flate2::read::GzDecoder;

/// A bucket at a custom endpoint.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) client: Client,
    name: String,
}

/// A stored object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) key: String,
    /// The gzip bytes.
    pub(crate) body: Bytes,
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) encryption: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Bucket {
    pub(crate) fn new(endpoint: &str, name: &str, access_key: &str, secret_key: &str) -> Self {
        let config = aws_sdk_s3::config::Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(access_key, secret_key, None, None, "test"))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .build();
        Self { client: Client::from_conf(config), name: name.to_owned() }
    }

    /// The keys under a prefix, in order.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(prefix).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.expect("a page of the listing");
            keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        }
        keys
    }

    /// One object with its whole body.
    pub(crate) async fn object(&self, key: &str) -> Object {
        let answer = self.client.get_object().bucket(&self.name).key(key).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("get {key}: {error:?}"));
        Object {
            key: key.to_owned(),
            content_type: answer.content_type.clone(),
            content_encoding: answer.content_encoding.clone(),
            encryption: answer.server_side_encryption.as_ref().map(|sse| sse.as_str().to_owned()),
            metadata: answer.metadata.clone().unwrap_or_default().into_iter().collect(),
            body: answer
                .body
                .collect()
                .await
                .unwrap_or_else(|error| panic!("read {key}: {error}"))
                .into_bytes(),
        }
    }

    /// The objects with lines under a prefix, in key order.
    pub(crate) async fn objects(&self, prefix: &str) -> Vec<Object> {
        let mut objects = Vec::new();
        let keys = self.keys(prefix).await.into_iter();
        for key in keys.filter(|key| !key.contains("segment-logs/_closed/")) {
            objects.push(self.object(&key).await);
        }
        objects
    }

    /// The lines of a source's calls on all days.
    pub(crate) async fn lines(&self, source: &str) -> Vec<String> {
        let objects = self.objects(&format!("segment-logs/{source}/")).await;
        objects
            .iter()
            .flat_map(|object| object.text().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

impl Object {
    /// The uncompressed NDJSON.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Not the multi-member decoder: an object must be one member, so a second one must show as missing
        // lines.
        GzDecoder::new(&self.body[..])
            .read_to_string(&mut text)
            .unwrap_or_else(|error| panic!("unpack {}: {error}", self.key));
        assert!(text.is_empty() || text.ends_with('\n'), "{}: the last line has no line break", self.key);
        text
    }
}
