//! How a command names a running node.

use std::path::PathBuf;

use clap::Args;

use crate::admin_client::{AdminClient, AdminToken, AdminUrl, TokenError};
use crate::node::chosen_target::ADMIN_URL;

/// The running collector to query.
#[derive(Clone, Debug, Args)]
pub struct AdminArgs {
    /// URL of the running collector's admin listener
    #[arg(long = "admin", value_name = "URL", default_value = ADMIN_URL, env = "FOREBAY_ADMIN_URL")]
    pub url: AdminUrl,

    /// File whose first line is the admin token; by default the token is in FOREBAY_ADMIN_TOKEN
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl AdminArgs {
    /// A client for the collector. Errors: [`TokenError`]: the token cannot be used.
    pub fn client(&self) -> Result<AdminClient, TokenError> {
        Ok(AdminClient::new(self.url.clone(), AdminToken::of_command(self.token_file.as_deref())?))
    }
}
