--TEST--
Codec: PHP and Rust write the same payloads, and read the same of those that nobody wrote
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--INI--
error_reporting=E_ERROR
--FILE--
<?php
require __DIR__ . "/generate.inc";
require __DIR__ . "/mutate.inc";
$seed = (int)(getenv("LARDER_SEED") ?: 20261129);
$count = (int)(getenv("LARDER_VALUES") ?: 10000);
$compared = ["written" => 0, "read" => 0, "broken" => 0];
$failed = 0;

/** Compares what both make of a payload: a value as serialize() writes it, or false where it is broken. */
function compare(string $payload): void {
    global $compared, $failed;
    if ($payload !== "" && str_contains("\xc7\xc8\xc9\xd4\xd5\xd6\xd7\xd8", $payload[0])) {
        return; // What serialize() wrote is PHP's own business.
    }
    try {
        $php = serialize(larder_probe_decode($payload));
    } catch (Exception) {
        $php = false;
    }
    $rust = larder_probe_rust_serialized($payload);
    if ($rust !== null) {
        try {
            $value = unserialize($rust);
            $rust = $value === false && $rust !== serialize(false) ? false : serialize($value);
        } catch (Throwable) {
            $rust = false;
        }
    }
    $compared[$php === false ? "broken" : "read"]++;
    if ($php !== ($rust ?? false)) {
        $failed++ < 5 && printf("%.200s:\n  PHP  %.200s\n  Rust %.200s\n", bin2hex($payload), json_encode($php), json_encode($rust));
    }
}

$maker = new ValueMaker($seed);
for ($i = 0; $i < $count; $i++) {
    $payload = larder_probe_encode($maker->top());
    if (larder_probe_rust_written($payload) !== $payload) {
        $failed++ < 5 && print("written otherwise: " . bin2hex($payload) . "\n");
    }
    $compared["written"]++;
    compare($payload);
    for ($times = 0; $times < 8 && strlen($payload) < 4000; $times++) {
        compare(mutate($payload));
    }
    compare(random_payload());
}
foreach ([255, 256, 257] as $depth) {
    foreach (["\x90", "\x80", "\xc0", "\x91\xc7\x00\x01", "\x91\xd4\x02\x00"] as $inside) {
        compare(str_repeat("\x91", $depth) . $inside);
        compare(str_repeat("\x81\x00", $depth) . $inside);
    }
}
printf("%d failed; enough of each: %s\n", $failed, json_encode(min($compared) > $count / 2));
?>
--EXPECT--
0 failed; enough of each: true
