//! The section of `phpinfo()`.

use ext_php_rs::zend::ModuleEntry;
use ext_php_rs::{info_table_end, info_table_row, info_table_start};

use crate::near::graveyard;
use crate::registry;

unsafe extern "C" {
    fn display_ini_entries(module: *mut ModuleEntry);
}

/// Prints what this process holds.
pub(crate) extern "C" fn print(module: *mut ModuleEntry) {
    info_table_start!();
    info_table_row!("larder support", "enabled");
    info_table_row!("version", env!("CARGO_PKG_VERSION"));
    info_table_row!("values waiting to be freed", format!("{} bytes", graveyard::bytes()));
    registry::each(|config, engine| {
        let stats = engine.stats();
        info_table_row!(
            format!("store of namespace {}", config.namespace()),
            format!(
                "{} values in {} of {} bytes, {} hits in memory, {} from the backend, {} round trips",
                stats.near_entries,
                stats.near_bytes,
                stats.near_limit,
                stats.near_hits,
                stats.hits,
                stats.round_trips
            )
        );
    });
    info_table_end!();
    // SAFETY: PHP calls this with the entry of our own module, whose settings are registered for as
    // long as it is loaded; the function only reads them.
    unsafe { display_ini_entries(module) };
}
