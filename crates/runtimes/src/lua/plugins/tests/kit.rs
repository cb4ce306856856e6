//! Functions of the plugin development kit: that they are there, and in which phases.

use super::{load, paths};
use sdk::{Env, Plugin, testing};
use serde_json::json;

#[tokio::test]
async fn functions_are_for_the_phases_that_kong_has_them_in() {
    let kind = load(&["survey"], &paths()).unwrap()[0];
    let plugin: Box<dyn Plugin> = testing::configure(kind, json!({}), &Env::default());
    let mut exchange = testing::exchange("GET", "/", &[]);
    drop(plugin.rewrite(&mut exchange));
    assert!(testing::access_waiting(&*plugin, &mut exchange).await.is_none());
    testing::respond(&*plugin, &mut exchange, 200, &[], &["content"]);
    plugin.log(&mut exchange);
    let told = exchange.log_values.iter().find(|value| value.key == "wrong").unwrap();
    assert_eq!(told.value, Some(json!("")));
}
