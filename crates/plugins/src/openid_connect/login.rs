//! Logins of browsers (OpenID Connect Core 1.0, section 3.1) and their end.

use super::Instance;
use super::claims::{Claims, Expected, check};
use super::identity::{Caller, Held};
use super::provider::{Failure, Tokens, now};
use super::settings::LoginAction;
use super::shown::{Shower, remove_arguments};
use aws_lc_rs::{constant_time, digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sdk::session::{Origin, Session};
use sdk::{Answer, Exchange, Fields};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

/// The arguments with which a browser comes back.
const ARGUMENTS: [&str; 6] = ["code", "state", "error", "error_description", "session_state", "iss"];

impl Instance {
    /// Sends a browser to the issuer.
    pub async fn begin_login(&self, exchange: &Exchange, held: &mut Held) -> Result<Answer, Failure> {
        let settings = &self.provider.settings;
        let endpoint = self.provider.endpoint("authorization_endpoint").await?.uri().to_string();
        let here = url_of(exchange);
        let redirect_uri = settings.redirect_uri.clone();
        let redirect_uri = redirect_uri.unwrap_or_else(|| here.split('?').next().unwrap_or_default().to_owned());
        let (state, nonce, verifier) = (random()?, random()?, random()?);
        let mut arguments = vec![
            ("response_type", "code".to_owned()),
            ("client_id", settings.client.id.clone().unwrap_or_default()),
            ("redirect_uri", redirect_uri.clone()),
            ("scope", settings.scopes.clone()),
            ("state", state.clone()),
            ("nonce", nonce.clone()),
        ];
        if settings.pkce {
            let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
            arguments.push(("code_challenge", URL_SAFE_NO_PAD.encode(hash.as_ref())));
            arguments.push(("code_challenge_method", "S256".to_owned()));
        }
        if settings.form_post {
            arguments.push(("response_mode", "form_post".to_owned()));
        }
        arguments.extend(settings.max_age.map(|age| ("max_age", age.to_string())));
        arguments.extend(settings.audience.iter().map(|audience| ("audience", audience.clone())));
        let mut query = Serializer::new(String::new());
        query.extend_pairs(&arguments).extend_pairs(&settings.authorization_args);
        let mark = if endpoint.contains('?') { '&' } else { '?' };
        let mut login = settings.logins.create(Origin::default(), now());
        let mut known = json!({
            "state": state, "nonce": nonce, "verifier": verifier, "redirect_uri": redirect_uri, "uri": here
        });
        if settings.place > 0 {
            known["client"] = settings.place.into();
        }
        login.set_data(known);
        login.save().map_err(|why| Failure::Trouble(why.to_owned()))?;
        held.cookies.extend(login.take_cookies());
        Ok(redirect(&format!("{endpoint}{mark}{}", query.finish())))
    }

    /// Whether a browser comes back from the issuer.
    pub fn is_callback(&self, shower: &Shower<'_>, exchange: &Exchange) -> bool {
        self.provider.settings.logins.may_open(&exchange.request.fields)
            && shower.argument("state").is_some()
            && (shower.argument("code").is_some() || shower.argument("error").is_some())
    }

    /// Ends a login: the caller, and where the browser wanted to go.
    pub async fn finish_login(&self, exchange: &mut Exchange, held: &mut Held) -> Result<(Caller, String), Failure> {
        let settings = &self.provider.settings;
        let refused = |why: &str| Failure::Refused(why.to_owned());
        let (state, code, error) = {
            let shower = Shower::new(exchange);
            (shower.argument("state"), shower.argument("code"), shower.argument("error"))
        };
        let mut login = settings.logins.open(&exchange.request.fields, Origin::default(), now()).await;
        let known = login.data().clone();
        let known = |name: &str| known.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_own = match (known("state"), &state) {
            (Some(known), Some(shown)) => {
                constant_time::verify_slices_are_equal(known.as_bytes(), shown.as_bytes()).is_ok()
            }
            _ => false,
        };
        if !login.is_open() || !is_own {
            return Err(refused("the browser comes from a login that is not known"));
        }
        // It cannot come back once more.
        let _ = login.logout();
        held.cookies.extend(login.take_cookies());
        if let Some(error) = error {
            return Err(Failure::Refused(error));
        }
        let code = code.ok_or_else(|| refused("there is no code"))?;
        let (redirect_uri, verifier) = (known("redirect_uri").unwrap_or_default(), known("verifier"));
        let mut grant = vec![("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", &redirect_uri)];
        if settings.pkce {
            grant.extend(verifier.as_deref().map(|verifier| ("code_verifier", verifier)));
        }
        let tokens = self.provider.grant(&grant, None).await?;
        let nonce = known("nonce");
        let caller = self.of_tokens("authorization_code", tokens, nonce.as_deref()).await?;
        if caller.tokens.id.is_none() {
            return Err(refused("the issuer gave no identity token"));
        }
        remove_arguments(exchange, &ARGUMENTS);
        Ok((caller, known("uri").unwrap_or_default()))
    }

    /// The caller whom tokens of a grant tell of.
    pub async fn of_tokens(
        &self,
        method: &'static str,
        tokens: Tokens,
        nonce: Option<&str>,
    ) -> Result<Caller, Failure> {
        let settings = &self.provider.settings;
        let mut claims = Claims::default();
        // An access token is the issuer's own, and may be anything.
        claims.0.extend(tokens.access.as_deref().and_then(payload));
        if let Some(token) = &tokens.id {
            let identity = self.verified(token, method).await?;
            let metadata = self.provider.metadata().await?;
            let expected = Expected {
                issuer: metadata.text("issuer"),
                client: settings.client.id.as_deref(),
                nonce,
                must_end: true,
            };
            check(&identity, &expected, settings)?;
            claims.0.insert(0, identity);
        }
        let mut caller = Caller { method, tokens, claims, ..Caller::default() };
        self.add_user_info(&mut caller).await?;
        Ok(caller)
    }

    /// What the browser gets after a login, if it does not go on to the service at once.
    pub fn after_login(&self, caller: &Caller, uri: &str) -> Option<Answer> {
        let settings = &self.provider.settings;
        let told: Vec<(&str, &str)> = [
            ("access_token", &caller.tokens.access),
            ("id_token", &caller.tokens.id),
            ("refresh_token", &caller.tokens.refresh),
        ]
        .into_iter()
        .filter(|(name, _)| settings.login_tokens.iter().any(|wanted| wanted == name || wanted == "tokens"))
        .filter_map(|(name, token)| Some((name, token.as_deref()?)))
        .collect();
        match settings.login_action {
            LoginAction::Upstream => None,
            LoginAction::Response => Some(no_store(Answer::json(
                200,
                &Value::Object(told.into_iter().map(|(name, token)| (name.to_owned(), token.into())).collect()),
            ))),
            LoginAction::Redirect => {
                let tokens = Serializer::new(String::new()).extend_pairs(told).finish();
                let uri = settings.login_redirect_uri.as_deref().unwrap_or(uri);
                let mark = match (settings.login_in_query, uri.contains('?')) {
                    (true, true) => '&',
                    (true, false) => '?',
                    (false, _) => '#',
                };
                Some(redirect(&if tokens.is_empty() { uri.to_owned() } else { format!("{uri}{mark}{tokens}") }))
            }
        }
    }

    /// Whether a request is there to end the session.
    pub fn is_logout(&self, exchange: &Exchange, shower: &Shower<'_>) -> bool {
        let settings = &self.provider.settings;
        let method = exchange.request.method.as_str();
        if !settings.logout_methods.iter().any(|logout| logout == method) {
            return false;
        }
        let names = [&settings.logout_query_arg, &settings.logout_post_arg];
        let asked = names.into_iter().flatten().any(|name| shower.argument(name).is_some());
        let suffix = settings.logout_uri_suffix.as_deref();
        asked || suffix.is_some_and(|suffix| exchange.path().ends_with(suffix))
    }

    /// Ends a session, here and at the issuer.
    pub async fn logout(&self, mut session: Session, held: &mut Held) -> Answer {
        let settings = &self.provider.settings;
        let tokens = Tokens::from_value(session.data());
        super::end(&mut session, held).await;
        let revoked = [(&tokens.access, "access_token"), (&tokens.refresh, "refresh_token")];
        for ((token, hint), wanted) in revoked.into_iter().zip(settings.logout_revokes) {
            if let Some(token) = token.as_deref().filter(|_| wanted)
                && let Err(Failure::Refused(why) | Failure::Trouble(why)) = self.provider.revoke(token, hint).await
            {
                tracing::warn!("openid-connect: a token cannot be revoked: {why}");
            }
        }
        let end = self.provider.endpoint("end_session_endpoint").await.map(|url| url.uri().to_string());
        match (end, &settings.logout_redirect_uri) {
            (Ok(end), back) => {
                let mut query = Serializer::new(String::new());
                query.extend_pairs(tokens.id.iter().map(|token| ("id_token_hint", token)));
                query.extend_pairs(back.iter().map(|uri| ("post_logout_redirect_uri", uri)));
                let (mark, query) = (if end.contains('?') { '&' } else { '?' }, query.finish());
                redirect(&if query.is_empty() { end } else { format!("{end}{mark}{query}") })
            }
            (Err(_), Some(uri)) => redirect(uri),
            (Err(_), None) => no_store(Answer::new(200, "")),
        }
    }
}

/// Sends a client elsewhere.
pub fn redirect(uri: &str) -> Answer {
    let answer = no_store(Answer::new(302, ""));
    if Fields::is_valid_value(uri.as_bytes()) { answer.with("Location", uri.as_bytes()) } else { answer }
}

fn no_store(answer: Answer) -> Answer {
    answer.with("Cache-Control", b"no-store")
}

/// The claims of a token that nobody has looked at.
fn payload(token: &str) -> Option<sdk::Record> {
    sdk::jose::Token::parse(token.as_bytes()).ok().map(|token| token.claims)
}

/// The address by which the client has come.
fn url_of(exchange: &Exchange) -> String {
    let scheme = if exchange.client.https { "https" } else { "http" };
    let host = exchange.request.fields.get_str("Host").unwrap_or_default();
    format!("{scheme}://{host}{}", exchange.request.target)
}

/// 256 random bits as text.
fn random() -> Result<String, Failure> {
    let mut octets = [0; 32];
    rand::fill(&mut octets).map_err(|_| Failure::Trouble("there is no randomness".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}
