--TEST--
Values of a cache with JIT: no caller changes what another reads, no write changes what a caller holds
--EXTENSIONS--
opcache
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--INI--
opcache.enable=1
opcache.enable_cli=1
opcache.jit=tracing
opcache.jit_buffer_size=32M
opcache.jit_hot_func=2
opcache.jit_hot_loop=2
--FILE--
<?php
require __DIR__ . '/store-mutations.inc';
same('JIT', true, opcache_get_status()['jit']['on']);
churn_and_mutate(mutations());
?>
--EXPECT--
done
