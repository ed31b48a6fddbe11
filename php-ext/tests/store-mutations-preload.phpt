--TEST--
Values of a cache with preloading: no caller changes what another reads, no write changes what a caller holds
--EXTENSIONS--
opcache
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--INI--
opcache.enable=1
opcache.enable_cli=1
opcache.preload={PWD}/store-preload.inc
opcache.preload_user=root
--FILE--
<?php
require __DIR__ . '/store-mutations.inc';
same('preloaded', ['PreloadedHolder'], opcache_get_status()['preload_statistics']['classes']);
same('read while preloading', [1, ['two']], PreloadedHolder::read());
churn_and_mutate(mutations());
?>
--EXPECT--
done
