//! Writes request bodies to synced files and hashes them on the way, without keeping a whole body in memory.

use std::sync::Arc;

use http_body_util::BodyExt;
use s3s::dto::StreamingBlob;
use s3s::{Body, S3Error, S3ErrorCode, S3Result, TrailingHeaders, s3_error};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::sums::{Algorithm, Hasher, Sums, content_md5};
use super::vault::Vault;

/// How many bytes of a file are copied at a time.
const COPY_CHUNK_BYTES: usize = 256 * 1024;

/// A request's statements about its body, to be verified.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    pub(super) len: Option<i64>,
    pub(super) md5: Option<String>,
    /// Checksums given in headers.
    pub(super) sums: Sums,
    /// The algorithm named without a value: for a trailer, or for a checksum to compute.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) trailers: Option<TrailingHeaders>,
}

/// A synced file in `tmp`. It is removed on drop unless it has been moved to its place.
#[derive(Debug)]
pub(super) struct Received {
    vault: Arc<Vault>,
    pub(super) id: String,
    pub(super) len: u64,
    pub(super) md5: [u8; 16],
    pub(super) sums: Sums,
}

impl Drop for Received {
    fn drop(&mut self) {
        // Usually it has been moved. If removal fails, the next start removes it.
        drop(std::fs::remove_file(self.vault.disk.tmp(&self.id)));
    }
}

/// A file in `tmp` that is being written.
struct Writing {
    received: Received,
    file: File,
    hasher: Hasher,
}

impl Writing {
    async fn start(vault: &Arc<Vault>, algorithms: impl IntoIterator<Item = Algorithm>) -> S3Result<Self> {
        let id = vault.new_id();
        let path = vault.disk.tmp(&id);
        let received = Received { vault: Arc::clone(vault), id, len: 0, md5: [0; 16], sums: Sums::new() };
        let file = File::options().write(true).create_new(true).mode(0o600).open(path).await;
        let file = file.map_err(S3Error::internal_error)?;
        Ok(Self { received, file, hasher: Hasher::new(algorithms) })
    }

    async fn write(&mut self, bytes: &[u8]) -> S3Result<()> {
        self.received.len += bytes.len() as u64;
        self.hasher.update(bytes);
        self.file.write_all(bytes).await.map_err(S3Error::internal_error)
    }

    async fn finish(mut self) -> S3Result<Received> {
        self.file.flush().await.map_err(S3Error::internal_error)?;
        self.file.sync_all().await.map_err(S3Error::internal_error)?;
        let (md5, sums) = self.hasher.finish();
        self.received.md5 = md5;
        self.received.sums = sums;
        Ok(self.received)
    }
}

/// Receives a body and verifies it against the request's statements.
pub(super) async fn receive(
    vault: &Arc<Vault>,
    body: Option<StreamingBlob>,
    claimed: Claimed,
) -> S3Result<Received> {
    let algorithms = claimed.sums.keys().copied().chain(claimed.algorithm);
    let mut writing = Writing::start(vault, algorithms).await?;
    if let Some(body) = body {
        let mut body = Body::from(body);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(broken_body)?;
            if let Ok(bytes) = frame.into_data() {
                writing.write(&bytes).await?;
            }
        }
    }
    let received = writing.finish().await?;
    claimed.check(&received)?;
    Ok(received)
}

/// Concatenates files into a new one.
pub(super) async fn copy(
    vault: &Arc<Vault>,
    bodies: &[(String, std::ops::Range<u64>)],
    algorithms: impl IntoIterator<Item = Algorithm>,
) -> S3Result<Received> {
    let mut writing = Writing::start(vault, algorithms).await?;
    let mut chunk = vec![0; COPY_CHUNK_BYTES];
    for (body, range) in bodies {
        let mut file = File::open(vault.disk.body(body)).await.map_err(S3Error::internal_error)?;
        let start = std::io::SeekFrom::Start(range.start);
        tokio::io::AsyncSeekExt::seek(&mut file, start).await.map_err(S3Error::internal_error)?;
        let mut file = file.take(range.end - range.start);
        loop {
            let len = file.read(&mut chunk).await.map_err(S3Error::internal_error)?;
            match chunk.get(..len) {
                Some(bytes) if !bytes.is_empty() => writing.write(bytes).await?,
                _ => break,
            }
        }
    }
    writing.finish().await
}

/// The error for an incomplete body or one that does not match its signature. The error types of the S3 layer
/// are private, so only its texts distinguish them.
pub(super) fn broken_body(err: Box<dyn std::error::Error + Send + Sync>) -> S3Error {
    let text = err.to_string();
    if text.contains("Sha256Mismatch") {
        let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
        let mut error = S3Error::with_source(code, err);
        error.set_status_code(hyper::StatusCode::BAD_REQUEST);
        return error;
    }
    let bad_signature = text.contains("SignatureMismatch");
    let code = if bad_signature { S3ErrorCode::SignatureDoesNotMatch } else { S3ErrorCode::IncompleteBody };
    S3Error::with_source(code, err)
}

impl Claimed {
    fn check(mut self, received: &Received) -> S3Result<()> {
        if let Some(len) = self.len
            && u64::try_from(len) != Ok(received.len)
        {
            return Err(s3_error!(IncompleteBody));
        }
        if let Some(text) = &self.md5 {
            let md5 = content_md5(text).ok_or_else(|| s3_error!(InvalidDigest))?;
            if md5 != received.md5 {
                return Err(s3_error!(BadDigest, "the Content-MD5 does not match the body"));
            }
        }
        if let Some(trailers) = self.trailers.take().and_then(|trailers| trailers.take()) {
            for (name, value) in &trailers {
                let algorithm = name.as_str().strip_prefix("x-amz-checksum-").and_then(Algorithm::named);
                if let (Some(algorithm), Ok(value)) = (algorithm, value.to_str()) {
                    self.sums.insert(algorithm, value.to_owned());
                }
            }
        }
        for (algorithm, claimed) in &self.sums {
            if received.sums.get(algorithm) != Some(claimed) {
                let name = algorithm.name();
                return Err(s3_error!(
                    BadDigest,
                    "the {name} you specified did not match the calculated checksum"
                ));
            }
        }
        Ok(())
    }
}
