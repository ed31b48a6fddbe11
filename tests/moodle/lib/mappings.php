<?php
// Prints the definitions of a site with the stores that they are mapped to, and reads some caches: php mappings.php TREE.

define('CLI_SCRIPT', true);
require("$argv[1]/config.php");
$config = core_cache\config::instance();
foreach ($config->get_definitions() as $id => $details) {
    echo $id, ' ', implode(' ', array_keys($config->get_stores_for_definition(core_cache\definition::load($id, $details)))), "\n";
}
get_string_manager()->get_list_of_languages();
cache::make('core', 'string')->get('nothing');
