--TEST--
Codec: 12,000 random values come back as from unserialize(serialize()), also from the near values
--SKIPIF--
<?php if (!function_exists("larder_probe_encode")) die("skip needs the feature probe"); ?>
--INI--
error_reporting=E_ALL & ~E_DEPRECATED
--FILE--
<?php
require __DIR__ . "/generate.inc";
$seed = (int)(getenv("LARDER_SEED") ?: 20240817);
$count = (int)(getenv("LARDER_VALUES") ?: 12000);
$generator = new ValueMaker($seed);
$failed = $direct = 0;
for ($i = 0; $i < $count && $failed < 3; $i++) {
    $value = $generator->top();
    $before = serialize($value);
    $want = serialize(unserialize($before));
    $payload = larder_probe_encode($value);
    $direct += $payload[0] !== "\xc7" && $payload[0] !== "\xc8" && $payload[0] !== "\xc9";
    $near = larder_probe_near($payload);
    $got = [
        "decode" => serialize(larder_probe_decode($payload)),
        "near" => serialize(larder_probe_near_get($near)),
        "near again" => serialize(larder_probe_near_get($near)),
        "the value itself" => serialize($value) === $before ? $want : "changed",
    ];
    larder_probe_near_drop($near);
    foreach ($got as $way => $text) {
        if ($text !== $want) {
            printf("seed %d value %d, %s:\n%s\n%s\n%s\n", $seed, $i, $way, $want, $text, bin2hex($payload));
            $failed++;
        }
    }
}
printf("seed %d: %d values, %d failed\n", $seed, $count, $failed);
var_dump($direct > $count / 2 && $direct < $count);
?>
--EXPECTF--
seed %d: %d values, 0 failed
bool(true)
