//! `[admin]`: the operator's listener, and who may use it.

use std::net::SocketAddr;

use crate::admin_token::AdminToken;

use super::checked::{Admin, Collector};
use super::problem::ConfigProblem;
use super::raw::{Table, Typed};
use super::reader::{self, Reader};
use super::secret::{self, Outside};
use super::values;

/// How to make a token, and where to put it.
const MAKE_ONE: &str = "make one with `openssl rand -hex 24`";

pub(super) fn check(
    table: &Table,
    collector: &Collector,
    outside: &Outside<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> Admin {
    let default = Admin::default();
    let mut reader = Reader::new(table, problems);
    let host = |text: &str| values::host(text, false);
    let hosts = reader::list("a list of host names, such as [\"forebay.internal\"]", host);
    let admin = Admin {
        listen: reader.get("listen", default.listen, reader::address),
        allowed_hosts: reader.get("allowed_hosts", default.allowed_hosts, hosts),
        token: reader.optional("token", |value| token(value, outside)),
        read_token: reader.optional("read_token", |value| token(value, outside)),
        metrics_without_token: reader.flag("metrics_without_token", default.metrics_without_token),
        live_view: reader.word("live_view", default.live_view, values::LIVE_VIEW),
    };
    let public = [Some(collector.listen), collector.tls.as_ref().map(|tls| tls.listen)];
    if public.into_iter().flatten().any(|listen| same_address(listen, admin.listen)) {
        reader.refuse("listen", "is an address of the collector: give the admin listener a port of its own");
    }
    if !reader.has("token") && outside.secrets_needed {
        if !is_loopback(admin.listen) {
            let what = format!(
                "is not set, and other machines can reach the admin listener at {}: {MAKE_ONE}, and set it as \
                 FOREBAY_ADMIN_TOKEN in the environment, or as token = \"file:/etc/forebay/admin-token\" below [admin]; or \
                 set admin.listen to an address of this machine alone, such as 127.0.0.1:9180",
                admin.listen
            );
            reader.refuse("token", what);
        } else if reader.has("read_token") {
            let what = format!("works only beside admin.token, for those who may do more: {MAKE_ONE}");
            reader.refuse("read_token", what);
        }
    }
    if admin.read_token.is_some() && admin.read_token == admin.token {
        reader.refuse("read_token", "is the same as admin.token: each needs a value of its own");
    }
    admin
}

/// Whether two listeners cannot have these addresses. Port 0 never conflicts: the system assigns a different
/// port each time.
pub(super) fn same_address(a: SocketAddr, b: SocketAddr) -> bool {
    a == b && a.port() != 0
}

/// Whether only this machine can reach an address.
pub fn is_loopback(listen: SocketAddr) -> bool {
    listen.ip().to_canonical().is_loopback()
}

pub(super) fn token(value: &Typed, outside: &Outside<'_>) -> Result<AdminToken, String> {
    const FORM: &str = "is not text in quotes, such as \"env:NAME\" or \"file:/etc/forebay/admin-token\"";
    let (text, from) = secret::resolve(value, FORM, outside)?;
    // A file usually ends with a line break.
    AdminToken::of(text.trim()).map_err(|error| format!("{from}{error}"))
}
