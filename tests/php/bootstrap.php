<?php
/**
 * Prepares the plugin's tests: a stand-in for Moodle, and the extension, on a local: directory or on the server that
 * LARDER_TEST_SERVER names: php -d extension=…/larder.so /usr/bin/phpunit -c tests/php/phpunit.xml
 *
 * @license MIT OR Apache-2.0
 */

// Before anything is printed, which ends the time for it.
session_id('standin');

require __DIR__ . '/standin/moodle.php';
require __DIR__ . '/plugin/testcase.php';
