//! What needs no request: settings that work and that somebody should know of.

use super::finding::{Finding, Remedy, Trial};
use super::subject::{Reach, Subject};

/// Whether what is sent can be read on the way. Nothing is said of AWS's own endpoints: they are all https.
pub fn transport(reach: &Reach) -> Option<Finding> {
    let url = reach.endpoint_url.as_deref()?;
    let trial = Trial::new("transport", format!("s3.endpoint_url {url}"));
    let Some(rest) = url.strip_prefix("http://") else { return Some(trial.passed("https")) };
    if is_loopback(rest) {
        return Some(trial.passed("http, which does not leave this machine"));
    }
    Some(trial.warning(
        "http: calls travel in clear, and so does what signs them",
        vec![Remedy::say("set an https:// URL in s3.endpoint_url")],
    ))
}

/// Whether the host at the beginning of `rest` is this machine.
fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inside) => inside.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Whether people can read what is stored without restoring it first.
pub fn storage_class(subject: &Subject<'_>) -> Option<Finding> {
    let class = subject.destination.storage_class?;
    let trial = Trial::new("storage_class", format!("storage class {class}"));
    if class.is_archive() {
        return Some(trial.warning(
            format!("{class}: nobody can read or sync an object before it is restored, and `forebay verify` cannot \
                     either"),
            vec![Remedy::paste("GLACIER_IR costs little more and is read at once", "storage_class = \"GLACIER_IR\"")],
        ));
    }
    Some(trial.passed(format!("{class} can be read at once")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_in_clear_is_a_warning() {
        use super::super::finding::Outcome;
        let check = |url: Option<&str>, outcome| {
            let reach = Reach {
                endpoint_url: url.map(str::to_owned),
                sts_endpoint_url: None,
                kms_endpoint_url: None,
                put: crate::store::PutMode::CreateOnly,
                content_encoding: true,
                tags: crate::object::ObjectTags::default(),
                acl: false,
            };
            assert_eq!(transport(&reach).map(|finding| finding.outcome), outcome, "{url:?}");
        };
        check(None, None);
        check(Some("https://s3.example.com"), Some(Outcome::Passed));
        check(Some("http://127.0.0.1:9000"), Some(Outcome::Passed));
        check(Some("http://minio:9000"), Some(Outcome::Warning));
    }

    #[test]
    fn this_machine_is_told_from_others() {
        let check = |rest: &str, yes| assert_eq!(is_loopback(rest), yes, "{rest}");
        check("127.0.0.1:9000", true);
        check("localhost:9000/x", true);
        check("[::1]:9000", true);
        check("10.0.0.1:9000", false);
        check("localhost.example.com", false);
        check("minio:9000", false);
    }
}
