//! Requests to the service: who calls, by an access token (RFC 6750).

use super::refused::{Failure, Refused};
use super::tokens::{TOKENS, Terms, id_in, text};
use super::{CREDENTIALS, Instance};
use sdk::{Answer, Args, Content, Exchange, Fields, Step};
use serde_json::Value;

const SCOPE: &str = "X-Authenticated-Scope";
const USER: &str = "X-Authenticated-UserId";

/// Why a caller is not known.
enum Unknown {
    Invalid,
    /// The token is for all services, and this one does not take such tokens.
    Global,
    Failure(Failure),
}

impl Instance {
    /// Lets a request pass whose token is good.
    pub fn authenticate<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        exchange.request.fields.remove(SCOPE);
        exchange.request.fields.remove(USER);
        if self.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        let token = self.take_token(exchange).filter(|token| !token.is_empty());
        let Some(token) = token else {
            let refused = Refused::invalid_request("The access token is missing");
            return self.anonymous.or_refuse(exchange, |_| self.challenge(401, &refused, false));
        };
        Step::Wait(Box::pin(async move {
            match self.recognise(exchange, &token).await {
                Ok(()) => Step::Next,
                Err(Unknown::Invalid) => {
                    self.anonymous.or_refuse(exchange, |_| self.challenge(401, &invalid_token(), true))
                }
                Err(Unknown::Global) => Step::Answer(self.refuse_global()),
                Err(Unknown::Failure(failure)) => Step::Answer(self.fail(exchange, &failure)),
            }
        }))
    }

    async fn recognise(&self, exchange: &mut Exchange, token: &str) -> Result<(), Unknown> {
        let failed = |error| Unknown::Failure(Failure::Store(error));
        let workspace = exchange.workspace();
        let found = self.records.find(workspace, TOKENS, "access_token", token).await.map_err(failed)?;
        let found = found.ok_or(Unknown::Invalid)?;
        let service = exchange.service.as_ref().map(|service| service.id);
        match id_in(&found, "service") {
            None if !self.is_global => return Err(Unknown::Global),
            Some(owner) if Some(owner) != service => return Err(Unknown::Invalid),
            _ => {}
        }
        let number = |field: &str| found.get(field).and_then(Value::as_f64).unwrap_or_default();
        let age = exchange.timing.started_unix_ms as f64 / 1000.0 - number("created_at");
        if number("expires_in") > 0.0 && age > number("expires_in") {
            return Err(Unknown::Invalid);
        }
        let id = id_in(&found, "credential").ok_or(Unknown::Invalid)?;
        let client = self.records.find(workspace, CREDENTIALS, "id", &id.to_string()).await.map_err(failed)?;
        let client_id = client.as_ref().and_then(|client| text(client, "client_id")).ok_or(Unknown::Invalid)?;
        let credential = exchange.find_credential(CREDENTIALS, client_id.as_bytes()).filter(|found| found.id == id);
        if !exchange.authenticate_by(credential.ok_or(Unknown::Invalid)?) {
            return Err(Unknown::Invalid);
        }
        exchange.identify(client_id);
        let Terms { user, scope } = Terms::of(&found);
        for (name, value) in [(SCOPE, scope), (USER, user)] {
            if let Some(value) = value.filter(|value| Fields::is_valid_value(value.as_bytes())) {
                exchange.request.fields.set(name, value.as_bytes());
            }
        }
        Ok(())
    }

    /// The token of a request, which goes no further if that is wanted.
    fn take_token(&self, exchange: &mut Exchange) -> Option<String> {
        const TOKEN: &str = "access_token";
        let line =
            exchange.request.fields.get(&self.header_name).map(|line| String::from_utf8_lossy(line).into_owned());
        let (token, in_line) = match line {
            Some(line) => {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    [scheme, token]
                        if scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer") =>
                    {
                        ((*token).to_owned(), true)
                    }
                    // Another scheme's line is no token of ours, and yet what there is: nothing else is looked at.
                    _ => (line, false),
                }
            }
            None => (super::parameters::Parameters::of(exchange).text(TOKEN)?, false),
        };
        if self.hide && in_line {
            exchange.request.fields.remove(&self.header_name);
        } else if self.hide {
            if let Some(query) = &exchange.upstream.query {
                let rest = Args::without(query, TOKEN);
                exchange.upstream.query = Some(rest).filter(|rest| !rest.is_empty());
            }
            if let Some(mut content @ Content::Form(_)) = Content::of(exchange)
                && content.remove(TOKEN)
            {
                exchange.body = content.encode().into();
            }
        }
        Some(token)
    }

    fn refuse_global(&self) -> Answer {
        let words = "The access token is global, but the current plugin is configured without 'global_credentials'";
        let told = self.challenge(401, &invalid_token(), true);
        let mut answer = self.challenge(401, &Refused::new("invalid_token", words), false);
        if let Some(challenge) = told.fields.get("WWW-Authenticate") {
            answer.fields.set("WWW-Authenticate", challenge);
        }
        answer
    }
}

fn invalid_token() -> Refused {
    Refused::new("invalid_token", "The access token is invalid or has expired")
}
