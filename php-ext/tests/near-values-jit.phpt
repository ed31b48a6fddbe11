--TEST--
Near values with jit: whatever a caller does to a value, the next caller sees it as it was
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
error_reporting(E_ALL & ~E_WARNING & ~E_DEPRECATED); // Not every mutation fits every value.
require __DIR__ . "/near.inc";
foreach (near_values() as $name => $make) {
    $near = larder_probe_near(larder_probe_encode($make()));
    $want = serialize(larder_probe_near_get($near));
    if ($want !== serialize($make())) {
        echo "$name differs from the start\n";
    }
    foreach (mutations() as $what => $mutate) {
        foreach ([1, 2] as $times) {
            $value = larder_probe_near_get($near);
            $other = larder_probe_near_get($near);
            try {
                $mutate($value);
            } catch (Error) {
                // Not for this kind of value.
            }
            if (serialize($other) !== $want || serialize(larder_probe_near_get($near)) !== $want) {
                echo "$what changed $name\n";
            }
        }
    }
    unset($value, $other);
    gc_collect_cycles();
    if (serialize(larder_probe_near_get($near)) !== $want) {
        echo "the cycle collector changed $name\n";
    }
}
echo "done\n";
?>
--EXPECT--
done
