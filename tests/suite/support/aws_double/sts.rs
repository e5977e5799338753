//! The token service.

use forebay::object::metadata::rfc3339;

use super::{AwsDouble, Scope, Session, TokenService, World, now};
use crate::support::actions::form_value;
use crate::support::scripted_http::{Reply, Request};

impl World {
    pub(super) fn answer_sts(&mut self, request: &Request, scope: &Scope) -> Reply {
        let value = |name: &str| form_value(&request.body, name).unwrap_or_default();
        match self.token_service {
            TokenService::Unreachable => return Reply::Close,
            TokenService::Fails => return error(500, "InternalFailure", "An internal error has occurred."),
            TokenService::Refuses | TokenService::Up => {}
        }
        if scope.signer != AwsDouble::PROCESS {
            return error(
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            );
        }
        let (role, external_id) = (value("RoleArn"), value("ExternalId"));
        let trusted = self.roles.get(&role).is_some_and(|ids| ids.contains(&external_id));
        if value("Action") != "AssumeRole" || !trusted || self.token_service == TokenService::Refuses {
            let what =
                format!("User: collector is not authorized to perform: sts:AssumeRole on resource: {role}");
            return error(403, "AccessDenied", &what);
        }
        let number = self.sessions.len() + 1;
        let (id, token) = (format!("ASIASESSION{number}"), format!("token-{number}"));
        let ends = now().plus(self.session_length);
        let body = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>{}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
            rfc3339(ends)
        );
        let name = value("RoleSessionName");
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
