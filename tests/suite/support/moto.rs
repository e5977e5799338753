//! moto: an AWS emulator that shares no code with Forebay, and checks neither signatures nor policies.

use std::path::Path;

use tokio::process::{Child, Command};

use super::lambda_emulator::{accepting, free_port, quiet};
use super::tools::require;

/// moto's server. Killed when dropped.
pub(crate) struct Moto {
    _child: Child,
    pub(crate) url: String,
}

impl Moto {
    /// Starts it on a free port; `None` if it is not installed.
    pub(crate) async fn start(folder: &Path) -> Option<Self> {
        let program = require("lambda/bin/moto_server")?;
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).current_dir(folder);
        let mut child = quiet(command);
        accepting("moto", &mut child, port).await;
        Some(Self { _child: child, url: format!("http://127.0.0.1:{port}") })
    }
}
