<?php
/**
 * Prepares the plugin's tests: stand-ins for Moodle, and one for the extension when that is not loaded.
 *
 * With the extension (php -d extension=…/larder.so /usr/bin/phpunit -c tests/php/phpunit.xml) the same tests run
 * against it, on a local: directory or on the server that LARDER_TEST_SERVER names.
 *
 * @license MIT OR Apache-2.0
 */

require __DIR__ . '/standin/moodle.php';
if (!class_exists(\Larder\Store::class, false)) {
    require __DIR__ . '/standin/larder.php';
}
require __DIR__ . '/plugin/testcase.php';
