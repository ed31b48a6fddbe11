//! Options from a PHP array, over the defaults of `php.ini`.

use ext_php_rs::flags::IniEntryPermission;
use ext_php_rs::prelude::*;
use ext_php_rs::types::{ZendHashTable, Zval};
use ext_php_rs::zend::{ExecutorGlobals, IniEntryDef, IniEntryDefs};
use larder::Config;

use crate::exceptions::{bad_config, misuse};
use crate::keys::key_bytes;

const PREFIX: &str = "larder.";

/// Options that an administrator sets once for a machine. None that names a server or holds a
/// secret: `phpinfo()` shows them all.
static INI_ENTRIES: IniEntryDefs<8> = IniEntryDefs::new([
    IniEntryDef::new(c"larder.near_bytes", c"", IniEntryPermission::System),
    IniEntryDef::new(c"larder.max_staleness", c"", IniEntryPermission::System),
    IniEntryDef::new(c"larder.connect_timeout", c"", IniEntryPermission::System),
    IniEntryDef::new(c"larder.read_timeout", c"", IniEntryPermission::System),
    IniEntryDef::new(c"larder.lock_lease", c"", IniEntryPermission::System),
    IniEntryDef::new(c"larder.lock_wait", c"", IniEntryPermission::System),
    IniEntryDef::new(c"larder.compress_from", c"", IniEntryPermission::System),
    IniEntryDef::end(),
]);

/// Registers the settings with PHP.
pub(crate) fn register_ini(module: i32) {
    IniEntryDef::register(INI_ENTRIES.as_slice(), module);
}

/// The configuration that an array of options means.
pub(crate) fn read(options: &ZendHashTable) -> PhpResult<Config> {
    let mut read = Vec::with_capacity(options.len());
    let mut entries = options.iter();
    while let Some((name, value)) = entries.next_zval() {
        let name = String::from_utf8_lossy(&key_bytes(&name)?).into_owned();
        let value = text(value).ok_or_else(|| refused(&name))?;
        read.push((name, value));
    }
    for (name, value) in ExecutorGlobals::get().ini_values() {
        let Some(name) = name.strip_prefix(PREFIX) else { continue };
        if let Some(value) = value.filter(|value| !value.is_empty())
            && !read.iter().any(|(given, text)| given == name && !text.is_empty())
        {
            read.retain(|(given, _)| given != name);
            read.push((name.to_owned(), value));
        }
    }
    Config::from_options(read.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        .map_err(|error| misuse(&error).unwrap_or_else(|| error.to_string().into()))
}

/// Scalars as PHP prints them; a boolean or null as an empty text would hide a mistake only where
/// text is no option at all.
fn text(value: &Zval) -> Option<String> {
    let value = value.dereference();
    if value.is_null() {
        return Some(String::new());
    }
    if let Some(number) = value.long() {
        return Some(number.to_string());
    }
    if let Some(number) = value.double() {
        return Some(number.to_string());
    }
    let text = value.zend_str()?;
    String::from_utf8(text.as_bytes().to_vec()).ok()
}

fn refused(name: &str) -> PhpException {
    bad_config(format!("option '{}' must be a string or a number", name.escape_debug()))
}
