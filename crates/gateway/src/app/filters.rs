//! Filters in WebAssembly: what the settings enable, and what runs them.

use crate::settings::Settings;
use model::Catalog;
use sdk::PluginKind;

/// The filters that the settings enable; none while `wasm` is off. The error is what is wrong with them.
#[cfg(feature = "wasm")]
pub fn load(settings: &Settings) -> Result<Vec<&'static runtimes::wasm::Filter>, String> {
    if !settings.flag("wasm") {
        return Ok(Vec::new());
    }
    runtimes::wasm::limit_shared(shared_size(settings)?);
    runtimes::wasm::load(settings.text("wasm_filters_path"), settings.list("wasm_filters"))
}

/// How much memory filters share.
#[cfg(feature = "wasm")]
fn shared_size(settings: &Settings) -> Result<usize, String> {
    const USUAL: usize = 16 << 20;
    let given = settings.free_size("nginx_wasm_shm_kv")?;
    Ok(given.or(settings.free_size("nginx_wasm_main_shm_kv")?).unwrap_or(USUAL))
}

/// Lets records name the filters that there are.
#[cfg(feature = "wasm")]
pub fn describe(settings: &Settings, catalog: &mut Catalog) -> Result<(), String> {
    if !settings.flag("wasm") {
        return Ok(());
    }
    // What schemas refer to lasts as long as the process.
    let filters: &'static [&'static runtimes::wasm::Filter] = load(settings)?.leak();
    if let Some(twice) = filters.iter().find(|filter| catalog.plugin(&filter.name).is_some()) {
        return Err(format!("duplicate plugin/wasm filter name: {}", twice.name));
    }
    let schema = |filter: &&'static runtimes::wasm::Filter| model::FilterSchema {
        name: filter.name.clone(),
        config_schema: filter.meta.config_schema.clone(),
    };
    let judge: &'static runtimes::wasm::Judge = Box::leak(Box::new(runtimes::wasm::Judge(filters)));
    catalog.enable_filters(filters.iter().map(schema).collect(), judge)
}

/// The plugins that act on requests: those that can be configured, and what runs the filters.
#[cfg(feature = "wasm")]
pub fn acting(
    settings: &Settings,
    plugins: &'static [&'static dyn PluginKind],
) -> Result<&'static [&'static dyn PluginKind], String> {
    if !settings.flag("wasm") {
        return Ok(plugins);
    }
    let filters: &'static [&'static runtimes::wasm::Filter] = load(settings)?.leak();
    let chains: &'static [runtimes::wasm::FilterChains] =
        Vec::from(runtimes::wasm::FilterChains::kinds(filters)).leak();
    let chains = chains.iter().map(|chain| chain as &'static dyn PluginKind);
    Ok(plugins.iter().copied().chain(chains).collect::<Vec<_>>().leak())
}

/// Tells filters what node they run on.
#[cfg(feature = "wasm")]
pub fn surround(settings: &Settings, env: &sdk::Env, plugins: &[&str]) {
    if settings.flag("wasm") {
        let node = runtimes::wasm::Node { id: env.node().id.to_string(), configuration: settings.describe(plugins) };
        runtimes::wasm::surround(node);
        sdk::filters::provide_metrics(runtimes::wasm::metrics_text);
    }
}

#[cfg(not(feature = "wasm"))]
pub fn describe(settings: &Settings, _catalog: &mut Catalog) -> Result<(), String> {
    match settings.flag("wasm") {
        true => Err("wasm = on: this program was built without filters in WebAssembly; build it with \
                     `cargo build --release -p gateway --features wasm`"
            .to_owned()),
        false => Ok(()),
    }
}

#[cfg(not(feature = "wasm"))]
pub fn acting(
    _settings: &Settings,
    plugins: &'static [&'static dyn PluginKind],
) -> Result<&'static [&'static dyn PluginKind], String> {
    Ok(plugins)
}

#[cfg(not(feature = "wasm"))]
pub fn surround(_settings: &Settings, _env: &sdk::Env, _plugins: &[&str]) {}

#[cfg(test)]
mod tests {
    #[cfg(not(feature = "wasm"))]
    #[test]
    fn a_program_without_filters_runs_none() {
        use super::*;
        use crate::settings::Sources;
        let directory = tempfile::tempdir().unwrap();
        let conf = directory.path().join("kong.conf");
        let told = |wasm: &str| {
            std::fs::write(&conf, format!("wasm = {wasm}\n")).unwrap();
            let settings = Settings::load(&Sources { file: Some(conf.clone()), ..Sources::default() }).unwrap();
            describe(&settings, &mut Catalog::core())
        };
        assert_eq!(told("off"), Ok(()));
        assert!(told("on").unwrap_err().contains("--features wasm"));
    }
}
