//! The chapter of `docs/configuration.md` about directives.

use super::definition::{Contexts, Directive, Effect};
use super::table::{DIRECTIVES, REFUSED, WITHOUT_EFFECT};

/// Markdown, from the tables.
pub fn documentation() -> String {
    let mut out = String::from(
        "\n## nginx's directives\n\n\
         Kong writes `nginx_<context>_<directive> = value` as `<directive> value;` into a block of its nginx\n\
         configuration. There is no nginx here; the directives below do the same. Values are written as nginx reads\n\
         them: sizes (`8k`, `1m`), times (`500ms`, `30s`, `1h 30m`), quoted words, and more directives behind a `;`\n\
         (`nginx_proxy_add_header = X-A 1; add_header X-B 2`). Paths are relative to the prefix. The innermost block\n\
         decides: `location` before `proxy` before `http` for the proxy, `admin` or `status` before `http` for the\n\
         APIs; what can be repeated is replaced as a whole. `NONE` stands for a directive that is not given. Those\n\
         marked ✱ protect: one that stands where it cannot act stops the start.\n\n\
         | directive | contexts | |\n|---|---|---|\n",
    );
    for directive in DIRECTIVES.iter().filter(|directive| directive.effect == Effect::Acts) {
        let mark = if directive.protective { " ✱" } else { "" };
        let renewed = if directive.renewed { " Renewed by `bascule reload`." } else { "" };
        let doc = directive.doc.replace('|', "\\|");
        out.push_str(&format!("| `{}`{mark} | {} | {doc}{renewed} |\n", directive.name, contexts(directive.contexts)));
    }
    out.push_str(
        "\nThe node says of each of these, when it starts, that it has no effect:\n\n\
         | directives | |\n|---|---|\n",
    );
    let own = |effect| DIRECTIVES.iter().filter(move |d: &&Directive| d.effect == effect && !d.protective);
    for directive in own(Effect::Overruled) {
        let name = format!("`{}` ({})", directive.name, contexts(directive.contexts));
        out.push_str(&format!("| {name} | as in Kong: {} |\n", directive.doc));
    }
    for directive in own(Effect::Absent) {
        let name = format!("`{}` ({})", directive.name, contexts(directive.contexts));
        out.push_str(&format!("| {name} | {} |\n", directive.doc));
    }
    for (names, why) in WITHOUT_EFFECT {
        out.push_str(&format!("| {} | {why} |\n", listed(names)));
    }
    out.push_str(
        "| all others of `nginx_stream_`, `nginx_supstream_`, `nginx_sproxy_` | streams are relayed as nginx does it \
         by itself; those that keep clients out stop the start |\n",
    );
    out.push_str("| all of `nginx_upstream_` | as in Kong: upstreams and `upstream_keepalive_*` say it |\n");
    out.push_str("| all others | not known |\n");
    out.push_str(
        "\nThese stop the start, since they protect or change what is served:\n\n| directives | instead |\n|---|---|\n",
    );
    for directive in DIRECTIVES.iter().filter(|directive| directive.is_refused()) {
        out.push_str(&format!("| `{}` ({}) | {} |\n", directive.name, contexts(directive.contexts), directive.doc));
    }
    for (names, why) in REFUSED {
        out.push_str(&format!("| {} | {why} |\n", listed(names)));
    }
    out.push_str(
        "| `*ssl_conf_command` other than `Options` and `CipherString` with `@SECLEVEL` | use \
        `ssl_protocols`, `ssl_ciphers` and `ssl_ecdh_curve` |\n",
    );
    out
}

fn contexts(contexts: Contexts) -> String {
    contexts.words().join(", ")
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
