--TEST--
Values of a cache with JIT of whole functions: no caller changes what another reads, no write changes what a caller holds
--EXTENSIONS--
opcache
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--INI--
opcache.enable=1
opcache.enable_cli=1
opcache.jit=function
opcache.jit_buffer_size=32M
--FILE--
<?php
require __DIR__ . '/store-mutations.inc';
same('JIT', true, opcache_get_status()['jit']['on']);
churn_and_mutate(mutations());
?>
--EXPECT--
done
