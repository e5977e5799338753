//! Checks without requests: settings that work but need attention.

use super::finding::{CheckFinding, Remedy, Trial};
use super::subject::{Reach, Subject};
use crate::reach::aws::is_loopback;
use crate::store::region::{BucketInHost, bucket_in_host, bucket_in_path};

/// Whether requests can be read in transit. Not reported for AWS's own endpoints, which always use https.
pub fn transport(reach: &Reach) -> Option<CheckFinding> {
    let url = reach.endpoint_url.as_deref()?;
    let trial = Trial::new("transport", format!("s3.endpoint_url {url}"));
    if !url.starts_with("http://") {
        return Some(trial.passed("https"));
    }
    if is_loopback(url) {
        return Some(trial.passed("http, which does not leave this machine"));
    }
    Some(trial.warning(
        "http: calls and signatures are sent unencrypted",
        vec![Remedy::say("set an https:// URL in s3.endpoint_url")],
    ))
}

/// A proxy in the environment is easily overlooked, and every request goes through it. `connected`: the
/// result of connecting.
pub fn proxy(proxy: &str, connected: &Result<(), String>) -> CheckFinding {
    let trial = Trial::new("proxy", format!("connect to {proxy}"));
    match connected {
        Ok(()) => trial.passed(format!(
            "S3 is reached through the proxy {proxy} from the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY)"
        )),
        Err(why) => trial.failed(
            format!("requests to S3 go to the proxy {proxy} from the environment, but it cannot be reached: {why}"),
            vec![
                Remedy::say("fix HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or start the proxy"),
                Remedy::paste("or bypass the proxy: add the store's host to NO_PROXY", "export NO_PROXY=…"),
            ],
        ),
    }
}

/// Whether the host or the path of the endpoint may name the bucket, which requests name once more. Hosts of
/// known stores are refused by the configuration.
pub fn endpoint(subject: &Subject<'_>) -> Option<CheckFinding> {
    let url = subject.reach.endpoint_url.as_deref()?;
    let bucket = subject.bucket();
    let in_host = bucket_in_host(url, bucket).map(|found| match found {
        BucketInHost::Surely(without) | BucketInHost::Perhaps(without) => ("host begins", without),
    });
    let (is, without) = in_host.or_else(|| Some(("path ends", bucket_in_path(url, bucket)?.to_owned())))?;
    let trial = Trial::new("endpoint", format!("s3.endpoint_url {url}, bucket {bucket}"));
    Some(trial.warning(
        format!(
            "the {is} with the bucket's name: if the address is that of the bucket, keys begin with the bucket, too (look for \
             s3://{bucket}/{bucket}/)"
        ),
        vec![Remedy::paste(
            "in that case, set the store's own address; if the store itself is called so, there is nothing to do",
            format!("[s3]\nendpoint_url = \"{without}\""),
        )],
    ))
}

/// Whether stored objects can be read without restoring them first.
pub fn storage_class(subject: &Subject<'_>) -> Option<CheckFinding> {
    let class = subject.location.storage_class?;
    let trial = Trial::new("storage_class", format!("storage class {class}"));
    if class.is_archive() {
        return Some(trial.warning(
            format!("{class}: objects cannot be read or synced before they are restored, and `forebay verify {}` cannot read \
                     them either", subject.location.bucket),
            vec![Remedy::paste("GLACIER_IR costs little more and can be read at once", "storage_class = \"GLACIER_IR\"")],
        ));
    }
    Some(trial.passed(format!("{class} can be read at once")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unencrypted_transport_is_a_warning() {
        use super::super::finding::Outcome;
        let check = |url: Option<&str>, outcome| {
            let reach = Reach::of_test(url);
            assert_eq!(transport(&reach).map(|finding| finding.outcome), outcome, "{url:?}");
        };
        check(None, None);
        check(Some("https://s3.example.com"), Some(Outcome::Passed));
        check(Some("http://127.0.0.1:9000"), Some(Outcome::Passed));
        check(Some("http://minio:9000"), Some(Outcome::Warning));
    }
}
