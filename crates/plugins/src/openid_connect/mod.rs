//! `openid-connect`: callers whom an issuer of OpenID Connect or OAuth 2.0 knows, in browsers and elsewhere.

mod admin;
mod claims;
mod client;
mod exchange;
mod identity;
mod issuer;
mod login;
mod outbound;
mod provider;
mod settings;
mod shown;

use claims::{Claims, Expected, check};
use identity::{Caller, Denied, Held};
use issuer::{Issuer, Issuers};
use provider::{Credentials, Failure, Provider, Tokens, now};
use sdk::jose::{Token, VerificationKey};
use sdk::session::{Origin, Session, apply_cookies};
use sdk::{
    AdminAnswer, AdminEndpoint, AdminRequest, Anonymous, Answer, AnswerCache, BoxFuture, Config, Env, Exchange, Fields,
    Function, Phases, Plugin, PluginKind, Question, Record, Records, Step, entities,
};
use serde_json::Value;
use settings::Settings;
use shown::{Owner, Shower, Shown, hide};
use std::sync::Arc;
use std::time::Duration;

/// The plugin as the gateway knows it.
pub struct OpenidConnect;

/// An instance for each client that the configuration names; requests choose one.
struct Clients(Vec<Instance>);

struct Instance {
    provider: Provider,
    /// The issuers whose tokens are exchanged, where their signatures are verified here.
    subject_issuers: Vec<Option<Arc<Issuer>>>,
    records: Records,
    cache: Arc<AnswerCache>,
    anonymous: Anonymous,
}

/// A secret for sessions of configurations that have none: another one in each process.
#[derive(Default)]
struct OwnSecret(std::sync::OnceLock<String>);

impl PluginKind for OpenidConnect {
    fn name(&self) -> &'static str {
        "openid-connect"
    }

    fn priority(&self) -> i32 {
        1050
    }

    fn schema(&self) -> &'static str {
        include_str!("schema.json")
    }

    fn functions(&self) -> &'static [(&'static str, Function)] {
        &[("openid_connect_config", Function::Validator(settings::check))]
    }

    fn configure(&self, plugin: &entities::Plugin, env: &Env) -> Result<Box<dyn Plugin>, String> {
        let config = Config::new(&plugin.config);
        let secret = env.shared::<OwnSecret>();
        let secret = secret.0.get_or_init(|| format!("{}{}", entities::Uuid::new_v4(), entities::Uuid::new_v4()));
        let issuers = env.shared::<Issuers>();
        let instance = |place: usize| {
            let record = Value::Object(plugin.config.clone());
            let settings = Arc::new(Settings::new(&config, &record, secret, place, env)?);
            let (client, proving) = outbound::clients(&settings, env);
            let exchange = settings.exchange.as_ref();
            Ok::<_, String>(Instance {
                subject_issuers: exchange.map_or_else(Vec::new, |exchange| exchange.issuers(&issuers)),
                provider: Provider { client, proving, issuer: issuers.find(&settings.source), settings },
                records: env.records().clone(),
                cache: env.shared(),
                anonymous: Anonymous::new(self.name(), &config),
            })
        };
        let instances = (0..client::count(&config)).map(instance).collect::<Result<Vec<_>, _>>()?;
        Ok(Box::new(Clients(instances)))
    }

    fn endpoints(&self) -> &'static [AdminEndpoint] {
        admin::ENDPOINTS
    }

    fn admin(&self, request: AdminRequest, env: &Env) -> BoxFuture<'static, AdminAnswer> {
        let answer = admin::answer(&request, env);
        Box::pin(async move { answer })
    }
}

impl Plugin for Clients {
    fn phases(&self) -> Phases {
        Phases::ACCESS.and(Phases::READS_BODY).and(Phases::HEADER_FILTER)
    }

    fn degraded(&self) -> Option<String> {
        let fields = &self.first().provider.settings.without_effect;
        (!fields.is_empty()).then(|| format!("these settings have no effect: {}", fields.join(", ")))
    }

    fn access<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let first = self.first();
        let preflight = exchange.request.method.as_str() == "OPTIONS" && !first.provider.settings.on_preflight;
        if preflight || first.anonymous.is_settled(exchange) {
            return Step::Next;
        }
        Step::Wait(Box::pin(async move {
            let mut held = Held::default();
            let chosen = self.choose(exchange).await;
            let step = match chosen.decide(exchange, &mut held).await {
                Ok(Some(answer)) => Step::Answer(answer),
                Ok(None) => Step::Next,
                Err(Denied::Forbidden(why)) => Step::Answer(chosen.forbid(exchange, why)),
                Err(Denied::Failure(Failure::Refused(why))) => chosen.refuse(exchange, &why),
                Err(Denied::Failure(Failure::Trouble(why))) => Step::Answer(chosen.fail(exchange, &why)),
            };
            exchange.put(held);
            step
        }))
    }

    fn header_filter(&self, exchange: &mut Exchange) {
        let Some(held) = exchange.take::<Held>() else { return };
        apply_cookies(&held.cookies, &mut exchange.response.fields);
        held.lines.iter().for_each(|(name, value)| exchange.response.fields.set(name, value));
    }
}

impl Clients {
    fn first(&self) -> &Instance {
        &self.0[0]
    }

    /// The client for a request: the one whose login it ends, that of its session, the one that it names by id or
    /// number, or the first.
    async fn choose(&self, exchange: &Exchange) -> &Instance {
        let first = self.first();
        if self.0.len() == 1 {
            return first;
        }
        let (settings, fields) = (&first.provider.settings, &exchange.request.fields);
        let named = {
            let shower = Shower::new(exchange);
            if first.is_callback(&shower, exchange) {
                None
            } else {
                let line = fields.get_str(&settings.client_arg).map(str::to_owned);
                line.or_else(|| shower.argument(&settings.client_arg))
            }
        };
        if let Some(named) = named
            && let Some(found) = self.named(&named)
        {
            return found;
        }
        let login = match settings.logins.may_open(fields) {
            true => Some(settings.logins.open(fields, Origin::default(), now()).await),
            false => None,
        };
        let is_callback = first.is_callback(&Shower::new(exchange), exchange);
        let held = match login.filter(|login| is_callback && login.is_open()) {
            Some(login) => Some(login),
            None if settings.methods.session && settings.sessions.may_open(fields) => {
                Some(settings.sessions.open(fields, Origin::of(exchange), now()).await)
            }
            None => None,
        };
        let place = held.and_then(|held| held.data().get("client").and_then(Value::as_u64));
        place.and_then(|place| self.0.get(usize::try_from(place).ok()?)).unwrap_or(first)
    }

    fn named(&self, name: &str) -> Option<&Instance> {
        let is_named = |instance: &&Instance| instance.provider.settings.client.id.as_deref() == Some(name);
        let by_number = || self.0.get(name.parse::<usize>().ok()?.checked_sub(1)?);
        self.0.iter().find(is_named).or_else(by_number)
    }
}

impl Instance {
    /// Finds out who calls. An answer: the request goes no further, and nobody is at fault.
    async fn decide(&self, exchange: &mut Exchange, held: &mut Held) -> Result<Option<Answer>, Denied> {
        let settings = Arc::clone(&self.provider.settings);
        if settings.methods.session && settings.sessions.may_open(&exchange.request.fields) {
            let session = settings.sessions.open(&exchange.request.fields, Origin::of(exchange), now()).await;
            if session.is_open() {
                if self.is_logout(exchange, &Shower::new(exchange)) {
                    return Ok(Some(self.logout(session, held).await));
                }
                if let Some(done) = self.by_session(exchange, session, held).await? {
                    return Ok(done);
                }
            }
        }
        let is_callback = settings.methods.authorization_code && self.is_callback(&Shower::new(exchange), exchange);
        if is_callback {
            let (caller, uri) = self.finish_login(exchange, held).await?;
            self.enter(exchange, &caller, held).await?;
            return Ok(self.after_login(&caller, &uri));
        }
        let shown = Shower::new(exchange).find(&settings);
        let Some(shown) = shown else {
            if settings.methods.authorization_code && settings.client.id.is_some() {
                return Ok(Some(self.begin_login(exchange, held).await?));
            }
            return Err(Failure::Refused("the request shows nothing of its caller".to_owned()).into());
        };
        let caller = self.by_shown(shown).await?;
        if settings.hide {
            hide(exchange, &settings);
        }
        self.enter(exchange, &caller, held).await?;
        Ok(None)
    }

    /// Lets the caller of a session in; `None`: the session is of no use any more.
    async fn by_session(
        &self,
        exchange: &mut Exchange,
        mut session: Session,
        held: &mut Held,
    ) -> Result<Option<Option<Answer>>, Denied> {
        let settings = &self.provider.settings;
        let mut tokens = Tokens::from_value(session.data());
        if tokens.are_over() {
            let renewed = match tokens.refresh.as_deref().filter(|_| settings.refreshes) {
                Some(refresh) => self.renewed(refresh, &tokens).await,
                None => Err(Failure::Refused("the access token has expired".to_owned())),
            };
            match renewed {
                Ok(renewed) => tokens = renewed,
                Err(Failure::Refused(_)) => {
                    if settings.unauthorized_ends_session {
                        end(&mut session, held).await;
                    }
                    return Ok(None);
                }
                Err(trouble) => return Err(trouble.into()),
            }
            session.set_data(self.kept(&tokens));
            session.save().map_err(|why| Failure::Trouble(why.to_owned()))?;
        } else if let Err(why) = session.refresh() {
            tracing::warn!("openid-connect: {why}");
        }
        settle(&mut session, held).await;
        let mut claims = Claims::default();
        for token in [&tokens.id, &tokens.access].into_iter().flatten() {
            claims.0.extend(Token::parse(token.as_bytes()).ok().map(|token| token.claims));
        }
        let mut caller = Caller { method: "session", tokens, claims, ..Caller::default() };
        self.add_user_info(&mut caller).await?;
        let admitted = self.admit(exchange, &caller, Some(&session), held).await;
        if matches!(admitted, Err(Denied::Forbidden(_))) && settings.forbidden_ends_session {
            end(&mut session, held).await;
        }
        admitted.map(|()| Some(None))
    }

    /// The tokens that a refresh token brings; what the issuer does not give anew stays.
    async fn renewed(&self, refresh: &str, former: &Tokens) -> Result<Tokens, Failure> {
        let grant = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        let new = self.provider.grant(&grant, None).await?;
        if let Some(token) = &new.id {
            self.verified(token, "refresh_token").await?;
        }
        Ok(Tokens {
            access: new.access,
            id: new.id.or_else(|| former.id.clone()),
            refresh: new.refresh.or_else(|| former.refresh.clone()),
            ends: new.ends,
        })
    }

    async fn by_shown(&self, shown: Shown) -> Result<Caller, Failure> {
        match shown {
            Shown::Bearer(token) => self.by_bearer(token).await,
            Shown::RefreshToken(token) => {
                let grant = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
                let tokens = self.granted(&grant, None).await?;
                self.of_tokens("refresh_token", tokens, None).await
            }
            Shown::Pair { name, secret, of } => {
                if of != Owner::Client {
                    match self.by_password(&name, &secret).await {
                        Err(Failure::Refused(_)) if of == Owner::Either => {}
                        done => return done,
                    }
                }
                let scope = self.provider.settings.scopes.clone();
                let grant = [("grant_type", "client_credentials"), ("scope", scope.as_str())];
                let who = Credentials { id: &name, secret: Some(&secret) };
                let tokens = self.granted(&grant, Some(who)).await?;
                self.of_tokens("client_credentials", tokens, None).await
            }
        }
    }

    async fn by_password(&self, name: &str, secret: &str) -> Result<Caller, Failure> {
        let scope = self.provider.settings.scopes.clone();
        let grant = [("grant_type", "password"), ("username", name), ("password", secret), ("scope", scope.as_str())];
        let tokens = self.granted(&grant, None).await?;
        self.of_tokens("password", tokens, None).await
    }

    /// Tokens of a grant, or those that it brought a moment ago.
    async fn granted(&self, grant: &[(&str, &str)], who: Option<Credentials<'_>>) -> Result<Tokens, Failure> {
        let settings = &self.provider.settings;
        let mut parts: Vec<&str> =
            vec!["openid-connect grant", &settings.issuer_text, settings.client.id.as_deref().unwrap_or("")];
        parts.extend(grant.iter().flat_map(|(name, value)| [*name, *value]));
        parts.extend(who.iter().flat_map(|who| [who.id, who.secret.unwrap_or_default()]));
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        let question = Question::of(&parts);
        // A refresh token may be good for one use only.
        let cached = settings.cache_tokens && grant[0].1 != "refresh_token";
        if cached && let Some(known) = self.cache.find(&question) {
            return Ok(Tokens::from_value(&known));
        }
        let tokens = self.provider.grant(grant, who).await?;
        let life = tokens.ends.map_or(settings.cache_ttl, |ends| Duration::from_secs(ends.saturating_sub(now())));
        if cached {
            self.cache.put(question, tokens.to_value(), life.min(settings.cache_ttl));
        }
        Ok(tokens)
    }

    async fn by_bearer(&self, token: String) -> Result<Caller, Failure> {
        let settings = &self.provider.settings;
        let token = match &settings.exchange {
            Some(exchange) => self.exchanged(exchange, token).await?,
            None => token,
        };
        let tokens = Tokens { access: Some(token.clone()), ..Tokens::default() };
        let is_jwt = Token::parse(token.as_bytes()).is_ok();
        if settings.methods.bearer && is_jwt && !settings.introspects_jwts {
            let verified = self.verified(&token, "bearer").await?;
            let metadata = self.provider.metadata().await?;
            let expected = Expected { issuer: metadata.text("issuer"), client: None, nonce: None, must_end: false };
            check(&verified, &expected, settings)?;
            let mut caller = Caller { method: "bearer", tokens, claims: Claims(vec![verified]), ..Caller::default() };
            self.add_user_info(&mut caller).await?;
            return Ok(caller);
        }
        if settings.methods.introspection && self.provider.has("introspection_endpoint").await? {
            let known = self.introspected(&token).await?;
            let claims = Claims(vec![known.clone()]);
            let method = "introspection";
            let mut caller = Caller { method, tokens, claims, introspection: Some(known), ..Caller::default() };
            self.add_user_info(&mut caller).await?;
            return Ok(caller);
        }
        if settings.methods.userinfo && self.provider.has("userinfo_endpoint").await? {
            let known = self.user_info(&token).await?;
            let claims = Claims(vec![known.clone()]);
            return Ok(Caller { method: "userinfo", tokens, claims, user_info: Some(known), ..Caller::default() });
        }
        Err(Failure::Refused("the token is not understood".to_owned()))
    }

    /// The claims of a token that the issuer has signed.
    async fn verified(&self, text: &str, method: &str) -> Result<Record, Failure> {
        let Provider { settings, client, issuer, .. } = &self.provider;
        let token = Token::parse(text.as_bytes()).map_err(|why| Failure::Refused(why.to_string()))?;
        let ignored = settings.unverified.iter().any(|other| other == method);
        if settings.verify_signature && !ignored {
            let is_good = if token.algorithm.is_symmetric() {
                let secret = settings.client.secret.as_deref().filter(|_| settings.hs_signatures);
                let key = secret.and_then(|secret| VerificationKey::secret(token.algorithm, secret.as_bytes()));
                key.is_some_and(|key| key.verify(&token))
            } else {
                issuer.has_signed(&token, client).await.map_err(Failure::Trouble)?
            };
            if !is_good {
                return Err(Failure::Refused("the signature is not the issuer's".to_owned()));
            }
        }
        Ok(token.claims)
    }

    async fn introspected(&self, token: &str) -> Result<Record, Failure> {
        let settings = &self.provider.settings;
        let question = self.question("introspection", token);
        let known = self.cache.find(&question).filter(|_| settings.cache_introspection);
        let is_live = |record: &Record| record.get("exp").and_then(Value::as_u64).is_none_or(|end| end > now());
        if let Some(Value::Object(known)) = known
            && is_live(&known)
        {
            return Ok(known);
        }
        let answer = self.provider.introspect(token).await?;
        if !is_live(&answer) {
            return Err(Failure::Refused("the token has expired".to_owned()));
        }
        if settings.cache_introspection {
            self.cache.put(question, Value::Object(answer.clone()), settings.cache_ttl);
        }
        Ok(answer)
    }

    async fn user_info(&self, token: &str) -> Result<Record, Failure> {
        let settings = &self.provider.settings;
        let question = self.question("userinfo", token);
        if let Some(Value::Object(known)) = self.cache.find(&question).filter(|_| settings.cache_user_info) {
            return Ok(known);
        }
        let answer = self.provider.user_info(token).await?;
        if settings.cache_user_info {
            self.cache.put(question, Value::Object(answer.clone()), settings.cache_ttl);
        }
        Ok(answer)
    }

    fn question(&self, about: &str, token: &str) -> Question {
        let parts = ["openid-connect", about, &self.provider.settings.issuer_text, token];
        Question::of(&parts.map(str::as_bytes))
    }

    /// Asks for what the issuer knows of a user, where that is wanted.
    async fn add_user_info(&self, caller: &mut Caller) -> Result<(), Failure> {
        let settings = &self.provider.settings;
        let told = settings.upstream.user_info.is_some() || settings.downstream.user_info.is_some();
        if (settings.search_user_info || told)
            && let Some(token) = caller.tokens.access.clone()
        {
            let known = self.user_info(&token).await?;
            if settings.search_user_info {
                caller.claims.0.push(known.clone());
            }
            caller.user_info = Some(known);
        }
        Ok(())
    }

    /// Lets a caller in, with a session where that is wanted.
    async fn enter(&self, exchange: &mut Exchange, caller: &Caller, held: &mut Held) -> Result<(), Denied> {
        let settings = &self.provider.settings;
        let wanted = settings.methods.session && !settings.without_session.iter().any(|other| other == caller.method);
        if !wanted {
            return self.admit(exchange, caller, None, held).await;
        }
        let mut session = settings.sessions.create(Origin::of(exchange), now());
        session.set_data(self.kept(&caller.tokens));
        session.set_subject(caller.claims.text(&settings.credential_claim));
        session.save().map_err(|why| Failure::Trouble(why.to_owned()))?;
        self.admit(exchange, caller, Some(&session), held).await?;
        settle(&mut session, held).await;
        Ok(())
    }

    /// What a session keeps: tokens, and whose they are where there are several clients.
    fn kept(&self, tokens: &Tokens) -> Value {
        let mut kept = tokens.to_value();
        if self.provider.settings.place > 0 {
            kept["client"] = self.provider.settings.place.into();
        }
        kept
    }

    fn refuse(&self, exchange: &mut Exchange, why: &str) -> Step<'static> {
        let settings = &self.provider.settings;
        tracing::info!(request_id = exchange.id_str(), "openid-connect: unauthorized: {why}");
        self.anonymous.or_refuse(exchange, |exchange| match &settings.unauthorized_redirect_uri {
            Some(uri) => login::redirect(uri),
            None => {
                let message = self.message(&settings.unauthorized_message, why);
                let told = if settings.tells_error { ", error=\"invalid_token\"" } else { "" };
                let challenge = format!("Bearer realm=\"{}\"{told}", settings.issuer_host);
                let answer = Answer::error(exchange, 401, &message);
                if Fields::is_valid_value(challenge.as_bytes()) {
                    answer.with("WWW-Authenticate", challenge.as_bytes())
                } else {
                    answer
                }
            }
        })
    }

    fn forbid(&self, exchange: &Exchange, why: &str) -> Answer {
        let settings = &self.provider.settings;
        tracing::info!(request_id = exchange.id_str(), "openid-connect: forbidden: {why}");
        match &settings.forbidden_redirect_uri {
            Some(uri) => login::redirect(uri),
            None => Answer::error(exchange, 403, &self.message(&settings.forbidden_message, why)),
        }
    }

    fn fail(&self, exchange: &Exchange, why: &str) -> Answer {
        tracing::error!(request_id = exchange.id_str(), "openid-connect: {why}");
        match &self.provider.settings.unexpected_redirect_uri {
            Some(uri) => login::redirect(uri),
            None => Answer::error(exchange, 500, "An unexpected error occurred"),
        }
    }

    /// What the client is told.
    fn message(&self, message: &str, why: &str) -> String {
        if self.provider.settings.display_errors { format!("{message} ({why})") } else { message.to_owned() }
    }
}

/// Ends a session for the client.
async fn end(session: &mut Session, held: &mut Held) {
    if session.logout().is_ok() {
        settle(session, held).await;
    }
}

/// Has a session kept as it is now, then the client told of it: it must find it when it comes back.
async fn settle(session: &mut Session, held: &mut Held) {
    if let Some(writes) = session.take_writes() {
        writes.await;
    }
    let cookies = session.take_cookies();
    held.cookies.retain(|known| cookies.iter().all(|cookie| cookie.name != known.name));
    held.cookies.extend(cookies);
}

impl From<Failure> for Denied {
    fn from(failure: Failure) -> Denied {
        Denied::Failure(failure)
    }
}

#[cfg(test)]
mod tests;
