//! The token endpoint.

use super::Instance;
use super::client::Client;
use super::parameters::Parameters;
use super::refused::{Failure, Refused};
use super::tokens::{CODES, Grant, TOKENS, Terms, id_in, id_of, text};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sdk::{Answer, Exchange, Record, after_scheme, decode_base64};

/// How a client shows who it is.
#[derive(Default)]
struct Shown {
    client_id: Option<String>,
    secret: Option<String>,
    /// By `Authorization`, so that a refusal is a challenge.
    in_header: bool,
}

/// A refusal, and whether it is a challenge.
type Refusal = (Refused, bool);

impl Instance {
    /// Answers a request for a token.
    pub async fn issue(&self, exchange: &Exchange) -> Answer {
        let parameters = Parameters::of(exchange);
        let shown = self.shown(exchange, &parameters);
        let client = shown.client_id.as_ref().and_then(|id| Client::find(exchange, id));
        let refusal = self.check_client(exchange, &parameters, shown, client.as_ref()).await;
        let granted = match refusal {
            Some((refused, true)) => {
                let answer = self.reply(401, with_state(refused.members(), &parameters));
                return answer.with("WWW-Authenticate", b"Basic realm=\"OAuth2.0\"");
            }
            Some((refused, false)) => Err(Failure::Refused(refused)),
            None => self.granted_for(exchange, &parameters, client.as_ref()).await,
        };
        match granted {
            Ok(grant) => self.reply(200, with_state(grant.members(), &parameters)),
            Err(Failure::Refused(refused)) => self.reply(400, with_state(refused.members(), &parameters)),
            Err(failure) => self.fail(exchange, &failure),
        }
    }

    /// What is wrong with the request before its grant is looked at; of several things the last one, as in Kong.
    async fn check_client(
        &self,
        exchange: &Exchange,
        parameters: &Parameters,
        shown: Shown,
        client: Option<&Client>,
    ) -> Option<Refusal> {
        if !self.is_https(exchange) {
            return Some((Refused::no_https(), false));
        }
        let grant = parameters.text("grant_type");
        let mut refused = None;
        if !self.knows_grant(grant.as_deref()) {
            refused = Some((Refused::new("unsupported_grant_type", "Invalid grant_type"), false));
        }
        if grant.as_deref() != Some("client_credentials") {
            match client.and_then(|client| client.application.redirect_uris.as_ref()) {
                None => refused = Some((Refused::invalid_client(), shown.in_header)),
                Some(uris) if parameters.has("redirect_uri") => {
                    let wanted = parameters.text("redirect_uri");
                    if !wanted.is_some_and(|wanted| uris.contains(&wanted)) {
                        refused = Some((Refused::invalid_request(super::authorize::FOREIGN_URI), false));
                    }
                }
                Some(_) => {}
            }
        }
        let Some(client) = client else { return refused };
        let (secret, in_header) = (shown.secret, shown.in_header);
        if client.application.is_public {
            if secret.is_some_and(|secret| !secret.trim().is_empty()) {
                let words = "client_secret is disallowed for public clients";
                refused = Some((Refused::invalid_request(words), false));
            }
        } else if !client.application.has_secret(secret, &self.tasks).await {
            refused = Some((Refused::invalid_client(), in_header));
        }
        refused
    }

    fn knows_grant(&self, grant: Option<&str>) -> bool {
        match grant {
            Some("authorization_code" | "refresh_token") => true,
            Some("client_credentials") => self.grants.client_credentials,
            Some("password") => self.grants.password,
            _ => false,
        }
    }

    async fn granted_for(
        &self,
        exchange: &Exchange,
        parameters: &Parameters,
        client: Option<&Client>,
    ) -> Result<Grant, Failure> {
        let client = client.ok_or_else(Refused::invalid_client);
        match parameters.text("grant_type").as_deref() {
            Some("authorization_code") => self.for_code(exchange, parameters, client?).await,
            Some("refresh_token") => self.for_refresh_token(exchange, parameters, client?).await,
            Some("client_credentials") => {
                // Only whoever knows the key may speak for a user.
                if parameters.has("authenticated_userid") {
                    self.check_provision_key(parameters)?;
                }
                let client = client?;
                let user = parameters.text("authenticated_userid");
                let terms = Terms { user, scope: self.scope(parameters)? };
                self.grant(exchange, client, &terms, false).await
            }
            _ => {
                self.check_provision_key(parameters)?;
                let user = parameters.filled("authenticated_userid").ok_or_else(no_user)?;
                let terms = Terms { user: Some(user), scope: self.scope(parameters)? };
                self.grant(exchange, client?, &terms, true).await
            }
        }
    }

    async fn for_code(&self, exchange: &Exchange, parameters: &Parameters, client: &Client) -> Result<Grant, Failure> {
        let invalid = || Refused::invalid_request("Invalid code");
        let code = parameters.text("code").ok_or_else(invalid)?;
        let found = self.records.find(exchange.workspace(), CODES, "code", &code).await?.ok_or_else(invalid)?;
        self.check_owner(exchange, &found, client).map_err(|()| invalid())?;
        let was_challenged = text(&found, "challenge_method").is_some();
        if was_challenged || self.needs_challenge(client) {
            check_verifier(parameters, text(&found, "challenge"))?;
        }
        if self.is_global && id_in(&found, "plugin").is_some_and(|plugin| plugin != self.plugin) {
            return Err(invalid().into());
        }
        // Whoever takes the code away has it: nobody uses it twice.
        if !self.records.delete(exchange.workspace(), CODES, id_of(&found)).await? {
            return Err(invalid().into());
        }
        self.grant(exchange, client, &Terms::of(&found), true).await
    }

    async fn for_refresh_token(
        &self,
        exchange: &Exchange,
        parameters: &Parameters,
        client: &Client,
    ) -> Result<Grant, Failure> {
        let invalid = || Refused::invalid_request("Invalid refresh_token");
        let token = parameters.text("refresh_token").ok_or_else(invalid)?;
        let workspace = exchange.workspace();
        let found = self.records.find(workspace, TOKENS, "refresh_token", &token).await?.ok_or_else(invalid)?;
        let service = self.service(exchange);
        if service.is_some() && service != id_in(&found, "service") {
            return Err(invalid().into());
        }
        if id_in(&found, "credential") != Some(client.id) {
            return Err(Refused::invalid_client().into());
        }
        let terms = Terms::of(&found);
        let known = |scope: &str| self.scopes.as_ref().is_some_and(|scopes| scopes.iter().any(|other| other == scope));
        if terms.scope.as_ref().is_some_and(|scope| !scope.split_whitespace().all(known)) {
            return Err(Refused::new("invalid_scope", "Scope mismatch").into());
        }
        if self.reuses_refresh_token {
            return Ok(self.renew(exchange, &found).await?.ok_or_else(invalid)?);
        }
        // Whoever takes the old token away gets the new one: nobody renews it twice.
        if !self.records.delete(workspace, TOKENS, id_of(&found)).await? {
            return Err(invalid().into());
        }
        self.grant(exchange, client, &terms, true).await
    }

    /// Whether a code is that client's, for this service.
    fn check_owner(&self, exchange: &Exchange, code: &Record, client: &Client) -> Result<(), ()> {
        let service = self.service(exchange);
        let is_here = service.is_none() || service == id_in(code, "service");
        if is_here && id_in(code, "credential") == Some(client.id) { Ok(()) } else { Err(()) }
    }

    /// Whether the request knows what only the operator's own pages know.
    pub fn check_provision_key(&self, parameters: &Parameters) -> Result<(), Refused> {
        let shown = parameters.text("provision_key").unwrap_or_default();
        verify_slices_are_equal(shown.as_bytes(), self.provision_key.as_bytes())
            .map_err(|_| Refused::new("invalid_provision_key", "Invalid provision_key"))
    }

    /// The scopes that are asked for.
    pub fn scope(&self, parameters: &Parameters) -> Result<Option<String>, Refused> {
        let invalid = |words: String| Refused::new("invalid_scope", words);
        let Some(known) = self.scopes.as_ref().filter(|_| parameters.has("scope")) else {
            let missing = self.needs_scope && !parameters.has("scope");
            return if missing { Err(invalid("You must specify a scope".to_owned())) } else { Ok(None) };
        };
        let asked = parameters.text("scope").ok_or_else(|| invalid("scope must be a string".to_owned()))?;
        if let Some(scope) = asked.split_whitespace().find(|scope| !known.iter().any(|other| other == scope)) {
            return Err(invalid(format!("\"{scope}\" is an invalid scope")));
        }
        let scope = asked.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Some(scope).filter(|scope| !scope.is_empty()))
    }

    /// Who asks, by the content, else by the line.
    fn shown(&self, exchange: &Exchange, parameters: &Parameters) -> Shown {
        let client_id = parameters.text("client_id");
        if parameters.has("client_id") && parameters.has("client_secret") {
            return Shown { client_id, secret: parameters.text("client_secret"), in_header: false };
        }
        let Some(line) = exchange.request.fields.get(&self.header_name) else {
            return Shown { client_id, ..Shown::default() };
        };
        let decoded = after_scheme(line, "Basic").and_then(|encoded| decode_base64(encoded.trim_ascii()));
        let decoded = decoded.and_then(|decoded| String::from_utf8(decoded).ok());
        match decoded.as_deref().map(|decoded| decoded.split_once(':').unwrap_or((decoded, ""))) {
            Some((id, secret)) => {
                Shown { client_id: Some(id.to_owned()), secret: Some(secret.to_owned()), in_header: true }
            }
            None => Shown { in_header: true, ..Shown::default() },
        }
    }
}

/// What a client sent along to recognise the answer comes back.
pub fn with_state(
    mut members: serde_json::Map<String, serde_json::Value>,
    parameters: &Parameters,
) -> serde_json::Map<String, serde_json::Value> {
    members.extend(parameters.text("state").map(|state| ("state".to_owned(), state.into())));
    members
}

pub fn no_user() -> Refused {
    Refused::new("invalid_authenticated_userid", "Missing authenticated_userid parameter")
}

/// Whether the client is the one that asked for the code (RFC 7636).
fn check_verifier(parameters: &Parameters, challenge: Option<&str>) -> Result<(), Refused> {
    if !parameters.has("code_verifier") {
        return Err(Refused::invalid_request("code_verifier is required for PKCE authorization requests"));
    }
    let verifier = parameters.text("code_verifier");
    let verifier = verifier.ok_or_else(|| Refused::invalid_request("code_verifier is not a string"))?;
    if !(43..=128).contains(&verifier.len()) {
        return Err(Refused::invalid_request("code_verifier must be between 43 and 128 characters"));
    }
    let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
    if challenge != Some(&URL_SAFE_NO_PAD.encode(hash.as_ref())) {
        return Err(Refused::new("invalid_grant", "Invalid code"));
    }
    Ok(())
}
