//! The manager: pages for browsers that show and change what the Admin API knows. The pages (`ui/`) are files that are
//! built into the program; this crate answers requests for them and knows nothing of the gateway.

mod files;
mod kconfig;
mod policy;
mod site;

pub use site::{Site, SiteOptions};
