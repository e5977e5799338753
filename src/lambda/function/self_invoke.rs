//! How a function that is not finished continues: it invokes itself.

use std::collections::BTreeMap;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;

use crate::reach::aws::sdk_of_environment;
use crate::words::with_causes;

/// This function, as it invokes itself.
#[derive(Debug)]
pub struct SelfInvoke {
    client: Client,
    function: String,
    /// The version that is running; `None` for the latest.
    version: Option<String>,
}

impl SelfInvoke {
    /// The function that runs in this environment.
    pub async fn new(environment: &BTreeMap<String, String>) -> Self {
        let config = sdk_of_environment().load().await;
        let text = |name: &str| environment.get(name).cloned();
        Self {
            client: Client::new(&config),
            function: text("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
            version: text("AWS_LAMBDA_FUNCTION_VERSION").filter(|version| version != "$LATEST"),
        }
    }

    /// Starts another invocation with this event. `Ok`: it is queued.
    /// Errors: why the invocation was not queued, for a person.
    pub(super) async fn invoke(&self, event: &serde_json::Value) -> Result<(), String> {
        let invoke = self.client.invoke().function_name(&self.function).set_qualifier(self.version.clone());
        let invoke = invoke.invocation_type(InvocationType::Event).payload(Blob::new(event.to_string()));
        match invoke.send().await {
            Ok(answer) if answer.status_code() == 202 => Ok(()),
            Ok(answer) => Err(format!("the function was not invoked again: status {}", answer.status_code())),
            Err(error) => Err(format!("the function was not invoked again: {}", with_causes(&error))),
        }
    }
}
