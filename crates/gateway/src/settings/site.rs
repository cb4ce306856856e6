//! What the settings say about the pages of the manager (`admin_gui_*`).

use super::Settings;
use crate::app::KONG_VERSION;
use manager::SiteOptions;

/// The site that they describe.
pub fn options(settings: &Settings) -> Result<SiteOptions, String> {
    let path = path(settings.text("admin_gui_path"))?;
    let api = settings.text("admin_gui_api_url").trim_end_matches('/');
    let (scheme, rest) = match api.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), api),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if !api.is_empty() && (authority.is_empty() || !authority.bytes().all(known)) {
        return Err(format!("admin_gui_api_url must be a URL with a host, got '{api}'"));
    }
    let access = &settings.access;
    let kconfig = [
        ("ADMIN_GUI_URL", settings.list("admin_gui_url").first().cloned().unwrap_or_default()),
        ("ADMIN_GUI_PATH", path.to_owned()),
        ("ADMIN_API_URL", api.to_owned()),
        ("ANONYMOUS_REPORTS", "false".to_owned()),
        ("ADMIN_GUI_AUTH", settings.text("admin_gui_auth").to_owned()),
        ("RBAC_ENFORCED", access.enforcement.is_on().to_string()),
        ("RBAC_HEADER", access.token_header.to_string()),
        ("RBAC_USER_HEADER", settings.text("admin_gui_auth_header").to_owned()),
        ("KONG_VERSION", KONG_VERSION.to_owned()),
    ];
    let mut kconfig = kconfig.map(|(name, value)| (name.to_owned(), value)).to_vec();
    kconfig.extend(lines(settings)?);
    let policy = Some(settings.text("admin_gui_csp_header_value")).filter(|policy| !policy.is_empty());
    Ok(SiteOptions {
        path: path.to_owned(),
        kconfig,
        strict: settings.flag("admin_gui_csp_header"),
        policy: policy.map(str::to_owned),
        api_origins: if api.is_empty() { Vec::new() } else { vec![format!("{scheme}{authority}")] },
        ..SiteOptions::default()
    })
}

/// What stands above and below the pages and above the form to log in, with its colours, where it is set.
fn lines(settings: &Settings) -> Result<Vec<(String, String)>, String> {
    let mut lines = Vec::new();
    for setting in LINES {
        let value = settings.text(setting);
        if setting.ends_with("_color") && !is_color(value) {
            return Err(format!("{setting} must be the name of a colour or #rrggbb, got '{value}'"));
        }
        if !value.is_empty() {
            lines.push((setting.to_ascii_uppercase(), value.to_owned()));
        }
    }
    Ok(lines)
}

const LINES: &[&str] = &[
    "admin_gui_header_txt",
    "admin_gui_header_bg_color",
    "admin_gui_header_txt_color",
    "admin_gui_footer_txt",
    "admin_gui_footer_bg_color",
    "admin_gui_footer_txt_color",
    "admin_gui_login_banner_title",
    "admin_gui_login_banner_body",
];

fn is_color(text: &str) -> bool {
    match text.strip_prefix('#') {
        Some(digits) => [3, 6].contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => text.bytes().all(|letter| letter.is_ascii_alphabetic()),
    }
}

/// The setting without a fault, in Kong's words for each.
fn path(path: &str) -> Result<&str, String> {
    let odd = |c: char| !c.is_ascii_alphanumeric() && !"-_/".contains(c);
    let fault = match path {
        path if !path.starts_with('/') => "must start with a slash ('/')",
        path if path.len() > 1 && path.ends_with('/') => "must not end with a slash ('/')",
        path if path.contains(odd) => {
            "can only contain letters, digits, hyphens ('-'), underscores ('_'), and slashes ('/')"
        }
        path if path.contains("//") => "must not contain continuous slashes ('/')",
        path => return Ok(path),
    };
    Err(format!("admin_gui_path {fault}"))
}

impl Settings {
    /// Whether the manager's addresses are those of the default: it is no reason not to start when they are taken.
    pub fn manager_may_lack(&self) -> bool {
        !self.is_given("admin_gui_listen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors() {
        for right in ["", "red", "#fff", "#00aaFF"] {
            assert!(is_color(right), "{right}");
        }
        for wrong in ["#ff", "#gggggg", "url(x)", "red;", "1"] {
            assert!(!is_color(wrong), "{wrong}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(path("/"), Ok("/"));
        assert_eq!(path("/a-b/c_d"), Ok("/a-b/c_d"));
        for wrong in ["", "a", "/a/", "/a b", "/a//b", "/a\"", "//"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }
}
