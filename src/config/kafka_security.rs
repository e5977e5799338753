//! `kafka.security`: how a process proves to brokers who it is, and whether others can read along.

use std::fmt;
use std::path::PathBuf;

use super::raw::{Entry, Typed};
use super::reader;
use super::secret::{self, Outside};
use super::values::Words;

/// What the value looks like.
const FORM: &str = "expected a table such as { tls = true, sasl = \"plain\", username = \"forebay\", password = \"env:KAFKA_PASSWORD\" }";
/// What a password looks like.
const PASSWORD_FORM: &str =
    "needs a password in quotes, such as \"env:KAFKA_PASSWORD\" or \"file:/etc/forebay/kafka\"";
const MECHANISMS: Words<Mechanism> = &[
    ("plain", Mechanism::Plain),
    ("scram-sha-256", Mechanism::ScramSha256),
    ("scram-sha-512", Mechanism::ScramSha512),
];
/// Mechanisms that people may look for.
const NOT_YET: [&str; 3] = ["oauthbearer", "aws-iam", "gssapi"];
/// Whether this build can encrypt, and prove a password without sending it: both need OpenSSL.
const HAS_TLS: bool = cfg!(feature = "kafka-tls");
const NEEDS_TLS: &str =
    "which this build cannot do: build Forebay with the feature kafka-tls, which brings OpenSSL";

/// How a process proves to brokers who it is, and whether the connection is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Whether connections are encrypted.
    pub tls: Option<KafkaTls>,
    /// The name and password. `None`: brokers ask for none.
    pub sasl: Option<Sasl>,
}

/// Encrypted connections to brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaTls {
    /// A file with the certificates of who signed those of the brokers. `None`: those of the system.
    pub ca: Option<PathBuf>,
}

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How they are proved.
    pub mechanism: Mechanism,
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// How a password is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// It is sent.
    Plain,
    /// It is not sent.
    ScramSha256,
    /// It is not sent.
    ScramSha512,
}

impl Mechanism {
    /// As brokers call it.
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Security {
    /// Whether others on the network can read the password.
    pub fn sends_password_in_clear(&self) -> bool {
        let is_plain = self.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == Mechanism::Plain);
        is_plain && self.tls.is_none()
    }

    /// The settings of the client's library.
    pub fn client_settings(&self) -> Vec<(String, String)> {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => return Vec::new(),
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), None) => "ssl",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        let mut all = vec![("security.protocol", protocol.to_owned())];
        if let Some(ca) = self.tls.as_ref().and_then(|tls| tls.ca.as_ref()) {
            all.push(("ssl.ca.location", ca.display().to_string()));
        }
        if let Some(sasl) = &self.sasl {
            all.push(("sasl.mechanism", sasl.mechanism.name().to_owned()));
            all.push(("sasl.username", sasl.username.clone()));
            all.push(("sasl.password", sasl.password.clone()));
        }
        all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Reads the value.
/// Errors: what is wrong, without the password.
pub(super) fn security(value: &Typed, outside: &Outside<'_>) -> Result<Security, String> {
    let Typed::Table(entries) = value else { return Err(FORM.to_owned()) };
    let known = ["tls", "ca", "sasl", "username", "password"];
    if let Some((unknown, _)) = entries.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        return Err(format!("has {unknown:?}, which is unknown: it may have {}", known.join(", ")));
    }
    let get =
        |key: &str| entries.iter().find(|(name, _)| name == key).map(|(_, entry): &(_, Entry)| &entry.value);
    let of = |key: &'static str| move |what: String| format!("has {key}, which is wrong: {what}");
    let encrypted = get("tls").map(reader::boolean).transpose().map_err(of("tls"))?.unwrap_or(false);
    let ca = get("ca").map(reader::path).transpose().map_err(of("ca"))?;
    if ca.is_some() && !encrypted {
        return Err("has ca without tls = true: certificates are for encrypted connections".to_owned());
    }
    if encrypted && !HAS_TLS {
        return Err(format!("has tls = true, {NEEDS_TLS}"));
    }
    Ok(Security { tls: encrypted.then_some(KafkaTls { ca }), sasl: sasl(get, outside)? })
}

fn sasl<'v>(get: impl Fn(&str) -> Option<&'v Typed>, outside: &Outside<'_>) -> Result<Option<Sasl>, String> {
    let Some(mechanism) = get("sasl") else {
        return match get("username").or(get("password")) {
            Some(_) => Err("has a username or password without sasl, such as sasl = \"plain\"".to_owned()),
            None => Ok(None),
        };
    };
    let word = reader::text(mechanism).map_err(|what| format!("has sasl, which is wrong: {what}"))?;
    if NOT_YET.contains(&word) {
        return Err(format!("has sasl = {word:?}, which is not supported yet: expected {}", words()));
    }
    let Some((_, mechanism)) = MECHANISMS.iter().find(|(known, _)| *known == word) else {
        return Err(format!("has sasl = {word:?}: expected {}", words()));
    };
    if *mechanism != Mechanism::Plain && !HAS_TLS {
        return Err(format!("has sasl = {word:?}, {NEEDS_TLS}"));
    }
    let username = get("username").and_then(|value| reader::text(value).ok()).unwrap_or_default();
    if username.is_empty() || username.contains('\0') {
        return Err("needs a username in quotes beside sasl".to_owned());
    }
    let (password, from) = match get("password") {
        Some(value) => secret::resolve(value, PASSWORD_FORM, outside)?,
        None => return Err(PASSWORD_FORM.to_owned()),
    };
    // A file ends with a line feed.
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    if password.is_empty() || password.contains('\0') {
        return Err(format!("{from}has a password that is empty or has a byte 0"));
    }
    Ok(Some(Sasl { mechanism: *mechanism, username: username.to_owned(), password }))
}

fn words() -> String {
    let all: Vec<String> = MECHANISMS.iter().map(|(word, _)| format!("{word:?}")).collect();
    all.join(", ")
}
