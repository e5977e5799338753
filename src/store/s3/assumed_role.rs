//! Credentials of an assumed role: one session for all requests, renewed before it expires.
//!
//! The client's own cache drops a valid session when its renewal fails, and retries a refused role with every
//! request. So sessions are cached here.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result as CredentialsResult, future};
use aws_sdk_s3::error::ProvideErrorMetadata;
use tokio::time::Instant;

use super::error::{Failure, NotAssumed, failure};
use super::process::Process;
use super::session::{Next, Term, is_usable, may_be_revoked, next, silence};
use crate::lock::lock;
use crate::object::Role;
use crate::store::fault::Asked;
use crate::store::{Fault, StoreError};
use crate::words::{Told, outside_text};

/// A role that provides credentials.
#[derive(Debug)]
pub(super) struct AssumedRole {
    role: Role,
    session_name: String,
    process: Arc<Process>,
    state: Mutex<State>,
    /// Held during a renewal.
    renewing: tokio::sync::Mutex<()>,
}

/// What is available without a request.
enum AtHand {
    /// Credentials, or the reason why there are none for now.
    Answer(CredentialsResult),
    /// A session must be requested; the current one, if any, is valid until then.
    Renew(Option<Credentials>),
}

#[derive(Default)]
struct State {
    /// The number of the current session. It changes together with the session: whoever reports an old one
    /// does not end a new one.
    generation: u64,
    session: Option<(Credentials, Term)>,
    failures: u32,
    /// No request is made before this time, for this reason.
    silent: Option<(Instant, StoreError)>,
}

debug_fields!(State { failures });

impl AssumedRole {
    pub(super) fn new(role: Role, session_name: String, process: Arc<Process>) -> Self {
        Self { role, session_name, process, state: Mutex::default(), renewing: tokio::sync::Mutex::default() }
    }

    /// The number of the current session.
    pub(super) fn generation(&self) -> u64 {
        self.state().generation
    }

    /// Discards the session of `generation`, which has expired according to the store.
    pub(super) fn expired(&self, generation: u64) {
        // Another request may already have reported it, and the current session may be new.
        let mut state = self.state();
        if state.generation == generation {
            state.session = None;
        }
    }

    /// Handles a refusal of a request signed with the session of `generation`. A revoked session is refused
    /// in the same way as a missing right, so a new session is requested from time to time.
    pub(super) fn refused(&self, generation: u64) {
        let now = self.process.now();
        let mut state = self.state();
        let term = state.session.as_ref().map(|(_, term)| *term);
        if state.generation == generation && term.is_some_and(|term| may_be_revoked(now, term)) {
            state.session = None;
        }
    }

    /// The credentials of a valid session.
    pub(super) async fn credentials(&self) -> CredentialsResult {
        let _renewing = match self.at_hand() {
            AtHand::Answer(answer) => return answer,
            // Only one request renews; the others use the current session.
            AtHand::Renew(Some(still_good)) => match self.renewing.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(still_good),
            },
            AtHand::Renew(None) => self.renewing.lock().await,
        };
        // Another request may have renewed it during the wait.
        if let AtHand::Answer(answer) = self.at_hand() {
            return answer;
        }
        let renewed = self.assume().await;
        let mut state = self.state();
        match renewed {
            Ok((credentials, term)) => {
                let generation = state.generation + 1;
                let session = Some((credentials.clone(), term));
                *state = State { generation, session, failures: 0, silent: None };
                drop(state);
                tracing::info!(role = %self.role.arn, external_id = %self.role.external_id, "role assumed");
                Ok(credentials)
            }
            Err(why) => {
                state.failures = state.failures.saturating_add(1);
                let until = Instant::now() + silence(state.failures);
                tracing::warn!(failures = state.failures, "{why}");
                state.silent = Some((until, why.clone()));
                let now = self.process.now();
                let still_good = state.session.as_ref().filter(|(_, term)| is_usable(now, *term));
                still_good.map(|(credentials, _)| credentials.clone()).ok_or_else(|| not_assumed(why))
            }
        }
    }

    fn at_hand(&self) -> AtHand {
        let now = self.process.now();
        let state = self.state();
        let silent_for = state
            .silent
            .as_ref()
            .map_or_else(Default::default, |(until, _)| until.saturating_duration_since(Instant::now()));
        let term = state.session.as_ref().map(|(_, term)| *term);
        match (next(now, term, silent_for), &state.session, &state.silent) {
            (Next::Use, Some((credentials, _)), _) => AtHand::Answer(Ok(credentials.clone())),
            (Next::Wait, _, Some((_, why))) => {
                let seconds = silent_for.as_secs() + 1;
                let later = Told::plain(format!(" (retried in {seconds} s at the earliest)"));
                let message = why.message.clone().and(&later);
                AtHand::Answer(Err(not_assumed(StoreError { message, ..why.clone() })))
            }
            (_, session, _) => {
                let still_good = session.as_ref().filter(|(_, term)| is_usable(now, *term));
                AtHand::Renew(still_good.map(|(credentials, _)| credentials.clone()))
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    async fn assume(&self) -> Result<(Credentials, Term), StoreError> {
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
        let odd = |what: &str| {
            StoreError::local(Fault::Transient, format!("assume the role {}: {what}", self.role.arn))
        };
        let session = answer.credentials().ok_or_else(|| odd("the answer contains no credentials"))?;
        let now = self.process.now();
        let ends = SystemTime::try_from(*session.expiration()).unwrap_or(now);
        let term = Term { begun: now, ends };
        if !is_usable(now, term) {
            return Err(odd("the new session has already expired: check this machine's clock"));
        }
        let credentials = Credentials::new(
            session.access_key_id(),
            session.secret_access_key(),
            Some(session.session_token().to_owned()),
            Some(ends),
            "forebay-assumed-role",
        );
        Ok((credentials, term))
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

/// A failed `AssumeRole` as a [`StoreError`].
fn why_not<E>(role: &Role, err: &Failure<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let why = failure(Asked::AssumeRole, err);
    let Role { arn, external_id } = role;
    let what = Told::plain(format!("assume the role {arn} with the external id {external_id}: "));
    let message = what.and(&why.message).map(|text| outside_text(text).to_string());
    StoreError { message, ..why }
}
