//! The settings with which a node was started, as its operator sees them.

use super::sdk_keys::SdkKeys;
use crate::admin::{ConfigValue, SdkAddress};

/// The settings with which a node was started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The spool's directory.
    pub spool_dir: Option<String>,
    /// The configuration in force, without secrets.
    pub config: Vec<ConfigValue>,
    /// The address for SDKs.
    pub sdk_address: SdkAddress,
    /// The texts that the console shows for write keys.
    pub sdk_keys: SdkKeys,
    /// Whether any write key is accepted.
    pub dev: bool,
}

/// A value of the configuration of `dev`, set by a flag or left at its default.
pub fn flag(name: &str, value: impl ToString, default: &str) -> ConfigValue {
    let value = value.to_string();
    let from = if value == default { "default" } else { "flag" };
    ConfigValue { name: name.to_owned(), from: from.to_owned(), value }
}
