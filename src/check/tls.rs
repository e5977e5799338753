//! Checks the TLS files: that they match, are valid now, and fit the host name that SDKs use.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::time::{DAY_MS, UnixMillis};
use crate::words::{date, first_few};

use super::finding::{CheckFinding, Remedy, Trial};

/// A certificate that expires sooner should already have been renewed: automatic renewal happens 30 days
/// before.
const ENDS_SOON_DAYS: i64 = 14;
/// The most names shown of a certificate.
const NAMES_SHOWN: usize = 4;

/// The configured files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// The certificate followed by its chain, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// The host (and port) at which SDKs reach the collector.
    pub public_host: Option<String>,
}

/// The first certificate of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// The start of its validity.
    pub not_before: UnixMillis,
    /// The end of its validity.
    pub not_after: UnixMillis,
    /// Whether it is self-signed.
    pub self_signed: bool,
}

/// The findings about the files. `Err`: they are unusable, for this reason.
pub fn judge(
    settings: &TlsSettings,
    found: &Result<Certificate, String>,
    now: UnixMillis,
) -> Vec<CheckFinding> {
    let TlsSettings { cert, key, public_host } = settings;
    let trial = Trial::new("tls_files", format!("read {} and {}", cert.display(), key.display()));
    let certificate = match found {
        Err(why) => {
            let text = "both files must be PEM: the certificate followed by its chain, and its private key; both readable \
                        for the user that Forebay runs as";
            return vec![trial.failed(why.clone(), vec![Remedy::say(text)])];
        }
        Ok(certificate) => certificate,
    };
    vec![
        trial.passed("certificate and key are a pair"),
        in_force(certificate, now),
        for_host(certificate, public_host.as_deref()),
    ]
}

fn in_force(certificate: &Certificate, now: UnixMillis) -> CheckFinding {
    let (from, until) = (date(certificate.not_before.day()), date(certificate.not_after.day()));
    let trial = Trial::new("tls_validity", "the validity of the certificate");
    let renew =
        || vec![Remedy::say("renew the certificate; changed files are loaded automatically, or at SIGHUP")];
    let days = certificate.not_after.0.saturating_sub(now.0).div_euclid(DAY_MS);
    if now > certificate.not_after {
        trial.failed(format!("it expired on {until}"), renew())
    } else if now < certificate.not_before {
        trial.failed(
            format!("it is valid only from {from}"),
            vec![Remedy::say("set this machine's clock, or use a certificate that is valid now")],
        )
    } else if days < ENDS_SOON_DAYS {
        trial.warning(format!("it expires on {until}, in {days} days"), renew())
    } else {
        trial.passed(format!("valid until {until}"))
    }
}

fn for_host(certificate: &Certificate, public_host: Option<&str>) -> CheckFinding {
    let trial = Trial::new("tls_names", "compare the names in the certificate with collector.public_host");
    let names = match certificate.names.as_slice() {
        [] => "no name".to_owned(),
        all => first_few(all, NAMES_SHOWN),
    };
    let host = public_host.map(without_port);
    if let Some(host) = host
        && !certificate.names.iter().any(|name| covers(name, host))
    {
        return trial.failed(
            format!("it is for {names}, but SDKs call {host} (collector.public_host)"),
            vec![Remedy::say(format!("use a certificate for {host}, or fix collector.public_host"))],
        );
    }
    if certificate.self_signed {
        return trial.warning(
            format!("it is for {names} and self-signed: browsers and SDKs do not trust it"),
            vec![Remedy::say("use a certificate from an authority that clients trust")],
        );
    }
    match host {
        Some(_) => trial.passed(format!("it is for {names}")),
        None => trial
            .passed(format!("it is for {names} (collector.public_host is not set, so nothing is compared)")),
    }
}

fn without_port(host: &str) -> &str {
    if let Some(inside) = host.strip_prefix('[') {
        return inside.split(']').next().unwrap_or(inside);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

/// Whether a name in a certificate matches a host: a leading `*.` matches one label (RFC 9525, section 6.3).
fn covers(name: &str, host: &str) -> bool {
    if let (Ok(a), Ok(b)) = (name.parse::<IpAddr>(), host.parse::<IpAddr>()) {
        return a == b;
    }
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_432_684_812_345);

    #[test]
    fn a_certificate_name_covers_a_host() {
        let check =
            |name: &str, host: &str, yes| assert_eq!(covers(name, without_port(host)), yes, "{name} {host}");
        check("collect.example.com", "collect.example.com:8443", true);
        check("Collect.example.com", "collect.EXAMPLE.com", true);
        check("*.example.com", "collect.example.com", true);
        check("*.example.com", "a.collect.example.com", false);
        check("*.example.com", "example.com", false);
        check("10.0.0.1", "10.0.0.1:8443", true);
        check("::1", "[0:0::1]:8443", true);
        check("other.example.com", "collect.example.com", false);
    }

    #[test]
    fn each_problem_of_a_certificate_is_found() {
        let settings = |host: Option<&str>| TlsSettings {
            cert: "tls.crt".into(),
            key: "tls.key".into(),
            public_host: host.map(str::to_owned),
        };
        let good = Certificate {
            names: vec!["collect.example.com".to_owned()],
            not_before: UnixMillis(NOW.0 - DAY_MS),
            not_after: UnixMillis(NOW.0 + 90 * DAY_MS),
            self_signed: false,
        };
        let check = |certificate: &Certificate, host, name: &str, outcome| {
            let all = judge(&settings(host), &Ok(certificate.clone()), NOW);
            let finding = all.iter().find(|finding| finding.check == name).unwrap();
            assert_eq!(finding.outcome, outcome, "{finding:?}");
        };
        use Outcome::{Failed, Passed, Warning};
        check(&good, Some("collect.example.com"), "tls_files", Passed);
        check(&good, Some("collect.example.com"), "tls_validity", Passed);
        check(&good, Some("collect.example.com"), "tls_names", Passed);
        check(&good, None, "tls_names", Passed);
        check(&good, Some("other.example.com"), "tls_names", Failed);
        check(&Certificate { self_signed: true, ..good.clone() }, None, "tls_names", Warning);
        let soon = UnixMillis(NOW.0 + 3 * DAY_MS);
        check(&Certificate { not_after: soon, ..good.clone() }, None, "tls_validity", Warning);
        check(
            &Certificate { not_after: UnixMillis(NOW.0 - 1), ..good.clone() },
            None,
            "tls_validity",
            Failed,
        );
        check(&Certificate { not_before: UnixMillis(NOW.0 + 1), ..good }, None, "tls_validity", Failed);
        let unusable = judge(&settings(None), &Err("no certificate".to_owned()), NOW);
        assert_eq!((unusable.len(), unusable[0].outcome), (1, Failed));
    }
}
