--TEST--
Codec: memory_limit reached in the middle of a get ends the script as it always does
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); if (getenv("USE_ZEND_ALLOC") === "0") die("skip needs PHP's own allocator"); ?>
--INI--
memory_limit=32M
--FILE--
<?php
$payload = larder_probe_encode(array_fill(0, 100000, ["a" => 1]));
register_shutdown_function(function () {
    global $payload;
    echo "\n", json_encode(larder_probe_decode(larder_probe_encode(["still" => "works"]))), "\n";
});
$value = larder_probe_decode($payload);
echo "not reached";
?>
--EXPECTF--
Fatal error: Allowed memory size of %d bytes exhausted%s

{"still":"works"}
