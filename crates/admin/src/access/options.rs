//! The settings of those who use the Admin API: whether they must say who they are, and how browsers do.

use super::complexity::Complexity;
use hyper::header::HeaderName;
use std::time::Duration;

/// Who may do what.
#[derive(Clone, Debug)]
pub struct AccessOptions {
    pub enforcement: Enforcement,
    /// `rbac_auth_header`: the header with a user's token.
    pub token_header: HeaderName,
    /// How administrators log in to the GUI (`admin_gui_auth`).
    pub gui: Option<GuiAuth>,
    /// `admin_invitation_expiry`: how long a link to register is valid.
    pub invitation: Duration,
    /// The first of `admin_gui_url`: where links to register lead.
    pub gui_url: Option<String>,
}

/// What is asked before a request may do what it asks for (`enforce_rbac`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Nothing, not even who sends it.
    Off,
    /// `on`: the rules about endpoints.
    Endpoints,
    /// `entity`: those about single records, and about endpoints that have none.
    Records,
    /// `both`.
    Both,
}

/// Logging in, and the session that follows.
#[derive(Clone, Debug)]
pub struct GuiAuth {
    /// `admin_gui_auth_header`: the header by which the GUI says who is logged in.
    pub user_header: HeaderName,
    /// `admin_gui_auth_login_attempts`: wrong passwords before a name is refused; 0: any number.
    pub attempts: u32,
    /// `admin_gui_auth_login_attempts_ttl`: how long they count.
    pub attempts_ttl: Duration,
    /// `admin_gui_auth_password_complexity`: what new passwords must be.
    pub complexity: Complexity,
    pub session: SessionOptions,
    /// Who knows administrators in the place of this node, which knows them by passwords.
    pub provider: Option<Provider>,
}

/// Who else knows administrators, and how they are found here (`admin_gui_auth_conf`).
#[derive(Clone, Debug, Default)]
pub struct Provider {
    pub kind: ProviderKind,
    /// `by_username_ignore_case`.
    pub ignore_case: bool,
    /// `admin_by`: the provider's name is in the field `custom_id`, not `username`.
    pub by_custom_id: bool,
    /// `admin_auto_create`: whoever logs in becomes an administrator.
    pub creates: bool,
    /// Whether one who has become so may use tokens (`admin_auto_create_rbac_token_disabled`).
    pub with_token: bool,
    /// Where browsers go after a login with an issuer.
    pub gui_url: String,
}

/// How a provider is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderKind {
    /// `ldap-auth-advanced`: by the name and password that a request shows.
    #[default]
    Ldap,
    /// `openid-connect`: the browser goes there.
    OpenidConnect,
}

/// `admin_gui_session_conf`, under the names that the `session` plugin has.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    pub secret: String,
    pub cookie_name: String,
    pub cookie_path: String,
    pub cookie_domain: Option<String>,
    pub cookie_secure: bool,
    pub cookie_same_site: Option<String>,
    /// How long a session lives without being used.
    pub rolling_timeout: Duration,
    /// How long it lives at all.
    pub absolute_timeout: Duration,
}

impl Enforcement {
    /// By its name in the settings.
    pub fn parse(name: &str) -> Option<Enforcement> {
        Some(match name {
            "off" => Enforcement::Off,
            "on" => Enforcement::Endpoints,
            "entity" => Enforcement::Records,
            "both" => Enforcement::Both,
            _ => return None,
        })
    }

    pub fn is_on(self) -> bool {
        self != Enforcement::Off
    }

    /// Whether endpoints of records are asked about too.
    pub fn asks_endpoints(self) -> bool {
        matches!(self, Enforcement::Endpoints | Enforcement::Both)
    }

    pub fn asks_records(self) -> bool {
        matches!(self, Enforcement::Records | Enforcement::Both)
    }
}

impl Default for AccessOptions {
    fn default() -> AccessOptions {
        AccessOptions {
            enforcement: Enforcement::Off,
            token_header: HeaderName::from_static("kong-admin-token"),
            gui: None,
            invitation: Duration::from_secs(259_200),
            gui_url: None,
        }
    }
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions {
            secret: String::new(),
            cookie_name: "session".to_owned(),
            cookie_path: "/".to_owned(),
            cookie_domain: None,
            cookie_secure: true,
            cookie_same_site: Some("Strict".to_owned()),
            rolling_timeout: Duration::from_secs(3600),
            absolute_timeout: Duration::from_secs(86_400),
        }
    }
}
