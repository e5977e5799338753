//! Credentials of an assumed role: one session for all requests, renewed before it ends.
//!
//! The client's own cache would drop a session that is still good when its renewal fails, and would ask for a refused role
//! with every request. So sessions are kept here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as CredentialsResult, future};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::NotAssumed;
use super::process::Process;
use super::session::{Next, Term, is_usable, next, silence};
use crate::object::Role;
use crate::store::fault::{Asked, Ending, classify, outside_text};
use crate::store::{Fault, StoreError};

/// A role as a source of credentials.
#[derive(Debug)]
pub(super) struct AssumedRole {
    role: Role,
    session_name: String,
    process: Arc<Process>,
    generation: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<(Credentials, Term)>,
    failures: u32,
    /// Nothing is asked before this, and this is why.
    silent: Option<(Instant, StoreError)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("failures", &self.failures).finish_non_exhaustive()
    }
}

impl AssumedRole {
    pub(super) fn new(role: Role, session_name: String, process: Arc<Process>) -> Self {
        Self { role, session_name, process, generation: AtomicU64::new(0), state: Mutex::default() }
    }

    /// Which session is at hand; each has its own number.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The store says that the session of `generation` has ended: it is not used again.
    pub(super) async fn expired(&self, generation: u64) {
        let mut state = self.state.lock().await;
        // Another request may have found out before, and what is at hand may be new.
        if self.generation() == generation {
            state.session = None;
        }
    }

    /// Credentials of a session that is good now.
    pub(super) async fn credentials(&self) -> CredentialsResult {
        // Whoever comes while a session is being asked for waits for that one.
        let mut state = self.state.lock().await;
        let now = self.process.now();
        let silent_for = state
            .silent
            .as_ref()
            .map_or_else(Default::default, |(until, _)| until.saturating_duration_since(Instant::now()));
        let term = state.session.as_ref().map(|(_, term)| *term);
        match (next(now, term, silent_for), &state.session, &state.silent) {
            (Next::Use, Some((credentials, _)), _) => return Ok(credentials.clone()),
            (Next::Wait, _, Some((_, why))) => {
                let seconds = silent_for.as_secs() + 1;
                let message = format!("{} (asked again in {seconds} s at the earliest)", why.message);
                return Err(not_assumed(StoreError { message, ..why.clone() }));
            }
            _ => {}
        }
        match self.assume(now).await {
            Ok((credentials, term)) => {
                tracing::info!(role = %self.role.arn, external_id = %self.role.external_id, "role assumed");
                self.generation.fetch_add(1, Ordering::AcqRel);
                *state = State { session: Some((credentials.clone(), term)), failures: 0, silent: None };
                Ok(credentials)
            }
            Err(why) => {
                state.failures = state.failures.saturating_add(1);
                let until = Instant::now() + silence(state.failures);
                tracing::warn!(failures = state.failures, "{why}");
                let still_good = state.session.as_ref().filter(|(_, term)| is_usable(now, *term));
                let answer = still_good.map(|(credentials, _)| credentials.clone());
                state.silent = Some((until, why.clone()));
                answer.ok_or_else(|| not_assumed(why))
            }
        }
    }

    async fn assume(&self, now: SystemTime) -> Result<(Credentials, Term), StoreError> {
        let generation = self.process.generation();
        let client = self.process.token_service();
        let request = client
            .assume_role()
            .role_arn(self.role.arn.as_str())
            .role_session_name(&self.session_name)
            .external_id(self.role.external_id.as_str());
        let answer = request.send().await.map_err(|err| {
            let why = why_not(&self.role, &err);
            if why.fault == Fault::Expired {
                self.process.expired(generation);
            }
            why
        })?;
        let session = answer.credentials().ok_or_else(|| StoreError {
            fault: Fault::Transient,
            status: None,
            code: None,
            message: format!("assume the role {}: the answer has no credentials", self.role.arn),
        })?;
        let ends = SystemTime::try_from(*session.expiration()).unwrap_or(now);
        let credentials = Credentials::new(
            session.access_key_id(),
            session.secret_access_key(),
            Some(session.session_token().to_owned()),
            Some(ends),
            "forebay-assumed-role",
        );
        Ok((credentials, Term { begun: now, ends }))
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

fn not_assumed(why: StoreError) -> CredentialsError {
    CredentialsError::provider_error(NotAssumed(why))
}

/// What a failed `AssumeRole` means, in the words of a store's failures.
fn why_not<E>(role: &Role, err: &super::error::Failure<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = err.raw_response().map(|raw| raw.status().as_u16());
    let code = err.as_service_error().and_then(|err| err.meta().code());
    let ending = match (err, status) {
        (_, Some(status)) => Ending::Answer { status, code },
        (SdkError::ConstructionFailure(_), None) => Ending::Unbuildable,
        _ if super::error::has_credentials_error(err) => Ending::NoCredentials,
        _ => Ending::NoAnswer,
    };
    let text = super::error::text_of(err, status);
    StoreError {
        fault: classify(Asked::AssumeRole, ending),
        status,
        code: code.map(outside_text),
        message: outside_text(&format!(
            "assume the role {} with the external id {}: {text}",
            role.arn, role.external_id
        )),
    }
}
