--TEST--
Values of a cache with opcache: no caller changes what another reads, no write changes what a caller holds
--EXTENSIONS--
opcache
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--INI--
opcache.enable=1
opcache.enable_cli=1
opcache.jit=disable
--FILE--
<?php
require __DIR__ . '/store-mutations.inc';
same('opcache', [true, false], [opcache_get_status()['opcache_enabled'], opcache_get_status()['jit']['on']]);
churn_and_mutate(mutations());
?>
--EXPECT--
done
