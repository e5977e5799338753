//! Reads the TLS files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::check::tls::{Certificate, TlsSettings};
use crate::time::UnixMillis;

/// The most bytes read of a file: a chain has a few certificates of some KB each.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads certificate and key, and checks that they match.
pub(crate) fn look(settings: &TlsSettings) -> Result<Certificate, String> {
    let (cert, key) = (settings.cert.display(), settings.key.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&bytes(&settings.cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{cert} contains no certificate in PEM form: {error}"))?;
    let first =
        chain.first().cloned().ok_or_else(|| format!("{cert} contains no certificate in PEM form"))?;
    let secret = PrivateKeyDer::from_pem_slice(&bytes(&settings.key)?)
        .map_err(|error| format!("{key} contains no private key in PEM form: {error}"))?;
    let signing =
        any_supported_type(&secret).map_err(|error| format!("the key in {key} cannot be used: {error}"))?;
    CertifiedKey::new(chain, signing).keys_match().map_err(|error| {
        format!("the key in {key} does not belong to the first certificate in {cert}: {error}")
    })?;
    facts(&first).map_err(|error| format!("the first certificate in {cert} cannot be read: {error}"))
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> io::Result<usize> {
        // Opening a pipe would block forever.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        File::open(path)?.take(FILE_BYTES_MAX).read_to_end(bytes)
    };
    read(&mut bytes).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(bytes)
}

fn facts(der: &CertificateDer<'_>) -> Result<Certificate, String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let names = match parsed.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name).collect(),
        // Clients no longer use the common name.
        _ => Vec::new(),
    };
    let millis = |at: x509_parser::time::ASN1Time| UnixMillis(at.timestamp().saturating_mul(1_000));
    Ok(Certificate {
        names,
        not_before: millis(parsed.validity().not_before),
        not_after: millis(parsed.validity().not_after),
        self_signed: parsed.subject() == parsed.issuer(),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let sixteen = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            four.or(sixteen).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matching_pair_is_distinguished_from_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let make = |names: &[&str]| {
            rcgen::generate_simple_self_signed(
                names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
            )
            .unwrap()
        };
        let (ours, other) = (make(&["collect.example.com", "10.0.0.1"]), make(&["x.example.com"]));
        std::fs::write(at("crt"), ours.cert.pem()).unwrap();
        std::fs::write(at("key"), ours.signing_key.serialize_pem()).unwrap();
        std::fs::write(at("other"), other.signing_key.serialize_pem()).unwrap();
        std::fs::write(at("empty"), "").unwrap();
        let look_at =
            |cert: &str, key: &str| look(&TlsSettings { cert: at(cert), key: at(key), public_host: None });
        let Ok(found) = look_at("crt", "key") else { panic!("{:?}", look_at("crt", "key")) };
        assert_eq!(found.names, ["collect.example.com", "10.0.0.1"]);
        assert!(found.self_signed && found.not_before < found.not_after);
        let check = |cert: &str, key: &str, said: &str| match look_at(cert, key) {
            Err(why) => assert!(why.contains(said), "{why}"),
            Ok(_) => panic!("{cert} {key}"),
        };
        check("crt", "other", "does not belong");
        check("empty", "key", "no certificate");
        check("crt", "empty", "no private key");
        check("gone", "key", "cannot be read");
    }
}
