--TEST--
Values of a cache: no caller changes what another reads, no write changes what a caller holds
--EXTENSIONS--
igbinary
apcu
msgpack
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--INI--
apc.enable_cli=1
--FILE--
<?php
require __DIR__ . '/store-mutations.inc';
foreach (['igbinary', 'apcu', 'msgpack'] as $module) {
    extension_loaded($module) || print("without $module\n");
}
function_exists('apcu_enabled') && same('APCu', true, apcu_enabled());
churn_and_mutate(mutations());
?>
--EXPECT--
done
