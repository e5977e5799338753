//! The token service.

use forebay::words::rfc3339;

use super::{AwsDouble, Scope, Session, TokenService, World, now};
use crate::support::actions::form_value;
use crate::support::scripted_http::{Reply, Request};

impl World {
    pub(super) fn answer_sts(&mut self, request: &Request, scope: &Scope) -> Reply {
        if let Some(trouble) = self.trouble() {
            return trouble;
        }
        if scope.signer != AwsDouble::PROCESS {
            return error(
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            );
        }
        let value = |name: &str| form_value(&request.body, name).unwrap_or_default();
        let (role, external_id) = (value("RoleArn"), value("ExternalId"));
        let trusted = self.roles.get(&role).is_some_and(|ids| ids.contains(&external_id));
        if value("Action") != "AssumeRole" || !trusted || self.token_service == TokenService::Refuses {
            let what =
                format!("User: collector is not authorized to perform: sts:AssumeRole on resource: {role}");
            return error(403, "AccessDenied", &what);
        }
        self.begin_session("AssumeRole", external_id, value("RoleSessionName"))
    }

    /// Only a web identity can be exchanged without a signature.
    pub(super) fn answer_unsigned(&mut self, request: &Request) -> Reply {
        let value = |name: &str| form_value(&request.body, name).unwrap_or_default();
        if request.method != "POST" || value("Action") != "AssumeRoleWithWebIdentity" {
            return Reply::s3_error(403, "AccessDenied");
        }
        if let Some(trouble) = self.trouble() {
            return trouble;
        }
        if self.web_identities.get(&value("RoleArn")) != Some(&value("WebIdentityToken")) {
            return error(
                400,
                "InvalidIdentityToken",
                "The web identity token is not the one that is trusted.",
            );
        }
        self.begin_session("AssumeRoleWithWebIdentity", String::new(), value("RoleSessionName"))
    }

    fn trouble(&self) -> Option<Reply> {
        match self.token_service {
            TokenService::Unreachable => Some(Reply::Close),
            TokenService::Fails => Some(error(500, "InternalFailure", "An internal error has occurred.")),
            TokenService::Refuses | TokenService::Up => None,
        }
    }

    fn begin_session(&mut self, action: &str, external_id: String, name: String) -> Reply {
        let number = self.sessions.len() + 1;
        let (id, token) = (format!("ASIASESSION{number}"), format!("token-{number}"));
        let ends = now().plus(self.session_length);
        let body = format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
             <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{}</Expiration></Credentials></{action}Result></{action}Response>",
            rfc3339(ends)
        );
        let revoked = self.sessions_are_void;
        self.sessions.insert(id, Session { external_id, name, token, ends, revoked });
        Reply::Answer { status: 200, headers: xml(), body }
    }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error></ErrorResponse>"
    );
    Reply::Answer { status, headers: xml(), body }
}

fn xml() -> Vec<(String, String)> {
    vec![("content-type".to_owned(), "text/xml".to_owned())]
}
