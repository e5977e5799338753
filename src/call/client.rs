//! Decides which calls come from the user's own device, a browser or an app: their peer is the user, not a
//! customer's server.

use std::sync::LazyLock;

use super::name::{Field, Name, find};
use crate::json::{Value, unescape};

/// Libraries that run on the user's device, unless configured. A name that ends with `*` matches every name
/// with that beginning.
pub const CLIENT_LIBRARIES: [&str; 12] = [
    "analytics.js",
    "analytics-ios*",
    "analytics-android*",
    "analytics-kotlin*",
    "analytics-swift*",
    "analytics-react-native*",
    "@segment/analytics-react-native*",
    "Analytics-CSharp*",
    "analytics_flutter*",
    "rudder.android",
    "rudder.ios",
    "com.rudderstack.*",
];

/// The values of a call's `channel` that mean that a client sent it.
const CLIENT_CHANNELS: [&[u8]; 4] = [b"browser", b"web", b"client", b"mobile"];

/// Names of libraries that run on the user's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLibraries(Vec<String>);

impl ClientLibraries {
    /// These names. A name that ends with `*` matches every name with that beginning.
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// [`CLIENT_LIBRARIES`].
    pub fn usual() -> &'static Self {
        static USUAL: LazyLock<ClientLibraries> =
            LazyLock::new(|| ClientLibraries(CLIENT_LIBRARIES.map(str::to_owned).to_vec()));
        &USUAL
    }

    /// Whether a library is in the list.
    pub(super) fn have(&self, name: &[u8]) -> bool {
        self.0.iter().any(|known| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning.as_bytes()),
            None => name == known.as_bytes(),
        })
    }
}

impl Default for ClientLibraries {
    fn default() -> Self {
        Self::usual().clone()
    }
}

/// Whether the call's own `channel` means that a client sent it.
pub(super) fn says_client(members: &[Field], of: &[u8]) -> bool {
    let channel = find(members, Name::Channel).and_then(Value::text);
    channel.is_some_and(|channel| CLIENT_CHANNELS.contains(&&*unescape(channel, of)))
}
