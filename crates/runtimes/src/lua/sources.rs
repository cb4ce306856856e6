//! The texts of modules in files (`lua_package_path`): each is read once in the life of a process, so that all of its
//! machines run the same code, whatever becomes of the files meanwhile. Those of plugins are read when the node starts.

use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Result, Table};
use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a module has been found, and what is there.
struct Source {
    file: String,
    text: Vec<u8>,
}

/// By where they were looked for, and the name. What is not found is looked for again.
static FOUND: Mutex<Option<HashMap<(String, String), Arc<Source>>>> = Mutex::new(None);

pub fn add(lua: &Lua, native: &Table) -> Result<()> {
    native.raw_set("module_file", lua.create_function(module_file)?)
}

/// The file of a module and its text; nothing, and what was tried, where there is none.
fn module_file(lua: &Lua, (path, name): (String, String)) -> Result<MultiValue> {
    match find(path, name) {
        Ok(source) => (source.file.as_str(), lua.create_string(&source.text)?).into_lua_multi(lua),
        Err(tried) => (None::<LuaString>, tried).into_lua_multi(lua),
    }
}

fn find(path: String, name: String) -> std::result::Result<Arc<Source>, String> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let found = found.get_or_insert_default();
    let key = (path, name);
    if let Some(known) = found.get(&key) {
        return Ok(known.clone());
    }
    let source = Arc::new(read(&key.0, &key.1)?);
    found.insert(key, source.clone());
    Ok(source)
}

fn read(path: &str, name: &str) -> std::result::Result<Source, String> {
    let (name, mut tried) = (name.replace('.', "/"), String::new());
    for template in path.split(';').filter(|template| !template.is_empty()) {
        let file = template.replace('?', &name);
        match fs::read(&file) {
            Ok(text) => return Ok(Source { file, text }),
            Err(_) => tried.push_str(&format!("\n\tno file '{file}'")),
        }
    }
    Err(tried)
}

#[cfg(test)]
mod tests {
    use super::find;
    use std::fs;

    #[test]
    fn files_are_read_once() {
        let folder = std::env::temp_dir().join(format!("bascule-sources-{}", std::process::id()));
        fs::create_dir_all(folder.join("a")).unwrap();
        let path = format!("{0}/none/?.lua;;{0}/?.lua", folder.display());
        let text = || find(path.clone(), "a.b".to_owned()).map(|source| source.text.clone());
        let none = format!("\n\tno file '{0}/none/a/b.lua'\n\tno file '{0}/a/b.lua'", folder.display());
        assert_eq!(text(), Err(none));
        fs::write(folder.join("a/b.lua"), "return 1").unwrap();
        assert_eq!(text().unwrap(), b"return 1");
        fs::write(folder.join("a/b.lua"), "return 2").unwrap();
        assert_eq!(text().unwrap(), b"return 1");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(text().unwrap(), b"return 1");
    }
}
