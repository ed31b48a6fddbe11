<?php
// Copies the tables of a site within its database, under another prefix: php copy_database.php TREE PREFIX. With a third
// argument it drops those of the prefix. Only for MySQL and MariaDB.

[, $tree, $prefix] = $argv;
define('CLI_SCRIPT', true);
define('CACHE_DISABLE_ALL', true);
require("$tree/config.php");

if ($DB->get_dbfamily() !== 'mysql' || !preg_match('/^lb[0-9a-f]{4}_$/', $prefix)) {
    fwrite(STDERR, "test-moodle: only tables in MySQL or MariaDB can be copied.\n");
    exit(1);
}
foreach ($DB->get_tables(false) as $table) {
    if (isset($argv[3])) {
        $DB->change_database_structure("DROP TABLE IF EXISTS `$prefix$table`");
    } else {
        $DB->change_database_structure("CREATE TABLE `$prefix$table` LIKE `$CFG->prefix$table`");
        $DB->change_database_structure("INSERT INTO `$prefix$table` SELECT * FROM `$CFG->prefix$table`");
    }
}
