//! Declarative configuration: whole files of entities, as `kong.yml` has them.

pub mod yaml;
